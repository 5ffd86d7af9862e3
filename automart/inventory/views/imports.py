"""Import of cars from CSV, by a background job."""

from __future__ import annotations

from flask.views import MethodView

from automart.background import csv_imports
from automart.background.csv_imports import CsvImport
from automart.background.prefer_wait import accepted, can_wait
from automart.background.schemas import Job
from automart.core.db import transaction
from automart.inventory.views.blueprint import blp
from automart.web import USER, Answer, Values, idempotent, prepared, requires


@blp.route("/cars/imports")
class CarImports(MethodView):
    @requires(USER)
    @can_wait
    @blp.arguments(CsvImport, location="files")
    @prepared(csv_imports.read_upload)
    @idempotent
    @blp.response(202, Job)
    @blp.alt_response(413, "CONTENT_TOO_LARGE")
    @blp.doc(operationId="importCars")
    def post(self, upload: Values) -> Answer:
        """Import cars from a CSV file of up to 10 MB.

        A background job imports them. Its `result` has `imported`, `refused_count`, and `refused`:
        the first and last line and the reasons of up to 1,000 refused records. Without `keep_good`,
        nothing is imported if a record is refused: the job fails, and has its `result`.
        """
        with transaction():
            job = csv_imports.submit_import("cars", upload)
        return accepted(job)
