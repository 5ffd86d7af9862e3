"""The Redis of `automart up`, beyond what `test_up` shows of it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from automart.cli import embedded_redis
from automart.cli.embedded_redis import EmbeddedRedis, _end_orphan
from automart.cli.errors import CommandError
from automart.core import parent_death
from automart.core.config import Settings
from tests.cli.shown_lines import ShownLines
from tests.support.limits import LIMIT
from tests.support.memory import MEMORY
from tests.support.processes import until
from tests.support.setup import make_settings


@pytest.fixture
def own_settings() -> Iterator[Settings]:
    """Settings with a folder whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="automart-instance-", dir=MEMORY) as folder:
        yield make_settings("sqlite://", instance=Path(folder).resolve() / "instance")


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_redis, "START_SECONDS", LIMIT)
    monkeypatch.setattr(embedded_redis, "STOP_SECONDS", LIMIT)


@pytest.fixture
def client(own_settings: Settings) -> Iterator[redis.Redis]:
    path = str(own_settings.redis_socket)
    with redis.Redis(unix_socket_path=path, retry=Retry(NoBackoff(), 0)) as client:
        yield client


def test_a_start_does_not_repeat_its_search_for_an_orphan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("redis.retry.sleep", pauses.append)
    _end_orphan(tmp_path / "redis.sock")
    assert pauses == []


def test_it_is_for_this_user_only_and_leaves_nothing_behind(
    own_settings: Settings, client: redis.Redis
) -> None:
    with EmbeddedRedis(own_settings, ShownLines()) as server:
        assert server.is_healthy
        assert server.socket == own_settings.redis_socket
        assert server.socket.stat().st_mode & 0o777 == 0o700
        kept = client.config_get("*")
        assert (kept["port"], kept["save"]) == ("0", "")
        assert kept["dir"] == str(own_settings.instance / "redis")
        assert kept["logfile"] == str(own_settings.instance / "redis" / "valkey.log")
        until(lambda: server.supervise() or server.is_healthy)
    assert not server.is_healthy
    assert not own_settings.redis_socket.exists()
    with pytest.raises(redis.ConnectionError):
        client.ping()


def test_an_orphan_is_ended_before_the_start(own_settings: Settings, client: redis.Redis) -> None:
    with EmbeddedRedis(own_settings, ShownLines()) as orphan:
        orphaned = client.info("server")["process_id"]
        with EmbeddedRedis(own_settings, ShownLines()):
            assert client.info("server")["process_id"] != orphaned
        until(lambda: not orphan.is_healthy)


def test_it_is_restarted_when_it_has_ended(
    own_settings: Settings, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parent_death, "SHORTEST_PAUSE", 0.01)
    monkeypatch.setattr(embedded_redis, "PING_INTERVAL", 0)
    shown = ShownLines()
    with EmbeddedRedis(own_settings, shown) as server:
        client.shutdown(nosave=True)
        until(lambda: not server.is_healthy)
        until(lambda: server.supervise() or server.is_healthy)
        assert shown.of("redis") == ["ended with status 0, restarting in 0.02 s"]
        assert client.ping()


def test_a_folder_that_others_can_write_to_is_refused(own_settings: Settings) -> None:
    folder = own_settings.redis_socket.parent
    folder.mkdir(parents=True)
    folder.chmod(0o720)
    with pytest.raises(CommandError) as error, EmbeddedRedis(own_settings, ShownLines()):
        pass
    assert str(error.value) == (
        f"The folder {folder} must belong to this user, and no other user may write to it."
    )


def test_a_redis_that_does_not_start_is_an_error_with_its_log(own_settings: Settings) -> None:
    own_settings.redis_socket.mkdir(parents=True)  # so that it cannot listen there
    with pytest.raises(CommandError) as error, EmbeddedRedis(own_settings, ShownLines()):
        pass
    log = own_settings.instance / "redis" / "valkey.log"
    assert str(error.value) == f"Redis did not start. See {log} for the reason."
    assert log.read_text()
