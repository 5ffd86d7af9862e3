"""The Chromium of this machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, Route, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
# It would look for things outside, which a closed network refuses by the dozen.
OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Unavailable(Exception):
    """There is no Chromium here; the message says what was looked for."""


@contextmanager
def browsing(url: str) -> Iterator[tuple[Page, list[str]]]:
    """A page of a browser that reaches `url` and nothing else, and whatever went wrong in it.

    What it asks elsewhere for is among the latter. Raises `Unavailable`.
    """
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        raise Unavailable(f"none of these is on this machine: {', '.join(NAMES)}")
    wrong: list[str] = []

    def pass_on(route: Route) -> None:
        if route.request.url.startswith((f"{url}/", "data:")):
            route.continue_()
            return
        wrong.append(f"asked for {route.request.url}")
        route.abort()

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(OPTIONS))
        context = browser.new_context()
        context.route("**/*", pass_on)
        context.on("weberror", lambda error: wrong.append(str(error.error)))
        context.on(
            "console",
            lambda message: wrong.append(message.text) if message.type == "error" else None,
        )
        yield context.new_page(), wrong
        browser.close()
