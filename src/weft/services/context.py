"""All that a use case needs from the world, in one frozen value."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from weft.core.calendar import CronFactory
from weft.core.checkpoints import Checkpoint, unheeded
from weft.core.records import Project
from weft.ports.clock import Clock
from weft.ports.logs import Logs
from weft.ports.outputs import Outputs
from weft.ports.project import ProjectFiles
from weft.ports.signals import Signals
from weft.ports.unit import Store


@dataclass(frozen=True, slots=True)
class Context:
    """The world of one project.

    `new_token` makes 32 hex digits; `pick(n)` chooses a number below `n`.
    `outputs_dir` is where outputs lie, as people are told of it.
    """

    store: Store
    files: ProjectFiles
    project: Project
    signals: Signals
    clock: Clock
    outputs: Outputs
    logs: Logs
    new_token: Callable[[], str]
    pick: Callable[[int], int]
    cron: CronFactory
    outputs_dir: str = ""
    checkpoint: Checkpoint = unheeded


class News:
    """Hears of one topic; `wait` returns at the next news since the last `wait`."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._heard = threading.Event()

    def hear(self, topic: str) -> None:
        """Take a signal, from any thread."""
        if topic == self._topic:
            self._heard.set()

    def wait(self, seconds: float) -> bool:
        """Wait for news up to `seconds`; False if there were none."""
        heard = self._heard.wait(max(0.0, seconds))
        self._heard.clear()
        return heard


@contextmanager
def listening(context: Context, topic: str) -> Iterator[News]:
    """Hear of a topic as long as the block lasts; listen first, look afterwards."""
    news = News(topic)
    stop = context.signals.listen(news.hear)
    try:
        yield news
    finally:
        stop()
