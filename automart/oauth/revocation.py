"""Token revocation (RFC 7009)."""

from __future__ import annotations

from authlib.oauth2.rfc6749.errors import InvalidRequestError
from authlib.oauth2.rfc7009 import RevocationEndpoint

from automart.accounts import audit
from automart.accounts.models import Login
from automart.accounts.sessions import end_login, hash_token
from automart.core.db import db
from automart.core.errors import Unauthenticated
from automart.oauth.clients import AUTHENTICATION_METHODS, OAuthClient
from automart.oauth.grants import IssuedToken
from automart.oauth.models import RefreshToken
from automart.oauth.requests import FormRequest
from automart.oauth.tokens import verify_access_token


class Revocation(RevocationEndpoint):
    """Ends the login of a token, and with it all tokens of that login."""

    CLIENT_AUTH_METHODS = AUTHENTICATION_METHODS

    def check_params(self, oauth_request: FormRequest, _client: OAuthClient) -> None:
        # RFC 7009 §2.2: unknown hints are ignored, and no hint is needed here.
        if "token" not in oauth_request.form:
            raise InvalidRequestError("The parameter token is missing.")

    def query_token(self, text: str, _hint: str | None) -> IssuedToken | None:
        row = db.session.get(RefreshToken, hash_token(text))
        try:
            login_id = row.login_id if row else verify_access_token(text).login_id
        except Unauthenticated:
            return None  # RFC 7009 §2.2: an invalid token is no error
        login = db.session.get(Login, login_id)
        return IssuedToken(login) if login else None

    def revoke_token(self, token: IssuedToken, _request: FormRequest) -> None:
        if end_login(token.login.id):
            audit.record(audit.Event.LOGIN_ENDED, subject=token.login.subject)
