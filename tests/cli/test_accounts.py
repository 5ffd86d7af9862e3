"""`automart users`, `automart clients` and `automart keys`."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner, Result

from automart.accounts.models import AuditEvent, Client, User
from automart.cli import app as command_line
from automart.core.db import db, transaction
from automart.oauth.models import SigningKey
from tests.cli.conftest import Run
from tests.support.people import PASSWORD
from tests.support.purchases import make_signing_office


def piped(text: str, *arguments: str) -> Result:
    return CliRunner().invoke(command_line, arguments, input=text)


@pytest.mark.usefixtures("app", "run")
class TestUsers:
    def test_create_admin_reads_the_password_from_standard_input(self) -> None:
        result = piped(PASSWORD + "\n", "users", "create-admin", "ann@example.com", "--name", "Ann")
        assert (result.exit_code, result.stderr) == (0, "")
        user = db.session.query(User).one()
        assert result.stdout == f"Added the administrator ann@example.com, user {user.id}.\n"
        assert (user.email, user.name, user.is_admin) == ("ann@example.com", "Ann", True)
        event = db.session.query(AuditEvent).one()
        assert (event.kind, event.actor) == ("user_created", "command line")

    def test_create_admin_rejects_a_duplicate_and_a_short_password(self) -> None:
        piped(PASSWORD, "users", "create-admin", "ann@example.com")
        result = piped(PASSWORD, "users", "create-admin", "ANN@example.com")
        error = "Error: There is a user with this e-mail address already.\n"
        assert (result.exit_code, result.stderr) == (1, error)
        result = piped("short", "users", "create-admin", "ben@example.com")
        error = "Error: password: Must have 12 to 128 characters.\n"
        assert (result.exit_code, result.stderr) == (2, error)

    def test_users_list_shows_the_e_mail_addresses(self, run: Run) -> None:
        piped(PASSWORD, "users", "create-admin", "ann@example.com")
        piped(PASSWORD, "users", "create-admin", "ben@example.com", "--name", "Ben")
        with transaction():
            ann, ben = db.session.query(User).order_by(User.id)
            ben.is_active = ben.is_admin = False
        ids = [str(ann.id), str(ben.id)]
        assert [line.split() for line in run("users", "list").stdout.splitlines()] == [
            ["id", "e-mail", "name", "admin", "active"],
            [ids[0], "ann@example.com", "ann@example.com", "yes", "yes"],
            [ids[1], "ben@example.com", "Ben", "no", "no"],
        ]

    def test_a_long_e_mail_address_is_listed_whole(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "80")
        address = f"ann@{'long.' * 20}example.com"
        piped(PASSWORD, "users", "create-admin", address, "--name", "Ann")
        _, first, *others = run("users", "list").stdout.splitlines()
        assert "".join([first.split()[1], *(line.strip() for line in others)]) == address

    @pytest.mark.parametrize("name", ["[/b]", "[red]Ann[/red]", ":car:"])
    def test_a_name_is_listed_as_it_is(self, run: Run, name: str) -> None:
        assert piped(PASSWORD, "users", "create-admin", "ann@example.com", "--name", name)
        assert run("users", "list").stdout.splitlines()[1].split()[2] == name


@pytest.mark.usefixtures("app")
class TestClients:
    def test_clients_create_prints_a_secret_for_a_service_client_only(self, run: Run) -> None:
        machine = run("clients", "create", "Nightly", "--scope", "catalogue")
        assert machine.exit_code == 0
        assert "client_secret" in machine.stdout
        uri = "https://a.example/cb"
        application = run("clients", "create", "Front", "--redirect-uri", uri)
        assert "client_secret" not in application.stdout
        clients = {client.name: client for client in db.session.query(Client)}
        assert clients["Nightly"].scopes == ["catalogue"]
        assert clients["Front"].redirect_uris == [uri]
        listed = run("clients", "list").stdout
        assert clients["Nightly"].id in listed
        assert "docs" in listed

    def test_a_narrow_terminal_shows_all_columns(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "80")
        name = "Regional office of northern Bavaria"
        run("clients", "create", name, "--scope", "catalogue", "--scope", "metrics")
        listed = run("clients", "list").stdout
        assert listed.splitlines()[0].split() == ["client_id", "name", "kind", "scopes", "active"]
        client = db.session.query(Client).filter_by(name=name).one()
        words = [client.id, *name.split(), "service", "catalogue", "metrics", "yes"]
        assert not set(words) - set(listed.split())

    @pytest.mark.parametrize("name", ["[/b]", "[red]Nightly[/red]", ":car:"])
    def test_a_name_is_listed_as_it_is(self, run: Run, name: str) -> None:
        assert run("clients", "create", name, "--scope", "catalogue").exit_code == 0
        assert name in run("clients", "list").stdout.split()

    def test_clients_create_rejects_a_scope_that_cannot_be_granted(self, run: Run) -> None:
        result = run("clients", "create", "Office", "--scope", "office")
        error = "Error: scopes: Must be one of: catalogue, metrics.\n"
        assert (result.exit_code, result.stderr) == (2, error)


@pytest.mark.usefixtures("app")
class TestKeys:
    def test_keys_rotate_retires_the_previous_key(self, run: Run) -> None:
        for _ in range(2):
            assert run("keys", "rotate").exit_code == 0
        retired = sorted(key.retired_at is not None for key in db.session.query(SigningKey))
        assert retired == [False, True]
        assert run("keys", "rotate-encryption").stdout == (
            "2 signing keys and 0 webhook secrets are encrypted under the current SECRET_KEY.\n"
        )

    def test_rotate_encryption_continues_after_a_secret_that_cannot_be_decrypted(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run("keys", "rotate")
        office, _ = make_signing_office(webhook_url="https://office.example/")
        lost = db.session.query(SigningKey).one().kid
        monkeypatch.setenv("SECRET_KEY", "another secret than the one of the tests")
        run("keys", "rotate")
        for _ in range(2):
            result = run("keys", "rotate-encryption")
            assert result.exit_code == 3
            assert result.stdout.startswith("1 signing keys and 0 webhook secrets are encrypted")
            assert result.stderr.splitlines()[:2] == [
                f"Cannot be decrypted: signing key {lost}",
                f"Cannot be decrypted: webhook secret of office {office.id}",
            ]
            assert "SECRET_KEY_FALLBACKS" in result.stderr
