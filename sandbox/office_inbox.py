"""The webhooks that the fake offices have received, and the secrets that verify them."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from standardwebhooks.webhooks import (
    EmptyWebhookSecretError,
    Webhook,
    WebhookVerificationError,
)


@dataclass(frozen=True, slots=True)
class Received:
    """A webhook as an office received it, and the status of its answer; None if it got no answer.

    `reason` says why a webhook is not `verified`.
    """

    office: str
    at: float  # time.time()
    verified: bool
    reason: str
    headers: dict[str, str]  # by lower-case name
    body: bytes
    status: int | None

    @property
    def webhook_id(self) -> str | None:
        return self.headers.get("webhook-id")


class Inbox:
    """The webhooks that all offices have received. Safe to use from several threads."""

    def __init__(self) -> None:
        self._webhooks: list[Received] = []
        self._lock = threading.Lock()

    def add(self, webhook: Received) -> None:
        with self._lock:
            self._webhooks.append(webhook)

    def received(self, office: str | None = None) -> list[Received]:
        """Return the webhooks of an office, or of all offices, oldest first."""
        with self._lock:
            return [webhook for webhook in self._webhooks if office in (None, webhook.office)]

    def clear(self, office: str | None = None) -> None:
        """Delete the webhooks of an office, or of all offices."""
        with self._lock:
            self._webhooks = [
                webhook for webhook in self._webhooks if office not in (None, webhook.office)
            ]


class Secrets:
    """The webhook secrets of each office."""

    def __init__(self) -> None:
        self._secrets: dict[str, tuple[Webhook, ...]] = {}

    def replace(self, office: str, *secrets: str) -> None:
        """Set the secrets (`whsec_…`) of an office. Raise ValueError if one is malformed."""
        self._secrets[office] = tuple(_webhook(secret) for secret in secrets)

    def counts(self) -> dict[str, int]:
        """Return the number of secrets of each office that has any."""
        return {office: len(secrets) for office, secrets in self._secrets.items()}

    def verification_error(
        self, office: str, body: bytes, headers: Mapping[str, str]
    ) -> str | None:
        """Return why none of the office's secrets verifies this webhook; None if one does."""
        reason = "no secret is known"
        for secret in self._secrets.get(office, ()):
            try:
                secret.verify(body, dict(headers), json_parse=False)
            except WebhookVerificationError as error:
                reason = str(error)
            except ValueError:  # the library does not catch what cannot be decoded at all
                reason = "The signature or the body cannot be decoded"
            else:
                return None
        return reason


def _webhook(secret: str) -> Webhook:
    try:
        return Webhook(secret)
    except (ValueError, EmptyWebhookSecretError) as error:
        raise ValueError(f"a secret looks like whsec_…, in base64: {error}") from None
