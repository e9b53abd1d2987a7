"""Outputs as files of one attempt: complete under their name, or not there at all.

A small plain value needs no file: it stands in its own address (a `data:` URI), which
the database keeps, and so is as durable as the rest of the manifest.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import BinaryIO, TypeAlias

from weft.artifacts.jsontext import check
from weft.artifacts.shown import short, type_text
from weft.core.artifact import Output
from weft.core.checkpoints import Checkpoint, unheeded
from weft.core.errors import NotFound, WeftError
from weft.plugins import discover
from weft.ports.outputs import CannotKeep, Format, InlineFormat

TOGETHER = 32
"""More plain values than this are kept as one output: the list of them."""

INLINE = 4096
"""Bytes up to which a plain value stands in its address."""

_DATA = "data:;base64,"

_log = logging.getLogger(__name__)

Seal: TypeAlias = Callable[[BinaryIO], None]
"""What is done to a complete file before it gets its name."""


class Unstorable(Exception):
    """No format can keep a value; the message names it, why, and what can be returned."""


@cache
def formats() -> tuple[Format, ...]:
    """Return every format, the first to be asked first. Scans plugins once per process."""
    registry = discover("formats")
    return tuple(sorted((registry.get(name) for name in registry), key=lambda each: each.rank))


def store(
    values: Sequence[object], directory: Path, *, fsync: bool, checkpoint: Checkpoint = unheeded
) -> tuple[Output, ...]:
    """Write values as `output_0`, `output_1`, ... and return what they became.

    More than `TOGETHER` plain values become one output of kind `values`, the list of
    them: whoever reads the block's outputs gets the same list, from one file instead
    of thousands. Raises `Unstorable` and `OSError`.
    """
    if not values:
        return ()

    def seal(file: BinaryIO) -> None:
        if fsync:
            os.fsync(file.fileno())
        checkpoint("output.written")

    if len(values) > TOGETHER and _plain(values):
        outputs = [_store_one(list(values), "output_0", directory, seal, kind="values")]
    else:
        outputs = [
            _store_one(value, f"output_{number}", directory, seal)
            for number, value in enumerate(values)
        ]
    if fsync and not all(map(is_inline, outputs)):
        _fsync(directory)
    return tuple(outputs)


def is_inline(output: Output) -> bool:
    """Whether the value stands in its address."""
    return output.uri.startswith(_DATA)


def inline_bytes(output: Output) -> bytes:
    """Return what stands in the address of an inline output."""
    return base64.b64decode(output.uri.removeprefix(_DATA))


def load(output: Output) -> object:
    """Read a value back as it was. Raises `NotFound` when its file is gone."""
    form = format_named(output.format)
    if isinstance(form, InlineFormat) and is_inline(output):
        return form.from_bytes(inline_bytes(output), output.kind)
    path = Path(output.uri)
    if not path.exists():
        raise NotFound(
            f"the file of {output.name} is gone: {output.uri}",
            hint="Run the block again that made it.",
        )
    return form.load(path, output.kind)


def format_named(name: str) -> Format:
    """Return a format. Raises `WeftError` when its plugin is not installed."""
    for form in formats():
        if form.name == name:
            return form
    raise WeftError(
        f"nothing here reads the format {name!r}", hint="Install the plugin that wrote it."
    )


def _plain(values: Sequence[object]) -> bool:
    try:
        check(list(values))
    except CannotKeep:
        return False
    return True


def _store_one(
    value: object, name: str, directory: Path, seal: Seal, *, kind: str | None = None
) -> Output:
    """Write one value in the first format that can keep it."""
    reasons: list[str] = []
    for form in formats():
        if not form.accepts(value):
            continue
        try:
            output = _write(value, name, directory, form, seal=seal, kind=kind)
        except CannotKeep as refusal:
            reasons.append(str(refusal))
            if refusal.final:
                break
            continue
        if reasons and form.name == "pickle" and hasattr(value, "columns"):
            _log.warning(
                "%s is a table that is kept as pickle, without a preview: %s", name, reasons[0]
            )
        return output
    raise Unstorable(
        f"{name} is a {type_text(value)}, which cannot be stored: {short('; '.join(reasons))}. "
        "Return a table (pandas, polars, Arrow), plain values, or any object that can be "
        "pickled and whose class is importable."
    )


def _write(
    value: object, name: str, directory: Path, form: Format, *, seal: Seal, kind: str | None
) -> Output:
    if isinstance(form, InlineFormat):
        data = form.to_bytes(value)
        if len(data) <= INLINE:
            return _inline(value, name, form, data, kind)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}.{form.extension}"
    draft = directory / f".{name}.{os.getpid()}.tmp"
    try:
        told = form.dump(value, draft)
        with draft.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = os.fstat(file.fileno()).st_size
            seal(file)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return Output(
        name=name,
        uri=str(path),
        format=form.name,
        kind=kind or told["kind"],
        bytes=size,
        content_hash=f"sha256:{digest}",
        rows=told.get("rows"),
        schema=told.get("schema"),
        sample=told.get("sample"),
    )


def _inline(value: object, name: str, form: InlineFormat, data: bytes, kind: str | None) -> Output:
    told = form.describe(value)
    return Output(
        name=name,
        uri=_DATA + base64.b64encode(data).decode("ascii"),
        format=form.name,
        kind=kind or told["kind"],
        bytes=len(data),
        content_hash=f"sha256:{hashlib.sha256(data).hexdigest()}",
        sample=told.get("sample"),
    )


def _fsync(directory: Path) -> None:
    """Make the names in a directory as durable as the files' contents."""
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
