"""Server and engine as long-running processes: start, serve, drain, end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from weft import __version__
from weft.api.app import create_app
from weft.app.addresses import bind, bind_next_free, refuse_public, url_of
from weft.app.datadir import DataDir, lock_engine
from weft.app.settings import Settings
from weft.app.wiring import Company, House, engine_id, make_engine, open_house
from weft.engine.loop import Engine

_log = logging.getLogger("weft.server")

STREAMS_GRACE = 1
"""Seconds that open answers (live logs, say) get to end once the server stops."""


@dataclass(frozen=True, slots=True)
class Served:
    """What is told once the server answers."""

    url: str
    house: House
    stop: Callable[[], None]


@dataclass(slots=True)
class Ending:
    """How the process ends; `asked` is called at the first request to do so."""

    asked: Callable[[], None]
    _was_asked: bool = field(default=False, init=False)

    def handle(self, number: int, _frame: FrameType | None = None) -> None:
        """Take a signal: the first asks, the second ends the process at once."""
        if self._was_asked:
            # Children die with their engine, and the next start repairs the rest.
            os._exit(128 + number)
        self.ask()

    def ask(self) -> None:
        """Ask for the end; a second time changes nothing."""
        if not self._was_asked:
            self._was_asked = True
            self.asked()


def serve(
    settings: Settings,
    *,
    with_engine: bool = True,
    next_free_port: bool = False,
    warm: bool = False,
    ready: Callable[[Served], None] = lambda _served: None,
) -> None:
    """Serve the project until SIGTERM or SIGINT.

    `ready` is called once requests are answered, in a thread of its own; `warm` says
    that a run is sure to come. Raises
    `Denied` for an address that others can reach, `Conflict` for a busy port or when
    another engine works here already.
    """
    refuse_public(settings.host)
    bound = (bind_next_free if next_free_port else bind)(settings.host, settings.port)
    url = url_of(bound)
    data = DataDir(settings.data_dir)
    data.make()
    with contextlib.ExitStack() as stack:
        stack.enter_context(bound)
        seat = None
        if with_engine:
            seat = lock_engine(data, settings.sqlite_path)
            stack.callback(seat.release)
            seat.note(url=url)
        company = Company.ALONE if with_engine else Company.APART
        house = stack.enter_context(open_house(settings, company))
        engine = None
        if seat is not None:
            name = engine_id(data, seat.slot)
            engine = make_engine(house, engine_id=name, on_death=die, warm=warm)
            engine.start()
        app = create_app(
            house.context, version=__version__, legacy_errors=settings.mage_status_codes
        )
        _until_told(app, bound, engine, settings, lambda stop: ready(Served(url, house, stop)))


def run_engine(settings: Settings, *, ready: Callable[[], None] = lambda: None) -> None:
    """Run an engine without a server until SIGTERM or SIGINT."""
    data = DataDir(settings.data_dir)
    data.make()
    with contextlib.ExitStack() as stack:
        seat = lock_engine(data, settings.sqlite_path)
        stack.callback(seat.release)
        house = stack.enter_context(open_house(settings, Company.APART))
        engine = make_engine(house, engine_id=engine_id(data, seat.slot), on_death=die)
        told = threading.Event()
        with _signals(Ending(told.set)):
            engine.start()
            ready()
            told.wait()
            _drain(engine, settings)


def die(reason: str) -> None:
    """End the process at once: half an engine is worse than none."""
    _log.critical("the engine died: %s", reason)
    logging.shutdown()
    os._exit(1)


class _Server(uvicorn.Server):
    """Uvicorn that waits to be told instead of looking ten times a second."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._tell_started = started
        self._end = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        if self.should_exit:  # told while it was still starting
            return
        threading.Thread(target=self._tell_started, name="weft-ready", daemon=True).start()
        await self._end.wait()

    def stop(self) -> None:
        """Stop serving; may be called from any thread or a signal handler."""
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._end.set)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # ours are in place already, and drain the engine too


def _until_told(
    app: ASGIApp,
    bound: socket.socket,
    engine: Engine | None,
    settings: Settings,
    ready: Callable[[Callable[[], None]], None],
) -> None:
    """Serve until told to end; the engine drains while open answers finish."""
    draining = threading.Thread(target=_drain, args=(engine, settings), name="weft-drain")

    def asked() -> None:
        draining.start()
        server.stop()

    ending = Ending(asked)
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level="warning",
        date_header=False,
        timeout_graceful_shutdown=STREAMS_GRACE,
    )
    server = _Server(config, lambda: ready(ending.ask))
    logging.getLogger("uvicorn.error").addFilter(_no_cut_request)
    with _signals(ending):
        server.run(sockets=[bound])
        ending.ask()
        draining.join()


def _no_cut_request(record: logging.LogRecord) -> bool:
    """Keep a request that was still open at the end out of the log: it is no error."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def _drain(engine: Engine | None, settings: Settings) -> None:
    if engine is not None:
        _log.info("draining: no new block starts", extra={"grace": settings.drain_grace})
        engine.stop(grace=settings.drain_grace)


@contextlib.contextmanager
def _signals(ending: Ending) -> Iterator[None]:
    """Let SIGTERM and SIGINT ask for the end, as long as the block lasts."""
    before = {number: signal.signal(number, ending.handle) for number in _ENDINGS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_ENDINGS = (signal.SIGTERM, signal.SIGINT)
