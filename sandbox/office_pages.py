"""Pages that show received webhooks in a browser."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from urllib.parse import quote

from sandbox.office_inbox import Received
from sandbox.server import Reply, render

SHOWN = 200

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body{{font:16px sans-serif;margin:2em}}td,th{{padding:.2em 1em .2em 0;text-align:left;
vertical-align:top}}code{{word-break:break-all}}</style></head>
<body><h1>{title}</h1>{content}</body></html>
"""


def all_offices(
    origin: str, received: Iterable[Received], secret_counts: Mapping[str, int]
) -> Reply:
    """Return a page with a link to each office that has a webhook or a secret."""
    counts = Counter(webhook.office for webhook in received)
    rows = [
        [f'<a href="/offices/{quote(name, safe="")}">{escape(name)}</a>', str(counts[name]), known]
        for name in sorted(counts.keys() | secret_counts.keys())
        for known in [str(secret_counts.get(name, 0))]
    ]
    intro = f"<p>Post to any office: <code>{origin}/offices/NAME/webhooks</code></p>"
    return _page("Offices", intro + _table(["office", "webhooks", "secrets"], rows))


def one_office(office: str, received: Sequence[Received]) -> Reply:
    """Return a page with the webhooks of an office, newest first."""
    rows = [_row(webhook) for webhook in reversed(received[-SHOWN:])]
    intro = f"<p>{len(received)} webhooks, of which the last {len(rows)} are shown:</p>"
    columns = ["at (UTC)", "webhook-id", "verified", "status", "body"]
    return _page(office, intro + _table(columns, rows))


def _row(webhook: Received) -> list[str]:
    return [
        time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(webhook.at)),
        escape(webhook.webhook_id or "none"),
        "yes" if webhook.verified else f"no: {escape(webhook.reason)}",
        str(webhook.status or "none"),
        f"<code>{escape(webhook.body.decode('utf-8', 'replace'))}</code>",
    ]


def _table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{column}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _page(title: str, content: str) -> Reply:
    page = PAGE.format(title=escape(title), content=content)
    return render(200, "text/html; charset=utf-8", page.encode())
