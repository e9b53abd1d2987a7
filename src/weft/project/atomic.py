"""Files that are there whole or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from weft.core.errors import Unavailable, Where


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the folder of a file, so that two writers take turns, also across processes.

    A folder that is not there needs no turn: whoever reads next will not find it.
    """
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        yield
        return
    except OSError as error:
        raise _refused(path, error) from None
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def replace_file(path: Path, data: bytes) -> None:
    """Put `data` in place of a file, durably; the mode stays, readers see old or new.

    Raises `Unavailable` when the disk refuses; then the old file is as it was.
    """
    try:
        _replace_file(path, data)
    except OSError as error:
        raise _refused(path, error) from None


def make_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Make a folder with files, the last of `files` written last.

    Raises `FileExistsError` when it exists, and `Unavailable` when the disk refuses;
    then nothing of it remains.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir()
    except FileExistsError:
        raise
    except OSError as error:
        raise _refused(path, error) from None
    try:
        for name, data in files.items():
            _replace_file(path / name, data)
    except OSError as error:
        shutil.rmtree(path, ignore_errors=True)
        raise _refused(path, error) from None


def _replace_file(path: Path, data: bytes) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix="~")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, _mode(path))
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        Path(name).replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(name).unlink()
        raise
    _sync_folder(path.parent)


def _mode(path: Path) -> int:
    """Return the mode of a file, or that of a new file: what the folder's readers may read."""
    try:
        return path.stat().st_mode & 0o7777
    except FileNotFoundError:
        return path.parent.stat().st_mode & 0o666


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _refused(path: Path, error: OSError) -> Unavailable:
    return Unavailable(
        f"{path} cannot be written: {error.strerror}",
        hint="Look at the permissions and the free space of the project's disk.",
        where=Where(str(path)),
    )
