"""One transaction over all stores."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property

from weft.store.artifacts import SqlArtifacts
from weft.store.catalog import SqlCatalog
from weft.store.engines import SqlEngines
from weft.store.journal import SqlEvents, SqlOutbox
from weft.store.limits import SqlLimits
from weft.store.runs import SqlRuns
from weft.store.schedules import SqlSchedules
from weft.store.session import Session


class SqlUnit:
    """Implements `ports.unit.Unit`; each store is made when it is first asked for."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @cached_property
    def catalog(self) -> SqlCatalog:
        """Projects and versions."""
        return SqlCatalog(self._session)

    @cached_property
    def schedules(self) -> SqlSchedules:
        """Schedules."""
        return SqlSchedules(self._session)

    @cached_property
    def runs(self) -> SqlRuns:
        """Runs."""
        return SqlRuns(self._session)

    @cached_property
    def limits(self) -> SqlLimits:
        """Limits."""
        return SqlLimits(self._session)

    @cached_property
    def artifacts(self) -> SqlArtifacts:
        """Accepted outputs."""
        return SqlArtifacts(self._session)

    @cached_property
    def events(self) -> SqlEvents:
        """Events."""
        return SqlEvents(self._session)

    @cached_property
    def outbox(self) -> SqlOutbox:
        """Announcements."""
        return SqlOutbox(self._session)

    @cached_property
    def engines(self) -> SqlEngines:
        """Engines and leases."""
        return SqlEngines(self._session)

    def now(self) -> datetime:
        """Return the database's time."""
        return self._session.now()
