"""Decodings of VINs, which run as background jobs."""

from __future__ import annotations

from flask.views import MethodView

from automart.background.prefer_wait import accepted, can_wait
from automart.background.schemas import Job
from automart.core.db import transaction
from automart.core.errors import Invalid
from automart.vins import service
from automart.vins.schemas import NewVinDecoding
from automart.web import USER, Answer, Blueprint, Values, idempotent, requires

blp = Blueprint(
    "vins", __name__, url_prefix="/v1", description="Vehicle identification numbers (VINs)"
)


@blp.route("/vin-decodings")
class VinDecodings(MethodView):
    @requires(USER, scope="catalogue")
    @can_wait
    @blp.arguments(NewVinDecoding)
    @idempotent
    @blp.response(202, Job)
    @blp.doc(operationId="decodeVins")
    def post(self, values: Values) -> Answer:
        """Decode one VIN, or up to 50.

        A background job asks NHTSA, unless the answer of the last 30 days is stored. Its result has
        a vehicle for each VIN. A wrong check digit is a warning.
        """
        vins = _requested_vins(values)
        with transaction():
            job = service.submit_decoding(vins)
        return accepted(job)


def _requested_vins(values: Values) -> list[str]:
    if len(values) != 1:
        raise Invalid.field("vins" if values else "vin", "Send either vin or vins.")
    vins: list[str] = values.get("vins") or [values["vin"]]
    return vins
