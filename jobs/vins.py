"""The job that decodes VINs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from http import HTTPStatus
from typing import Any

from automart.catalogue.nhtsa import NhtsaClient, NhtsaError
from automart.catalogue.shared_pace import RedisSlots
from automart.core.config import current_settings
from automart.core.db import refuse_in_transaction, release_connection, transaction
from automart.core.errors import problem
from automart.vins import service
from automart.vins.decoding import Decoding, read_row
from automart.vins.schemas import VinDecodingResult
from jobs.context import Run

STOP_CHECK_INTERVAL = 0.5


def vin_decoding(run: Run, vins: Sequence[str]) -> None:
    """Decode VINs in capitals. NHTSA is asked for those that are not stored.

    Safe to run again at any point: the decodings and the end of the job are one transaction.
    """
    known = service.find_decodings(vins)
    release_connection()
    unknown = [vin for vin in dict.fromkeys(vins) if vin not in known]
    try:
        new = _decode(run, unknown) if unknown else {}
    except NhtsaError as error:
        with transaction():
            run.lease.fail(problem(HTTPStatus.BAD_GATEWAY, str(error)))
        return
    with transaction():
        run.lease.advance(len(vins))
        run.lease.expect(len(vins))
        service.store_decodings(new)
        vehicles = service.describe_vehicles(vins, known | new)
        run.lease.succeed(VinDecodingResult().dump({"vehicles": vehicles}))


def _decode(run: Run, vins: Sequence[str]) -> dict[str, Decoding]:
    """Return what NHTSA answers about these VINs. Raises `NhtsaError`, or `Requeue`."""
    refuse_in_transaction("asking NHTSA")
    settings = current_settings()
    # In a thread, so that a worker that stops does not wait for NHTSA.
    pool = ThreadPoolExecutor(1, thread_name_prefix="nhtsa")
    try:
        with NhtsaClient(
            settings.nhtsa_url,
            rate=settings.nhtsa_requests_per_second,
            connections=1,
            slots=RedisSlots.of_current_app(),
        ) as client:
            request = pool.submit(_request, client, vins)
            while not request.done():
                run.check_stop()
                wait([request], timeout=STOP_CHECK_INTERVAL)
            rows = request.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return {vin: read_row(vin, row) for vin, row in rows.items()}


def _request(client: NhtsaClient, vins: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
    # NHTSA's answers are sometimes empty by mistake.
    rows = client.decode_vins(vins) or client.decode_vins(vins)
    if not rows:
        raise NhtsaError("NHTSA's answer contains none of these VINs.")
    return rows
