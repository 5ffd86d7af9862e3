"""Parsers of the values of settings. Each raises `ValueError` with a message for the operator.

No message repeats a value that may contain a password.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Callable
from datetime import time
from ipaddress import ip_network
from urllib.parse import SplitResult, unquote, urlsplit

import psycopg
import redis
from limits import RateLimitItem, parse_many
from psycopg.conninfo import make_conninfo
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from automart.core.networks import Network

SHORTEST_SECRET = 32
# SQLAlchemy ignores others, unless `uri` says that they are for SQLite itself.
SQLITE_OPTIONS = {"timeout", "detect_types", "check_same_thread", "cached_statements"}
_URL_CHARACTERS = re.compile(r"[!-~]+")
# As SQLAlchemy reads them: a user may contain an @, as Azure's do, and a password a ?.
_USER_AND_PASSWORD = re.compile(r"[^:/]*(:[^@]*)?@")


def secret_key(value: str) -> str:
    if len(value) < SHORTEST_SECRET:
        raise ValueError(
            f"Must have at least {SHORTEST_SECRET} characters. Make one: openssl rand -base64 48"
        )
    return value


def secrets(value: str) -> tuple[str, ...]:
    return tuple(value.split())


def database_url(value: str) -> str:
    try:
        url = make_url(value)
    except (ArgumentError, ValueError):  # their messages may quote the password
        raise ValueError("Not a database URL.") from None
    if url.drivername in ("postgres", "postgresql"):
        url = url.set(drivername="postgresql+psycopg")
    if url.drivername not in ("sqlite", "postgresql+psycopg"):
        raise ValueError("Must start with postgresql:// or sqlite:///.")
    if url.drivername == "sqlite" and url.database in (None, "", ":memory:"):
        raise ValueError("Must name a file: several processes share the database.")
    location, _, options = _after_password(value).partition("?")
    if url.drivername != "sqlite" and "@" in location:
        # The host would begin in the password, and errors name the host.
        raise ValueError("Contains more than one @. Write an @ in the password as %40.")
    threshold = url.query.get("prepare_threshold", "none")
    if threshold != "none" and not (isinstance(threshold, str) and threshold.isdecimal()):
        raise ValueError("prepare_threshold must be a number or none.")
    if "\0" in unquote(value) or not _are_pairs(options) or not _suits_driver(url):
        raise ValueError(
            "The database's driver cannot use this URL. Check the host, and the options after the"
            " ?. In a path or a password, write ? as %3F."
        )
    return url.render_as_string(hide_password=False)


def _after_password(database_url: str) -> str:
    """Return the host, the database and the options of a URL as they are written."""
    rest = database_url.partition("://")[2]
    found = _USER_AND_PASSWORD.match(rest)
    return rest[found.end() :] if found else rest


def _suits_driver(url: URL) -> bool:
    is_sqlite = url.drivername == "sqlite"
    if is_sqlite and "uri" not in url.query and url.query.keys() - SQLITE_OPTIONS:
        return False
    try:
        _, options = url.get_dialect()().create_connect_args(url)
        if is_sqlite:
            sqlite3.connect(":memory:", **options).close()
        else:
            options.pop("prepare_threshold", None)  # not one of libpq
            make_conninfo(**options)
            _require_names(options.get("host", ""))
    except (ArgumentError, ValueError, TypeError, OverflowError, sqlite3.Error, psycopg.Error):
        return False
    return True


def _split(value: str) -> SplitResult:
    try:
        return urlsplit(value)
    except ValueError:  # its message may quote a password
        raise ValueError("Not a URL.") from None


def redis_url(value: str) -> str:
    if _split(value).scheme not in ("redis", "rediss", "unix"):
        raise ValueError("Must start with redis://, rediss:// or unix://.")
    if not _suits_redis(value):
        raise ValueError(
            "The Redis client cannot use this URL. Check the host. In the password, write / as %2F,"
            " # as %23 and ? as %3F."
        )
    return value


def _suits_redis(value: str) -> bool:
    parts = urlsplit(value)
    host, path = parts.netloc.rpartition("@")[2], unquote(parts.path)
    # The client ignores these parts. They are mistakes, such as the rest of a password with a /.
    if parts.scheme == "unix":
        is_read = host in ("", "localhost") and path.strip("/") != ""
    else:
        is_read = re.fullmatch(r"/*[0-9]*/*", path) is not None
    if not is_read or parts.fragment or not _are_pairs(parts.query) or "\0" in unquote(value):
        return False
    try:
        value.encode()
        # Does not connect yet.
        connection = redis.ConnectionPool.from_url(value).make_connection()
        _require_names(getattr(connection, "host", None) or "")  # None for a Unix socket
    except (ValueError, TypeError, AttributeError, redis.RedisError):
        return False
    return True


def _require_names(hosts: str) -> None:
    """Raise `UnicodeError` for a host that no resolver accepts, such as `a..b`.

    Otherwise, Python raises it at the first connection, where only network errors are expected.
    """
    for host in hosts.split(","):
        if not host.startswith("/"):  # a folder of sockets
            host.encode("idna")


def _are_pairs(query: str) -> bool:
    """Return whether `query` consists of NAME=VALUE. Parsers ignore what does not."""
    return all("=" in pair for pair in query.split("&") if pair)


def web_url(value: str) -> str:
    with contextlib.suppress(ValueError):  # of the port
        parts = _split(value)
        more = parts.query or parts.fragment or parts.username is not None or parts.port == 0
        is_url = parts.scheme in ("http", "https") and parts.hostname and not more
        if is_url and _URL_CHARACTERS.fullmatch(value):
            return value.rstrip("/")
    raise ValueError("Must be an http or https URL without user or query.")


def pace(value: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= float(value) <= 1000:
            return float(value)
    raise ValueError("Must be a number from 0 (unpaced) to 1000.")


def processes(value: str) -> int:
    return _whole(value, 1000, "Must be a number of processes from 1 to 1000.")


def port(value: str) -> int:
    return _whole(value, 65535, "Must be a port from 1 to 65535.")


def _whole(value: str, largest: int, refusal: str) -> int:
    if re.fullmatch(r"[0-9]{1,5}", value) and 1 <= int(value) <= largest:
        return int(value)
    raise ValueError(refusal)


def time_of_day(value: str) -> time:
    if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", value):
        raise ValueError("Must be a time of day in UTC like 03:30, or empty.")
    return time.fromisoformat(value)


def photo_storage(value: str) -> str:
    if "://" not in value and "\0" not in value:  # no path has a NUL
        return value
    parts = _split(value)
    more = parts.query or parts.fragment or "@" in parts.netloc or ":" in parts.netloc
    if parts.scheme != "s3" or not parts.netloc or more:
        raise ValueError("Must be a folder, or s3://bucket/prefix.")
    return value


def rate_limits(value: str) -> tuple[RateLimitItem, ...]:
    try:
        limits = tuple(sorted(parse_many(value)))
    except ValueError:
        raise ValueError("Must be like 100/minute, or several: 10/second;1000/hour.") from None
    if any(limit.amount < 1 for limit in limits):
        raise ValueError("Must allow at least one request.")
    return limits


def origins(value: str) -> tuple[str, ...]:
    """Parse origins (RFC 6454), in the form that browsers send: no path, no default port."""
    for origin in listed(value):
        if not re.fullmatch(r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?", origin):
            raise ValueError("Must be origins like https://shop.example, separated by commas.")
    return listed(value)


def networks(value: str) -> tuple[Network, ...]:
    try:
        return tuple(ip_network(network) for network in listed(value))
    except ValueError:
        raise ValueError(
            "Must be addresses or networks like 10.0.0.0/8, separated by commas."
        ) from None


def notify_urls(value: str) -> tuple[str, ...]:
    # Imported late, because it takes most of a second, and few deployments need it.
    from automart.core.notification_services import is_usable, split_urls  # noqa: PLC0415

    urls = split_urls(value)
    for place, url in enumerate(urls, 1):
        if not is_usable(url):
            raise ValueError(
                f"URL {place} of {len(urls)} is not one that Apprise can send to. Its documentation"
                " has the forms: https://appriseit.com"
            )
    return urls


def listed(value: str) -> tuple[str, ...]:
    return tuple(value.replace(",", " ").split())


def yes_or_no(value: str) -> bool:
    known = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if value.lower() not in known:
        raise ValueError("Must be 1 or 0.")
    return known[value.lower()]


def one_of(*choices: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if value not in choices:
            raise ValueError(f"Must be one of: {', '.join(choices)}.")
        return value

    return check
