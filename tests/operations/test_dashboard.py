"""rq-dashboard: who may open it, and that nobody can change anything there."""

from __future__ import annotations

import pickle
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import rq
from flask import Flask
from flask.testing import FlaskClient
from itsdangerous import TimestampSigner

from automart.core.config import Settings
from tests.oauth import pages
from tests.support import people
from tests.support.databases import on_sqlite
from tests.support.http import assert_problem
from tests.support.setup import application

pytestmark = on_sqlite  # nothing here depends on the database

# The header that Chromium sends.
unpickled: list[str] = []
BROWSER = {
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,"
    "image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"
}
PAGES = (
    *("/rq/", "/rq/0/view/workers", "/rq/0/view/jobs"),
    "/rq/0/view/jobs/long/failed/8/asc/1",
)
DATA = (
    *("/rq/0/data/queues.json", "/rq/0/data/workers.json"),
    "/rq/0/data/jobs/long/queued/8/dsc/1.json",
)


@pytest.fixture
def job(app: Flask) -> rq.job.Job:
    queue = rq.Queue("long", connection=app.extensions["redis"])
    return queue.enqueue_call("jobs.runner.run", args=("no-such-job",), description="sync 1")


def log_in(browser: FlaskClient, page: str, *, is_admin: bool) -> str:
    """Fill in the login page as a person does. Return where it leads to."""
    answer = pages.log_in(browser, people.make_user(is_admin=is_admin).email, where=page)
    assert answer.status_code == 303
    return answer.location


def test_other_requests_run_none_of_its_hooks(app: Flask) -> None:
    modules = {hook.__module__ for hook in app.before_request_funcs[None]}
    assert not any("dashboard" in module for module in modules)


class TestPeople:
    @pytest.mark.parametrize("prefix", ["", "/api"])
    def test_people_log_in_on_the_login_page_and_return(
        self, client: FlaskClient, prefix: str
    ) -> None:
        wanted = f"{prefix}/rq/0/view/jobs"
        sent = client.get(wanted, headers=BROWSER)
        assert sent.status_code == 303
        assert sent.location.startswith(f"{prefix}/login?next=")
        assert log_in(client, sent.location, is_admin=True) == wanted
        page = client.get(wanted, headers=BROWSER)
        assert page.status_code == 200
        assert f'"{prefix}/rq/"' in page.text
        assert f"{prefix}/rq/favicon.ico" in page.text

    def test_people_who_are_not_administrators_are_refused(self, client: FlaskClient) -> None:
        back = log_in(client, "/login?next=/rq/", is_admin=False)
        assert_problem(client.get(back, headers=BROWSER), 403)

    def test_a_link_from_another_site_changes_nothing(
        self, app: Flask, client: FlaskClient, job: rq.job.Job
    ) -> None:
        log_in(client, "/login?next=/rq/", is_admin=True)
        assert_problem(client.get("/rq/requeue/long", headers=BROWSER), 403)
        for path in (
            *(f"/rq/job/{job.id}/delete", f"/rq/job/{job.id}/requeue", "/rq/requeue/long"),
            *("/rq/queue/long/queued/empty", "/rq/queue/long/compact"),
        ):
            problem = assert_problem(client.post(path), 403)
            assert problem["detail"] == (
                "The dashboard is read-only. To cancel a job, use POST /jobs/{id}/cancel."
            )
        assert rq.Queue("long", connection=app.extensions["redis"]).job_ids == [job.id]


class TestTokens:
    def test_a_token_of_an_administrator_shows_all_pages(
        self, as_admin: FlaskClient, job: rq.job.Job
    ) -> None:
        more = (f"/rq/0/view/job/{job.id}", f"/rq/0/data/job/{job.id}.json")
        for path in (*PAGES, *DATA, *more):
            assert as_admin.get(path).status_code == 200, path
        assert as_admin.get("/rq", follow_redirects=True).status_code == 200
        jobs = as_admin.get(DATA[2]).get_json()["jobs"]
        assert [each["description"] for each in jobs] == ["sync 1"]

    def test_a_program_without_a_token_is_401(self, client: FlaskClient) -> None:
        for path in (*PAGES, *DATA):
            assert_problem(client.get(path), 401)

    def test_pages_load_nothing_from_elsewhere(self, as_admin: FlaskClient) -> None:
        for path in PAGES:
            page = as_admin.get(path)
            assert "default-src 'none'" in page.headers["Content-Security-Policy"]
            sources = re.findall(r'(?:src|href)="([^"]+\.(?:js|css|ico))"', page.text)
            assert len(sources) == 7
            for source in sources:
                with as_admin.get(source) as response:
                    assert response.status_code == 200, source

    def test_pages_escape_all_values(self, as_admin: FlaskClient, job: rq.job.Job) -> None:
        for path in (*PAGES, f"/rq/0/view/job/{job.id}"):
            page = as_admin.get(path).text
            assert "<%-" in page
            assert "<%=" not in page
            assert ".text(d." not in page  # it would escape twice
        assert "<%- d.exc_info %>" in as_admin.get("/rq/0/view/jobs").text

    def test_messages_are_not_unpickled(self, app: Flask, as_admin: FlaskClient) -> None:
        class Attack:
            def __reduce__(self) -> tuple[Any, ...]:
                return (unpickled.append, ("unpickled",))

        for attack in ("data", "meta", "result"):
            queue = rq.Queue("long", connection=app.extensions["redis"])
            message = queue.enqueue_call("jobs.runner.run", args=("no-such-job",))
            app.extensions["redis"].hset(message.key, attack, pickle.dumps(Attack()))
            as_admin.get(f"/rq/0/data/job/{message.id}.json")
            assert as_admin.get(f"/rq/0/view/job/{message.id}").status_code == 200
        assert as_admin.get(DATA[2]).status_code == 200
        assert unpickled == []


class TestMissing:
    def test_a_missing_job_is_404(self, as_admin: FlaskClient) -> None:
        for path in ("/rq/0/view/job/gone", "/rq/0/data/job/gone.json"):
            problem = assert_problem(as_admin.get(path), 404)
            assert problem["detail"] == "Redis has no such job. GET /jobs/{id} may find it."

    @pytest.mark.parametrize(
        "path",
        [
            *("/rq/1/view/queues", "/rq/9/data/queues.json"),
            *(
                "/rq/0/data/jobs/long/nothing/8/asc/1.json",
                "/rq/0/data/jobs/long/queued/x/y/z.json",
                "/rq/0/data/jobs/long/queued/8/upwards/1.json",
                "/rq/0/data/jobs/long/queued/0/asc/1.json",
                "/rq/0/data/jobs/long/queued/201/asc/1.json",
                "/rq/0/data/jobs/long/queued/-1/asc/1.json",
                "/rq/0/data/jobs/long/queued/8/asc/0.json",
                "/rq/0/data/jobs/long/queued/8/asc/1000001.json",
                f"/rq/0/data/jobs/long/queued/8/asc/{'9' * 5000}.json",
                "/rq/0/view/jobs/long/queued/0/asc/1",
                f"/rq/0/view/jobs/long/queued/8/asc/{'9' * 30}",
            ),
            *(  # the name is quoted in a script of the page
                f"/rq/0/{name}"
                for name in (
                    "view/jobs/x');alert('/queued/8/asc/1",
                    "view/jobs/%5C/queued/8/asc/1",
                    "view/jobs/long%0A/queued/8/asc/1",
                    "data/jobs/%3Cb%3E/queued/8/asc/1.json",
                )
            ),
        ],
    )
    def test_a_missing_page_is_404(self, as_admin: FlaskClient, path: str) -> None:
        problem = assert_problem(as_admin.get(path), 404)
        assert problem["detail"] == "There is no such page."

    def test_the_largest_page_and_a_queue_of_others_can_be_looked_at(
        self, as_admin: FlaskClient
    ) -> None:
        for path in (
            "data/jobs/of_others:x.y-1/queued/200/dsc/1000000.json",
            "view/jobs/x/failed/1/asc/1",
        ):
            assert as_admin.get(f"/rq/0/{path}").status_code == 200

    def test_another_path_is_404(self, as_admin: FlaskClient) -> None:
        assert_problem(as_admin.get("/rq/nowhere"), 404)

    def test_a_worker_whose_job_is_gone_is_idle(
        self, app: Flask, as_admin: FlaskClient, job: rq.job.Job
    ) -> None:
        client = app.extensions["redis"]
        worker = rq.Worker([rq.Queue("long", connection=client)], connection=client)
        worker.register_birth()
        worker.set_current_job_id(job.id)
        job.delete()
        (worker,) = as_admin.get("/rq/0/data/workers.json").get_json()["workers"]
        assert worker["current_job"] == "idle"


@pytest.fixture
def without_redis(settings: Settings) -> Iterator[Flask]:
    nowhere = replace(settings, redis_url="unix:///nowhere/redis.sock")
    with application(nowhere) as app, app.app_context():
        yield app


def test_without_redis_the_dashboard_is_503(without_redis: Flask) -> None:
    admin = people.signed_in(without_redis, people.make_user(is_admin=True))
    for path in (*PAGES, *DATA, "/rq/0/view/job/gone"):
        problem = assert_problem(admin.get(path), 503)
        assert problem["detail"] == "Redis is not available at the moment."


@pytest.mark.parametrize(("seconds", "status"), [(10, 200), (3600, 303)])
def test_a_cookie_of_a_host_whose_clock_is_slightly_ahead_is_accepted(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, seconds: int, status: int
) -> None:
    with monkeypatch.context() as there:
        there.setattr(TimestampSigner, "get_timestamp", lambda _: int(time.time()) + seconds)
        log_in(client, "/login?next=/rq/", is_admin=True)
    assert client.get("/rq/", headers=BROWSER).status_code == status
