"""The authorization server: Authlib's, with the grants and the client authentication of Automart.

By itself, Authlib stores tokens in clear text, reads parameters from the query, reveals whether a
client exists, and does not detect concurrent uses of a code or refresh token.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749.errors import OAuth2Error, UnsupportedResponseTypeError
from authlib.oauth2.rfc9207 import IssuerParameter
from flask import Response

from automart.oauth import clients
from automart.oauth.grants import (
    AuthorizationCodeGrant,
    ClientCredentialsGrant,
    RefreshTokenGrant,
    RequiredPkce,
)
from automart.oauth.requests import FormRequest
from automart.oauth.revocation import Revocation
from automart.oauth.tokens import issuer

# Authlib's text about clients lists its methods, and several of its errors have none.
_DESCRIPTIONS = {
    "invalid_request": "A parameter is missing or malformed.",
    "invalid_client": "The client is unknown, or its secret is wrong.",
    "invalid_grant": "The code or the refresh token is invalid, expired or used.",
    "unsupported_grant_type": "The grant type is not supported.",
    "unsupported_response_type": "The response type must be code.",
}


class Server(AuthorizationServer):
    def create_oauth2_request(self, _request: Any) -> FormRequest:
        return FormRequest()

    def handle_error_response(self, oauth_request: FormRequest | None, error: OAuth2Error) -> Any:
        # Authlib's text about a response type is what was sent. Most other texts, Automart's own
        # among them, say more than `_DESCRIPTIONS`.
        if (
            not error.description
            or isinstance(error, UnsupportedResponseTypeError)
            or error.description.startswith("The client cannot authenticate")
        ):
            error.description = _DESCRIPTIONS.get(error.error or "", error.description)
        return super().handle_error_response(oauth_request, error)

    def send_signal(self, *_args: Any, **_kwargs: Any) -> None:
        """Do nothing: no code receives Authlib's signals."""


class Issuer(IssuerParameter):
    def get_issuer(self) -> str:
        return issuer()


_issuer_parameter = Issuer()


def _create_server() -> Server:
    server = Server(query_client=clients.query_client)
    server.register_client_auth_method("client_secret_basic", clients.authenticate_basic)
    server.register_client_auth_method("client_secret_post", clients.authenticate_post)
    server.register_client_auth_method("none", clients.authenticate_none)
    server.register_grant(AuthorizationCodeGrant, [RequiredPkce(required=True)])
    server.register_grant(ClientCredentialsGrant)
    server.register_grant(RefreshTokenGrant)
    server.register_endpoint(Revocation)
    _issuer_parameter(server)
    return server


server = _create_server()


def error_response(error: OAuth2Error) -> Response:
    """Return the response to an error: a redirect to the application, or JSON (RFC 6749 §5.2)."""
    response: Response = server.handle_error_response(None, error)
    _issuer_parameter.add_issuer_parameter(server, response)
    if error.redirect_uri:
        append_to_redirect_uri(response, error.redirect_uri)
    return response


def append_to_redirect_uri(response: Response, redirect_uri: str) -> None:
    """Keep the query of the redirect URI as it was sent (RFC 6749 §3.1.2), which Authlib writes
    anew, and append the parameters of the response."""
    own = len(_query_of(redirect_uri))
    added = urlencode(_query_of(response.location or "")[own:])
    separator = "&" if "?" in redirect_uri else "?"
    response.location = (
        redirect_uri + ("" if redirect_uri.endswith(("?", "&")) else separator) + added
    )


def _query_of(uri: str) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(uri).query, keep_blank_values=True)
