"""How VINs are described, and why one is refused."""

from __future__ import annotations

import pytest

from automart.vins.fields import Vin
from tests.support.fields import refusal

PATTERN = {"pattern": "^[A-HJ-NPR-Za-hj-npr-z0-9]{17}$"}
NO_VIN = "Must be 17 letters and digits, without I, O and Q."


def test_a_vin_is_described_and_may_be_optional() -> None:
    vin = Vin(allow_none=True)
    assert vin.metadata == PATTERN | {"description": "ISO 3779, in any case."}
    assert vin.deserialize(None) is None
    assert vin.deserialize("1m8gdm9axkp042788") == "1M8GDM9AXKP042788"
    described = Vin(metadata={"description": "The VIN of the car."})
    assert described.metadata == PATTERN | {"description": "The VIN of the car."}


@pytest.mark.parametrize(
    ("vin", "reason"),
    [
        ("1M8GDM9AXKP04278O", NO_VIN),
        ("1M8GDM9AXKP04278", NO_VIN),
        ("1M8GDM9AXKP0427881", NO_VIN),
        (None, "Field may not be null."),
    ],
)
def test_a_refusal_says_what_is_wrong_with_a_vin(vin: str | None, reason: str) -> None:
    assert refusal(Vin(), vin) == reason
