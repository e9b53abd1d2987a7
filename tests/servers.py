"""Weft as its users run it: processes that a test starts, asks and kills."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import psutil

LIMIT = 60.0
"""Seconds that anything may take before a test gives up."""


class Server:
    """`weft start` on a project, in processes of its own."""

    def __init__(
        self,
        project: Path,
        data: Path,
        *,
        database_url: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.project, self.data = project, data
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.environment = {**os.environ, "WEFT_DATA_DIR": str(data), **(environment or {})}
        self.environment.pop("WEFT_DATABASE_URL", None)
        if database_url is not None:
            self.environment["WEFT_DATABASE_URL"] = database_url
        self.process: subprocess.Popen[bytes] | None = None
        self.log = data.parent / f"{data.name}.log"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ask the server to end, and wait until it did."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
                raise

    def start(self, *, answer: bool = True) -> None:
        """Start the server and, unless told otherwise, wait for its first answer."""
        command = [sys.executable, "-m", "weft", "start", str(self.project)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--port", str(self.port)],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        if answer:
            self.until(lambda: self.get("/api/status"))

    @property
    def pid(self) -> int:
        """The server's process."""
        assert self.process is not None
        return self.process.pid

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Kill the server's process (not its children) and wait for its end."""
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(30)

    def children(self) -> list[psutil.Process]:
        """Return every process that descends from the server."""
        return psutil.Process(self.pid).children(recursive=True)

    def until(self, question: Any, seconds: float = LIMIT) -> Any:
        """Ask until there is an answer that is not None; fail when the server ends."""
        give_up = time.monotonic() + seconds
        while True:
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text()
            try:
                answer = question()
            except OSError:
                answer = None
            if answer is not None:
                return answer
            assert time.monotonic() < give_up, f"no answer in {seconds} s: {self.said()}"
            # Another process: there is nothing here to wait on but its answers.
            _pause()

    def said(self) -> str:
        """Return what the server logged, and what stands in the logs of its blocks."""
        blocks = sorted(self.data.glob("logs/*/*"))
        parts = [self.log.read_text(), *(f"{path}:\n{path.read_text()}" for path in blocks)]
        return "\n".join(parts)

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        """Send one request; return the status and the decoded body."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)) as link:
            text = None if body is None else json.dumps(body)
            kind = {"Content-Type": "application/json"}
            link.request(method, path, text, {**kind, **(headers or {})})
            answer = link.getresponse()
            return answer.status, json.loads(answer.read())

    def get(self, path: str) -> Any:
        """Return the body of a GET that succeeds."""
        status, body = self.request("GET", path)
        assert status == http.client.OK, body
        return body

    def trigger_of(self, pipeline: str, **attributes: Any) -> dict[str, Any]:
        """Create a trigger: an active one of type api unless told otherwise."""
        given = {"name": f"of {pipeline}", "schedule_type": "api", "status": "active"}
        path = f"/api/pipelines/{pipeline}/pipeline_schedules"
        status, body = self.request("POST", path, {"pipeline_schedule": {**given, **attributes}})
        assert status == http.client.OK, body
        return dict(body["pipeline_schedule"])

    def fire(self, trigger: Mapping[str, Any], **body: Any) -> int:
        """Start a run by its trigger's token; return its id."""
        path = f"/api/pipeline_schedules/{trigger['id']}/pipeline_runs/{trigger['token']}"
        status, answer = self.request("POST", path, body or {"pipeline_run": {}})
        assert status == http.client.OK, answer
        return int(answer["pipeline_run"]["id"])

    def run(self, run_id: int) -> dict[str, Any]:
        """Return a run."""
        return dict(self.get(f"/api/pipeline_runs/{run_id}")["pipeline_run"])

    def block(self, run_id: int, uuid: str) -> dict[str, Any]:
        """Return a block run of a run."""
        return next(b for b in self.run(run_id)["block_runs"] if b["block_uuid"] == uuid)

    def ended(self, run_id: int, seconds: float = LIMIT) -> dict[str, Any]:
        """Wait until a run has ended; return it."""

        def ended() -> dict[str, Any] | None:
            run = self.run(run_id)
            return None if run["status"] in {"initial", "running"} else run

        return dict(self.until(ended, seconds))


def _pause() -> None:
    time.sleep(0.02)
