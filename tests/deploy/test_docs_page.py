"""`/docs` and `/rq` in a real browser without internet: a person logs in and uses them."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from automart.background import kinds, queues
from automart.core.config import Settings
from tests.support.browser import Unavailable, browsing
from tests.support.people import PASSWORD, make_user
from tests.support.setup import application, make_settings
from tests.support.web import web_running

pytestmark = pytest.mark.processes

EMAIL = "ann@example.com"
MESSAGE = uuid.uuid4()
MARKUP = "<img src=x onerror='document.title = 0'>"
# On a slow machine that does much else.
PATIENCE = 30_000


@pytest.fixture(params=[None, "http://127.0.0.1:9"], ids=["any host", "another loopback name"])
def settings(
    request: pytest.FixtureRequest, sqlite_template: Path, redis_url: str, tmp_path: Path
) -> Settings:
    shutil.copy(sqlite_template, tmp_path / "automart.sqlite")
    url = f"sqlite:///{tmp_path}/automart.sqlite"
    return make_settings(url, redis_url=redis_url, instance=tmp_path, public_url=request.param)


@pytest.fixture
def url(settings: Settings) -> Iterator[str]:
    """A server with one administrator, and a message in a queue."""
    with application(settings) as app, app.app_context():
        make_user(email=EMAIL, is_admin=True)
        assert queues.push([(MESSAGE, kinds.VEHICLE_SYNC, 60)])
        app.extensions["redis"].hset(f"rq:job:{MESSAGE}", "description", MARKUP)
    with web_running(settings, processes=1, threads=8) as url:
        yield url.replace("127.0.0.1", "localhost")


@pytest.fixture
def browser(url: str) -> Iterator[tuple[Page, list[str]]]:
    with ExitStack() as stack:
        try:
            page, wrong = stack.enter_context(browsing(url))
        except Unavailable as reason:
            if os.environ.get("REQUIRE_CHROMIUM"):
                pytest.fail(str(reason))
            pytest.skip(str(reason))
        page.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        yield page, wrong


def authorize(page: Page) -> None:
    """Press Authorize, and log in by the page that opens."""
    page.get_by_role("button", name="Authorize", exact=True).first.click()
    dialog = page.locator(".dialog-ux")
    flow = dialog.locator(".auth-container", has_text="authorizationCode")
    with page.expect_popup() as opened:
        flow.locator("button.authorize").click()
    login = opened.value
    login.locator("[name=email]").fill(EMAIL)
    login.locator("[name=password]").fill(PASSWORD)
    with login.expect_event("close"):
        login.locator("[name=password]").press("Enter")
    expect(flow.locator("button", has_text="Logout")).to_be_visible()
    dialog.locator("button.btn-done").first.click()


def look_at_queues(page: Page, url: str) -> None:
    """Open the dashboard, with the session of the login page."""
    page.goto(f"{url}/rq/")
    expect(page.locator("table#queues tbody tr", has_text="long")).to_be_visible()
    page.goto(f"{url}/rq/0/view/job/{MESSAGE}")
    expect(page.locator(".description-scroll")).to_have_text(MARKUP)
    assert page.locator("#job-data img").count() == 0


def test_a_person_logs_in_and_calls_the_api(url: str, browser: tuple[Page, list[str]]) -> None:
    page, wrong = browser
    page.goto(f"{url}/docs")
    expect(page.locator(".info .title")).to_contain_text("Automart")
    authorize(page)
    call = page.locator(".opblock", has=page.locator("[data-path='/v1/users/me']")).filter(
        has=page.locator(".opblock-summary-method", has_text="GET")
    )
    call.locator(".opblock-summary-control").click()
    call.get_by_role("button", name="Try it out").click()
    call.get_by_role("button", name="Execute").click()
    answer = call.locator(".live-responses-table")
    expect(answer.locator(".response-col_status").last).to_contain_text("200")
    expect(answer).to_contain_text(EMAIL)
    look_at_queues(page, url)
    assert wrong == []
