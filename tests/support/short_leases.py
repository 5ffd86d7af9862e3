"""Imported by a worker: leases of killed processes, and lost messages, are noticed soon.

That takes 10 seconds and more otherwise, and tests do not wait for so long.
"""

from __future__ import annotations

from datetime import timedelta

from automart.background import leases, maintenance
from jobs import context, housekeeping

leases.LEASE = timedelta(seconds=5)
context.RENEWAL_INTERVAL = timedelta(seconds=1)
maintenance.MESSAGE_LOST_AFTER = timedelta(seconds=1)
housekeeping.LEASE_DURATION = timedelta(seconds=5)
housekeeping.RENEWAL_SECONDS = 1.0
