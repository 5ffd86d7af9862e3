"""Customers and their photos."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from flask import Response, g, request
from flask.views import MethodView
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from automart.core.db import db, get_or_404, transaction
from automart.core.errors import NotFound
from automart.customers import photos, search
from automart.customers.models import TOKEN_LENGTH, Customer
from automart.customers.schemas import CustomerChanges, CustomerQuery, CustomerSchema, PhotoUpload
from automart.oauth.authentication import authenticate
from automart.web import (
    USER,
    Answer,
    Blueprint,
    Values,
    absolute_url,
    check_version,
    current_caller,
    idempotent,
    page_of,
    paginate,
    paginate_by,
    public,
    requires,
)

blp = Blueprint("customers", __name__, url_prefix="/v1/customers", description="Customers")
photo_blp = Blueprint("photos", __name__, url_prefix="/v1/photos", description="Photos")

WEBP = "image/webp"
PHOTO_HEADERS = {
    "Content-Disposition": 'inline; filename="photo.webp"',
    "Cache-Control": "public, max-age=31536000, immutable",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
}


@blp.route("")
class Customers(MethodView):
    @requires(USER)
    @blp.arguments(CustomerQuery, location="query")
    @blp.response(200, page_of(CustomerSchema))
    def get(self, query: Values) -> Values:
        """List customers, or find some."""
        if not query["q"]:
            return paginate(select(Customer), Customer.id, query)
        return paginate_by(partial(search.find, query["q"]), Customer.id, query)

    @requires(USER)
    @blp.arguments(CustomerSchema)
    @idempotent
    @blp.response(201, CustomerSchema)
    def post(self, values: Values) -> Answer:
        """Add a customer."""
        me = current_caller().user_id
        with _signing():
            customer = Customer(**values, created_by=me, updated_by=me)
            db.session.add(customer)
            db.session.flush()  # gives customer.id
            location = absolute_url("customers.CustomerById", customer_id=customer.id)
        return customer, 201, {"Location": location}


@blp.route("/<id:customer_id>")
class CustomerById(MethodView):
    @requires(USER)
    @blp.response(200, CustomerSchema)
    def get(self, customer_id: int) -> Customer:
        """Read a customer."""
        return get_or_404(Customer, customer_id)

    @requires(USER)
    @blp.arguments(CustomerChanges)
    @blp.response(200, CustomerSchema)
    def patch(self, changes: Values, customer_id: int) -> Customer:
        """Change the fields that are sent and leave the others."""
        with _signing():
            customer = _to_change(customer_id)
            customer.update(changes)
            _sign(customer)
        return customer

    @requires(USER)
    @blp.response(204)
    def delete(self, customer_id: int) -> None:
        """Delete a customer together with the photo."""
        with transaction():
            customer = _to_change(customer_id)
            photos.take_from(customer)
            db.session.delete(customer)


@blp.route("/<id:customer_id>/photo")
class PhotoOfCustomer(MethodView):
    @requires(USER)
    @blp.arguments(PhotoUpload, location="files")
    @blp.response(200, CustomerSchema)
    @blp.alt_response(413, "CONTENT_TOO_LARGE")
    @blp.alt_response(503, "SERVICE_UNAVAILABLE")
    def put(self, files: Values, customer_id: int) -> Customer:
        """Give the customer a photo, instead of the present one if there is one.

        JPEG, PNG or WebP by content, at most 5,000,000 bytes and 40 megapixels; of an animation the
        first frame. It is stored as WebP without metadata, upright, at most 1,024 pixels a side.
        `If-Match` is about the customer.
        """
        get_or_404(Customer, customer_id)
        webp = photos.made_fit(files["photo"].stream)
        with photos.stored(webp) as token, _signing():
            customer = _to_change(customer_id)
            photos.give(customer, token)
            _sign(customer)
        return customer

    @requires(USER)
    @blp.response(204)
    def delete(self, customer_id: int) -> None:
        """Delete the photo of a customer. `If-Match` is about the customer."""
        with _signing():
            customer = _to_change(customer_id)
            if customer.photo_token is None:
                raise NotFound(f"Customer {customer_id} has no photo.")
            photos.take_from(customer)
            _sign(customer)


@photo_blp.route(f"/<string(length={TOKEN_LENGTH}):token>")
@public
@photo_blp.response(200, {"type": "string", "format": "binary"}, content_type=WEBP)
def photo(token: str) -> Response:
    """Load a photo. Its URL is a customer's `photo_url`, for as long as the photo is theirs."""
    response = Response(photos.content_of(token), mimetype=WEBP, headers=PHOTO_HEADERS)
    response.set_etag(token)
    response.make_conditional(request)
    return response


@photo_blp.before_request
def keep_out_of_the_log() -> None:
    """Whoever knows a photo's path may see the photo, and logs are read by others."""
    g.logged_path = f"{photo_blp.url_prefix}/…"


def _to_change(customer_id: int) -> Customer:
    """The customer, locked, in the version that the request wants to change."""
    customer = get_or_404(Customer, customer_id, lock=True)
    check_version(customer, CustomerSchema)
    return customer


@contextmanager
def _signing() -> Iterator[None]:
    """A transaction in which the caller signs. Raises `Unauthenticated` if they were deleted since
    the request began: then what they sign refers to nobody."""
    try:
        with transaction():
            yield
    except IntegrityError:
        db.session.rollback()  # of the transaction that this one is a part of, if it is
        authenticate()
        raise


def _sign(customer: Customer) -> None:
    """Note who changed the customer, if anything changed."""
    if db.session.is_modified(customer):
        customer.updated_by = current_caller().user_id
