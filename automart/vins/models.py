"""What NHTSA has answered about VINs, which is kept for a while."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from automart.core.db import Model
from automart.vins.check_digit import VIN_LENGTH


class VinDecoding(Model):
    """NHTSA's answer about a VIN, in the form of `decoding.Decoding`."""

    __tablename__ = "vin_decoding"
    __table_args__ = (Index(None, "decoded_at"),)
    noun = "VIN decoding"

    vin: Mapped[str] = mapped_column(String(VIN_LENGTH), primary_key=True)
    decoded_at: Mapped[datetime]
    answer: Mapped[dict[str, Any]]
