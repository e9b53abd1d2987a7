"""How long to wait before the next try of a block, if there is one.

The keys are Mage's `retry_config`: `retries`, `delay`, `max_delay`,
`exponential_backoff`. `max_delay` bounds each single wait. (In Mage it bounds the
sum of all waits and so hides a second limit on the number of tries; see the
compatibility page.)
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Up to `retries` further tries; delays in seconds."""

    retries: int = 0
    delay: float = 5.0
    max_delay: float = 60.0
    exponential_backoff: bool = True

    def wait(self, failures: int) -> timedelta | None:
        """Return the wait after the `failures`-th failure (from 1), or None at the end."""
        if failures > self.retries:
            return None
        doublings = min(failures - 1, _MAX_DOUBLINGS) if self.exponential_backoff else 0
        return timedelta(seconds=min(self.delay * 2.0**doublings, self.max_delay))


_MAX_DOUBLINGS = 64
"""Beyond this every sane delay has met its ceiling, and floats stay finite."""
