"""The services of NOTIFY_URLS, which Apprise sends to. Their URLs contain secrets.

Imported only if there are any: Apprise loads the modules of all services that it knows.
"""

from __future__ import annotations

import logging
import re

from apprise import Apprise, AppriseAsset, NotifyBase
from apprise.common import NotifyFormat

# A comma may be part of a URL, except where the next one begins.
_SEPARATOR = re.compile(r"[\s,]*\s[\s,]*|,(?=[A-Za-z][A-Za-z0-9+.-]*://)")
_ASSET = AppriseAsset(
    app_id="Automart",
    app_desc="Automart",
    async_mode=False,
    storage_mode="memory",  # containers cannot write
    language="en",
    service_timeout=20,
)

# Apprise's messages quote URLs.
logging.getLogger("apprise").propagate = False


def split_urls(value: str) -> tuple[str, ...]:
    """Return the different URLs in `value`, which are separated by whitespace or commas."""
    return tuple(dict.fromkeys(filter(None, _SEPARATOR.split(value.strip(", \t\r\n")))))


def is_usable(url: str) -> bool:
    """Return whether Apprise can send to `url`, as far as the URL says."""
    return _service(url) is not None


def service_name(url: str) -> str:
    """Return the name of the service that `url` leads to, without any part of the URL."""
    service = _service(url)
    return "unknown" if service is None else str(service.service_name)


def send_notice(url: str, title: str, body: str) -> bool:
    """Send a message. Return whether the service has accepted it."""
    service = _service(url)
    if service is None:
        return False
    sender = Apprise(asset=_ASSET)
    sender.add(service)
    return bool(sender.notify(body, title, body_format=NotifyFormat.TEXT))


def _service(url: str) -> NotifyBase | None:
    return Apprise.instantiate(url, asset=_ASSET)
