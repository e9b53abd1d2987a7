"""The one place that says what may go into a JSON column or an API body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

Json: TypeAlias = Any
"""null, bool, int, float, str, list or dict, at any depth (checked at the edge)."""

JsonMap: TypeAlias = Mapping[str, Any]
"""A JSON object. Believed inside; whoever reads it from outside has checked it."""
