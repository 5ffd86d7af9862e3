"""Webhook URLs, deliveries and their attempts, as the API shows them."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from marshmallow import ValidationError, fields

from automart.web import Output, PageQuery, Values
from automart.web.fields import QueryEnum, QueryId, Text, UtcTime
from automart.web.urls import can_be_host
from automart.webhooks.models import LONGEST_URL, DeliveryState

# Without user information and fragment. It does not say which hosts there can be.
_PATTERN = r"^[Hh][Tt][Tt][Pp][Ss]?://[!$-.0-;=A-\[\]_a-z~]+([/?][!$-;=?-\[\]-~]*)?$"
_URL = re.compile(_PATTERN)


class WebhookUrl(Text):
    """An http or https URL without user information."""

    def __init__(self, *, metadata: Values | None = None, **kwargs: Any) -> None:
        metadata = {"format": "uri", "pattern": _PATTERN} | (metadata or {})
        super().__init__(max_length=LONGEST_URL, metadata=metadata, **kwargs)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        url = super()._deserialize(value, *args, **kwargs)
        try:
            parts = urlsplit(url)
            has_host = can_be_host(parts.hostname or "")
            is_valid = parts.scheme in ("http", "https") and has_host and parts.port != 0
        except ValueError:  # an invalid port or IPv6 address
            is_valid = False
        if is_valid and "@" in parts.netloc:
            raise ValidationError("Must have no user information.")
        if is_valid and "#" in url:
            raise ValidationError("Must have no fragment.")
        if not is_valid or not _URL.fullmatch(url):
            raise ValidationError("Must be an http or https URL.")
        return url


class SubjectId(fields.Integer):
    """The id in the subject of an event: 7 for `purchase:7`."""

    def __init__(self, kind: str, **kwargs: Any) -> None:
        super().__init__(attribute="subject", **kwargs)
        self._prefix = f"{kind}:"

    def _serialize(self, value: Any, *_args: Any, **_kwargs: Any) -> int:
        return int(value.removeprefix(self._prefix))


class Attempt(Output):
    """One attempt: the response's status and its first 2,048 characters, or the error."""

    at = UtcTime(metadata={"description": "When it was made."})
    status = fields.Integer(
        allow_none=True,
        metadata={"description": "The HTTP status of the response. Null without a response."},
    )
    response = fields.String(
        allow_none=True,
        metadata={
            "description": "The first 2,048 characters of the response. Null without a response."
        },
    )
    error = fields.String(
        allow_none=True,
        metadata={"description": "Why there was no response. Null if there was one."},
    )


class Delivery(Output):
    """An event and its delivery to a regional office."""

    id = fields.Integer(metadata={"description": "The id of the delivery."})
    webhook_id = fields.String(
        metadata={"description": "The `webhook-id` header, the same for all attempts."}
    )
    regional_office_id = fields.Integer(
        attribute="endpoint.regional_office_id",
        metadata={"description": "The office that is notified."},
    )
    type = fields.String(metadata={"description": "The type of the event."})
    purchase_id = SubjectId(
        "purchase", metadata={"description": "The purchase that the event concerns."}
    )
    created_at = UtcTime(metadata={"description": "When the event happened."})
    state = fields.Enum(
        DeliveryState, by_value=True, metadata={"description": "`pending` deliveries are retried."}
    )
    next_attempt_at = UtcTime(
        allow_none=True,
        metadata={
            "description": "Null after the delivery has ended, and while an earlier event of the"
            " same purchase is pending."
        },
    )
    attempts = fields.List(
        fields.Nested(Attempt), metadata={"description": "The attempts so far, oldest first."}
    )


class DeliveryQuery(PageQuery):
    state = QueryEnum(DeliveryState, metadata={"description": "Only deliveries in this state."})
    regional_office_id = QueryId(
        load_default=None, metadata={"description": "Only deliveries to this office."}
    )


class DeliveryResult(Output):
    """The result of a job that delivers webhooks."""

    regional_office_id = fields.Integer(
        metadata={"description": "The id of the regional office that was notified."}
    )
