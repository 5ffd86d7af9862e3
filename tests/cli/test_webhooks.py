"""`automart webhooks`, as used after an office was down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from flask import Flask

from automart.core.config import Settings
from automart.core.db import db, transaction
from automart.partners import service as partners
from automart.partners.models import RegionalOffice
from automart.purchases.models import PurchaseState
from automart.webhooks.models import DeliveryState
from sandbox.office import Offices
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


def test_list_filters_and_limits_deliveries(office: RegionalOffice, run: Run) -> None:
    listed = run("webhooks", "list", "--state", "failed")
    assert listed.exit_code == 0
    assert listed.stdout.count("failed") == 3
    assert run("webhooks", "list", "--state", "succeeded").stdout.count("\n") == 1
    assert "and 2 more" in run("webhooks", "list", "--limit", "1").stdout
    assert run("webhooks", "list", "--office", "4711").stdout.count("\n") == 1
    assert run("webhooks", "list", "--since", "2990-01-01").stdout.count("\n") == 1


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
