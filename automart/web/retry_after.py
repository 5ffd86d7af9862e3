"""The `Retry-After` header of other servers (RFC 9110 §10.2.3)."""

from __future__ import annotations

import datetime as dt
import re
from email.utils import parsedate_to_datetime

_SECONDS = re.compile(r"-?[0-9]{1,9}", re.ASCII)


def parse_retry_after(header: str | None, now: float) -> float | None:
    """Return the seconds to wait, counted from `now` (a Unix time); None without a valid value.

    urllib3's parser is not used: it reads dates without a zone in local time, and raises ValueError
    for numbers with thousands of digits.
    """
    value = (header or "").strip()
    if _SECONDS.fullmatch(value):
        return max(float(value), 0.0)
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    # The asctime format names no zone. All dates in HTTP are in UTC.
    return max(date.replace(tzinfo=date.tzinfo or dt.UTC).timestamp() - now, 0.0)
