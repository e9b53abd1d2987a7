"""One attempt: load the inputs, run the block, keep its outputs, test them, tell how it ended."""

from __future__ import annotations

import contextlib
import importlib
import os
import resource
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from weft.artifacts import files
from weft.blocks import faults
from weft.core.artifact import Output
from weft.core.checkpoints import Checkpoint, unheeded
from weft.core.errors import NotFound, WeftError
from weft.core.json import Json
from weft.core.spec import NO_OUTPUT
from weft.core.states import Cause
from weft.plugins import discover
from weft.ports.blocks import BlockFailed, Language, Task
from weft.wire.envelope import Envelope, Input
from weft.wire.result import Completed, Errored, Result
from weft.worker.logs import DictLogger, LogWriter, captured

_RESERVE = 4 * 1024 * 1024
"""Bytes set aside, to be let go when the block leaves no memory to tell of its end."""

_ONE_AT_A_TIME = threading.Lock()
"""Standard output, the root logger and `sys.path` belong to the whole process."""


@cache
def languages() -> dict[str, Language]:
    """Return every language by name. Scans plugins once per process."""
    registry = discover("blocks")
    return {name: registry.get(name) for name in registry}


def warm() -> None:
    """Load what every attempt needs, so that forked children find it loaded.

    Call it again after importing data libraries: what goes with them is loaded then.
    """
    languages()
    files.formats()
    if {"pandas", "pyarrow"} <= set(sys.modules):
        importlib.import_module("weft.artifacts.pandas_table")


def execute(
    envelope: Envelope,
    *,
    ask: Callable[..., Json],
    stopping: threading.Event | None = None,
    checkpoint: Checkpoint = unheeded,
) -> Result:
    """Carry out one attempt in this process, and tell how it ended.

    Everything printed and logged goes to `envelope.log_path`, outputs to
    `envelope.output_dir`; they are complete on disk when this returns. `ask` puts a
    question to the engine. Set `stopping` to end what waits (a sensor). Attempts in
    several threads take turns. Never raises, whatever the block does.
    """
    reserve = bytes(_RESERVE)
    began = resource.getrusage(resource.RUSAGE_SELF)
    pid = os.getpid()
    try:
        with _ONE_AT_A_TIME, _logged(envelope) as logger, _importable(envelope.project_path):
            result = _attempt(
                envelope, logger, ask, stopping or threading.Event(), checkpoint=checkpoint
            )
    except MemoryError:
        del reserve
        result = Errored(_fault("The block ran out of memory.", "MemoryError", envelope))
        result = replace(result, cause=Cause.OUT_OF_MEMORY)
    except BaseException as error:  # noqa: BLE001  told as data: nobody above can do better
        result = Errored(
            faults.described(error, path=envelope.code_path, project_path=envelope.project_path)
        )
    if os.getpid() != pid:
        # A copy that the block forked and forgot: the original tells the end.
        os._exit(0)
    return replace(result, metrics={**result.metrics, **_spent(began)})


def inputs_of(upstream: Input) -> object:
    """Return what a block receives for one upstream block.

    The value of a single output; the list of the values of several, in the order of
    their numbers; an empty list when there is none. Raises `NotFound`, `WeftError`.
    """
    outputs = sorted(upstream.outputs, key=_number)
    if upstream.block_type in NO_OUTPUT or not outputs:
        return []
    if len(outputs) == 1:
        return files.load(outputs[0])
    return [files.load(output) for output in outputs]


def _attempt(
    envelope: Envelope,
    logger: DictLogger,
    ask: Callable[..., Json],
    stopping: threading.Event,
    *,
    checkpoint: Checkpoint,
) -> Result:
    pid = os.getpid()
    try:
        language = _language(envelope)
        task = Task(
            envelope=envelope,
            inputs=_inputs(envelope),
            logger=logger,
            context={},
            ask=ask,
            stopping=stopping,
        )
        returned = language.run(task)
        if os.getpid() != pid:
            return Completed()
        outputs = _stored(returned.outputs, envelope, checkpoint)
        if envelope.run_tests:
            returned.check()
    except BlockFailed as failure:
        _tell(logger, failure.error)
        return Errored(failure.error, cause=failure.cause, final=failure.final)
    except (WeftError, files.Unstorable) as error:
        kind = "Unstorable" if isinstance(error, files.Unstorable) else type(error).__name__
        hint = getattr(error, "hint", None)
        fault = _fault(f"{error} {hint}" if hint else str(error), kind, envelope)
        _tell(logger, fault)
        return Errored(fault)
    except MemoryError:
        raise
    except Exception as error:
        logger.exception("The outputs of block %s could not be kept.", envelope.block_uuid)
        return Errored(
            faults.described(error, path=envelope.code_path, project_path=envelope.project_path)
        )
    return Completed(outputs, _sizes(outputs))


def _language(envelope: Envelope) -> Language:
    known = languages()
    if envelope.language not in known:
        raise NotFound(
            f"Block {envelope.block_uuid} is written in {envelope.language!r}, "
            "which nothing here can run.",
            hint=f"There is: {', '.join(sorted(known))}.",
        )
    return known[envelope.language]


def _inputs(envelope: Envelope) -> Sequence[object]:
    values: list[object] = []
    for upstream in envelope.inputs:
        try:
            values.append(inputs_of(upstream))
        except (MemoryError, WeftError):
            raise
        except Exception as error:  # unpickling runs the user's own code
            raise WeftError(
                f"Block {envelope.block_uuid} cannot read what block {upstream.block_uuid} "
                f"returned: {type(error).__name__}: {error}"
            ) from error
    return values


def _stored(
    values: Sequence[object], envelope: Envelope, checkpoint: Checkpoint
) -> tuple[Output, ...]:
    if envelope.block_type in NO_OUTPUT:
        return ()
    try:
        directory = Path(envelope.output_dir)
        return files.store(values, directory, fsync=envelope.fsync, checkpoint=checkpoint)
    except files.Unstorable as error:
        raise files.Unstorable(f"Block {envelope.block_uuid}: {error}") from None


def _number(output: Output) -> tuple[int, str]:
    digits = output.name.rpartition("_")[2]
    return (int(digits) if digits.isdigit() else 0, output.name)


def _sizes(outputs: Sequence[Output]) -> dict[str, Json]:
    return {
        "rows_out": sum(output.rows or 0 for output in outputs),
        "bytes_out": sum(output.bytes for output in outputs),
    }


def _spent(began: resource.struct_rusage) -> dict[str, Json]:
    ended = resource.getrusage(resource.RUSAGE_SELF)
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "cpu_seconds": ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime,
        "peak_memory_bytes": ended.ru_maxrss * unit,
    }


def _fault(message: str, kind: str, envelope: Envelope) -> dict[str, Any]:
    return faults.plain(
        message, kind=kind, path=envelope.code_path, project_path=envelope.project_path
    )


def _tell(logger: DictLogger, fault: Any) -> None:
    tags = {
        "error": fault["error"],
        "error_stack": fault["errors"],
        "error_stacktrace": fault["message"],
    }
    # Many an exception says little without its name: the text of a KeyError is a key.
    told = f"{fault['type']}: {fault['error']}" if len(fault["errors"]) > 1 else fault["error"]
    logger.error("%s", told, extra={"tags": tags})


@contextlib.contextmanager
def _logged(envelope: Envelope) -> Iterator[DictLogger]:
    writer = LogWriter(envelope.log_path, envelope.tags)
    try:
        with captured(writer) as logger:
            yield logger
    finally:
        writer.close()


@contextlib.contextmanager
def _importable(project_path: str) -> Iterator[None]:
    """Let `from <project>.x import y` and `from x import y` work.

    Appended, never put first: a project's folders (`dbt`, `custom`) are named like packages.
    """
    before = sys.path[:]
    parent = str(Path(project_path).parent)
    sys.path += [path for path in (parent, project_path) if path not in sys.path]
    try:
        yield
    finally:
        sys.path[:] = before
