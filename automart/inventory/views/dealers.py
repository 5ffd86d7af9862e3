"""Dealers."""

from __future__ import annotations

from flask.views import MethodView
from sqlalchemy import select

from automart.core.db import get_or_404, lock_or_404, transaction
from automart.inventory import models, service
from automart.inventory.schemas import Dealer, DealerChanges, NewDealer
from automart.inventory.views.blueprint import blp
from automart.web import (
    USER,
    Answer,
    PageQuery,
    Values,
    check_version,
    created,
    idempotent,
    page_of,
    paginate,
    requires,
)


@blp.route("/dealers")
class Dealers(MethodView):
    @requires(USER)
    @blp.arguments(PageQuery, location="query")
    @blp.response(200, page_of(Dealer))
    def get(self, query: Values) -> Values:
        """List dealers."""
        return paginate(select(models.Dealer), models.Dealer.id, query)

    @requires(USER)
    @blp.arguments(NewDealer)
    @idempotent
    @blp.response(201, Dealer)
    def post(self, values: Values) -> Answer:
        """Create a dealer."""
        with transaction():
            dealer = service.create_dealer(values)
        return created(dealer, "inventory.DealerById", dealer_id=dealer.id)


@blp.route("/dealers/<id:dealer_id>")
class DealerById(MethodView):
    @requires(USER)
    @blp.response(200, Dealer)
    def get(self, dealer_id: int) -> models.Dealer:
        """Get a dealer."""
        return get_or_404(models.Dealer, dealer_id)

    @requires(USER)
    @blp.arguments(DealerChanges)
    @blp.response(200, Dealer)
    def patch(self, changes: Values, dealer_id: int) -> models.Dealer:
        """Update a dealer. Fields that are not sent keep their value."""
        with transaction():
            dealer = lock_or_404(models.Dealer, dealer_id)
            check_version(dealer, Dealer)
            service.update_dealer(dealer, changes)
        return dealer

    @requires(USER)
    @blp.response(204)
    @blp.alt_response(409, "CONFLICT")
    def delete(self, dealer_id: int) -> None:
        """Delete a dealer that has no cars."""
        with transaction():
            dealer = lock_or_404(models.Dealer, dealer_id, before_delete=True)
            check_version(dealer, Dealer)
            service.delete_dealer(dealer)
