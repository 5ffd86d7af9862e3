"""`/docs` and `/rq` in a real browser without internet: a person logs in and uses them."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from automart.background import kinds, queues
from automart.core.config import Settings
from tests.support.browser import Unavailable, browsing
from tests.support.limits import LIMIT
from tests.support.people import PASSWORD, make_user
from tests.support.setup import application, make_settings
from tests.support.web import web_running

pytestmark = pytest.mark.processes

EMAIL = "ann@example.com"
MESSAGE = uuid.uuid4()
STORED = "automart-docs-logins"
NARROW = 390
MARKUP = "<img src=x onerror='document.title = 0'>"


@pytest.fixture
def public_url() -> str | None:
    return None


@pytest.fixture
def settings(
    sqlite_template: Path, redis_url: str, tmp_path: Path, public_url: str | None
) -> Settings:
    shutil.copy(sqlite_template, tmp_path / "automart.sqlite")
    url = f"sqlite:///{tmp_path}/automart.sqlite"
    return make_settings(url, redis_url=redis_url, instance=tmp_path, public_url=public_url)


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
        page.set_default_timeout(LIMIT * 1000)
        expect.set_options(timeout=LIMIT * 1000)
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


def call_current_user(page: Page) -> Locator:
    """Find the operation with the filter, execute it, and return the operation."""
    page.locator(".operation-filter-input").fill("get current")
    call = page.locator("#operations-accounts-getCurrentUser")
    call.locator(".opblock-summary-control").click()
    call.get_by_role("button", name="Try it out").click()
    call.get_by_role("button", name="Execute").click()
    return call


def expect_status(call: Locator, status: int) -> None:
    answer = call.locator(".live-responses-table")
    expect(answer.locator(".response-col_status").last).to_contain_text(str(status))


def expire_token(page: Page, **changes: str) -> None:
    """Load the page again as if the access token had expired."""
    logins = json.loads(page.evaluate(f"sessionStorage.getItem('{STORED}')"))
    logins["People"]["token"] |= {"expires_at": 0} | changes
    page.evaluate(
        "([name, text]) => sessionStorage.setItem(name, text)", [STORED, json.dumps(logins)]
    )
    page.goto(page.url.partition("#")[0])  # without the operation that is open


def access_token(page: Page) -> str:
    logins = json.loads(page.evaluate(f"sessionStorage.getItem('{STORED}')"))
    token: str = logins["People"]["token"]["access_token"]
    return token


def look_at_queues(page: Page, url: str) -> None:
    """Open the dashboard, with the session of the login page."""
    page.goto(f"{url}/rq/")
    expect(page.locator("table#queues tbody tr", has_text="long")).to_be_visible()
    page.goto(f"{url}/rq/0/view/job/{MESSAGE}")
    expect(page.locator(".description-scroll")).to_have_text(MARKUP)
    assert page.locator("#job-data img").count() == 0


@pytest.mark.seconds(6)
@pytest.mark.parametrize("public_url", ["http://127.0.0.1:9"])
def test_a_person_logs_in_and_calls_the_api_at_another_loopback_name(
    url: str, browser: tuple[Page, list[str]]
) -> None:
    page, wrong = browser
    page.goto(f"{url}/docs")
    expect(page.locator(".info .title")).to_contain_text("Automart")
    authorize(page)
    call = call_current_user(page)
    expect_status(call, 200)
    expect(call.locator(".live-responses-table")).to_contain_text(EMAIL)
    assert wrong == []


# Together, because a server, a browser and a page of all operations take long to start.
@pytest.mark.seconds(16)
def test_a_login_is_kept_until_it_ends_and_the_page_is_readable_on_a_narrow_screen(
    url: str, browser: tuple[Page, list[str]]
) -> None:
    page, wrong = browser
    page.goto(f"{url}/docs")
    authorize(page)
    page.reload()
    expect_status(call_current_user(page), 200)
    before = access_token(page)
    expire_token(page)
    expect_status(call_current_user(page), 200)
    renewed = access_token(page)
    assert renewed != before
    assert wrong == []

    page.get_by_role("button", name="Authorize", exact=True).first.click()
    with page.expect_response(f"{url}/oauth/revoke"), page.expect_response(f"{url}/logout"):
        page.get_by_role("button", name="Remove authorization").click()
    answer = page.request.get(f"{url}/v1/users/me", headers={"Authorization": f"Bearer {renewed}"})
    assert answer.status == 401

    page.locator(".close-modal").click()
    authorize(page)  # asks for the password again
    expect(page.locator("#ended")).to_be_hidden()
    expire_token(page, refresh_token="used before")
    expect_status(call_current_user(page), 401)
    expect(page.locator("#ended")).to_be_visible()
    assert json.loads(page.evaluate(f"sessionStorage.getItem('{STORED}')")) == {}

    look_at_queues(page, url)

    page.set_viewport_size({"width": NARROW, "height": 800})
    page.goto(f"{url}/docs")
    expect_readable_on_a_narrow_screen(page)


def expect_readable_on_a_narrow_screen(page: Page) -> None:
    expect(page.locator(".opblock-tag").first).to_be_visible()
    assert page.locator("[id^=operations-inventory-]").count() == 0  # the groups are closed

    page.get_by_role("button", name="Authorize", exact=True).first.click()
    people = page.locator(".auth-container").first
    expect(people.locator("h4")).to_contain_text("People")
    expect(people.locator("button.authorize")).to_be_in_viewport(ratio=1)
    expect(people.locator("input").first).to_be_hidden()
    page.locator(".close-modal").click()

    page.locator(".operation-filter-input").fill("book")
    call = page.locator("#operations-inventory-createBooking")
    call.locator(".opblock-summary-control").click()
    expect(call.locator("tbody .response-col_description").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == NARROW
    cells = call.locator("td:not(.response-col_status)").all()
    widths = [box["width"] for cell in cells if (box := cell.bounding_box())]
    assert min(widths) > NARROW / 2
