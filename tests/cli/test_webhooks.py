"""`automart webhooks`, as used after an office was down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from automart.core.config import Settings
from automart.core.db import db, transaction
from automart.partners import service as partners
from automart.partners.models import RegionalOffice
from automart.purchases.models import Purchase, PurchaseState
from automart.webhooks.models import DeliveryState
from sandbox.office import Offices
from sandbox.office_faults import OfficeFault
from tests.cli.conftest import Run
from tests.support.databases import on_sqlite
from tests.support.purchases import all_deliveries, make_purchase, make_signing_office


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, webhook_allow_private=True)


@pytest.fixture
def office(app: Flask, offices: Offices) -> RegionalOffice:
    """An office that has missed three changes of two purchases."""
    office, _ = make_signing_office(webhook_url=offices.url("munich"), webhook_enabled=False)
    make_purchase(office, PurchaseState.MANUFACTURED)
    make_purchase(office, PurchaseState.CANCELLED)
    return office


def enable(office: RegionalOffice) -> None:
    with transaction():
        partners.update_office(partners.lock_office(office.id), {"webhook_enabled": True})


def rows(output: str) -> list[list[str]]:
    """Return the cells of each line."""
    return [line.split() for line in output.splitlines()]


HEADINGS = ["id", "office", "purchase", "state", "tries", "next", "last"]


def test_list_shows_the_newest_deliveries_first(office: RegionalOffice, run: Run) -> None:
    other, _ = make_signing_office(webhook_url="https://office.example/", webhook_enabled=False)
    make_purchase(other, PurchaseState.CANCELLED)
    one, two, three, four = (delivery.id for delivery in all_deliveries())
    first, second, third = db.session.scalars(select(Purchase.id).order_by(Purchase.id))
    failed = ["failed", "0"]
    own = [
        [str(three), str(office.id), str(second), *failed],
        [str(two), str(office.id), str(first), *failed],
        [str(one), str(office.id), str(first), *failed],
    ]
    listed = run("webhooks", "list")
    assert listed.exit_code == 0
    others = [str(four), str(other.id), str(third), *failed]
    assert rows(listed.stdout) == [HEADINGS, others, *own]
    assert rows(run("webhooks", "list", "--office", str(office.id)).stdout) == [HEADINGS, *own]
    assert rows(run("webhooks", "list", "--state", "failed").stdout) == [HEADINGS, others, *own]
    more = [["…", "and", "3", "more"]]
    assert rows(run("webhooks", "list", "--limit", "1").stdout) == [HEADINGS, others, *more]
    for nothing in (
        ("--state", "succeeded"),
        ("--office", "4711"),
        ("--since", "2990-01-01"),
        ("--until", "2020-01-01"),
    ):
        assert rows(run("webhooks", "list", *nothing).stdout) == [HEADINGS]


def test_list_shows_the_last_attempt_and_the_next(
    office: RegionalOffice, offices: Offices, run: Run, run_jobs: Callable[[], None]
) -> None:
    enable(office)
    offices.order(OfficeFault.STATUS, status=503)
    run("webhooks", "redeliver", str(all_deliveries()[-1].id))
    run_jobs()
    listed = rows(run("webhooks", "list", "--state", "pending").stdout)
    delivery = all_deliveries()[-1]
    assert delivery.next_attempt_at is not None
    at = delivery.next_attempt_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert listed[1][3:] == ["pending", "1", at, "503"]


def test_redeliver_sends_all_failed_deliveries_of_a_time_range(
    office: RegionalOffice, offices: Offices, run: Run, run_jobs: Callable[[], None]
) -> None:
    enable(office)
    result = run("webhooks", "redeliver", "--since", "2020-01-01", "--until", "2990-01-01T00:00Z")
    assert (result.exit_code, result.stdout) == (
        0,
        f"Redelivering 3 to regional office {office.id}.\n",
    )
    run_jobs()
    assert {one.state for one in all_deliveries()} == {DeliveryState.SUCCEEDED}
    assert len(offices.received("munich")) == 3
    again = run("webhooks", "redeliver", "--office", str(office.id))
    assert (again.exit_code, again.stdout) == (0, "There is nothing to redeliver.\n")


def test_redeliver_leaves_out_other_offices_and_times(office: RegionalOffice, run: Run) -> None:
    enable(office)
    other, _ = make_signing_office(webhook_url="https://office.example/", webhook_enabled=False)
    make_purchase(other, PurchaseState.CANCELLED)
    *own, _ = all_deliveries()
    with transaction():
        moment = datetime(2026, 1, 15, 8, 30, tzinfo=UTC)
        for later, delivery in enumerate(own):
            delivery.created_at = moment + timedelta(minutes=later)
    since, until = "2026-01-15T08:30", "2026-01-15T08:32"
    result = run("webhooks", "redeliver", "--since", since, "--until", until)
    assert (result.exit_code, result.stdout) == (
        0,
        f"Redelivering 2 to regional office {office.id}.\n",
    )
    db.session.rollback()
    assert [one.state for one in all_deliveries()] == ["pending", "pending", "failed", "failed"]


def test_redeliver_sends_one_delivery_by_id(
    office: RegionalOffice, offices: Offices, run: Run, run_jobs: Callable[[], None]
) -> None:
    enable(office)
    last = all_deliveries()[-1]
    assert run("webhooks", "redeliver", str(last.id)).exit_code == 0
    run_jobs()
    assert [one.webhook_id for one in offices.received()] == [last.webhook_id]


def test_redeliver_names_unknown_ids_and_sends_nothing(office: RegionalOffice, run: Run) -> None:
    enable(office)
    known = all_deliveries()[0].id
    result = run("webhooks", "redeliver", "4711", str(known), "4712")
    assert result.exit_code == 1
    assert "There is no webhook delivery 4711, 4712." in result.stderr
    assert {one.state for one in all_deliveries()} == {DeliveryState.FAILED}


def test_redeliver_names_an_office_whose_webhook_is_disabled(
    office: RegionalOffice, run: Run
) -> None:
    result = run("webhooks", "redeliver", "--since", "2020-01-01")
    assert result.exit_code == 3
    why = f"3 not redelivered: The webhook of regional office {office.id} is disabled.\n"
    assert result.stderr == why
    db.session.rollback()
    assert {one.state for one in all_deliveries()} == {DeliveryState.FAILED}


@on_sqlite
@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("7", "--office", "1"),
        ("--since", "yesterday"),
        ("x",),
        ("0",),
        (str(2**63),),
        ("--office", "0"),
        ("--office", str(2**63)),
    ],
)
def test_redeliver_rejects_wrong_usage(app: Flask, run: Run, arguments: tuple[str, ...]) -> None:
    assert run("webhooks", "redeliver", *arguments).exit_code == 2


def test_a_limit_beyond_64_bits_is_wrong_usage(run: Run) -> None:
    result = run("webhooks", "list", "--limit", str(2**64))
    assert result.exit_code == 2
    assert "--limit" in result.stderr
