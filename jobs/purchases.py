"""The job that records a reported sale."""

from __future__ import annotations

from sqlalchemy.exc import IntegrityError

from automart.core.db import transaction
from automart.core.errors import Conflict
from automart.purchases import service
from automart.purchases.schemas import Purchase
from jobs.context import Run

_RESULT = Purchase()


def purchase_recording(
    run: Run, regional_office_id: int, external_order_number: str, make_id: int, car_model: str
) -> None:
    """Store a sale as a purchase. A sale that is reported again is the same purchase."""
    try:
        with transaction():
            purchase = service.create_purchase(
                regional_office_id, external_order_number, make_id, car_model
            )
            run.lease.succeed(_RESULT.dump(purchase))
    except IntegrityError:
        raise Conflict("The office or the make was deleted before the sale was recorded.") from None
