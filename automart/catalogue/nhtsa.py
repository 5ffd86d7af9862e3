"""NHTSA's vPIC API (https://vpic.nhtsa.dot.gov/api/): HTTP in, checked data out."""

from __future__ import annotations

import json
import random
import reprlib
import threading
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from itertools import count
from types import TracebackType
from typing import Any, Self

import requests
import urllib3
from requests.adapters import HTTPAdapter

from automart.catalogue.models import LARGEST_NHTSA_ID, LONGEST_NAME
from automart.catalogue.pacing import Pace, Pauses, PauseTooLong, Slots
from automart.core.errors import status_phrase
from automart.core.text import clean
from automart.web.retry_after import parse_retry_after

GIVE_UP_AFTER = 60.0
CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 15.0
FIRST_BACKOFF = 0.5
LONGEST_BACKOFF = 20.0
# Somebody may be waiting for the answer. A sync can wait longer.
LONGEST_PAUSE = 60.0
LONGEST_PAUSE_OF_SYNC = 600.0
# A single make that always asks for a pause must not use up the pauses of the others.
TRIES_WITH_PAUSES = 5
LONGEST_QUOTE = 40
# The largest make has about 460 models, which are 37 KB; all makes together are 600 KB.
LARGEST_ANSWER = 5_000_000
USER_AGENT = "automart (vehicle catalogue sync)"

_CHUNK = 65_536
_RETRIED = {HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS}


class NhtsaError(Exception):
    """NHTSA gave no usable answer. The message is for an operator.

    `is_passing`: the same request may succeed later. NHTSA is overloaded (429, 5xx), refuses to
    talk to us (403), or is silent. `ends_run`: it asks for a pause that is too long to wait for,
    and all further requests of this client fail with the same reason.
    """

    def __init__(
        self,
        reason: str,
        *,
        is_passing: bool = False,
        ends_run: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(reason)
        self.is_passing = is_passing
        self.ends_run = ends_run
        self.retry_after = retry_after


class NhtsaClient:
    """A client of vPIC for several threads. It sends at most `rate` requests a second, 0 for any.

    Its methods raise `NhtsaError` after at most `give_up_after` seconds, by default a minute. A
    `Retry-After` pauses all threads, for `longest_pause` seconds in total; this time is not
    counted. When the context ends, methods that are waiting in other threads raise `Stopped`.
    Clients that share `slots` keep the rate together.
    """

    def __init__(
        self,
        url: str,
        *,
        rate: float,
        connections: int,
        give_up_after: float | None = None,
        longest_pause: float = LONGEST_PAUSE,
        slots: Slots | None = None,
    ) -> None:
        self._url = url
        self._give_up_after = give_up_after
        self._closed = threading.Event()
        # Several threads use up what is reserved for a second. A single one may not.
        ahead = 1 if connections == 1 else max(1, int(rate))
        self._pace = Pace(rate, self._closed, slots, ahead=ahead)
        self._pauses = Pauses(longest_pause, self._closed)
        self._session = requests.Session()
        self._session.headers.update({"User-Agent": USER_AGENT, "Accept": "application/json"})
        # The common parts of all requests are prepared once. That halves the cost of a request.
        self._request = self._session.prepare_request(requests.Request("GET", url))
        self._environment = self._session.merge_environment_settings(url, {}, True, None, None)
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=connections)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, adapter)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closed.set()
        self._session.close()

    def models(self, make_id: int) -> dict[int, str]:
        """Return the names of a make's models by id, none for an unknown make."""
        return _checked_models(self._ask(f"GetModelsForMakeId/{make_id}"), make_id)

    def makes(self) -> tuple[dict[int, str], dict[str, str]]:
        """Return the names of all makes by id, and the reasons why others cannot be used.

        The reasons are by the id as NHTSA wrote it.
        """
        names: dict[int, str] = {}
        refused: dict[str, str] = {}
        for row in _rows(self._ask("GetAllMakes")):
            try:
                ident, name = _checked_row(row, "Make", names)
            except NhtsaError as error:
                refused[_quote(row.get("Make_ID"))] = str(error)
            else:
                names[ident] = name
        return names, refused

    def decode_vins(self, vins: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """Return the unchecked rows of at most 50 VINs in capitals. The answer may lack some."""
        form = {"format": "json", "data": ";".join(vins)}
        rows: dict[str, Mapping[str, Any]] = {}
        for row in _rows(self._ask("DecodeVINValuesBatch/", form)):
            found = row.get("VIN")
            if isinstance(found, str):
                rows.setdefault(found.strip().upper(), row)
        return {vin: rows[vin] for vin in vins if vin in rows}

    def _ask(self, path: str, form: Mapping[str, str] | None = None) -> Any:
        """Return the parsed answer to a GET, or to the POST of a form.

        Repeat the request as long as it may succeed later.
        """
        left = self._give_up_after or GIVE_UP_AFTER
        for tries in count(1):
            self._wait_for_turn()
            began = time.monotonic()
            try:
                return _parsed(self._fetch(path, form, began + left))
            except NhtsaError as error:
                if not error.is_passing:
                    raise
                left -= time.monotonic() - began
                if error.retry_after:
                    self._order_pause(error.retry_after, error)
                    if tries >= TRIES_WITH_PAUSES:
                        raise
                    continue
                backoff = _backoff(tries)
                left -= backoff
                if left <= 0:
                    raise
            self._pace.pause(backoff)
        raise AssertionError("count() does not end")

    def _wait_for_turn(self) -> None:
        try:
            self._pauses.wait()
            self._pace.wait()
            while self._pauses.are_on:  # ordered while this thread waited for its turn
                self._pauses.wait()
                self._pace.wait()
        except PauseTooLong as error:
            raise NhtsaError(str(error), is_passing=True, ends_run=True) from None

    def _order_pause(self, seconds: float, error: NhtsaError) -> None:
        asked = str(error).removesuffix(".")
        reason = f"{asked} and asks for a pause of {seconds:.0f} seconds."
        try:
            self._pauses.order(seconds, reason)
        except PauseTooLong:
            raise NhtsaError(reason, is_passing=True, ends_run=True) from None

    def _prepared(self, path: str, form: Mapping[str, str] | None) -> requests.PreparedRequest:
        url = f"{self._url}/vehicles/{path}"
        if form is not None:
            return self._session.prepare_request(requests.Request("POST", url, data=form))
        request = self._request.copy()
        request.url = f"{url}?format=json"
        return request

    def _fetch(self, path: str, form: Mapping[str, str] | None, deadline: float) -> bytes:
        request = self._prepared(path, form)
        remaining = max(deadline - time.monotonic(), 0.1)
        timeout = (min(CONNECT_TIMEOUT, remaining), min(READ_TIMEOUT, remaining))
        try:
            with self._session.send(
                request, timeout=timeout, allow_redirects=False, **self._environment
            ) as response:
                _check_status(response)
                return _body(response, deadline)
        except (requests.Timeout, urllib3.exceptions.TimeoutError):
            raise NhtsaError("NHTSA did not answer in time.", is_passing=True) from None
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            reason = f"The connection to NHTSA failed ({type(error).__name__})."
            raise NhtsaError(reason, is_passing=True) from error


def _backoff(tries: int) -> float:
    longest = min(FIRST_BACKOFF * 2 ** (tries - 1), LONGEST_BACKOFF)
    return random.uniform(longest / 2, longest)  # noqa: S311 - jitter, not a secret


def _check_status(response: requests.Response) -> None:
    status = response.status_code
    if status == HTTPStatus.OK:
        return
    raise NhtsaError(
        f"NHTSA answered {_with_phrase(status)}.",
        is_passing=status in _RETRIED or status >= HTTPStatus.INTERNAL_SERVER_ERROR,
        retry_after=parse_retry_after(response.headers.get("Retry-After"), time.time()),
    )


def _with_phrase(status: int) -> str:
    # Not the phrase that it sends, which may have any length.
    try:
        return f"{status} {status_phrase(status)}"
    except ValueError:
        return str(status)


def _body(response: requests.Response, deadline: float) -> bytes:
    """Return the whole body. A server that sends it too slowly is given up at the deadline."""
    parts: list[bytes] = []
    size = 0
    while chunk := response.raw.read1(_CHUNK, decode_content=True):
        parts.append(chunk)
        size += len(chunk)
        if size > LARGEST_ANSWER:
            raise NhtsaError(f"NHTSA's answer is larger than {LARGEST_ANSWER} bytes.")
        if time.monotonic() > deadline:
            reason = "NHTSA's answer did not come to an end in time."
            raise NhtsaError(reason, is_passing=True)
    return b"".join(parts)


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        beginning = body[:LONGEST_QUOTE].decode("utf-8", "replace").strip()
        raise NhtsaError(f"NHTSA's answer is not JSON. It begins with {beginning!r}.") from None


def _quote(value: Any) -> str:
    """Return a value of an answer as messages show it: its beginning and its end."""
    return reprlib.repr(value)[:LONGEST_QUOTE]


def _checked_models(answer: Any, make_id: int) -> dict[int, str]:
    for row in _rows(answer):
        found = row.get("Make_ID")
        if found != make_id:
            raise NhtsaError(f"NHTSA's answer has a model of another make ({_quote(found)}).")
    names: dict[int, str] = {}
    for row in _rows(answer):
        ident, name = _checked_row(row, "Model", names)
        names[ident] = name
    return names


def _checked_row(row: Mapping[str, Any], noun: str, others: Mapping[int, str]) -> tuple[int, str]:
    ident = row.get(f"{noun}_ID")
    if type(ident) is not int or not 1 <= ident <= LARGEST_NHTSA_ID:
        raise NhtsaError(f"NHTSA's answer has a {noun.lower()} with the id {_quote(ident)}.")
    if ident in others:
        raise NhtsaError(f"NHTSA's answer has {noun.lower()} {ident} twice.")
    return ident, _checked_name(row.get(f"{noun}_Name"), f"{noun.lower()} {ident}")


def _checked_name(name: Any, owner: str) -> str:
    try:
        cleaned = clean(name) if isinstance(name, str) else ""
    except ValueError:
        raise NhtsaError(f"NHTSA's name of {owner} has control characters.") from None
    if not cleaned:
        raise NhtsaError(f"NHTSA's answer has no name for {owner}.")
    if len(cleaned) > LONGEST_NAME:
        raise NhtsaError(f"NHTSA's name of {owner} has more than {LONGEST_NAME} characters.")
    return cleaned


def _rows(answer: Any) -> list[Mapping[str, Any]]:
    rows = answer.get("Results") if isinstance(answer, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise NhtsaError("NHTSA's answer has no list of results.")
    found = answer.get("Count")
    if found != len(rows):
        raise NhtsaError(
            f"NHTSA's answer is truncated: it counts {_quote(found)} and has {len(rows)}."
        )
    return rows
