"""Customers, and the upload and deletion of their photos."""

from __future__ import annotations

from functools import partial
from typing import Any

from flask.views import MethodView
from sqlalchemy import Row

from automart.core.db import get_or_404, read_or_404, rows_of, transaction
from automart.customers import models, photos, search, service
from automart.customers.schemas import (
    Customer,
    CustomerChanges,
    CustomerQuery,
    NewCustomer,
    PhotoUpload,
)
from automart.web import (
    USER,
    Answer,
    Blueprint,
    Values,
    check_version,
    created,
    idempotent,
    page_of,
    paginate,
    paginate_by,
    requires,
)

blp = Blueprint("customers", __name__, url_prefix="/v1/customers", description="Customers")


@blp.route("")
class Customers(MethodView):
    @requires(USER)
    @blp.arguments(CustomerQuery, location="query")
    @blp.response(200, page_of(Customer))
    def get(self, query: Values) -> Values:
        """List customers, or search them."""
        if not query["q"]:
            return paginate(rows_of(models.Customer), models.Customer.id, query)
        return paginate_by(partial(search.find_customers, query["q"]), models.Customer.id, query)

    @requires(USER)
    @blp.arguments(NewCustomer)
    @idempotent
    @blp.response(201, Customer)
    def post(self, values: Values) -> Answer:
        """Create a customer."""
        with transaction():
            customer = service.create_customer(values)
        return created(customer, "customers.CustomerById", customer_id=customer.id)


@blp.route("/<id:customer_id>")
class CustomerById(MethodView):
    @requires(USER)
    @blp.response(200, Customer)
    def get(self, customer_id: int) -> Row[Any]:
        """Get a customer."""
        return read_or_404(models.Customer, customer_id)

    @requires(USER)
    @blp.arguments(CustomerChanges)
    @blp.response(200, Customer)
    def patch(self, changes: Values, customer_id: int) -> Row[Any]:
        """Update a customer. Fields that are not sent keep their value."""
        check = partial(check_version, schema=Customer)
        return service.update_customer(customer_id, changes, check)

    @requires(USER)
    @blp.response(204)
    def delete(self, customer_id: int) -> None:
        """Delete a customer and the photo."""
        with transaction():
            service.delete_customer(_lock_version(customer_id))


@blp.route("/<id:customer_id>/photo")
class PhotoOfCustomer(MethodView):
    @requires(USER)
    @blp.arguments(PhotoUpload, location="files")
    @blp.response(200, Customer)
    @blp.alt_response(413, "CONTENT_TOO_LARGE")
    @blp.alt_response(503, "SERVICE_UNAVAILABLE")
    def put(self, files: Values, customer_id: int) -> models.Customer:
        """Set the photo of a customer.

        The content must be JPEG, PNG or WebP, at most 5,000,000 bytes and 40 megapixels. Of an
        animation, the first frame is used. The photo is stored upright as WebP, without metadata
        and with at most 1,024 pixels per side. `If-Match` takes the ETag of the customer.
        """
        get_or_404(models.Customer, customer_id)
        webp = photos.transcode(files["photo"].stream)
        with photos.stored(webp) as token, transaction():
            customer = _lock_version(customer_id)
            service.set_photo(customer, token)
        return customer

    @requires(USER)
    @blp.response(204)
    def delete(self, customer_id: int) -> None:
        """Delete the photo of a customer. `If-Match` takes the ETag of the customer."""
        with transaction():
            service.delete_photo(_lock_version(customer_id))


def _lock_version(customer_id: int) -> models.Customer:
    """Return a customer, locked, if it has the version that the request expects."""
    customer = service.lock_customer(customer_id)
    check_version(customer, Customer)
    return customer
