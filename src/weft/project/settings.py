"""The project's own `metadata.yaml` to settings."""

from __future__ import annotations

import re
from collections.abc import Mapping

from weft.core.retry import RetryPolicy
from weft.ports.project import ProjectSettings
from weft.project.document import Source
from weft.project.reader import merged_retry
from weft.project.section import Section

_ENV_VAR = re.compile(
    r"""\{\{\s*env_var\(\s*(?P<q>['"])(?P<name>\w+)(?P=q)\s*"""
    r"""(?:,\s*(?P<d>['"])(?P<default>[^'"]*)(?P=d)\s*)?\)\s*\}\}"""
)
_UNSET_REMOTE = "s3://bucket/path_prefix"
"""What Mage's own template writes for "no remote storage"."""


def filled_in(text: str, environment: Mapping[str, str]) -> str:
    """Return the text with each `{{ env_var('NAME'[, 'default']) }}` replaced."""
    return _ENV_VAR.sub(lambda m: environment.get(m["name"], m["default"] or ""), text)


def read_settings(source: Source) -> ProjectSettings:
    """Return the settings that a text declares; an empty one declares none.

    Raises `BrokenPipeline` with line and column. What is odd but harmless becomes a
    note of `source`.
    """
    document = source.parse()
    if document is None:
        document = {}
    if not isinstance(document, dict):
        raise source.fault(
            "the file must hold a mapping", hint="Its keys are `project_uuid` and so on."
        )
    top = Section(source, {k: v.strip() if isinstance(v, str) else v for k, v in document.items()})
    remote = _plain(top, "remote_variables_dir")
    concurrency = top.section("queue_config").count("concurrency")
    if concurrency == 0:
        raise top.fault(
            "concurrency must be at least 1",
            "queue_config",
            "concurrency",
            hint="20 is what Mage takes.",
        )
    return ProjectSettings(
        uuid=_plain(top, "project_uuid"),
        variables_dir=_plain(top, "variables_dir"),
        remote_variables_dir=None if remote == _UNSET_REMOTE else remote,
        concurrency=concurrency or ProjectSettings().concurrency,
        retry=merged_retry(RetryPolicy(), top.section("retry_config")),
        config=top.data,
    )


def _plain(top: Section, key: str) -> str | None:
    value = top.text(key) or None
    if value and "{{" in value:
        raise top.fault(
            f"{key} holds a template that Weft does not fill in",
            key,
            hint="Only {{ env_var('NAME') }} is filled in here; write the value, or use that.",
        )
    return value
