"""What the offices got, to be looked at in a browser."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

from sandbox.server import Reply, render

if TYPE_CHECKING:
    from sandbox.office import Received

SHOWN = 200

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body{{font:16px sans-serif;margin:2em}}td,th{{padding:.2em 1em .2em 0;text-align:left;
vertical-align:top}}code{{word-break:break-all}}</style></head>
<body><h1>{title}</h1>{content}</body></html>
"""


def all_offices(
    origin: str, received: Iterable["Received"], secret_counts: Mapping[str, int]
) -> Reply:
    """A page with a link to every office that has been heard of."""
    counts = Counter(one.office for one in received)
    rows = [
        [f'<a href="/offices/{quote(name, safe="")}">{escape(name)}</a>', str(counts[name]), known]
        for name in sorted(counts.keys() | secret_counts.keys())
        for known in [str(secret_counts.get(name, 0))]
    ]
    told = f"<p>Any office may be posted to: <code>{origin}/offices/NAME/webhooks</code></p>"
    return _page("Offices", told + _table(["office", "webhooks", "secrets known"], rows))


def one_office(office: str, received: Sequence["Received"]) -> Reply:
    """A page with what an office got, the newest first."""
    rows = [_row(one) for one in reversed(received[-SHOWN:])]
    told = f"<p>{len(received)} webhooks; the last {len(rows)} of them:</p>"
    columns = ["at (UTC)", "webhook-id", "verified", "answered", "body"]
    return _page(office, told + _table(columns, rows))


def _row(one: "Received") -> list[str]:
    return [
        time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(one.at)),
        escape(one.webhook_id or "none"),
        "yes" if one.verified else f"no: {escape(one.reason)}",
        str(one.status or "nothing"),
        f"<code>{escape(one.body.decode('utf-8', 'replace'))}</code>",
    ]


def _table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{column}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _page(title: str, content: str) -> Reply:
    page = PAGE.format(title=escape(title), content=content)
    return render(200, "text/html; charset=utf-8", page.encode())
