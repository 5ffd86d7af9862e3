"""Settings from the environment: read once, typed and validated, all errors reported together."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import time
from difflib import get_close_matches
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, get_origin, get_type_hints
from urllib.parse import quote

from dotenv import dotenv_values  # environs reads `.env` with it
from dotenv.parser import parse_stream
from environs import FileAwareEnv
from flask import current_app
from limits import RateLimitItem
from sqlalchemy.engine import URL, make_url

from automart.core import setting_values as parse
from automart.core.networks import Network

# The database and the photos are personal data: other users of the machine must not read them.
PRIVATE_UMASK = 0o077
REDIS_SOCKET = "redis.sock"
# The limit of the kernel is 108 bytes on Linux, 104 on macOS.
LONGEST_SOCKET_PATH = 100
# Only the length of a SECRET_KEY is checked.
MAY_CONTAIN_ANYTHING = ("SECRET_KEY", "SECRET_KEY_FALLBACKS")
COMMENT = re.compile(r"(^|\s)#")
# Similar enough to be a misspelling. TEST_DATABASE_URL is not.
SIMILARITY = 0.85
OUR_PREFIXES = ("NHTSA_", "VEHICLE_SYNC")
# It warns of lines that are reported with the other mistakes.
DOTENV_LOGGER = "dotenv.main"


class SettingsError(Exception):
    """One or more settings are invalid. The message names each of them."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a deployment. `README.md` explains each under its name in capitals.

    Each annotation names the function that parses the value.
    """

    instance: Path
    database_url: Annotated[str, parse.database_url] = field(repr=False)
    redis_url: Annotated[str, parse.redis_url] = field(repr=False)
    secret_key: Annotated[str, parse.secret_key] = field(repr=False)
    secret_key_fallbacks: Annotated[tuple[str, ...], parse.secrets] = field(repr=False, default=())
    public_url: Annotated[str | None, parse.web_url] = None
    nhtsa_url: Annotated[str, parse.web_url] = "https://vpic.nhtsa.dot.gov/api"
    nhtsa_requests_per_second: Annotated[float, parse.pace] = 3.0
    vehicle_sync_at: Annotated[time | None, parse.time_of_day] = None
    photo_storage: Annotated[str | None, parse.photo_storage] = None
    aws_access_key_id: Annotated[str | None, str] = field(repr=False, default=None)
    aws_secret_access_key: Annotated[str | None, str] = field(repr=False, default=None)
    rate_limit: Annotated[tuple[RateLimitItem, ...], parse.rate_limits] = ()
    cors_origins: Annotated[tuple[str, ...], parse.origins] = ()
    trusted_proxies: Annotated[tuple[Network, ...], parse.networks] = ()
    webhook_allow_private: Annotated[bool, parse.yes_or_no] = False
    notify_urls: Annotated[tuple[str, ...], parse.notify_urls] = field(repr=False, default=())
    log_format: Annotated[str, parse.one_of("json", "console")] = "json"
    port: Annotated[int | None, parse.port] = None
    web_concurrency: Annotated[int, parse.processes] = 2
    warnings: tuple[str, ...] = field(repr=False, compare=False, default=())
    """Sentences about variables that look like mistakes."""

    @property
    def is_sqlite(self) -> bool:
        return make_url(self.database_url).get_backend_name() == "sqlite"

    @property
    def redis_socket(self) -> Path:
        """The socket of the Redis that `automart up` starts if REDIS_URL is not set.

        It is in `instance`, or in a folder of this user in /tmp if that path is too long.
        """
        return _redis_socket(self.instance)

    @property
    def wants_embedded_redis(self) -> bool:
        return self.redis_url == _url_of_socket(self.redis_socket)

    @classmethod
    def names(cls) -> dict[str, Callable[[str], Any]]:
        """Return the environment variables of all settings, and the parsers of their values."""
        hints = get_type_hints(cls, include_extras=True)
        return {
            name.upper(): hint.__metadata__[0]
            for name, hint in hints.items()
            if get_origin(hint) is Annotated
        }

    @classmethod
    def from_environment(cls, folder: Path | None = None, **defaults: Any) -> Settings:
        """Read the environment, then `.env` in `folder` (default: the current one) for variables
        that are not set there.

        `defaults` are used for settings that neither has. Raises `SettingsError` that names every
        invalid setting.
        """
        folder = folder or Path.cwd()
        instance = (folder / "instance").resolve()
        _require_utf8(instance)
        defaults = {
            "instance": instance,
            "database_url": _url_of_sqlite(instance / "automart.sqlite"),
            "redis_url": _url_of_socket(_redis_socket(instance)),
        } | defaults
        reader = _Reader(folder)
        found = {name.lower(): reader.read(name, check) for name, check in cls.names().items()}
        values: dict[str, Any] = defaults | {
            name: value for name, value in found.items() if value is not None
        }
        _complete(values, folder, reader.mistakes)
        if reader.mistakes:
            raise SettingsError(_all_in_one(reader.mistakes))
        warnings = (*reader.warnings, *_misspellings(reader.variables, cls.names()))
        return cls(warnings=warnings, **values)


class _Reader:
    """Reads the variables of an environment, and collects their errors."""

    def __init__(self, folder: Path) -> None:
        self.mistakes: dict[str, str] = {}
        self.warnings: list[str] = []
        self._env = FileAwareEnv(strip_whitespace=True)
        self.variables = set(os.environ)
        path = folder / ".env"
        try:
            self._look_for_unreadable_lines(path)
            with _quiet(DOTENV_LOGGER):
                self._env.read_env(path, recurse=False)
                self.variables |= dotenv_values(path).keys()
        except (OSError, ValueError) as error:
            self.mistakes[".env"] = _reason(error)

    def _look_for_unreadable_lines(self, path: Path) -> None:
        if not path.exists():
            return
        if path.is_fifo():  # it might never end, and is read more than once
            raise ValueError("Is a pipe. Must be a file.")
        lines = list(_unreadable_lines(path.read_text(encoding="utf-8")))
        if lines:
            which = f"Line {lines[0]}" if len(lines) == 1 else f"Lines {', '.join(lines)}"
            self.mistakes[".env"] = f"{which} cannot be read. Must be like NAME=value."

    def read(self, name: str, parser: Callable[[str], Any]) -> Any:
        """Return the value of `name`; None if it is not set or invalid."""
        try:
            text = self._env.str(name, "").strip()
            # An empty variable counts as unset, because some platforms cannot unset one. An empty
            # file is an error.
            if text:
                self._look_for_comment(name, text)
                return parser(text)
            if self._env.str(f"{name}_FILE", ""):
                self.mistakes[name] = f"The file that {name}_FILE names is empty."
        except (ValueError, OSError) as error:
            self.mistakes[name] = _reason(error)
        return None

    def _look_for_comment(self, name: str, text: str) -> None:
        if not COMMENT.search(text):
            return
        if name not in MAY_CONTAIN_ANYTHING:
            raise ValueError("Contains a comment (#). Move it to a line of its own.")
        self.warnings.append(
            f"{name} contains a #. If it starts a comment, move it to a line of its own."
        )


def _unreadable_lines(text: str) -> Iterable[str]:
    """Yield the numbers of lines of a `.env` file that set nothing although they should."""
    for binding in parse_stream(StringIO(text)):
        original = binding.original.string
        # "NAME:value" is a name without a value to python-dotenv.
        if binding.error or ":" in (binding.key or ""):
            # The original begins with the blank lines before it.
            blank = original[: len(original) - len(original.lstrip())]
            yield str(binding.original.line + blank.count("\n"))


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Suppress what the logger of this name says inside the block."""
    logger = logging.getLogger(name)

    def nothing(_record: logging.LogRecord) -> bool:
        return False

    logger.addFilter(nothing)
    try:
        yield
    finally:
        logger.removeFilter(nothing)


def _complete(values: dict[str, Any], folder: Path, mistakes: dict[str, str]) -> None:
    """Add the settings that depend on other settings or on the folder."""
    storage = values.get("photo_storage")
    if storage and "://" not in storage:
        values["photo_storage"] = str((folder / storage).resolve())
    is_known = "DATABASE_URL" not in mistakes
    is_sqlite = is_known and values["database_url"].startswith("sqlite")
    if is_sqlite:
        values["database_url"] = _in_instance(values["database_url"], values["instance"])
    if "secret_key" not in values and "SECRET_KEY" not in mistakes:
        if is_sqlite:
            _use_stored_secret(values, values["instance"], mistakes)
        else:
            mistakes.setdefault(
                "SECRET_KEY", "Required, except with SQLite. Make one with: openssl rand -base64 48"
            )
    if is_known and not is_sqlite and not values.get("public_url"):
        mistakes.setdefault(
            "PUBLIC_URL",
            "Required, except with SQLite: the address that clients use, like https://cars.example",
        )


def _use_stored_secret(values: dict[str, Any], instance: Path, mistakes: dict[str, str]) -> None:
    """Use the secret that is stored in `instance`. Create it if there is none."""
    path = instance / "secret_key"
    try:
        if not path.exists():
            _create_secret(path)
        values["secret_key"] = parse.secret_key(path.read_text().strip())
    except (OSError, ValueError) as error:
        mistakes["SECRET_KEY"] = f"Not set, and {path} cannot be used: {_reason(error)}"


def _create_secret(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Two processes may start at once. Exactly one creates the file, and it is never incomplete.
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".secret_key.") as draft:
        draft.write(secrets.token_urlsafe(48))
        draft.flush()
        with contextlib.suppress(FileExistsError):
            os.link(draft.name, path)


def _misspellings(names: Iterable[str], known: Iterable[str]) -> Iterable[str]:
    """Yield a warning for each of `names` that is not a setting but looks like one."""
    known = set(known)
    for name in sorted(names):
        stem = name.removesuffix("_FILE")
        if stem in known:
            continue
        similar = get_close_matches(stem.upper(), known, n=1, cutoff=SIMILARITY)
        if similar and not stem.startswith("AWS_"):  # AWS's tools have many variables
            yield f"{name} is not a setting. Did you mean {similar[0]}?"
        elif stem.startswith(OUR_PREFIXES):
            yield f"{name} is not a setting."


def _all_in_one(mistakes: dict[str, str]) -> str:
    lines = [f"  {name}: {message}" for name, message in sorted(mistakes.items())]
    return "\n".join(["These settings are invalid:", *lines])


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.strerror}: {error.filename}."
    if isinstance(error, UnicodeError):
        return "Not UTF-8 text."
    return str(error)


def _redis_socket(instance: Path) -> Path:
    path = instance / REDIS_SOCKET
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        return path
    digest = hashlib.sha256(os.fsencode(instance)).hexdigest()[:16]
    # Not TMPDIR, which may differ between the processes that use the socket.
    return Path(f"/tmp/automart-{os.getuid()}-{digest}") / REDIS_SOCKET  # noqa: S108


def _require_utf8(path: Path) -> None:
    try:
        str(path).encode()
    except UnicodeEncodeError:  # URLs and the log could not contain it
        name = os.fsencode(path).decode(errors="backslashreplace")
        raise SettingsError(f"A folder in this path has a name that is not UTF-8: {name}") from None


def _url_of_sqlite(path: Path) -> str:
    return URL.create("sqlite", database=str(path)).render_as_string()


def _in_instance(database_url: str, instance: Path) -> str:
    """Return the URL of an SQLite file whose path may be relative, as for Flask-SQLAlchemy, to
    `instance`. Other engines would look for it in the current folder."""
    url = make_url(database_url)
    scheme = "file:" if "uri" in url.query else ""
    path = instance / str(url.database).removeprefix(scheme)
    return url.set(database=f"{scheme}{path}").render_as_string(hide_password=False)


def _url_of_socket(path: Path) -> str:
    return f"unix://{quote(str(path))}"


def current_settings() -> Settings:
    """Return the settings of the current application."""
    settings: Settings = current_app.extensions["settings"]
    return settings
