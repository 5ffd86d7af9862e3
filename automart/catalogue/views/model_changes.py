"""The changes of models, for readers that poll."""

from __future__ import annotations

from flask.views import MethodView

from automart.catalogue import changes, models
from automart.catalogue.schemas import ModelChange, ModelChangeQuery
from automart.catalogue.views.blueprint import blp
from automart.web import ANY, Values, page_of, paginate, requires, where_given


@blp.route("/model-changes")
class ModelChanges(MethodView):
    @requires(ANY)
    @blp.arguments(ModelChangeQuery, location="query")
    @blp.response(200, page_of(ModelChange))
    def get(self, query: Values) -> Values:
        """List changes of models, oldest first. To go on later, send the last `id` as `after`."""
        change = models.ModelChange
        filters = {
            change.make_id: query["make_id"],
            change.model_id: query["model_id"],
            change.sync_id: query["sync_id"],
        }
        found = where_given(changes.published_changes(), filters)
        if query["after"] is not None:
            found = found.where(change.id > query["after"])
        if query["applied"] is not None:
            is_applied = change.proposed_by.is_(None)
            found = found.where(is_applied if query["applied"] else ~is_applied)
        return paginate(found, change.id, query)
