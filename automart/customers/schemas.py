"""Customers and uploads of photos, as the API takes and shows them."""

from __future__ import annotations

import unicodedata
from typing import Any

from marshmallow import ValidationError, fields, validate

from automart.customers import models
from automart.customers.models import LONGEST_NAME, LONGEST_PHONE
from automart.customers.photos import MAX_UPLOAD_BYTES
from automart.web import PageQuery, Resource, Schema, absolute_url, changes_of, example
from automart.web.fields import (
    LONGEST_EMAIL,
    EmailAddress,
    PhoneNumber,
    QueryText,
    Text,
    UtcTime,
)

# The form adds boundaries and headers to the file.
MAX_FORM_BYTES = MAX_UPLOAD_BYTES + 100_000
# Categories of invisible characters: marks, spaces, controls. Unassigned (Cn) and private (Co)
# characters are not among them, because they may be the letters of a name.
_INVISIBLE = ("M", "Z", "Cc", "Cf", "Cs")


class PersonName(Text):
    """A name in any script, with at least one visible character."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=LONGEST_NAME, **kwargs)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        name = super()._deserialize(value, *args, **kwargs)
        if all(unicodedata.category(character).startswith(_INVISIBLE) for character in name):
            raise ValidationError("Must not be blank.")
        return name


def photo_url(customer: models.Customer) -> str | None:
    """Return the absolute URL of the customer's photo."""
    if customer.photo_token is None:
        return None
    return absolute_url("photos.photo", token=customer.photo_token)


@example(
    changes={"phone": "+49 89 123456"},
    first_name="Zoë",
    last_name="Martin",
    email="zoe.martin@example.com",
)
class NewCustomer(Schema):
    """A person who buys or rents."""

    first_name = PersonName(required=True, metadata={"description": "The first name."})
    last_name = PersonName(required=True, metadata={"description": "The last name."})
    email = EmailAddress(allow_none=True, metadata={"description": "The e-mail address."})
    phone = PhoneNumber(
        allow_none=True,
        max_length=LONGEST_PHONE,
        metadata={"description": "The phone number, in any notation."},
    )


CustomerChanges = changes_of(NewCustomer)


class Customer(NewCustomer, Resource):
    """A person who buys or rents."""

    photo_url = fields.Function(
        serialize=photo_url,
        metadata={
            "type": ["string", "null"],
            "format": "uri",
            "description": "Where the photo can be loaded without a token.",
        },
    )
    created_by = fields.Integer(
        allow_none=True,
        metadata={"description": "The user who created it. Null after that user was deleted."},
    )
    updated_by = fields.Integer(
        allow_none=True,
        metadata={"description": "The user who last changed it. Null after that user was deleted."},
    )
    created_at = UtcTime(metadata={"description": "When the customer was created."})
    updated_at = UtcTime(metadata={"description": "When the customer was last changed."})


class CustomerQuery(PageQuery):
    q = QueryText(
        load_default=None,
        validate=validate.Length(max=LONGEST_EMAIL),
        metadata={
            "description": "A part of the name or e-mail address. Case and accents do not matter."
        },
    )


class PhotoUpload(Schema):
    """JPEG, PNG or WebP, at most 5,000,000 bytes and 40 megapixels."""

    largest_body = MAX_FORM_BYTES

    photo = fields.Raw(
        required=True,
        metadata={"description": "The content of the file.", "type": "string", "format": "binary"},
    )
