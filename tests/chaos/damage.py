"""What can happen to the database, Redis, NHTSA and an office: each fault begins, and ends."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

import psutil
import redis
from sqlalchemy.engine import URL, make_url

from sandbox import Fault
from sandbox.office import Offices
from sandbox.office_faults import OfficeFault
from sandbox.vpic import Vpic
from tests.support import postgresql
from tests.support.proxy import Link, Proxy
from tests.support.redis_server import RedisServer

LINKS = (Link.DOWN, Link.RESET, Link.LATENCY, Link.HALF_OPEN, Link.SLOW)
READ_ONLY, FULL, STOPPED = "read-only", "full", "stopped"
FAULTS = (*map(str, LINKS), READ_ONLY, FULL, STOPPED)

# There is no small disk to fill, so each write fails with what PostgreSQL says of a full one.
_FULL = """
CREATE FUNCTION disk_is_full() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
        EXECUTE format('CREATE TRIGGER disk_is_full BEFORE INSERT OR UPDATE ON %I
            EXECUTE FUNCTION disk_is_full()', name);
    END LOOP;
END $$
"""
_NOT_FULL = "DROP FUNCTION disk_is_full() CASCADE"


@dataclass(frozen=True)
class Part:
    """A part that the deployment depends on, behind a proxy."""

    name: str
    proxy: Proxy
    refuse: Callable[[str], Callable[[], object]]
    """Begins to be read-only, full or stopped. Returns what ends that."""

    @contextmanager
    def damaged(self, fault: str) -> Iterator[None]:
        if fault in LINKS:
            self.proxy.set(Link(fault))
            end: Callable[[], object] = partial(self.proxy.set, Link.GOOD)
        else:
            end = self.refuse(fault)
        try:
            yield
        finally:
            end()


@contextmanager
def all_damaged(damages: list[tuple[Part, str]]) -> Iterator[None]:
    with ExitStack() as stack:
        for part, fault in damages:
            stack.enter_context(part.damaged(fault))
        yield


def database(url: str, proxy: Proxy) -> Part:
    own = make_url(url)

    def refuse(fault: str) -> Callable[[], object]:
        if fault == READ_ONLY:
            _execute(own, f"ALTER DATABASE {own.database} SET default_transaction_read_only = on")
            _disconnect_all(own)
            return partial(_be_writable, own)
        if fault == FULL:
            _execute(own, _FULL)
            return partial(_execute, own, _NOT_FULL)
        with postgresql.connected(own) as connection:
            server = psutil.Process(connection.info.backend_pid).parent()
        assert server is not None
        return _stop([server, *server.children()])

    return Part("database", proxy, refuse)


def redis_part(server: RedisServer, proxy: Proxy) -> Part:
    orders = {
        READ_ONLY: ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
        FULL: ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
    }

    def execute(command: str) -> None:
        with redis.Redis.from_url(server.url) as client:
            client.execute_command(command)

    def refuse(fault: str) -> Callable[[], object]:
        if fault in orders:
            begin, end = orders[fault]
            execute(begin)
            return partial(execute, end)
        with redis.Redis.from_url(server.url) as client:
            return _stop([psutil.Process(client.info("server")["process_id"])])

    return Part("Redis", proxy, refuse)


def nhtsa(vpic: Vpic, proxy: Proxy) -> Part:
    faults = {READ_ONLY: Fault.FORBIDDEN, FULL: Fault.SERVER_ERROR, STOPPED: Fault.TIMEOUT}

    def refuse(fault: str) -> Callable[[], object]:
        vpic.order(faults[fault])
        return vpic.behave

    return Part("NHTSA", proxy, refuse)


def office(offices: Offices, proxy: Proxy) -> Part:
    def refuse(fault: str) -> Callable[[], object]:
        if fault == STOPPED:
            offices.order(OfficeFault.TIMEOUT)
        else:
            offices.order(OfficeFault.STATUS, status=405 if fault == READ_ONLY else 507)
        return offices.behave

    return Part("office", proxy, refuse)


def _execute(url: URL, statement: str) -> None:
    with postgresql.connected(url) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute("SET lock_timeout = '60s'")
        connection.execute(statement)  # type: ignore[call-overload]


def _be_writable(url: URL) -> None:
    _execute(url, f"ALTER DATABASE {url.database} RESET default_transaction_read_only")


def _disconnect_all(url: URL) -> None:
    """Close all other connections, as a failover does."""
    with postgresql.connected(url.set(database="postgres")) as connection:
        of_database = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
        connection.execute(of_database, [url.database])


def _stop(processes: list[psutil.Process]) -> Callable[[], None]:
    """Stop processes (SIGSTOP), as on a host that is suspended."""
    for process in processes:
        process.send_signal(signal.SIGSTOP)

    def carry_on() -> None:
        for process in processes:
            if process.is_running():
                process.send_signal(signal.SIGCONT)

    return carry_on


__all__ = ["FAULTS", "Part", "all_damaged", "database", "nhtsa", "office", "redis_part"]
