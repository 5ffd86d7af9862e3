"""What housekeeping does for decodings of VINs."""

from __future__ import annotations

from automart.core.db import delete_in_batches, utcnow
from automart.vins.models import VinDecoding
from automart.vins.service import KEPT_FOR


def expire_vin_decodings() -> int:
    """Delete decodings that are more than 30 days old. Return their number."""
    return delete_in_batches(VinDecoding, VinDecoding.decoded_at < utcnow() - KEPT_FOR)
