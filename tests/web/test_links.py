"""Every path also works under `/api`, and links keep the prefix of the request."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from flask.testing import FlaskClient

from automart.core.config import Settings
from tests.support import people
from tests.support.catalogue import HONDA, add_make, add_makes
from tests.support.http import assert_problem
from tests.support.setup import application


@pytest.mark.parametrize("prefix", ["", "/api"])
def test_every_path_works_under_both_prefixes_and_links_keep_the_prefix(
    client: FlaskClient, prefix: str
) -> None:
    make = {"id": HONDA, "name": "Honda"}
    created = client.post(f"{prefix}/v1/makes", json=make)
    assert created.headers["Location"] == f"http://localhost{prefix}/v1/makes/{HONDA}"
    assert client.get(created.headers["Location"]).get_json() == created.get_json()
    job = client.post(f"{prefix}/v1/vehicle-syncs")
    assert job.headers["Location"] == job.get_json()["url"]
    assert job.get_json()["url"] == f"http://localhost{prefix}/jobs/{job.get_json()['id']}"
    conflict = client.post(f"{prefix}/v1/vehicle-syncs", json={"make_ids": [HONDA]})
    assert assert_problem(conflict, 409)["job_url"] == job.get_json()["url"]
    assert assert_problem(client.get(f"{prefix}/v1/x"), 404)["instance"] == f"{prefix}/v1/x"
    for path in ("/docs", "/openapi.json", "/jobs"):
        assert client.get(prefix + path).status_code == 200


@pytest.mark.parametrize("public_url", ["https://shop.example", "https://shop.example/automart"])
def test_links_begin_with_the_public_url(settings: Settings, public_url: str) -> None:
    headers = {"Host": "10.0.0.7:8000"}
    with application(replace(settings, public_url=public_url)) as app:
        with app.app_context():
            client = people.signed_in(app, people.make_user(is_admin=True))
        for make_id, prefix in ((1, ""), (2, "/api")):
            make = {"id": make_id, "name": f"Make {make_id}"}
            created = client.post(f"{prefix}/v1/makes", json=make, headers=headers)
            assert created.headers["Location"] == f"{public_url}{prefix}/v1/makes/{make_id}"
            job = client.post(f"{prefix}/v1/vehicle-syncs", headers=headers)
            assert job.get_json()["url"].startswith(f"{public_url}{prefix}/jobs/")
            document = client.get(f"{prefix}/openapi.json", headers=headers).get_json()
            path = urlsplit(public_url).path + prefix
            assert document["servers"] == [{"url": path or "/"}]
        page = client.get("/api/v1/makes?limit=1", headers=headers)
        assert page.headers["Link"].startswith(f"<{public_url}/api/v1/makes?limit=1&cursor=")


def test_a_request_without_a_host_header_is_answered(client: FlaskClient) -> None:
    add_make()
    add_makes(2)
    page = client.get("/v1/makes?limit=1", environ_overrides={"SERVER_PORT": "8000"})
    assert page.status_code == 200
