"""Every setting of Weft: the one file that reads the environment.

A value comes from, in this order: a flag, the environment (ours, then Mage's name),
`settings.toml` in the data directory, the default. Each remembers which it was.
"""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from weft.app.sizes import limit_text, parse_limit
from weft.core.errors import Invalid, MissingExtra, NotFound, Where

FILE_NAME = "settings.toml"
CRASH_AT = "WEFT_CRASH_AT"
"""For tests: the point of `core.checkpoints` at which a process is to end."""
_REMOTE = re.compile(r"^(?P<scheme>[a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "abfs": "azure", "az": "azure"}
Number = TypeVar("Number", int, float)
Range = tuple[float, float]
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@dataclass(frozen=True, slots=True)
class Known:
    """One setting that exists: its names, its default as people read it, its meaning."""

    name: str
    variable: str
    default: str
    meaning: str
    mage_variable: str | None = None
    secret: bool = False


KNOWN = (
    Known("project_dir", "WEFT_PROJECT_DIR", "the current folder", "The project's folder.",
          mage_variable="MAGE_REPO_PATH"),
    Known("data_dir", "WEFT_DATA_DIR", "~/.weft/<folder>-<8 hex>",
          "Database, logs and outputs; on a local disk.", mage_variable="MAGE_DATA_DIR"),
    Known("database_url", "WEFT_DATABASE_URL", "weft.db in the data directory",
          "Where runs are kept: `sqlite:///path` or `postgresql://user:password@host/name`.",
          secret=True),
    Known("env", "WEFT_ENV", "dev", "The environment that blocks are told of as `env`.",
          mage_variable="ENV"),
    Known("secret_key", "WEFT_SECRET_KEY", "none", "Key that seals stored secrets.", secret=True),
    Known("log_level", "WEFT_LOG_LEVEL", "INFO", "Least level of the service's own log."),
    Known("log_format", "WEFT_LOG_FORMAT", "auto",
          "`json`, `text`, or `auto`: text on a terminal, JSON otherwise."),
    Known("host", "WEFT_HOST", "127.0.0.1", "Address that the server listens on."),
    Known("port", "WEFT_PORT", "6789", "Port that the server listens on."),
    Known("lease_ttl", "WEFT_LEASE_TTL", "15", "Seconds after which a silent engine is given up."),
    Known("drain_grace", "WEFT_DRAIN_GRACE", "10",
          "Seconds that running blocks get to end when the engine is told to stop."),
    Known("memory_limit", "WEFT_MEMORY_LIMIT", "none",
          "Memory that one block may use, such as `512M` or `2G`; one that wants more fails "
          "with the cause `out_of_memory`."),
    Known("sqlite_synchronous", "WEFT_SQLITE_SYNCHRONOUS", "NORMAL",
          "`NORMAL`, or `FULL`: survive a power cut without losing the last moments."),
    Known("mage_status_codes", "WEFT_MAGE_STATUS_CODES", "false",
          "Answer errors with HTTP status 200, for old clients of Mage."),
    Known("preload", "WEFT_PRELOAD", "auto",
          "Modules, by comma, that are imported before blocks are forked; `auto`: the data "
          "libraries that are installed; empty: none."),
)  # fmt: skip
"""The table behind `weft settings` and docs/reference/settings.md."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What is in force, and where each value came from (`origins`, by name).

    Paths are absolute, sizes in bytes. `preload` None means: whichever data libraries exist.
    """

    project_dir: Path
    data_dir: Path
    database_url: str
    env: str
    secret_key: str | None
    log_level: str
    log_format: str
    host: str
    port: int
    lease_ttl: float
    drain_grace: float
    memory_limit: int | None
    sqlite_synchronous: str
    mage_status_codes: bool
    preload: tuple[str, ...] | None
    crash_at: str | None = None
    remote_outputs: str | None = None
    """`MAGE_DATA_DIR` when it is a URL: it then moves outputs only."""
    ignored: Mapping[str, str] = field(default_factory=dict)
    """Variables of Mage that were seen and not used, with the reason."""
    origins: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The whole environment, for the projects' own `env_var`."""

    @property
    def sqlite_path(self) -> Path | None:
        """The database's file, or None when it is a server."""
        return sqlite_path(self.database_url)

    def outputs_root(self, variables_dir: str | None) -> Path:
        """Return where the outputs of the project go, by Mage's rules for `variables_dir`.

        `~` is expanded, a relative path belongs to the project, an absolute one gets
        the project's name appended unless it is the project. Without it: the data
        directory. Raises `MissingExtra` for a URL.
        """
        wanted = self.remote_outputs or variables_dir
        if not wanted:
            return self.data_dir / "outputs"
        if remote := _REMOTE.match(wanted):
            raise _no_remote(wanted, remote["scheme"].lower())
        path = Path(wanted).expanduser()
        if not path.is_absolute():
            return (self.project_dir / path).resolve()
        path = path.resolve()
        return path if path == self.project_dir else path / self.project_dir.name

    def shown(self) -> tuple[tuple[str, str, str], ...]:
        """Return (name, value, source) of each setting, secrets masked."""
        return tuple(
            (known.name, self._display(known), self.origins.get(known.name, "default"))
            for known in KNOWN
        )

    def _display(self, known: Known) -> str:
        value = getattr(self, known.name)
        if known.name == "database_url":
            return masked_url(str(value))
        if known.secret:
            return "none" if value is None else "********"
        if known.name == "memory_limit":
            return limit_text(value)
        if known.name == "preload":
            return "auto" if value is None else ",".join(value)
        return str(value).lower() if isinstance(value, bool) else str(value)


def read_settings(
    flags: Mapping[str, object] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    adopt_database: bool = False,
) -> Settings:
    """Gather the settings; `flags` are by name, and None among them means not given.

    With `adopt_database`, `MAGE_DATABASE_CONNECTION_URL` counts when ours is absent.
    Raises `Invalid` naming the variable, flag or line that makes no sense, and
    `NotFound` when the project's folder does not exist.
    """
    source = _Source(
        {name: str(value) for name, value in (flags or {}).items() if value is not None},
        os.environ if environment is None else environment,
    )
    project_dir = _project_dir(source)
    data_dir, remote = _data_dir(source, project_dir)
    source.read_file(data_dir / FILE_NAME)
    url, ignored = _database_url(source, data_dir, adopt=adopt_database)
    return Settings(
        project_dir=project_dir,
        data_dir=data_dir,
        database_url=url,
        env=source.text("env", "dev"),
        secret_key=source.text("secret_key", "") or None,
        log_level=source.choice("log_level", "INFO", _LEVELS),
        log_format=source.choice("log_format", "auto", ("auto", "json", "text")),
        host=source.text("host", "127.0.0.1"),
        port=source.number("port", 6789, int, within=(0, 65535)),
        lease_ttl=source.number("lease_ttl", 15.0, float, within=(0.3, 3600)),
        drain_grace=source.number("drain_grace", 10.0, float, within=(0, 3600)),
        memory_limit=source.limit("memory_limit"),
        sqlite_synchronous=source.choice("sqlite_synchronous", "NORMAL", ("NORMAL", "FULL")),
        mage_status_codes=source.flag("mage_status_codes", default=False),
        preload=source.names("preload"),
        crash_at=source.environment.get(CRASH_AT),
        remote_outputs=remote,
        ignored=ignored,
        origins=dict(source.origins),
        environment=dict(source.environment),
    )


def default_data_dir(project_dir: Path, home: Path) -> Path:
    """Return `~/.weft/<folder>-<8 hex of the real path>`."""
    real = project_dir.resolve()
    digest = hashlib.sha256(os.fsencode(real)).hexdigest()[:8]
    return home / ".weft" / f"{real.name or 'root'}-{digest}"


def sqlite_path(url: str) -> Path | None:
    """Return the file that a SQLite URL names, or None for any other URL."""
    scheme, _, rest = url.partition("://")
    if scheme.split("+")[0] != "sqlite":
        return None
    return Path(rest.removeprefix("/").split("?")[0])


def masked_url(url: str) -> str:
    """Return a URL whose password, if any, is not shown."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    before, _, host = parts.netloc.rpartition("@")
    user = before.partition(":")[0]
    return urlunsplit(parts._replace(netloc=f"{user}:********@{host}"))


class _Source:
    """Looks a name up where it may stand, and remembers where it stood."""

    def __init__(self, flags: Mapping[str, str], environment: Mapping[str, str]) -> None:
        self.flags = flags
        self.environment = environment
        self.file: Mapping[str, Any] = {}
        self.origins: dict[str, str] = {}
        self._path = Path(FILE_NAME)
        self._known = {known.name: known for known in KNOWN}

    def read_file(self, path: Path) -> None:
        try:
            self.file = tomllib.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return
        except (OSError, ValueError) as error:  # no TOML and no UTF-8 are both values
            raise Invalid(
                f"the settings file cannot be read: {error}", where=Where(str(path))
            ) from None
        unknown = sorted(set(self.file) - set(self._known))
        if unknown:
            raise Invalid(
                f"unknown setting {unknown[0]!r}",
                hint=f"There is: {', '.join(sorted(self._known))}.",
                where=Where(str(path)),
            )
        self._path = path

    def text(self, name: str, default: str) -> str:
        known = self._known[name]
        if name in self.flags:
            return self._from("command line", name, self.flags[name])
        for variable in (known.variable, known.mage_variable):
            if variable and self.environment.get(variable):
                return self._from(f"environment {variable}", name, self.environment[variable])
        if name in self.file:
            value = self.file[name]
            text = str(value).lower() if isinstance(value, bool) else str(value)
            return self._from(f"file {self._path}", name, text)
        self.origins[name] = "default"
        return default

    def choice(self, name: str, default: str, allowed: tuple[str, ...]) -> str:
        given = self.text(name, default)
        for value in allowed:
            if given.lower() == value.lower():
                return value
        raise self._bad(name, given, f"one of {', '.join(allowed)}")

    def number(
        self, name: str, default: Number, kind: Callable[[str], Number], *, within: Range
    ) -> Number:
        given = self.text(name, str(default))
        try:
            value = kind(given)
        except ValueError:
            value = None
        if value is None or not within[0] <= value <= within[1]:
            raise self._bad(name, given, f"a number from {within[0]} to {within[1]}")
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        given = self.text(name, str(default)).lower()
        if given in {"1", "true", "yes", "on"}:
            return True
        if given in {"0", "false", "no", "off"}:
            return False
        raise self._bad(name, given, "true or false")

    def limit(self, name: str) -> int | None:
        given = self.text(name, "none")
        try:
            return parse_limit(given)
        except ValueError:
            raise self._bad(name, given, "none, or a size from 16M, such as 512M or 2G") from None

    def names(self, name: str) -> tuple[str, ...] | None:
        if self.environment.get(self._known[name].variable) == "" and name not in self.flags:
            self.origins[name] = f"environment {self._known[name].variable}"
            return ()
        given = self.text(name, "auto")
        if given == "auto":
            return None
        return tuple(part.strip() for part in given.split(",") if part.strip())

    def _from(self, origin: str, name: str, value: str) -> str:
        self.origins[name] = origin
        return value

    def _bad(self, name: str, given: str, wanted: str) -> Invalid:
        return Invalid(
            f"{name} is {given!r}, from {self.origins[name]}", hint=f"It must be {wanted}."
        )


def _project_dir(source: _Source) -> Path:
    path = Path(source.text("project_dir", ".")).expanduser().resolve()
    if not path.is_dir():
        raise NotFound(
            f"the project folder {path} does not exist",
            hint=f"Create a project with `weft init {path}`.",
        )
    return path


def _data_dir(source: _Source, project_dir: Path) -> tuple[Path, str | None]:
    """Return the data directory, and the URL that `MAGE_DATA_DIR` names instead of one.

    Mage appends the project's name to an absolute data directory, so that projects
    can share it; where its variable counts, so does its rule.
    """
    default = default_data_dir(project_dir, _home(source))
    given = source.text("data_dir", str(default))
    from_mage = source.origins["data_dir"].endswith("MAGE_DATA_DIR")
    if _REMOTE.match(given):
        if from_mage:
            source.origins["data_dir"] = "default"
            return default, given
        raise Invalid(
            f"the data directory {given!r} is a URL",
            hint="The database must lie on a local disk; `variables_dir` of the project "
            "says where outputs go.",
        )
    path = Path(given).expanduser()
    if from_mage:
        path = project_dir / path
        path = path if path.resolve() == project_dir else path / project_dir.name
    return path.absolute(), None


def _home(source: _Source) -> Path:
    return Path(source.environment.get("HOME") or Path.home())


def _database_url(source: _Source, data_dir: Path, *, adopt: bool) -> tuple[str, Mapping[str, str]]:
    url = source.text("database_url", f"sqlite:///{data_dir / 'weft.db'}")
    mage = source.environment.get("MAGE_DATABASE_CONNECTION_URL")
    if not mage:
        return _checked_url(source, url), {}
    if adopt and source.origins["database_url"] == "default":
        if not mage.startswith("postgres"):
            raise Invalid(
                "only a PostgreSQL database of Mage can be adopted",
                hint="Leave --adopt-database out: Weft then keeps its own weft.db.",
            )
        source.origins["database_url"] = "environment MAGE_DATABASE_CONNECTION_URL (adopted)"
        return _checked_url(source, mage), {}
    reason = "ignored: Weft keeps its own database; --adopt-database uses this one"
    return _checked_url(source, url), {"MAGE_DATABASE_CONNECTION_URL": reason}


def _checked_url(source: _Source, url: str) -> str:
    scheme, divider, rest = url.partition("://")
    dialect = {"sqlite": "sqlite", "postgresql": "postgresql", "postgres": "postgresql"}.get(
        scheme.split("+")[0]
    )
    if dialect is None or not divider or (dialect == "sqlite" and not rest.startswith("/")):
        raise Invalid(
            f"the database URL {masked_url(url)!r}, from {source.origins['database_url']}, "
            "is of no kind that Weft knows",
            hint="Write `sqlite:////absolute/path.db` or `postgresql://user:password@host/name`.",
        )
    if dialect == "sqlite":
        return f"sqlite:///{Path(rest.removeprefix('/')).absolute()}"
    return f"{dialect}://{rest}"


def _no_remote(url: str, scheme: str) -> MissingExtra:
    extra = _EXTRAS.get(scheme)
    if extra is None:
        return MissingExtra(
            f"outputs cannot be kept at {url!r}: nothing knows {scheme}://",
            hint="Set `variables_dir` of the project to a folder.",
        )
    return MissingExtra(
        f"outputs at {url!r} need the extra {extra!r}, which is not installed",
        hint=f"Install it with `pip install 'weft[{extra}]'`, or set `variables_dir` of the "
        "project to a folder.",
    )
