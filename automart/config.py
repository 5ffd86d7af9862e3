"""Settings from the environment: read once, typed and checked, all mistakes told together."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import time
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlsplit

from environs import EnvValidationError, FileAwareEnv
from limits import RateLimitItem, parse_many
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

# Database and photos are personal data: no other user of the machine may read them.
PRIVATE_UMASK = 0o077
REDIS_SOCKET = "redis.sock"
# The kernel takes 108 bytes on Linux, 104 on macOS.
LONGEST_SOCKET_PATH = 100


class SettingsError(Exception):
    """One or more settings are wrong; the message names every one of them."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a deployment decides. `README.md` explains each under the same name in capitals."""

    instance: Path
    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    secret_key: str = field(repr=False)
    secret_key_fallbacks: tuple[str, ...] = field(repr=False, default=())
    public_url: str | None = None
    nhtsa_url: str = "https://vpic.nhtsa.dot.gov/api"
    nhtsa_requests_per_second: float = 3.0
    vehicle_sync_at: time | None = None
    photo_storage: str | None = None
    aws_access_key_id: str | None = field(repr=False, default=None)
    aws_secret_access_key: str | None = field(repr=False, default=None)
    rate_limit: tuple[RateLimitItem, ...] = ()
    cors_origins: tuple[str, ...] = ()
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    webhook_allow_private: bool = False
    log_format: str = "json"
    web_concurrency: int = 2

    @property
    def is_sqlite(self) -> bool:
        return make_url(self.database_url).get_backend_name() == "sqlite"

    @property
    def redis_socket(self) -> Path:
        """Where `automart up` puts a Redis of its own, if no other one is named.

        It is in `instance`, or in a folder of this user in /tmp if that path is too long.
        """
        return _redis_socket(self.instance)

    @property
    def wants_embedded_redis(self) -> bool:
        return self.redis_url == _url_of_socket(self.redis_socket)

    @classmethod
    def from_environment(
        cls, folder: Path | None = None, *, log_format: str | None = None
    ) -> Settings:
        """Read the environment, and `.env` in `folder` (default: the current one) beneath it.

        `log_format` holds unless LOG_FORMAT is set. Raises `SettingsError` that names every wrong
        setting.
        """
        folder = folder or Path.cwd()
        env = FileAwareEnv(eager=False, strip_whitespace=True)
        env.read_env(folder / ".env", recurse=False)
        mistakes: dict[str, list[str]] = {}
        read = _reader(env, mistakes)
        instance = (folder / "instance").resolve()

        database_url = read(
            env.str, "DATABASE_URL", f"sqlite:///{instance}/automart.sqlite", _database_url
        )
        values: dict[str, Any] = {
            "instance": instance,
            "database_url": database_url,
            "redis_url": read(
                env.str, "REDIS_URL", _url_of_socket(_redis_socket(instance)), _redis_url
            ),
            "secret_key": read(env.str, "SECRET_KEY", ""),
            "secret_key_fallbacks": read(env.str, "SECRET_KEY_FALLBACKS", (), _secrets),
            "public_url": read(env.str, "PUBLIC_URL", None, _web_url),
            "nhtsa_url": read(env.str, "NHTSA_URL", cls.nhtsa_url, _web_url),
            "nhtsa_requests_per_second": read(
                env.float, "NHTSA_REQUESTS_PER_SECOND", cls.nhtsa_requests_per_second, _pace
            ),
            "vehicle_sync_at": read(env.str, "VEHICLE_SYNC_AT", None, _time_of_day),
            "photo_storage": read(
                env.str, "PHOTO_STORAGE", None, lambda value: _photo_storage(value, folder)
            ),
            "aws_access_key_id": read(env.str, "AWS_ACCESS_KEY_ID", None),
            "aws_secret_access_key": read(env.str, "AWS_SECRET_ACCESS_KEY", None),
            "rate_limit": read(env.str, "RATE_LIMIT", (), _rate_limits),
            "cors_origins": read(env.str, "CORS_ORIGINS", (), _origins),
            "trusted_proxies": read(env.str, "TRUSTED_PROXIES", (), _networks),
            "webhook_allow_private": read(env.str, "WEBHOOK_ALLOW_PRIVATE", False, _yes_or_no),
            "log_format": read(
                env.str, "LOG_FORMAT", log_format or cls.log_format, _one_of("json", "console")
            ),
            "web_concurrency": read(env.int, "WEB_CONCURRENCY", cls.web_concurrency, _processes),
        }
        try:
            env.seal()
        except EnvValidationError as error:
            told = cast("dict[str, list[str]]", error.error_messages)
            for name, messages in told.items():
                mistakes.setdefault(name, []).extend(messages)
        if not values["secret_key"] and "SECRET_KEY" not in mistakes:
            values["secret_key"] = _kept_secret(database_url, instance, mistakes)
        if mistakes:
            raise SettingsError(_told_together(mistakes))
        return cls(**values)


def _reader(env: FileAwareEnv, mistakes: dict[str, list[str]]) -> Callable[..., Any]:
    def read(
        parser: Callable[..., Any],
        name: str,
        default: Any,
        check: Callable[[Any], Any] | None = None,
    ) -> Any:
        try:
            if not env.str(name, "").strip():  # many a way to start a process cannot unset
                return default
            value = parser(name)
            return value if value is None or check is None else check(value)
        except ValueError as error:
            mistakes.setdefault(name, []).append(str(error))
            return default

    return read


def _told_together(mistakes: dict[str, list[str]]) -> str:
    lines = [f"  {name}: {' '.join(messages)}" for name, messages in sorted(mistakes.items())]
    return "\n".join(["These settings are wrong:", *lines])


def _kept_secret(database_url: str, instance: Path, mistakes: dict[str, list[str]]) -> str:
    """Return the secret that is kept in `instance`. With SQLite one is made if there is none."""
    if "DATABASE_URL" in mistakes or not database_url.startswith("sqlite"):
        told = "Required, except with SQLite. Make one with: openssl rand -base64 48"
        mistakes["SECRET_KEY"] = [told]
        return ""
    path = instance / "secret_key"
    try:
        if not path.exists():
            _make_secret(path)
        return path.read_text().strip()
    except OSError as error:
        told = (
            f"Not set, and {path} cannot be used: {error.strerror}. "
            "Set it, or start in a folder that this user may write to."
        )
        mistakes["SECRET_KEY"] = [told]
        return ""


def _make_secret(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Two processes may start at once: exactly one creates the file, and it appears with content.
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".secret_key.") as draft:
        draft.write(secrets.token_urlsafe(48))
        draft.flush()
        with contextlib.suppress(FileExistsError):
            os.link(draft.name, path)


def _secrets(value: str) -> tuple[str, ...]:
    return tuple(value.split())


def _database_url(value: str) -> str:
    try:
        url = make_url(value)
    except (ArgumentError, ValueError):  # whose messages may quote the password
        raise ValueError("Not a database URL.") from None
    if url.drivername in ("postgres", "postgresql"):
        url = url.set(drivername="postgresql+psycopg")
    if url.drivername not in ("sqlite", "postgresql+psycopg"):
        raise ValueError("Must start with postgresql:// or sqlite:///.")
    if url.drivername == "sqlite" and url.database in (None, "", ":memory:"):
        raise ValueError("Must name a file: several processes share the database.")
    return url.render_as_string(hide_password=False)


def _redis_socket(instance: Path) -> Path:
    path = instance / REDIS_SOCKET
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        return path
    digest = hashlib.sha256(os.fsencode(instance)).hexdigest()[:16]
    # Not TMPDIR, which may differ between the processes that are to meet there.
    return Path(f"/tmp/automart-{os.getuid()}-{digest}") / REDIS_SOCKET  # noqa: S108


def _url_of_socket(path: Path) -> str:
    return f"unix://{quote(str(path))}"


def _redis_url(value: str) -> str:
    if urlsplit(value).scheme not in ("redis", "rediss", "unix"):
        raise ValueError("Must start with redis://, rediss:// or unix://.")
    return value


def _web_url(value: str) -> str:
    with contextlib.suppress(ValueError):  # whose messages may quote a password
        parts = urlsplit(value)
        more = parts.query or parts.fragment or parts.username is not None or parts.port == 0
        if parts.scheme in ("http", "https") and parts.hostname and not more:
            return value.rstrip("/")
    raise ValueError("Must be an http or https URL without user or query.")


def _pace(value: float) -> float:
    if not 0 <= value <= 1000:
        raise ValueError("Must be a number from 0 (unpaced) to 1000.")
    return value


def _processes(value: int) -> int:
    if not 1 <= value <= 1000:
        raise ValueError("Must be a number of processes from 1 to 1000.")
    return value


def _time_of_day(value: str) -> time:
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
        raise ValueError("Must be a time of day in UTC like 03:30, or empty.")
    return time.fromisoformat(value)


def _photo_storage(value: str, folder: Path) -> str | None:
    if not value:
        return None
    if "://" not in value:
        return str((folder / value).resolve())
    parts = urlsplit(value)
    more = parts.query or parts.fragment or "@" in parts.netloc or ":" in parts.netloc
    if parts.scheme != "s3" or not parts.netloc or more:
        raise ValueError("Must be a folder, or s3://bucket/prefix.")
    return value


def _rate_limits(value: str) -> tuple[RateLimitItem, ...]:
    try:
        limits = tuple(sorted(parse_many(value)))
    except ValueError:
        raise ValueError("Must be like 100/minute, or several: 10/second;1000/hour.") from None
    if any(limit.amount < 1 for limit in limits):
        raise ValueError("Must let at least one request pass.")
    return limits


def _origins(value: str) -> tuple[str, ...]:
    """Origins (RFC 6454), as browsers send them: no path, and no port that goes without saying."""
    for origin in _listed(value):
        if not re.fullmatch(r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[1-9]\d{0,4})?", origin):
            raise ValueError("Must be origins like https://shop.example, separated by commas.")
    return _listed(value)


def _networks(value: str) -> tuple[IPv4Network | IPv6Network, ...]:
    try:
        return tuple(ip_network(network) for network in _listed(value))
    except ValueError:
        raise ValueError(
            "Must be addresses or networks like 10.0.0.0/8, separated by commas."
        ) from None


def _listed(value: str) -> tuple[str, ...]:
    return tuple(value.replace(",", " ").split())


def _yes_or_no(value: str) -> bool:
    known = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if value.lower() not in known:
        raise ValueError("Must be 1 or 0.")
    return known[value.lower()]


def _one_of(*choices: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if value not in choices:
            raise ValueError(f"Must be one of: {', '.join(choices)}.")
        return value

    return check
