"""Any other Python value, readable only where the block's own libraries are."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from weft.artifacts.shown import shown, type_text
from weft.ports.outputs import CannotKeep, Preview


class PickleFormat:
    """Keeps what no other format can. Its files are never opened by the server."""

    name = "pickle"
    extension = "pickle"
    rank = 90
    safe = False

    def accepts(self, value: object) -> bool:  # noqa: ARG002  the last resort is asked about anything
        return True

    def dump(self, value: object, path: Path) -> dict[str, Any]:
        try:
            with path.open("wb") as file:
                pickle.dump(value, file, protocol=5)
        except MemoryError:
            raise
        except OSError as error:
            if error.errno is not None:
                raise
            raise CannotKeep(_reason(error)) from None
        except Exception as error:  # noqa: BLE001  pickling runs the user's own __reduce__
            raise CannotKeep(_reason(error)) from None
        return {"kind": type_text(value), "sample": shown(value)}

    def load(self, path: Path, kind: str) -> object:  # noqa: ARG002  pickle knows the kind itself
        with path.open("rb") as file:
            return pickle.load(file)  # noqa: S301  see above

    def preview(self, path: Path, rows: int) -> Preview:  # noqa: ARG002  see the text
        return Preview(value="a Python object, which only a block can read")


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return f"it cannot be pickled: {error}"
