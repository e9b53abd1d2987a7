"""Identifiers as distinct types, so that a type checker refuses to mix them."""

from __future__ import annotations

from typing import NewType

ProjectId = NewType("ProjectId", int)
PipelineUuid = NewType("PipelineUuid", str)
"""Name of a pipeline's folder: the only identity a pipeline has."""
BlockUuid = NewType("BlockUuid", str)
"""Name of a block in its pipeline; children carry a suffix, as in `fan:0:1`."""
VersionId = NewType("VersionId", int)
ScheduleId = NewType("ScheduleId", int)
RunId = NewType("RunId", int)
BlockRunId = NewType("BlockRunId", int)
EngineId = NewType("EngineId", str)
"""Name of an engine; it lives in the data directory and outlives restarts."""
