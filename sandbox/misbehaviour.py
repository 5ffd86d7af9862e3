"""Turns correct answers of the fake vPIC API into the faulty ones that were ordered."""

import json
from collections.abc import Callable

from sandbox.faults import Fault, VpicOrder
from sandbox.pages import Envelope, Page, Row, dump
from sandbox.server import DRIP_SECONDS, HTML, JSON, Manner, Reply, render

HUGE_BYTES = 32 * 1024 * 1024

ACCESS_DENIED = b"""<HTML><HEAD>
<TITLE>Access Denied</TITLE>
</HEAD><BODY>
<H1>Access Denied</H1>

You don't have permission to access "http&#58;&#47;&#47;vpic&#46;nhtsa&#46;dot&#46;gov&#47;api" \
on this server.<P>
Reference&#32;&#35;18&#46;0&#46;0&#46;sandbox
</BODY>
</HTML>
"""
MAINTENANCE = b"<!DOCTYPE html><html><body><h1>Scheduled maintenance</h1></body></html>\n"


def faulty_answer(page: Page, order: VpicOrder) -> Reply:
    """Return the ordered faulty answer instead of `page`.

    Faults of the envelope do not change answers without one (400, 404, XML), and faults of a row
    do not change an empty envelope.
    """
    if spoil := SPOILERS.get(order.fault):
        return _spoilt(page, spoil)
    return REPLIES[order.fault](page, order)


def _forbidden(page: Page, order: VpicOrder) -> Reply:
    return render(403, HTML, ACCESS_DENIED)


def _too_many_requests(page: Page, order: VpicOrder) -> Reply:
    return _refusal(429, order)


def _server_error(page: Page, order: VpicOrder) -> Reply:
    return _refusal(order.status or 503, order)


def _refusal(status: int, order: VpicOrder) -> Reply:
    headers = [] if order.retry_after is None else [f"Retry-After: {order.retry_after}"]
    body = f"<html><body><h1>{status}</h1></body></html>\n".encode()
    return render(status, HTML, body, *headers)


def _timeout(page: Page, order: VpicOrder) -> Reply:
    return Reply(None, manner=Manner.SILENCE)


def _disconnect(page: Page, order: VpicOrder) -> Reply:
    return Reply(None, manner=Manner.HANG_UP)


def _html(page: Page, order: VpicOrder) -> Reply:
    return render(200, HTML, MAINTENANCE)


def _broken_json(page: Page, order: VpicOrder) -> Reply:
    body = _body(page)
    return render(200, JSON, body[: len(body) // 2])


def _drip(page: Page, order: VpicOrder) -> Reply:
    return page.reply._replace(manner=Manner.DRIP, interval=order.seconds or DRIP_SECONDS)


def _huge(page: Page, order: VpicOrder) -> Reply:
    return render(200, JSON, _body(page) + b" " * HUGE_BYTES)


def _wrong_shape(envelope: Envelope) -> None:
    del envelope["Results"]


def _empty(envelope: Envelope) -> None:
    envelope["Count"] = 0
    envelope["Results"] = []


def _truncated(envelope: Envelope) -> None:
    rows = envelope["Results"]
    envelope["Results"] = rows[: len(rows) // 2]


def _foreign_make(envelope: Envelope) -> None:
    for row in envelope["Results"][-1:]:
        if "Make_ID" in row:
            row["Make_ID"] += 1
        else:
            row["MakeID"] = str(int(row["MakeID"] or 0) + 1)


def _duplicate_id(envelope: Envelope) -> None:
    for row in envelope["Results"][-1:]:
        name = _name_column(row)
        envelope["Results"].append({**row, name: f"{row[name]} again"})
        envelope["Count"] += 1


def _blank_name(envelope: Envelope) -> None:
    for row in envelope["Results"][-1:]:
        row[_name_column(row)] = "   "


def _name_column(row: Row) -> str:
    return next(name for name in ("Model_Name", "Make_Name", "Model") if name in row)


def _spoilt(page: Page, spoil: Callable[[Envelope], None]) -> Reply:
    if not page.envelope:
        return page.reply
    envelope = json.loads(_body(page))
    spoil(envelope)
    return render(200, JSON, dump(envelope))


def _body(page: Page) -> bytes:
    return page.reply.data.partition(b"\r\n\r\n")[2]


REPLIES: dict[str, Callable[[Page, VpicOrder], Reply]] = {
    Fault.FORBIDDEN: _forbidden,
    Fault.TOO_MANY_REQUESTS: _too_many_requests,
    Fault.SERVER_ERROR: _server_error,
    Fault.TIMEOUT: _timeout,
    Fault.DISCONNECT: _disconnect,
    Fault.HTML: _html,
    Fault.BROKEN_JSON: _broken_json,
    Fault.DRIP: _drip,
    Fault.HUGE: _huge,
}
SPOILERS: dict[str, Callable[[Envelope], None]] = {
    Fault.WRONG_SHAPE: _wrong_shape,
    Fault.EMPTY: _empty,
    Fault.TRUNCATED: _truncated,
    Fault.FOREIGN_MAKE: _foreign_make,
    Fault.DUPLICATE_ID: _duplicate_id,
    Fault.BLANK_NAME: _blank_name,
}
