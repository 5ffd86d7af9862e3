"""The audit trail, for administrators."""

from __future__ import annotations

from flask.views import MethodView
from sqlalchemy import select

from automart.accounts import models
from automart.accounts.schemas import AuditEvent, AuditQuery
from automart.accounts.views.blueprint import blp
from automart.web import ADMIN, Values, page_of, paginate, requires, where_given


@blp.route("/audit-events")
class AuditEvents(MethodView):
    @requires(ADMIN)
    @blp.arguments(AuditQuery, location="query")
    @blp.response(200, page_of(AuditEvent))
    def get(self, query: Values) -> Values:
        """List logins and changes of users, clients, secrets and keys, newest first."""
        event = models.AuditEvent
        # Kinds and subjects are stored in lower case.
        given = {event.kind: query["kind"], event.subject: query["subject"]}
        lowered = {column: value and value.lower() for column, value in given.items()}
        return paginate(where_given(select(event), lowered), event.id, query, newest_first=True)
