"""Settings from the environment: typed and validated, all errors reported together."""

from __future__ import annotations

import logging
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import time
from hashlib import sha256
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from limits import parse
from redis.connection import parse_url
from sqlalchemy.engine import make_url

from automart.core.config import Settings, SettingsError

SECRET = "a key of at least 32 characters: hunter2"
REQUIRED = {"SECRET_KEY": SECRET, "PUBLIC_URL": "https://cars.example"}
NO_SECRET_KEY = "Required, except with SQLite. Make one with: openssl rand -base64 48"
SHORT_SECRET_KEY = "Must have at least 32 characters. Make one: openssl rand -base64 48"
REFUSALS = {
    "PUBLIC_URL": "Must be an http or https URL without user or query.",
    "NHTSA_REQUESTS_PER_SECOND": "Must be a number from 0 (unpaced) to 1000.",
    "VEHICLE_SYNC_AT": "Must be a time of day in UTC like 03:30, or empty.",
    "REDIS_URL": "Must start with redis://, rediss:// or unix://.",
    "RATE_LIMIT": "Must be like 100/minute, or several: 10/second;1000/hour.",
    "CORS_ORIGINS": "Must be origins like https://shop.example, separated by commas.",
    "TRUSTED_PROXIES": "Must be addresses or networks like 10.0.0.0/8, separated by commas.",
    "WEBHOOK_ALLOW_PRIVATE": "Must be 1 or 0.",
    "WEB_CONCURRENCY": "Must be a number of processes from 1 to 1000.",
    "PORT": "Must be a port from 1 to 65535.",
    "PHOTO_STORAGE": "Must be a folder, or s3://bucket/prefix.",
    "LOG_FORMAT": "Must be one of: json, console.",
}
UNUSABLE_REDIS_URL = (
    "The Redis client cannot use this URL. Check the host. In the password, write / as %2F, # as"
    " %23 and ? as %3F."
)
UNUSABLE_DATABASE_URL = (
    "The database's driver cannot use this URL. Check the host, and the options after the ?. In a"
    " path or a password, write ? as %3F."
)
NO_HOSTS = ("a..b", "x" * 70)
POSTGRESQL = "postgresql://automart:hunter2@db.example/automart"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use an environment without settings."""
    monkeypatch.setattr(os, "environ", {})


def read(folder: Path, **environment: str) -> Settings:
    os.environ.update(environment)
    return Settings.from_environment(folder)


def mistakes(folder: Path, **environment: str) -> dict[str, str]:
    """Return the message for each invalid setting."""
    with pytest.raises(SettingsError) as error:
        read(folder, **environment)
    first, *lines = str(error.value).splitlines()
    assert first == "These settings are invalid:"
    return dict(line.strip().split(": ", 1) for line in lines)


def test_every_setting_has_a_default_for_trying_it_out(tmp_path: Path) -> None:
    settings = read(tmp_path)
    assert settings == Settings(
        instance=tmp_path / "instance",
        database_url=f"sqlite:///{tmp_path}/instance/automart.sqlite",
        redis_url=f"unix://{settings.redis_socket}",
        secret_key=(tmp_path / "instance" / "secret_key").read_text(),
        nhtsa_url="https://vpic.nhtsa.dot.gov/api",
        nhtsa_requests_per_second=3,
        log_format="json",
        web_concurrency=2,
    )
    assert settings.is_sqlite
    assert settings.wants_embedded_redis
    assert settings.public_url is settings.vehicle_sync_at is settings.photo_storage is None
    assert settings.rate_limit == settings.cors_origins == settings.trusted_proxies == ()
    assert settings.webhook_allow_private is False


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("cars.sqlite", "{folder}/instance/cars.sqlite"),
        ("data/cars.sqlite?timeout=5", "{folder}/instance/data/cars.sqlite?timeout=5"),
        ("/var/lib/cars.sqlite", "/var/lib/cars.sqlite"),
        ("file%3Acars.sqlite?uri=true", "file%3A{folder}/instance/cars.sqlite?uri=true"),
        ("file:///var/lib/cars.sqlite?uri=true", "file%3A/var/lib/cars.sqlite?uri=true"),
    ],
)
def test_a_relative_path_of_a_database_is_one_in_the_instance_folder(
    path: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{path}")
    settings = Settings.from_environment(tmp_path)
    assert settings.database_url == f"sqlite:///{expected.format(folder=tmp_path)}"


@pytest.mark.parametrize(
    "name", ["why?", "why?timeout=abc", "a%20b", "100%", "#1", "a b+c", "'\"\\", "u:p@h", "é\n"]
)
def test_the_database_and_the_socket_are_in_the_folder_whatever_its_name(
    name: str,
) -> None:
    folder = Path("/nowhere") / name
    settings = read(folder, **REQUIRED)
    assert make_url(settings.database_url).database == f"{folder}/instance/automart.sqlite"
    assert not make_url(settings.database_url).query
    assert parse_url(settings.redis_url)["path"] == f"{folder}/instance/redis.sock"
    assert settings.wants_embedded_redis


def test_a_folder_whose_name_is_not_utf8_is_refused() -> None:
    with pytest.raises(SettingsError) as error:
        read(Path(os.fsdecode(b"/nowhere/b\xe9")), **REQUIRED)
    assert str(error.value) == (
        r"A folder in this path has a name that is not UTF-8: /nowhere/b\xe9/instance"
    )


def test_a_socket_whose_path_would_be_too_long_is_in_a_folder_of_this_user() -> None:
    longest = Path("/nowhere") / ("x" * (100 - len("/nowhere//instance/redis.sock")))
    assert read(longest, **REQUIRED).redis_socket == longest / "instance" / "redis.sock"
    too_long = Path(f"{longest}x")
    name = sha256(os.fsencode(too_long / "instance")).hexdigest()[:16]
    socket = Path(f"/tmp/automart-{os.getuid()}-{name}/redis.sock")  # noqa: S108
    settings = read(too_long, **REQUIRED)
    assert (settings.redis_socket, settings.redis_url) == (socket, f"unix://{socket}")


def test_an_empty_variable_counts_as_unset(tmp_path: Path) -> None:
    plain = read(tmp_path)
    names = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "PUBLIC_URL", "NHTSA_URL", "LOG_FORMAT")
    names += ("NHTSA_REQUESTS_PER_SECOND", "VEHICLE_SYNC_AT", "RATE_LIMIT", "CORS_ORIGINS")
    names += ("WEBHOOK_ALLOW_PRIVATE", "SECRET_KEY_FALLBACKS", "TRUSTED_PROXIES", "WEB_CONCURRENCY")
    names += ("PORT", "PHOTO_STORAGE", "NOTIFY_URLS")
    empty = dict.fromkeys(names, " ")
    assert read(tmp_path, **empty) == plain


def test_all_settings_are_read(tmp_path: Path) -> None:
    settings = read(
        tmp_path,
        DATABASE_URL=POSTGRESQL,
        REDIS_URL="rediss://cache.example/1",
        SECRET_KEY=SECRET,
        PUBLIC_URL="https://shop.example/automart/",
        NHTSA_URL="http://127.0.0.1:9/api",
        NHTSA_REQUESTS_PER_SECOND="0",
        VEHICLE_SYNC_AT="03:30",
        RATE_LIMIT="1000 per hour; 5/second",
        CORS_ORIGINS="https://shop.example, http://localhost:3000",
        TRUSTED_PROXIES="10.0.0.0/8, 192.0.2.1 fd00::/8",
        WEBHOOK_ALLOW_PRIVATE="1",
        SECRET_KEY_FALLBACKS="an-old-key an-older-key",
        PHOTO_STORAGE="s3://photos/cars",
        AWS_ACCESS_KEY_ID="a-key",
        AWS_SECRET_ACCESS_KEY="a-secret",
        NOTIFY_URLS="json://chat.example",
        LOG_FORMAT="console",
        WEB_CONCURRENCY="5",
        PORT="8080",
    )
    assert settings == Settings(
        instance=tmp_path / "instance",
        database_url="postgresql+psycopg://automart:hunter2@db.example/automart",
        redis_url="rediss://cache.example/1",
        secret_key=SECRET,
        secret_key_fallbacks=("an-old-key", "an-older-key"),
        photo_storage="s3://photos/cars",
        aws_access_key_id="a-key",
        aws_secret_access_key="a-secret",
        notify_urls=("json://chat.example",),
        public_url="https://shop.example/automart",
        nhtsa_url="http://127.0.0.1:9/api",
        nhtsa_requests_per_second=0,
        vehicle_sync_at=time(3, 30),
        rate_limit=(parse("5/second"), parse("1000/hour")),
        cors_origins=("https://shop.example", "http://localhost:3000"),
        trusted_proxies=(
            ip_network("10.0.0.0/8"),
            ip_network("192.0.2.1/32"),
            ip_network("fd00::/8"),
        ),
        webhook_allow_private=True,
        log_format="console",
        web_concurrency=5,
        port=8080,
    )
    assert not settings.is_sqlite


def test_urls_of_services_are_separated_by_whitespace_or_commas(tmp_path: Path) -> None:
    mail = "mailto://u:p@mail.example?to=a@x.example,b@x.example"
    chat, hook = "json://chat.example/a,b", "jsons://hook.example/#general"
    for value in (
        f"{mail} {chat}\n{hook}",
        f"{mail},{chat}, {hook},",
        f"{mail} {chat} {mail} {hook}",
    ):
        assert read(tmp_path, NOTIFY_URLS=value).notify_urls == (mail, chat, hook)
    path = tmp_path / "urls"
    path.write_text(f"{mail}\n{chat}\n")
    assert read(tmp_path, NOTIFY_URLS_FILE=str(path)).notify_urls == (mail, chat)


def test_a_wrong_url_of_a_service_is_named_by_its_number(tmp_path: Path) -> None:
    for wrong in ("nope://bot:hunter2@chat.example", "slack://hunter2", "hunter2", "mailto://"):
        errors = mistakes(tmp_path, NOTIFY_URLS=f"json://chat.example {wrong}")
        assert errors["NOTIFY_URLS"] == (
            "URL 2 of 2 is not one that Apprise can send to. Its documentation has the forms:"
            " https://appriseit.com"
        )


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_form_of_a_postgresql_url_is_accepted(tmp_path: Path, scheme: str) -> None:
    settings = read(
        tmp_path, DATABASE_URL=f"{scheme}://u:p%40@h:5433/d?sslmode=require", **REQUIRED
    )
    assert settings.database_url == "postgresql+psycopg://u:p%40@h:5433/d?sslmode=require"


def test_all_errors_are_reported_together_by_name(tmp_path: Path) -> None:
    errors = mistakes(
        tmp_path,
        DATABASE_URL="mysql://db.example/automart",
        REDIS_URL="http://cache.example",
        PUBLIC_URL="shop.example",
        NHTSA_URL="ftp://nhtsa.example",
        NHTSA_REQUESTS_PER_SECOND="many",
        VEHICLE_SYNC_AT="24:00",
        LOG_FORMAT="xml",
        WEB_CONCURRENCY="two",
    )
    assert list(errors) == sorted(errors)
    assert errors == {
        "DATABASE_URL": "Must start with postgresql:// or sqlite:///.",
        "LOG_FORMAT": "Must be one of: json, console.",
        "NHTSA_REQUESTS_PER_SECOND": REFUSALS["NHTSA_REQUESTS_PER_SECOND"],
        "NHTSA_URL": REFUSALS["PUBLIC_URL"],
        "PUBLIC_URL": REFUSALS["PUBLIC_URL"],
        "REDIS_URL": REFUSALS["REDIS_URL"],
        "SECRET_KEY": NO_SECRET_KEY,
        "VEHICLE_SYNC_AT": REFUSALS["VEHICLE_SYNC_AT"],
        "WEB_CONCURRENCY": REFUSALS["WEB_CONCURRENCY"],
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("PUBLIC_URL", v)
            for v in ("http://", "//x", "https://x?a=1", "https://x#a", "http://[")
        ),
        *(("PUBLIC_URL", v) for v in ("https://u:p@x", "https://x:99999", "https://x:port")),
        *(("NHTSA_REQUESTS_PER_SECOND", v) for v in ("-1", "nan", "inf", "1001", "1,5", "1/s")),
        *(("VEHICLE_SYNC_AT", v) for v in ("3:30", "03:60", "03:30Z", "0330", "noon", "03:30:00")),
        *(("REDIS_URL", v) for v in ("cache.example:6379", "redis", "memcached://x")),
        *(("RATE_LIMIT", v) for v in ("5", "5/fortnight", "a/s", "5/s;")),
        *(("CORS_ORIGINS", v) for v in ("*", "shop.example", "https://x/", "https://X", "null")),
        *(("TRUSTED_PROXIES", v) for v in ("*", "1", "10.0.0.1/8", "proxy.example")),
        *(("WEBHOOK_ALLOW_PRIVATE", v) for v in ("2", "on?", "private")),
        *(("WEB_CONCURRENCY", v) for v in ("0", "-1", "2.5", "1001", "two", "1_0")),
        *(("PORT", v) for v in ("0", "65536", "http", "8000/tcp")),
        *(("PHOTO_STORAGE", v) for v in ("gs://photos", "s3://", "s3://a?b=c", "s3://a#b")),
        *(
            ("PHOTO_STORAGE", v)
            for v in ("s3://u:p@photos", "s3://photos:443/a", "S4://photos", "a\0b")
        ),
        ("LOG_FORMAT", "JSON"),
    ],
)
def test_an_invalid_value_is_reported_once_under_its_name(
    tmp_path: Path, name: str, value: str
) -> None:
    assert mistakes(tmp_path, **(REQUIRED | {name: value})) == {name: REFUSALS[name]}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        *(("DATABASE_URL", v, "Not a database URL.") for v in ("automart", "://", "x:")),
        *(
            ("DATABASE_URL", v, "Must name a file: several processes share the database.")
            for v in ("sqlite://", "sqlite:///:memory:")
        ),
        *(
            (
                "DATABASE_URL",
                f"postgresql://u:{v}",
                "Contains more than one @. Write an @ in the password as %40.",
            )
            for v in ("sec@ret@localhost/db", "sec@re/t@localhost/db", "@secret@localhost/db")
        ),
        *(
            ("DATABASE_URL", f"sqlite:///{v}", UNUSABLE_DATABASE_URL)
            for v in ("/x%00y", "/x?timeout=abc", "/x?uri=maybe", "/x?timeout=1&timeout=2")
        ),
        *(
            ("DATABASE_URL", f"sqlite:///{v}", UNUSABLE_DATABASE_URL)
            for v in ("/a/x?y.sqlite", "/a/x?y.sqlite=1", "/x?y@z", "/x?mode=ro")
        ),
        ("DATABASE_URL", "sqlite://host/x", UNUSABLE_DATABASE_URL),
        *(("REDIS_URL", f"redis://{v}:6379/0", UNUSABLE_REDIS_URL) for v in NO_HOSTS),
        *(
            ("DATABASE_URL", f"postgresql://{v}", UNUSABLE_DATABASE_URL)
            for host in NO_HOSTS
            for v in (f"{host}/d", f"/d?host=db.example:1&host={host}:2")
        ),
        *(
            ("DATABASE_URL", f"postgresql://u:p{v}", UNUSABLE_DATABASE_URL)
            for v in ("@h/d?sslmode", "@h/d?foo=1", "%00@h/d", "@/d?host=a:1&host=b:x")
        ),
        *(
            ("DATABASE_URL", f"postgresql://u:sec@r?{v}@localhost/db", UNUSABLE_DATABASE_URL)
            for v in ("t", "t=")
        ),
        *(
            (
                "DATABASE_URL",
                f"postgresql://x/y?prepare_threshold={threshold}",
                "prepare_threshold must be a number or none.",
            )
            for threshold in ("never", "1&prepare_threshold=2", "-1")
        ),
        *(
            ("RATE_LIMIT", v, "Must allow at least one request.")
            for v in ("0/minute", "5/second;0/minute")
        ),
        ("REDIS_URL", "redis://[", "Not a URL."),
        *(
            ("REDIS_URL", f"redis://:{v}@localhost:6379/0", UNUSABLE_REDIS_URL)
            for v in ("pa/ss", "pa#ss", "pa?ss", "12/ss", "12#ss", "12?ss", "p%00", "p\udce9")
        ),
        *(
            ("REDIS_URL", f"redis://localhost{v}", UNUSABLE_REDIS_URL)
            for v in (":99999", ":x", "/x", "/0?socket_timeout=abc", "/0?db=x", "/0?foo=1", "/0?db")
        ),
        ("REDIS_URL", "rediss://x?ssl_cert_reqs=foo", UNUSABLE_REDIS_URL),
        *(
            ("REDIS_URL", f"unix://{v}", UNUSABLE_REDIS_URL)
            for v in ("", "/", "?db=1", "run/redis.sock", ":pa/ss@/run/redis.sock", "/a#b")
        ),
        ("PHOTO_STORAGE", "s3://[", "Not a URL."),
    ],
)
def test_some_invalid_values_have_a_special_reason(
    tmp_path: Path, name: str, value: str, message: str
) -> None:
    assert mistakes(tmp_path, **(REQUIRED | {name: value})) == {name: message}


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        *(("WEBHOOK_ALLOW_PRIVATE", v, True) for v in ("1", "true", "yes", "TRUE", "Yes")),
        *(("WEBHOOK_ALLOW_PRIVATE", v, False) for v in ("0", "false", "no", "FALSE", "No")),
        *(("WEB_CONCURRENCY", str(v), v) for v in (1, 1000)),
        *(("PORT", str(v), v) for v in (1, 65535)),
        *(("NHTSA_REQUESTS_PER_SECOND", str(v), v) for v in (0, 0.5, 1000)),
        *(("VEHICLE_SYNC_AT", v, time.fromisoformat(v)) for v in ("00:00", "19:59", "23:59")),
        *(("PHOTO_STORAGE", v, v) for v in ("s3://photos", "s3://photos/cars", "/srv/photos")),
        *(
            ("REDIS_URL", v, v)
            for v in ("redis://cache.example:6379/0", "rediss://x", "unix:///run/redis.sock")
        ),
        *(
            ("REDIS_URL", f"redis://{v}", None)
            for v in ("", "u:pa%2Fss@h:1/", ":p@h@x/2", "[::1]", "x?db=1&socket_timeout=2.5")
        ),
        *(("REDIS_URL", f"unix://{v}", None) for v in ("localhost/a", ":p%2Fss@/a%3Fb?db=1")),
        *(
            ("DATABASE_URL", f"postgresql+psycopg://x/y?prepare_threshold={v}", None)
            for v in ("none", "0", "5")
        ),
        *(
            ("DATABASE_URL", f"sqlite:////srv/a{v}", None)
            for v in ("%3Fb%2525", "?timeout=30", "?cached_statements=9&timeout=1.5")
        ),
        ("DATABASE_URL", "sqlite:///file%3A/srv/a?mode=rw&uri=true", None),
        *(
            ("DATABASE_URL", f"postgresql+psycopg://{v}", None)
            for v in ("u:s%3Fc%40@h:1/d?sslmode=require", "/d?host=%2Frun&target_session_attrs=any")
        ),
        *(
            ("DATABASE_URL", f"postgresql+psycopg://{v}", None)
            for v in (
                "u:p@/d?host=a%3A1&host=b%3A2",
                "u:p@a,b/d",
                "[::1]:1/d%40e",
                "u:p@h/d?application_name=a%40b&options=-ctimezone%3DUTC",
            )
        ),
        (
            "CORS_ORIGINS",
            "https://x https://x:8443,http://[::1]:3000",
            ("https://x", "https://x:8443", "http://[::1]:3000"),
        ),
        *(("PUBLIC_URL", f"https://x{v}//", f"https://x{v}") for v in ("", ":1", "/a/b")),
    ],
)
def test_a_valid_value_is_read(tmp_path: Path, name: str, value: str, found: Any) -> None:
    settings = read(tmp_path, **(REQUIRED | {name: value}))
    assert getattr(settings, name.lower()) == (value if found is None else found)


@pytest.mark.parametrize("url", ["u@azure:p@h/d", "u@azure@h/d", "u:p@h/d?application_name=a@b"])
def test_an_at_sign_in_the_user_or_the_options_of_a_database_is_read(
    tmp_path: Path, url: str
) -> None:
    """Azure's single servers have such users."""
    found = make_url(read(tmp_path, DATABASE_URL=f"postgresql://{url}", **REQUIRED).database_url)
    assert (found.host, found.database) == ("h", "d")
    assert found == make_url(f"postgresql+psycopg://{url}")


def test_a_question_mark_in_the_password_of_a_database_is_not_taken_for_options(
    tmp_path: Path,
) -> None:
    url = "postgresql+psycopg://u:s?c&r@h/d"
    assert read(tmp_path, DATABASE_URL=url, **REQUIRED).database_url == url.replace(
        "s?c&r", "s%3Fc%26r"
    )


def test_a_folder_of_photos_is_relative_to_the_current_one(tmp_path: Path) -> None:
    settings = read(tmp_path, PHOTO_STORAGE="../pictures")
    assert settings.photo_storage == str(tmp_path.parent / "pictures")


def test_no_error_contains_a_password(tmp_path: Path) -> None:
    wrong = {
        "DATABASE_URL": "postgresql://automart:hunter2:x@db.example:port/automart",
        "REDIS_URL": "https://:hunter2@cache.example",
        "PUBLIC_URL": "https://u:hunter2@shop.example:hunter2",
    }
    assert "hunter2" not in str(mistakes(tmp_path, **wrong))


def test_printed_settings_contain_no_secret(tmp_path: Path) -> None:
    settings = read(tmp_path, DATABASE_URL=POSTGRESQL, REDIS_URL="redis://:hunter2@x", **REQUIRED)
    assert "hunter2" not in repr(settings)


def test_each_secret_can_be_in_a_file(tmp_path: Path) -> None:
    for name, content in (
        ("SECRET_KEY", f" {SECRET} \n"),
        ("PUBLIC_URL", "https://cars.example\n"),
        ("DATABASE_URL", POSTGRESQL + "\n"),
        ("REDIS_URL", "redis://:hunter2@cache.example\n"),
    ):
        (tmp_path / name).write_text(content)
        os.environ[f"{name}_FILE"] = str(tmp_path / name)
    settings = read(tmp_path)
    assert settings.secret_key == SECRET
    assert settings.database_url == POSTGRESQL.replace("postgresql", "postgresql+psycopg")
    assert settings.redis_url == "redis://:hunter2@cache.example"


def test_an_unreadable_file_is_reported_like_an_invalid_value(tmp_path: Path) -> None:
    errors = mistakes(
        tmp_path, DATABASE_URL_FILE=str(tmp_path / "none"), REDIS_URL="x", SECRET_KEY_FILE="/"
    )
    assert errors.keys() == {"DATABASE_URL", "REDIS_URL", "SECRET_KEY"}
    assert "DATABASE_URL_FILE" in errors["DATABASE_URL"]
    assert "SECRET_KEY_FILE" in errors["SECRET_KEY"]
    errors = mistakes(tmp_path, DATABASE_URL=POSTGRESQL, DATABASE_URL_FILE="", SECRET_KEY_FILE="/")
    assert "SECRET_KEY_FILE" in errors["SECRET_KEY"]


def test_the_environment_takes_precedence_over_the_env_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"SECRET_KEY={SECRET} in a file\nLOG_FORMAT=console\n")
    settings = read(tmp_path, SECRET_KEY=SECRET)
    assert settings.secret_key == SECRET
    assert settings.log_format == "console"


@pytest.mark.parametrize(
    ("line", "end"),
    [
        ("RATE_LIMIT: 5/minute", ""),
        ("RATE_LIMIT:5/minute", ""),
        ("RATE_LIMIT 5/minute", ""),
        ("DATABASE_URL:postgresql://u:hunter2@h/d?sslmode=require", ""),
        ("REDIS_URL='redis://:hunter2@x", ""),
        ('REDIS_URL="redis://:hunter2@x', "\n\nREDIS_URL='x'y\nexport =\n"),
    ],
)
def test_lines_of_the_env_file_that_cannot_be_read_are_reported_by_number(
    tmp_path: Path, line: str, end: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / ".env").write_text(f"PORT=x\n\n  # a comment: of mine\n\n{line}{end}")
    which = "Lines 5, 7, 8" if end else "Line 5"
    assert mistakes(tmp_path) == {
        ".env": f"{which} cannot be read. Must be like NAME=value.",
        "PORT": REFUSALS["PORT"],
    }
    assert not caplog.messages
    assert not logging.getLogger("dotenv.main").filters


def test_lines_of_the_env_file_that_set_nothing_are_allowed(tmp_path: Path) -> None:
    lines = ["# A: comment", "", "export PORT", "LOG_FORMAT=", "PHOTO_STORAGE='a\nb: c' # d: e"]
    (tmp_path / ".env").write_text("\n".join(lines))
    assert read(tmp_path).photo_storage == f"{tmp_path}/a\nb: c"


def test_an_env_file_that_is_not_a_file_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.mkdir()
    assert mistakes(tmp_path, PORT="x") == {
        ".env": f"Is a directory: {path}.",
        "PORT": REFUSALS["PORT"],
    }
    path.rmdir()
    os.mkfifo(path)
    assert mistakes(tmp_path)[".env"] == "Is a pipe. Must be a file."
    path.unlink()
    path.symlink_to("/dev/null")  # as containers hide a file
    assert read(tmp_path, PORT="1").port == 1


def test_a_binary_env_file_is_rejected(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"PORT=\xff")
    assert mistakes(tmp_path) == {".env": "Not UTF-8 text."}


def test_postgresql_needs_a_secret_key_and_a_public_url(tmp_path: Path) -> None:
    assert mistakes(tmp_path, DATABASE_URL=POSTGRESQL) == {
        "PUBLIC_URL": (
            "Required, except with SQLite: the address that clients use, like https://cars.example"
        ),
        "SECRET_KEY": NO_SECRET_KEY,
    }
    assert not (tmp_path / "instance").exists()


@pytest.mark.parametrize("value", ["x", "31 characters are one too few.."])
def test_a_short_secret_key_is_rejected(tmp_path: Path, value: str) -> None:
    assert mistakes(tmp_path, SECRET_KEY=value) == {"SECRET_KEY": SHORT_SECRET_KEY}
    assert read(tmp_path, SECRET_KEY="x" * 32, SECRET_KEY_FALLBACKS=value).secret_key_fallbacks


def test_a_stored_secret_key_that_is_too_short_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "instance" / "secret_key"
    path.parent.mkdir()
    path.write_text("short\n")
    assert mistakes(tmp_path) == {
        "SECRET_KEY": f"Not set, and {path} cannot be used: {SHORT_SECRET_KEY}"
    }


def test_an_empty_or_impossible_or_binary_file_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "picture").write_bytes(b"\xff\xd8\xff")
    errors = mistakes(
        tmp_path,
        REDIS_URL_FILE=str(tmp_path / "empty"),
        DATABASE_URL_FILE=str(tmp_path / "empty" / "url"),
        SECRET_KEY_FILE=str(tmp_path / "picture"),
    )
    assert errors["REDIS_URL"] == "The file that REDIS_URL_FILE names is empty."
    assert errors["DATABASE_URL"] == f"Not a directory: {tmp_path}/empty/url."
    assert errors["SECRET_KEY"] == "Not UTF-8 text."


@pytest.mark.parametrize("name", ["VEHICLE_SYNC_AT", "TRUSTED_PROXIES", "PHOTO_STORAGE"])
def test_a_comment_after_a_value_is_rejected(tmp_path: Path, name: str) -> None:
    """systemd's `EnvironmentFile=` does not remove comments after values."""
    errors = mistakes(tmp_path, **{name: "10.0.0.1   # in UTC"})
    assert errors == {name: "Contains a comment (#). Move it to a line of its own."}


def test_a_secret_key_may_contain_anything(tmp_path: Path) -> None:
    settings = read(tmp_path, SECRET_KEY=f"{SECRET} # openssl rand")
    assert settings.secret_key == f"{SECRET} # openssl rand"
    (warning,) = settings.warnings
    assert warning == (
        "SECRET_KEY contains a #. If it starts a comment, move it to a line of its own."
    )


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("DATABSE_URL", "DATABASE_URL"),
        ("DATABASE_URI", "DATABASE_URL"),
        ("SECRETKEY_FILE", "SECRET_KEY"),
        ("TRUSTED_PROXY", "TRUSTED_PROXIES"),
        ("CORS_ORIGIN", "CORS_ORIGINS"),
        ("public_url", "PUBLIC_URL"),
        ("NHTSA_RATE", None),
    ],
)
@pytest.mark.parametrize("place", ["environment", ".env"])
def test_a_misspelt_setting_causes_a_warning(
    tmp_path: Path, name: str, meant: str | None, place: str
) -> None:
    if place == ".env":
        (tmp_path / ".env").write_text(f"{name}=1\n")
    else:
        os.environ[name] = "1"
    question = f" Did you mean {meant}?" if meant else ""
    assert read(tmp_path).warnings == (f"{name} is not a setting.{question}",)


def test_variables_of_other_programs_cause_no_warning(tmp_path: Path) -> None:
    others = ("PATH", "http_proxy", "REDIS_PORT", "AUTOMART_PORT_8000_TCP", "TEST_DATABASE_URL")
    others += ("AWS_ENDPOINT_URL_S3", "AWS_SESSION_TOKEN", "AUTOMART_IMAGE", "SSL_CERT_FILE")
    assert read(tmp_path, **dict.fromkeys(others, "1")).warnings == ()


def test_on_sqlite_a_secret_key_is_created_that_only_its_owner_can_read(tmp_path: Path) -> None:
    first, second = read(tmp_path), read(tmp_path)
    assert len(first.secret_key) >= 43
    assert second.secret_key == first.secret_key
    kept = tmp_path / "instance" / "secret_key"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert list(kept.parent.iterdir()) == [kept]


def test_processes_that_start_at_once_agree_on_the_secret_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = {settings.secret_key for settings in pool.map(read, [tmp_path] * 8)}
    assert len(found) == 1
