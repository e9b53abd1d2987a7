"""The text of a pipeline's `metadata.yaml` with some of its keys changed."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from weft.core.errors import BrokenPipeline, Invalid
from weft.core.ids import PipelineUuid
from weft.core.json import Json, JsonMap
from weft.project.document import Source
from weft.project.emit import block, checked
from weft.project.patch import CannotPatch, patched, same


def edited(source: Source, changes: Mapping[str, Json]) -> str:
    """Return the text with top-level keys set, and all else as its author left it.

    First only the characters in question are replaced; where the shape of the text
    does not allow it, the document is written anew with its comments. Either way the
    result is read again, and refused unless it says exactly what was asked for.
    Raises `BrokenPipeline` when the text is no mapping, `Invalid` when YAML cannot
    hold the changes or they cannot be made.
    """
    old = source.parse()
    if not isinstance(old, dict) or not old:
        raise source.fault("the file holds no mapping to change", hint="Restore the file.")
    new = {**old, **checked(dict(changes))}
    if same(old, new):
        return source.text
    for change in (patched, _rewritten):
        try:
            text = change(source.text, old, new)
            if same(Source(source.path, text).parse(), new):
                return text
        except (CannotPatch, BrokenPipeline):
            continue
    raise Invalid(
        f"{source.path} cannot be changed without losing what is written there",
        hint="It may use anchors (&name) in what should change. Edit the file by hand.",
        where=source.where(()),
    )


def new_pipeline(
    name: str,
    *,
    uuid: PipelineUuid,
    pipeline_type: str,
    description: str | None,
    created_at: datetime | None,
) -> str:
    """Return the text of an empty pipeline's file, with the keys that Mage writes."""
    document: dict[str, Json] = {
        "name": name,
        "uuid": uuid,
        "description": description,
        "type": pipeline_type,
        "created_at": f"{created_at:%Y-%m-%d %H:%M:%S.%f+00:00}" if created_at else None,
        "tags": [],
        "blocks": [],
        "callbacks": [],
        "conditionals": [],
        "widgets": [],
        "variables": {},
    }
    return block(document)


def _rewritten(text: str, old: JsonMap, new: JsonMap) -> str:
    # Only edits of unusual files come here; others need not wait for the import.
    from ruamel.yaml import YAML  # noqa: PLC0415
    from ruamel.yaml.error import YAMLError  # noqa: PLC0415
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString  # noqa: PLC0415

    def quoted(value: Json) -> Any:
        match value:
            case dict():
                return {quoted(key): quoted(item) for key, item in value.items()}
            case list():
                return [quoted(item) for item in value]
            case str():
                return DoubleQuotedScalarString(value)
            case _:
                return value

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 2**31 - 1
    try:
        document = yaml.load(text)
        for key, value in new.items():
            if key not in old:
                document[quoted(key)] = quoted(value)
            elif not same(old[key], value):
                document[key] = quoted(value)
        out = io.StringIO()
        yaml.dump(document, out)
    except (YAMLError, ValueError, KeyError) as error:
        raise CannotPatch(f"the document cannot be written anew: {error}") from None
    return out.getvalue()
