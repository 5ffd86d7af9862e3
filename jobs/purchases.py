"""The job that records a sale."""

from __future__ import annotations

from sqlalchemy.exc import IntegrityError

from automart.db import transaction
from automart.errors import Conflict
from automart.purchases import service
from automart.purchases.schemas import PurchaseSchema
from jobs.running import Run


def purchase_recording(
    run: Run, regional_office_id: int, external_order_number: str, make_id: int, car_model: str
) -> None:
    """Store a reported sale as a purchase. Repeated reports of a sale give the same purchase."""
    try:
        with transaction():
            purchase = service.create_purchase(
                regional_office_id, external_order_number, make_id, car_model
            )
            run.claim.succeed(PurchaseSchema().dump(purchase))
    except IntegrityError:
        raise Conflict("The office or the make was deleted before the sale was recorded.") from None
