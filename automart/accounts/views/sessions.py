"""The sessions of the current user."""

from __future__ import annotations

import uuid

from flask.views import MethodView

from automart.accounts import models, service
from automart.accounts.schemas import Session
from automart.accounts.sessions import active_logins_of_user
from automart.accounts.views.blueprint import blp
from automart.core.db import transaction
from automart.web import USER, PageQuery, Values, current_caller, page_of, paginate, requires
from automart.web.openapi_conventions import unversioned


@blp.route("/users/me/sessions")
class Sessions(MethodView):
    @requires(USER)
    @blp.arguments(PageQuery, location="query")
    @blp.response(200, page_of(Session))
    def get(self, query: Values) -> Values:
        """List your sessions: logins by the login page, by `/login` and through applications."""
        logins = active_logins_of_user(service.user_id_of(current_caller()))
        return paginate(logins, models.Login.id, query, newest_first=True)

    @requires(USER)
    @blp.response(204)
    @unversioned
    def delete(self) -> None:
        """End all your other sessions. Their tokens become invalid at once."""
        with transaction():
            service.end_other_sessions()


@blp.route("/users/me/sessions/<uuid:session_id>")
class SessionById(MethodView):
    @requires(USER)
    @blp.response(204)
    @unversioned
    def delete(self, session_id: uuid.UUID) -> None:
        """End one of your sessions. Its tokens become invalid at once."""
        with transaction():
            service.end_own_session(session_id)
