"""Helpers for tests of fields."""

from __future__ import annotations

from typing import Any

import pytest
from marshmallow import ValidationError, fields


def refusal(field: fields.Field[Any], value: Any) -> str:
    """Check that a field refuses `value`, and return its only message."""
    with pytest.raises(ValidationError) as refused:
        field.deserialize(value)
    (message,) = refused.value.messages
    assert isinstance(message, str)
    return message
