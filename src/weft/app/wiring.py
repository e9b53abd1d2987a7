"""Puts everything together from the settings: the one file that knows all adapters."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from weft import __version__
from weft.app.clock import SystemClock
from weft.app.crash import crash
from weft.app.datadir import DataDir
from weft.app.logfiles import LogFiles
from weft.app.neighbours import LogRoots, check_neighbours, warn_of_paths
from weft.app.settings import Settings
from weft.artifacts.preview import FileOutputs
from weft.core.checkpoints import Side, armed, read_crash
from weft.core.errors import Conflict, NotFound
from weft.core.ids import EngineId, RunId
from weft.core.json import Json, JsonMap
from weft.engine.dispatcher import Dispatcher
from weft.engine.held import ServedProject
from weft.engine.loop import Engine
from weft.engine.world import World
from weft.executors.process import ProcessExecutor
from weft.plugins import discover
from weft.ports.channels import Channel
from weft.ports.executor import Executor
from weft.ports.project import ProjectSettings
from weft.ports.registry import Registry
from weft.ports.signals import Signals
from weft.project.files import ProjectFolder
from weft.services.context import Context
from weft.signals.bell import BellSignals
from weft.signals.local import LocalSignals
from weft.signals.postgres import PostgresSignals
from weft.signals.sqlite import SqliteSignals
from weft.store import open_store
from weft.store.migrate import prepare
from weft.triggers.cron import cron_calendar

DATA_LIBRARIES = ("pandas", "pyarrow", "polars")
LOCAL_EXECUTOR = "local_python"
SCHEMA_KEY = "weft_schema"


class Company(Enum):
    """Who else works on the same database, as far as hearing of news goes."""

    ALONE = auto()
    """Server and engine in one process: they tell each other directly."""
    APART = auto()
    """Server, engine or command in processes of their own."""


@dataclass(frozen=True, slots=True)
class House:
    """One project, opened: everything that server, engine and commands are made of."""

    settings: Settings
    data: DataDir
    context: Context
    project_settings: ProjectSettings
    outputs_root: Path
    former_path: str
    """Where the project lay when it was opened last, maybe by somebody else."""


@contextmanager
def open_house(settings: Settings, company: Company) -> Iterator[House]:
    """Open the project's files and database; close the database at the end.

    Makes the data directory and, on SQLite, brings the database up to date. Raises
    whatever is wrong with the project's settings, the database or its version.
    """
    data = DataDir(settings.data_dir)
    data.make()
    files = ProjectFolder(
        settings.project_dir, environment=settings.environment, clock=SystemClock()
    )
    project_settings = files.settings()
    outputs_root = settings.outputs_root(project_settings.variables_dir)
    # A server's database may be shared with engines of the older version: people decide.
    checkpoint = armed(read_crash(settings.crash_at), Side.SERVER, crash)
    prepare(settings.database_url, upgrade=settings.sqlite_path is not None)
    checkpoint("start.migrated")
    with ExitStack() as stack:
        store = open_store(
            settings.database_url, sqlite_full_sync=settings.sqlite_synchronous == "FULL"
        )
        stack.callback(store.close)
        signals = signals_for(settings, company)
        stack.callback(signals.close)
        path, uuid = str(settings.project_dir), project_settings.uuid
        with store.write() as unit:
            former = unit.catalog.find(path=path, uuid=uuid)
            project = unit.catalog.project(path=path, uuid=uuid)
        checkpoint("start.known")
        clock = SystemClock()
        context = Context(
            store=store,
            files=files,
            project=project,
            signals=signals,
            clock=clock,
            outputs=FileOutputs(),
            logs=LogFiles(data.logs, others=LogRoots(store, clock.monotonic)),
            new_token=new_token,
            pick=secrets.randbelow,
            cron=cron_calendar,
            outputs_dir=str(outputs_root),
            checkpoint=checkpoint,
        )
        former_path = path if former is None else former.path
        yield House(settings, data, context, project_settings, outputs_root, former_path)


def signals_for(settings: Settings, company: Company) -> Signals:
    """Return the way of telling news that fits the database and who shares it."""
    path = settings.sqlite_path
    if path is None:
        url, schema = _plain_url(settings.database_url)
        return PostgresSignals(url, channel=schema)
    bells = DataDir(settings.data_dir).bells
    if company is Company.ALONE:
        return BellSignals(bells, LocalSignals(), ear=True)
    return BellSignals(bells, SqliteSignals(path), ear=False)


def make_engine(
    house: House,
    *,
    engine_id: EngineId,
    on_death: Callable[[str], None],
    claim: bool = True,
    run_tests: bool = True,
    warm: bool = False,
) -> Engine:
    """Return an engine over the house's project, enlisted and not yet started.

    With `claim=False` it takes up only what `Engine.own` names. With `warm` the data
    libraries begin to load at once, because a run is sure to come. Raises `Conflict`
    when it cannot work beside the engines that share the database.
    """
    context, settings = house.context, house.settings
    shared = settings.sqlite_path is None
    if shared and _look_around(house, engine_id):
        warn_of_paths(house.former_path, context.project.path)
    preload = _preload(settings)
    executors: Registry[Executor] = Registry("executors")
    executors.offer(LOCAL_EXECUTOR, lambda: _local_executor(settings, preload, warm=warm))
    if warm:
        executors.get(LOCAL_EXECUTOR)
    engine = Engine(
        World(
            store=context.store,
            executors=executors,
            signals=context.signals,
            clock=context.clock,
            cron=cron_calendar,
            channels=_channels(),
            exclusive=not shared,
            checkpoint=context.checkpoint,
            hold=timedelta(seconds=4 * settings.lease_ttl),
        ),
        engine_id=engine_id,
        projects=[
            ServedProject(
                context.project, context.files, house.project_settings, house.outputs_root
            )
        ],
        dispatcher=Dispatcher(
            logs=context.logs,
            environment=_fingerprint(),
            new_token=new_token,
            memory_limit=settings.memory_limit,
            preload=preload,
            fsync=True,
            cron=cron_calendar,
            run_tests=run_tests,
        ),
        on_death=on_death,
        host=socket.gethostname(),
        pid=os.getpid(),
        data_dir=str(house.data.root),
        ttl=timedelta(seconds=settings.lease_ttl),
        claim=claim,
    )
    context.checkpoint("start.enlisted")
    if shared:
        # Once more, for those who looked at the same moment and saw nobody.
        try:
            _look_around(house, engine_id)
        except Conflict:
            with context.store.write() as unit:
                unit.engines.retire(engine.me)
            raise
    return engine


def _look_around(house: House, me: EngineId) -> int:
    """Return how many others are alive. Raises `Conflict` where one is out of reach."""
    with house.context.store.read() as unit:
        engines = unit.engines.all()
    return check_neighbours(engines, me, host=socket.gethostname())


def _local_executor(settings: Settings, preload: tuple[str, ...], *, warm: bool) -> Executor:
    executor = ProcessExecutor(
        _refuse,
        ttl=settings.lease_ttl,
        preload=preload,
        crash_at=settings.crash_at,
    )
    if warm:
        executor.warm(0)
    return executor


def engine_id(data: DataDir, slot: int = 0) -> EngineId:
    """Return the name of the engine in a slot of this data directory."""
    return data.engine_id(lambda: f"engine-{secrets.token_hex(4)}", slot)


def new_token() -> str:
    """Return 32 hex digits that nobody can guess."""
    return secrets.token_hex(16)


def _refuse(_run: RunId, name: str, _arguments: JsonMap) -> Json:
    """Answer a block's question: there is none yet that the engine knows."""
    raise NotFound(f"the engine knows no question named {name!r}")


def _plain_url(url: str) -> tuple[str, str]:
    """Return a URL for the driver, and the schema that it named for us."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    schema = query.pop(SCHEMA_KEY, "weft")
    return urlunsplit(parts._replace(query=urlencode(query))), schema


def _preload(settings: Settings) -> tuple[str, ...]:
    if settings.preload is not None:
        return settings.preload
    return tuple(name for name in DATA_LIBRARIES if importlib.util.find_spec(name) is not None)


def _channels() -> tuple[Channel, ...]:
    found = discover("channels")
    return tuple(found.get(name) for name in found)


def _fingerprint() -> str:
    """Return what an attempt's result may depend on beside its code, shortened."""
    parts = [__version__, platform.python_version(), platform.platform(), socket.gethostname()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
