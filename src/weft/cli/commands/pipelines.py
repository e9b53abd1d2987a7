"""List and show the pipelines of a project."""

from __future__ import annotations

import click

from weft.cli.desk import Desk, at_a_desk, examples
from weft.cli.output import fields, table
from weft.core.ids import PipelineUuid
from weft.core.json import Json
from weft.core.spec import LoadedPipeline
from weft.ports.project import Quarantined
from weft.services import pipelines
from weft.services.caller import LOCAL


@click.group()
def command() -> None:
    """List and show the pipelines of a project."""


@command.command(
    "list", epilog=examples("weft pipelines list", "weft pipelines list -C dir --json")
)
@at_a_desk
def list_(desk: Desk) -> None:
    """List the pipelines, the broken ones with what is wrong."""
    with desk.house() as house:
        page = pipelines.list_pipelines(house.context, LOCAL, pipelines.PipelineQuery())
    found = [_listed(view.found) for view in page.items]
    desk.out.answer(
        found,
        lambda: table(
            ("pipeline", "type", "blocks", "trouble"),
            [(item["uuid"], item["type"], item["blocks"], item["error"]) for item in found],
        ),
    )


@command.command("show", epilog=examples("weft pipelines show example_pipeline --json"))
@click.argument("pipeline")
@at_a_desk
def show(desk: Desk, pipeline: str) -> None:
    """Show a pipeline with its blocks."""
    with desk.house() as house:
        view = pipelines.get_pipeline(house.context, LOCAL, PipelineUuid(pipeline))
    assert isinstance(view.found, LoadedPipeline)  # noqa: S101 - a broken one raises
    spec, notes = view.found.spec, view.found.notes
    blocks: list[dict[str, Json]] = [
        {
            "uuid": block.uuid,
            "type": block.type,
            "language": block.language,
            "upstream_blocks": list(block.upstream),
            "path": block.path,
        }
        for block in spec.blocks
    ]
    answer = {
        "uuid": spec.uuid,
        "name": spec.name,
        "type": spec.type,
        "description": spec.description,
        "tags": list(spec.tags),
        "variables": dict(spec.variables),
        "blocks": blocks,
        "notes": list(notes),
    }

    def human() -> None:
        fields({key: answer[key] for key in ("uuid", "name", "type", "description", "variables")})
        click.echo()
        table(
            ("block", "type", "language", "after", "file"),
            [
                (b["uuid"], b["type"], b["language"], ", ".join(b["upstream_blocks"]), b["path"])
                for b in blocks
            ],
        )
        for note in notes:
            desk.out.say(f"Note: {note}")

    desk.out.answer(answer, human)


def _listed(found: LoadedPipeline | Quarantined) -> dict[str, Json]:
    if isinstance(found, Quarantined):
        return {"uuid": found.uuid, "type": None, "blocks": None, "error": str(found.error)}
    spec = found.spec
    return {"uuid": spec.uuid, "type": spec.type, "blocks": len(spec.blocks), "error": None}
