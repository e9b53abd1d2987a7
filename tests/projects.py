"""Build small projects on disk for tests, from short Python dicts."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

_EXTENSIONS = {"python": "py", "sql": "sql", "r": "r", "yaml": "yaml", "markdown": "md"}


def write_project(
    path: Path,
    pipelines: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
) -> Path:
    """Write a project into `path` (made when absent) and return `path`.

    `pipelines` maps a name to `{"blocks": {uuid: block, ...}, <any YAML key>: ...}`.
    A block is its code, or `{"code": ..., "type": ..., "upstream": [...], <any YAML key>}`.
    `type` defaults to data_loader without and transformer with upstream blocks. Code
    without a `def` is the body of a function of `*args, **kwargs` and gets its
    decorator; code None leaves the file out. `settings` are keys of the project's
    `metadata.yaml`.

        write_project(tmp_path, {"sums": {"blocks": {
            "one": "return 1",
            "two": {"upstream": ["one"], "code": "return args[0] + 1", "timeout": 5},
        }}})
    """
    path.mkdir(parents=True, exist_ok=True)
    _dump(path / "metadata.yaml", {"project_uuid": "0" * 32, **(settings or {})})
    for name, pipeline in (pipelines or {}).items():
        write_pipeline(path, name, pipeline)
    return path


def write_pipeline(path: Path, name: str, pipeline: Mapping[str, Any]) -> Path:
    """Write one pipeline and its block files into a project; return its `metadata.yaml`."""
    keys = {key: value for key, value in pipeline.items() if key != "blocks"}
    blocks = {
        uuid: {"code": block} if isinstance(block, str) else dict(block)
        for uuid, block in pipeline.get("blocks", {}).items()
    }
    entries = [_entry(path, uuid, block, blocks) for uuid, block in blocks.items()]
    metadata = path / "pipelines" / name / "metadata.yaml"
    metadata.parent.mkdir(parents=True, exist_ok=True)
    (metadata.parent / "__init__.py").touch()
    _dump(metadata, {"name": name, "uuid": name, "type": "python", **keys, "blocks": entries})
    return metadata


def _entry(
    path: Path, uuid: str, block: dict[str, Any], blocks: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    upstream = list(block.pop("upstream", ()))
    kind = block.pop("type", "transformer" if upstream else "data_loader")
    code = block.pop("code", None)
    language = block.pop("language", "python")
    if code is not None:
        file = path / block_path(uuid, kind, language)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(_code(uuid, kind, code) if language == "python" else code)
    return {
        "uuid": uuid,
        "name": uuid,
        "type": kind,
        "language": language,
        "upstream_blocks": upstream,
        "downstream_blocks": [other for other, its in blocks.items() if _waits(its, uuid)],
        **block,
    }


def block_path(uuid: str, kind: str = "data_loader", language: str = "python") -> str:
    """Return where a block's file lies in its project."""
    folder = kind if kind == "custom" else f"{kind}s"
    return f"{folder}/{uuid}.{_EXTENSIONS[language]}"


def _waits(block: Mapping[str, Any], uuid: str) -> bool:
    return uuid in block.get("upstream", block.get("upstream_blocks", ()))


def _code(uuid: str, kind: str, code: str) -> str:
    code = textwrap.dedent(code).strip("\n") + "\n"
    if "def " in code:
        return code
    function = "".join(char if char.isalnum() else "_" for char in uuid)
    return f"@{kind}\ndef {function}(*args, **kwargs):\n{textwrap.indent(code, '    ')}"


def _dump(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(yaml.safe_dump(dict(document), sort_keys=False))
