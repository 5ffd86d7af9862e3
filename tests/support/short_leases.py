"""Imported by a worker: leases of killed processes run out soon.

They hold them for 12 seconds and more otherwise, and tests do not wait for so long.
"""

from __future__ import annotations

from datetime import timedelta

from automart.background import leases
from jobs import context, housekeeping

leases.LEASE = timedelta(seconds=5)
context.RENEWAL_INTERVAL = timedelta(seconds=1)
housekeeping.LEASE_DURATION = timedelta(seconds=5)
housekeeping.RENEWAL_SECONDS = 1.0
