"""What the author of a block may import: decorators, and the context of the attempt.

Job: names for user code that work the same inside and outside of a run.
Prohibition: nothing but core below, nothing heavy, and no name here ever runs a block.
"""

from weft.sdk.context import Context, current
from weft.sdk.decorators import (
    condition,
    custom,
    data_exporter,
    data_loader,
    preprocesser,
    sensor,
    test,
    transformer,
)

__all__ = [
    "Context",
    "condition",
    "current",
    "custom",
    "data_exporter",
    "data_loader",
    "preprocesser",
    "sensor",
    "test",
    "transformer",
]
