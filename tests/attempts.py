"""Run one block of Python for a test, as a worker would, in this process."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weft.artifacts import files
from weft.core.artifact import Output
from weft.wire.envelope import Envelope, Input
from weft.wire.result import Completed, Errored, Result
from weft.worker import runtime


def no_questions(name: str, **_: Any) -> Any:
    """Refuse: blocks in these tests ask the engine nothing."""
    raise AssertionError(f"the block asked for {name}")


@dataclass
class Bench:
    """A project folder with nothing in it, and blocks run as if they were its own."""

    path: Path
    runs: int = field(default=0)

    def envelope(
        self,
        code: str | None,
        *,
        type: str = "data_loader",  # noqa: A002  the word of the envelope
        uuid: str = "block",
        inputs: Sequence[Input] = (),
        **more: Any,
    ) -> Envelope:
        self.runs += 1
        project = self.path / "shop"
        project.mkdir(exist_ok=True)
        return Envelope(
            token="secret",
            project_path=str(project),
            pipeline_uuid="pipe",
            run_id=7,
            block_run_id=self.runs,
            block_uuid=uuid,
            block_type=type,
            language=more.pop("language", "python"),
            attempt=more.pop("attempt", 1),
            try_number=more.pop("try_number", 1),
            code=code if code is None else textwrap.dedent(code),
            code_path=str(project / f"{type}s" / f"{uuid}.py"),
            output_dir=str(self.path / "out" / str(self.runs)),
            log_path=str(self.path / "logs" / f"{self.runs}.log"),
            inputs=tuple(inputs),
            tags={"block_uuid": uuid, "pipeline_run_id": 7},
            fsync=False,
            **more,
        )

    def run(self, code: str | None, **more: Any) -> Result:
        return runtime.execute(self.envelope(code, **more), ask=no_questions)

    def completed(self, code: str, **more: Any) -> Completed:
        result = self.run(code, **more)
        assert isinstance(result, Completed), result.error["message"]
        return result

    def errored(self, code: str | None, **more: Any) -> Errored:
        result = self.run(code, **more)
        assert isinstance(result, Errored), result
        return result

    def values(self, code: str, **more: Any) -> list[object]:
        """Run a block and read all its outputs back."""
        return [files.load(output) for output in self.completed(code, **more).outputs]

    def upstream(self, *values: object, uuid: str = "up", type: str = "data_loader") -> Input:  # noqa: A002
        """Store values as the outputs of a block upstream."""
        self.runs += 1
        outputs = files.store(values, self.path / "out" / str(self.runs), fsync=False)
        return Input(uuid, type, outputs)

    def received(self, *inputs: Input) -> list[object]:
        """Return what a transformer receives for these inputs."""
        [stored] = self.values(
            """
            @transformer
            def f(*args):
                return {"args": list(args)}
            """,
            type="transformer",
            inputs=inputs,
        )
        assert isinstance(stored, dict)
        return list(stored["args"])

    def lines(self) -> list[dict[str, Any]]:
        """Return the log lines of the last attempt."""
        text = (self.path / "logs" / f"{self.runs}.log").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def messages(self) -> list[str]:
        return [line["message"] for line in self.lines()]


def outputs_of(*values: object, directory: Path) -> tuple[Output, ...]:
    """Store values without a block."""
    return files.store(values, directory, fsync=False)
