"""Query strings, read by the rules of the API.

Keys with `[]` take a comma list, and may be repeated. Of booleans only `false` and
`0` (and nothing) are false. Keys that nobody knows are ignored.
"""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.requests import Request

from weft.core.errors import Malformed

_FALSE = frozenset({"", "0", "false", "False"})
_LARGEST = 2**63 - 1


class Query:
    """The query string of one request."""

    def __init__(self, request: Request) -> None:
        self._params = request.query_params

    def text(self, key: str) -> str | None:
        """Return the first value, or None if it is absent or empty."""
        return self._params.get(key) or None

    def flag(self, key: str, *, default: bool = False) -> bool:
        """Return a boolean."""
        value = self._params.get(key)
        return default if value is None else value not in _FALSE

    def many(self, key: str) -> tuple[str, ...]:
        """Return the items of `key` and `key[]`, each a comma list, in order."""
        values = [*self._params.getlist(key), *self._params.getlist(f"{key}[]")]
        return tuple(part.strip() for value in values for part in value.split(",") if part.strip())

    def whole(self, key: str) -> int | None:
        """Return a whole number. Raises `Malformed`."""
        value = self.text(key)
        return None if value is None else _whole(key, value)

    def wholes(self, key: str) -> tuple[int, ...]:
        """Return the whole numbers of a comma list. Raises `Malformed`."""
        return tuple(_whole(key, value) for value in self.many(key))

    def size(self, key: str, default: int) -> int:
        """Return a whole number that is not negative. Raises `Malformed`."""
        value = self.whole(key)
        if value is None:
            return default
        if value < 0:
            raise Malformed(f"Value is invalid for {key}.", hint="It cannot be negative.")
        return value

    def moment(self, key: str) -> datetime | None:
        """Return a time given in seconds since 1970. Raises `Malformed`."""
        value = self.text(key)
        if value is None:
            return None
        try:
            return datetime.fromtimestamp(float(value), UTC)
        except (ValueError, OverflowError, OSError):
            raise Malformed(
                f"Value is invalid for {key}.", hint="Give seconds since 1970, as in 1700000000."
            ) from None

    def order(self, key: str) -> tuple[tuple[str, bool], ...]:
        """Return (column, descending) of `col`, `col asc`, `col desc`. Raises `Malformed`."""
        return tuple(_ordering(key, part) for part in self.many(key))


def _ordering(key: str, part: str) -> tuple[str, bool]:
    match part.split():
        case [column]:
            return column, False
        case [column, direction] if direction.lower() in {"asc", "desc"}:
            return column, direction.lower() == "desc"
        case _:
            raise Malformed(
                f"Value is invalid for {key}: {part!r}.",
                hint="Write `column asc` or `column desc`.",
            )


def _whole(key: str, value: str) -> int:
    try:
        number = int(value)
    except ValueError:
        number = _LARGEST + 1
    if abs(number) > _LARGEST:
        raise Malformed(f"Value is invalid for {key}.", hint="Give a whole number.")
    return number
