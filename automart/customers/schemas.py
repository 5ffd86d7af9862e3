"""How clients see customers."""

from __future__ import annotations

import unicodedata
from typing import Any

from marshmallow import ValidationError, fields, validate

from automart.core.text import clean
from automart.customers.models import LONGEST_NAME, LONGEST_PHONE, Customer
from automart.customers.photos import LARGEST_UPLOAD
from automart.web import PageQuery, Schema, absolute_url
from automart.web.fields import LONGEST_EMAIL, EmailAddress, Text, UtcTime

# A form has boundaries and headers around its file.
LARGEST_FORM = LARGEST_UPLOAD + 100_000
# Of these alone nothing can be seen: marks, spaces, controls. Not of what Python does not know yet
# (Cn) or people have agreed on (Co): these may be the letters of a name.
_INVISIBLE = ("M", "Z", "Cc", "Cf", "Cs")


class PersonName(Text):
    """A name in any script; something of it can be seen."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=LONGEST_NAME, **kwargs)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        name = super()._deserialize(value, *args, **kwargs)
        if all(unicodedata.category(character).startswith(_INVISIBLE) for character in name):
            raise ValidationError("Must not be blank.")
        return name


class SearchText(fields.String):
    """What to look for, cleaned as what it is looked for in. Blank, it is a part of everything."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        try:
            return clean(super()._deserialize(value, *args, **kwargs))
        except ValueError as error:
            raise ValidationError(str(error)) from None


def photo_url(customer: Customer) -> str | None:
    """The absolute URL of the customer's photo."""
    if customer.photo_token is None:
        return None
    return absolute_url("photos.photo", token=customer.photo_token)


class CustomerSchema(Schema):
    """A person who buys or rents."""

    id = fields.Integer(dump_only=True)
    first_name = PersonName(required=True)
    last_name = PersonName(required=True)
    email = EmailAddress(allow_none=True)
    phone = Text(allow_none=True, max_length=LONGEST_PHONE)
    photo_url = fields.Function(
        serialize=photo_url,
        metadata={
            "type": ["string", "null"],
            "format": "uri",
            "description": "Where the photo can be loaded from without a token.",
        },
    )
    created_by = fields.Integer(dump_only=True, allow_none=True)
    updated_by = fields.Integer(dump_only=True, allow_none=True)
    created_at = UtcTime(dump_only=True)
    updated_at = UtcTime(dump_only=True)


class CustomerChanges(Schema):
    first_name = PersonName()
    last_name = PersonName()
    email = EmailAddress(allow_none=True)
    phone = Text(allow_none=True, max_length=LONGEST_PHONE)


class CustomerQuery(PageQuery):
    q = SearchText(
        load_default=None,
        validate=validate.Length(max=LONGEST_EMAIL),
        metadata={
            "description": "A part of the name or e-mail address, whatever the case and accents."
        },
    )


class PhotoUpload(Schema):
    """JPEG, PNG or WebP, at most 5,000,000 bytes and 40 megapixels."""

    largest_body = LARGEST_FORM

    photo = fields.Raw(required=True, metadata={"type": "string", "format": "binary"})
