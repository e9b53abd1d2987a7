"""Blocks in Python: how a block's text becomes calls of its functions.

The text runs in a fresh namespace that already holds the decorator named as the
block's type, `test`, `preprocesser`, and the upstream outputs. Then the
preprocessers, the first decorated function, and after the outputs are stored the
tests. docs/reference/python-blocks.md is this contract for authors.
"""

from __future__ import annotations

import builtins
import contextlib
import inspect
import logging
import sys
import types
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from weft.blocks.faults import encodable, failed, plain, prime
from weft.blocks.signature import Mismatch, call, shape, validate
from weft.core.states import Cause
from weft.ports.blocks import BlockFailed, Returned, Task
from weft.sdk.context import Context, enter
from weft.sdk.decorators import marks
from weft.wire.envelope import Envelope

LOOK_SECONDS = 60.0
"""How long a sensor waits between two looks."""

_Function = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class _Found:
    """The functions that a block's text decorated, in the order of its lines."""

    functions: list[_Function] = field(default_factory=list)
    tests: list[_Function] = field(default_factory=list)
    preprocessers: list[_Function] = field(default_factory=list)


class PythonLanguage:
    """Executes Python blocks of every type that gets a block run."""

    name = "python"
    extensions = (".py",)

    def check(self, code: str, path: str) -> Sequence[str]:
        try:
            _compiled(code, path)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            line = getattr(error, "lineno", None)
            where = f"{path}:{line}" if line else path
            return (encodable(f"{where}: {getattr(error, 'msg', None) or error}"),)
        return ()

    def run(self, task: Task) -> Returned:
        envelope = task.envelope
        if envelope.code is None:
            raise BlockFailed(
                _plain(
                    f"Block {envelope.block_uuid} has no code: its file does not exist.",
                    "MissingFile",
                    envelope,
                ),
                final=True,
            )
        code = _checked(envelope.code, envelope)
        keywords = _keywords(task)
        module = types.ModuleType(f"block:{envelope.block_uuid}")
        with _blamed(envelope), _running(module, task, keywords):
            found = _executed(code, module, task)
            for preprocesser in found.preprocessers:
                _awaited(call(preprocesser, envelope.block_uuid, task.inputs, keywords))
            if not found.functions:
                raise Mismatch(
                    f"Block {envelope.block_uuid} does not have any decorated functions: put "
                    f"@{envelope.block_type} above the one that is to run."
                )
            function = found.functions[0]
            if envelope.block_type == "sensor":
                _watch(function, task, keywords)
                outputs: tuple[object, ...] = ()
            else:
                upstream = [each.block_uuid for each in envelope.inputs]
                validate(function, envelope.block_uuid, inputs=len(task.inputs), upstream=upstream)
                outputs = _outputs(
                    _awaited(call(function, envelope.block_uuid, task.inputs, keywords))
                )

        def check() -> None:
            with _blamed(envelope), _running(module, task, keywords):
                _tested(found.tests, outputs, task, keywords)

        return Returned(outputs=outputs, check=check)


@contextlib.contextmanager
def _blamed(envelope: Envelope) -> Iterator[None]:
    """Turn whatever the user's code raises into `BlockFailed`."""
    try:
        yield
    except BlockFailed:
        raise
    except Mismatch as error:
        raise BlockFailed(_plain(str(error), "InvalidBlock", envelope)) from None
    except BaseException as error:  # noqa: BLE001  also SystemExit and the user's own kinds
        if isinstance(error, MemoryError | RecursionError):
            _release(error)
        raise failed(error, path=envelope.code_path, project_path=envelope.project_path) from None


@contextlib.contextmanager
def _running(module: types.ModuleType, task: Task, keywords: Mapping[str, Any]) -> Iterator[None]:
    """Make the block's namespace a module for as long as its code runs.

    Dataclasses, typing and inspect look it up by `__module__`. Its name cannot be
    imported, so that no object refers to it in a stored output.
    """
    envelope = task.envelope
    sys.modules[module.__name__] = module
    enter(
        Context(
            pipeline_uuid=envelope.pipeline_uuid,
            block_uuid=envelope.block_uuid,
            run_id=envelope.run_id,
            attempt=envelope.attempt,
            try_number=envelope.try_number,
            repo_path=envelope.project_path,
            keywords=keywords,
        )
    )
    try:
        yield
    finally:
        enter(None)
        sys.modules.pop(module.__name__, None)


def _release(error: BaseException) -> None:
    """Let go of what the failed frames hold, so that there is memory to tell of it."""
    trace = error.__traceback__
    while trace is not None:
        # A frame that still runs (ours) refuses.
        with contextlib.suppress(RuntimeError):
            trace.tb_frame.clear()
        trace = trace.tb_next


def _checked(code: str, envelope: Envelope) -> types.CodeType:
    """Compile a block's text. Raises a final `BlockFailed`: trying again cannot help."""
    prime(envelope.code_path, code)
    try:
        return _compiled(code, envelope.code_path)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        fault = failed(error, path=envelope.code_path, project_path=envelope.project_path)
        text = f"Block {envelope.block_uuid} is not valid Python: {fault.error['error']}"
        raise BlockFailed({**fault.error, "error": text}, final=True) from None


def _executed(code: types.CodeType, module: types.ModuleType, task: Task) -> _Found:
    """Execute a block's text and return what it decorated."""
    envelope = task.envelope
    found = _Found()
    namespace = module.__dict__
    namespace["__file__"] = envelope.code_path
    namespace["__builtins__"] = builtins.__dict__
    for number, (upstream, value) in enumerate(
        zip(envelope.inputs, task.inputs, strict=False), start=1
    ):
        namespace[upstream.block_uuid] = value
        namespace[f"df_{number}"] = value
    namespace["test"] = _collector(found.tests)
    namespace["preprocesser"] = _collector(found.preprocessers)
    namespace[envelope.block_type] = _collector(found.functions)
    exec(code, namespace)  # noqa: S102  running it is the job
    _add_marked(found, namespace, envelope.block_type)
    return found


def _compiled(code: str, path: str) -> types.CodeType:
    return compile(code.removeprefix("\ufeff"), path, "exec", dont_inherit=True)


def _collector(into: list[_Function]) -> _Function:
    """Return a decorator that notes a function; usable bare and with parentheses."""

    def decorate(*args: Any, **_: Any) -> Any:
        if len(args) == 1 and callable(args[0]):
            into.append(args[0])
            return args[0]
        return decorate

    return decorate


def _add_marked(found: _Found, namespace: Mapping[str, Any], block_type: str) -> None:
    """Add functions whose decorator was imported from `weft.sdk` instead of found here."""
    for value in list(namespace.values()):
        for into, name in (
            (found.functions, block_type),
            (found.tests, "test"),
            (found.preprocessers, "preprocesser"),
        ):
            if isinstance(value, types.FunctionType) and name in marks(value) and value not in into:
                into.append(value)


def _keywords(task: Task) -> dict[str, Any]:
    envelope = task.envelope
    return {
        **envelope.variables,
        "pipeline_uuid": envelope.pipeline_uuid,
        "block_uuid": envelope.block_uuid,
        "repo_path": envelope.project_path,
        "configuration": dict(envelope.configuration),
        "context": task.context,
        "logger": task.logger,
        "retry": {"attempts": envelope.try_number},
    }


def _watch(function: _Function, task: Task, keywords: Mapping[str, Any]) -> None:
    """Call a sensor until it says yes, looking once a minute.

    It gets keywords if it declares `**kwargs`, and inputs if it declares `*args` as
    well, or names parameters for them.
    """
    envelope = task.envelope
    has = shape(function)
    inputs: Sequence[object] = ()
    if has is None or has.named or (has.takes_any and has.takes_keywords):
        inputs = task.inputs
        upstream = [each.block_uuid for each in envelope.inputs]
        validate(function, envelope.block_uuid, inputs=len(inputs), upstream=upstream)
    while not _awaited(call(function, envelope.block_uuid, inputs, keywords)):
        task.logger.info("Sensor %s is not satisfied; next look in 1 minute.", envelope.block_uuid)
        if task.stopping.wait(LOOK_SECONDS):
            raise BlockFailed(
                _plain(f"Sensor {envelope.block_uuid} was told to stop.", "Stopped", envelope),
                cause=Cause.CANCELLED,
            )


def _awaited(value: Any) -> Any:
    """Return what a coroutine returns; any other value as it is."""
    if not inspect.iscoroutine(value):
        return value
    import asyncio  # noqa: PLC0415  few blocks are asynchronous, and each child would pay for it

    return asyncio.run(value)


def _outputs(value: Any) -> tuple[object, ...]:
    """Return the outputs that a returned value stands for.

    None is no output; a tuple or list is one output per element; a generator is run
    to its end and becomes one output, the list of what it yielded.
    """
    if value is None:
        return ()
    if type(value) in (tuple, list):
        return tuple(value)
    if isinstance(value, types.GeneratorType):
        return (list(value),)
    if isinstance(value, types.AsyncGeneratorType):
        return (_awaited(_collected(value)),)
    return (value,)


def _collected(items: AsyncIterator[Any]) -> Coroutine[Any, Any, list[Any]]:
    async def collect() -> list[Any]:
        return [item async for item in items]

    return collect()


def _tested(
    tests: Sequence[_Function],
    outputs: Sequence[object],
    task: Task,
    keywords: Mapping[str, Any],
) -> None:
    """Run a block's tests. Raises `BlockFailed` unless all pass.

    An `AssertionError` counts and the others still run; anything else ends it at once.
    """
    if not tests:
        return
    envelope = task.envelope
    passed = 0
    for function in tests:
        try:
            _awaited(call(function, envelope.block_uuid, outputs, keywords))
        except AssertionError as error:
            fault = failed(error, path=envelope.code_path, project_path=envelope.project_path).error
            name = getattr(function, "__name__", "test")
            task.logger.log(logging.ERROR, "%s failed:\n%s", name, fault["message"])
        else:
            passed += 1
    task.logger.info("%s/%s tests passed.", passed, len(tests))
    if passed < len(tests):
        raise BlockFailed(
            _plain(
                f"Failed to pass tests for block {envelope.block_uuid}: "
                f"{passed}/{len(tests)} tests passed.",
                "TestsFailed",
                envelope,
            )
        )


def _plain(message: str, kind: str, envelope: Envelope) -> dict[str, Any]:
    return plain(message, kind=kind, path=envelope.code_path, project_path=envelope.project_path)
