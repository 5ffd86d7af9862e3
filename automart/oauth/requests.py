"""OAuth requests: their parameters are read only from where RFC 6749 allows them."""

from __future__ import annotations

import re
from typing import Any

from authlib.integrations.flask_oauth2.requests import FlaskOAuth2Payload, FlaskOAuth2Request
from authlib.oauth2.rfc6749 import OAuth2Request
from authlib.oauth2.rfc6749.errors import InvalidRequestError, OAuth2Error
from flask import request
from werkzeug.datastructures import MultiDict

# RFC 6749 §5.2: the characters that are allowed in an error description. Authlib's descriptions
# contain the values of these parameters.
_ALLOWED_TEXT = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]*")
_ECHOED_PARAMETERS = (
    "client_id",
    "grant_type",
    "redirect_uri",
    "response_type",
    "token_type_hint",
)


def parameters() -> MultiDict[str, str]:
    """Return the parameters of the current request: of a POST only those in its body, because
    queries are logged. Those without a value count as omitted (RFC 6749 §3.1, §3.2)."""
    sent = request.form if request.method == "POST" else request.args
    return MultiDict((name, value) for name, value in sent.items(multi=True) if value.strip())


def has_basic_authentication() -> bool:
    """Return whether a client authenticates in the header. Other schemes authenticate no client."""
    scheme = request.headers.get("Authorization", "").partition(" ")[0]
    return scheme.lower() == "basic"


class FormPayload(FlaskOAuth2Payload):
    """`parameters`, for Authlib."""

    @property
    def data(self) -> Any:
        return parameters()


class FormRequest(FlaskOAuth2Request):
    """The current request with a `FormPayload`."""

    def __init__(self) -> None:
        # Authlib rejects plain http. Whether TLS ends at a proxy is the deployment's decision.
        uri = request.url.replace("http://", "https://", 1)
        OAuth2Request.__init__(self, request.method, uri, headers=request.headers)
        self._request = request
        self.payload = FormPayload(request)

    @property
    def form(self) -> Any:
        return parameters()


def find_malformed_parameter() -> OAuth2Error | None:
    """Return an error if the current request has a parameter twice, or with bad characters."""
    sent = parameters()
    for name in sent:
        if len(sent.getlist(name)) > 1:
            return InvalidRequestError("A parameter is included more than once.")
        if name in _ECHOED_PARAMETERS and not _ALLOWED_TEXT.fullmatch(sent[name]):
            return InvalidRequestError(f"The parameter {name} contains invalid characters.")
    return None
