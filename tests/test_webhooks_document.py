"""`docs/webhooks.md` describes the webhooks that are sent, and its code works."""

from __future__ import annotations

import base64
import datetime as dt
import json
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook
from werkzeug.datastructures import EnvironHeaders

from automart.webhooks import deliveries
from tests.support.limits import LIMIT

ROOT = Path(__file__).parent.parent
DOCUMENT = (ROOT / "docs" / "webhooks.md").read_text(encoding="utf-8")
SECRET = "whsec_" + base64.b64encode(b"a secret of the office, and long").decode()
OLD_SECRET = "whsec_" + base64.b64encode(b"one that the office has no more ").decode()
BODY = '{"type":"purchase.state_changed","data":{"external_order_number":"Ö-1"}}'.encode()


@cache
def now() -> int:
    """The second in which the present test began: its webhooks are of then."""
    return int(dt.datetime.now(dt.UTC).timestamp())


@pytest.fixture(autouse=True)
def _begin_now() -> None:
    now.cache_clear()


Verify = Callable[[bytes, dict[str, str], str], Any]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT, re.DOTALL | re.MULTILINE)


def block(language: str, word: str) -> str:
    """The one block of code in which a word occurs."""
    (found,) = [code for code in blocks(language) if word in code]
    return found


def signature(secret: str = SECRET, at: int | None = None) -> str:
    signed_at = dt.datetime.fromtimestamp(at or now(), dt.UTC)
    return Webhook(secret).sign("msg_1", signed_at, BODY.decode())


@dataclass(frozen=True)
class Case:
    """A webhook as it comes, and whether it is genuine."""

    name: str
    is_genuine: bool = False
    body: bytes = BODY
    webhook_id: str = "msg_1"
    timestamp: str = field(default_factory=lambda: str(now()))
    signatures: str = field(default_factory=signature)
    left_out: str = ""

    @property
    def headers(self) -> dict[str, str]:
        headers = {
            "webhook-id": self.webhook_id,
            "webhook-timestamp": self.timestamp,
            "webhook-signature": self.signatures,
        }
        return {name: value for name, value in headers.items() if name != self.left_out}


def cases() -> list[Case]:
    return [
        Case("good", True),
        Case("rotated, new first", True, signatures=f"{signature()} {signature(OLD_SECRET)}"),
        Case("rotated, old first", True, signatures=f"{signature(OLD_SECRET)} {signature()}"),
        Case("beside an unknown kind", True, signatures=f"v1a,AAAA {signature()}"),
        Case(
            "four minutes old",
            True,
            timestamp=str(now() - 240),
            signatures=signature(at=now() - 240),
        ),
        Case("another body", body=BODY + b" "),
        Case("an empty body", body=b""),
        Case("another id", webhook_id="msg_2"),
        Case("another timestamp", timestamp=str(now() - 1)),
        Case("a dot moved", webhook_id="msg_1.1", timestamp=str(now())[1:]),
        Case("old", timestamp=str(now() - 400), signatures=signature(at=now() - 400)),
        Case("from the future", timestamp=str(now() + 900), signatures=signature(at=now() + 900)),
        Case("by another secret", signatures=signature(OLD_SECRET)),
        Case("cut", signatures=signature()[:-3]),
        Case("longer", signatures=signature().replace("v1,", "v1,AAAA")),
        Case("without a version", signatures=signature().removeprefix("v1,")),
        Case("of another version", signatures=signature().replace("v1,", "v2,")),
        Case("nonsense", signatures="nonsense"),
        Case("not ASCII", signatures="v1,Ö"),
        Case("no timestamp that is one", timestamp="now"),
        Case("without an id", left_out="webhook-id"),
        Case("without a timestamp", left_out="webhook-timestamp"),
        Case("without a signature", left_out="webhook-signature"),
    ]


@pytest.mark.parametrize("word", ["import Webhook", "import hmac"], ids=["library", "plain"])
def test_the_python_code_accepts_genuine_webhooks_only(
    word: str, subtests: pytest.Subtests
) -> None:
    verify: Verify = run(block("python", word))["verify"]
    for case in cases():
        with subtests.test(case.name):
            if case.is_genuine:
                assert verify(case.body, case.headers, SECRET) == json.loads(BODY)
            else:
                with pytest.raises(ValueError):
                    verify(case.body, case.headers, SECRET)


@pytest.mark.parametrize("word", ["import Webhook", "import hmac"], ids=["library", "plain"])
def test_the_python_code_takes_headers_as_frameworks_give_them(word: str) -> None:
    verify: Verify = run(block("python", word))["verify"]
    environ = {
        f"HTTP_{name.upper().replace('-', '_')}": value
        for name, value in cases()[0].headers.items()
    }

    assert verify(BODY, EnvironHeaders(environ), SECRET) == json.loads(BODY)  # type: ignore[arg-type]  # as Flask's


RUNNER = """
import { readFileSync } from "node:fs";
import { verify } from "./verify.mjs";

const results = JSON.parse(readFileSync(0)).map(({ body, headers, secret }) => {
  try {
    return { event: verify(Buffer.from(body, "base64"), headers, secret) };
  } catch (error) {
    return { error: error.message };
  }
});
console.log(JSON.stringify(results));
"""


@pytest.mark.parametrize(
    "word", ['from "standardwebhooks"', "createHmac"], ids=["library", "plain"]
)
def test_the_node_code_accepts_genuine_webhooks_only(word: str, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed.")
    (tmp_path / "verify.mjs").write_text(block("js", word), encoding="utf-8")
    (tmp_path / "run.mjs").write_text(RUNNER, encoding="utf-8")
    subprocess.run([node, "--check", tmp_path / "verify.mjs"], check=True)
    if "standardwebhooks" in word:
        modules = ROOT / "node_modules"
        if not (modules / "standardwebhooks").exists():
            pytest.skip("Not run, only parsed: `npm install standardwebhooks` has not been done.")
        (tmp_path / "node_modules").symlink_to(modules)
    node_cases = cases()
    inputs = [
        {
            "body": base64.b64encode(case.body).decode(),
            "headers": case.headers,
            "secret": SECRET,
        }
        for case in node_cases
    ]

    ended = subprocess.run(
        [node, tmp_path / "run.mjs"],
        input=json.dumps(inputs),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=True,
    )

    results = json.loads(ended.stdout)
    assert len(results) == len(node_cases)
    for case, result in zip(node_cases, results, strict=True):
        assert ("event" in result) is case.is_genuine, (case.name, result)
        assert result.get("event", json.loads(BODY)) == json.loads(BODY)


class TestTakingOver:
    @pytest.fixture
    def take_over(self) -> Callable[..., None]:
        """Takes a change of state over: `take_over("msg_1", "shipped", "2027-01-01T00:00:00Z")`."""
        function = run(block("python", "def take_over"))["take_over"]
        self.db = sqlite3.connect(":memory:")
        self.db.execute("CREATE TABLE seen_webhook (id TEXT PRIMARY KEY)")
        self.db.execute("CREATE TABLE sale (order_number TEXT, state TEXT, changed_at REAL)")
        self.db.execute("INSERT INTO sale VALUES ('B-1', 'ordered', 0), ('B-2', 'ordered', 0)")

        def take_over(webhook_id: str, state: str, at: str, kind: str | None = None) -> None:
            data = {"external_order_number": "B-1", "state": state}
            event_type = kind or "purchase.state_changed"
            function(self.db, webhook_id, {"type": event_type, "timestamp": at, "data": data})

        return take_over

    def states(self) -> list[str]:
        states = [state for (state,) in self.db.execute("SELECT state FROM sale")]
        self.db.close()
        return states

    def test_a_change_is_stored_for_its_order_alone(self, take_over: Callable[..., None]) -> None:
        take_over("msg_1", "manufacturing", "2027-01-01T00:00:00Z")

        assert self.states() == ["manufacturing", "ordered"]

    def test_what_was_seen_is_not_taken_over_again(self, take_over: Callable[..., None]) -> None:
        take_over("msg_1", "manufacturing", "2027-01-01T00:00:00Z")
        self.db.execute("UPDATE sale SET state = 'changed by hand', changed_at = 0")
        take_over("msg_1", "manufacturing", "2027-01-01T00:00:00Z")

        assert self.states()[0] == "changed by hand"

    def test_what_is_older_is_not_taken_over(self, take_over: Callable[..., None]) -> None:
        take_over("msg_2", "manufactured", "2027-01-01T00:00:00.500000Z")
        take_over("msg_1", "manufacturing", "2027-01-01T00:00:00Z")

        assert self.states()[0] == "manufactured"

    def test_what_is_of_another_type_is_ignored(self, take_over: Callable[..., None]) -> None:
        take_over("msg_1", "manufacturing", "2027-01-01T00:00:00Z", "purchase.painted")

        assert self.states()[0] == "ordered"


class TestFacts:
    def test_the_example_is_signed_with_the_secret_that_is_shown(self) -> None:
        head, _, body = block("http", "webhook-id:").strip().partition("\n\n")
        fields = dict(re.findall(r"^(webhook-[a-z]+): (.*)$", head, re.MULTILINE))
        (secret,) = set(re.findall(r"whsec_[A-Za-z0-9+/=]{20,}", DOCUMENT))
        at = int(fields["webhook-timestamp"])

        signed_at = dt.datetime.fromtimestamp(at, dt.UTC)
        expected = Webhook(secret).sign(fields["webhook-id"], signed_at, body)
        assert fields["webhook-signature"] == expected
        assert json.loads(body)["data"]["previous_state"] == "ordered"

    def test_the_schedule_is_the_one_that_is_kept(self) -> None:
        schedule = re.findall(r"^\| \d+ \| (\d+) (s|min|h) \|$", DOCUMENT, re.MULTILINE)
        units = {"s": "seconds", "min": "minutes", "h": "hours"}
        pauses = [dt.timedelta(**{units[unit]: int(number)}) for number, unit in schedule]

        assert pauses == [dt.timedelta(0), *deliveries.PAUSES]

    def test_every_block_of_code_is_one_that_is_tested(self) -> None:
        assert len(blocks("python")) == 3
        assert len(blocks("js")) == 2
        assert len(blocks("http")) == 1


def run(code: str) -> dict[str, Any]:
    """What a block of Python defines."""
    names: dict[str, Any] = {}
    exec(compile(code, "docs/webhooks.md", "exec"), names)  # noqa: S102 - it is our own document
    return names
