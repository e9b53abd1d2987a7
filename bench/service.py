"""A Weft server as a user starts one, and the few questions a bench puts to it."""

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
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

WEFT = [sys.executable, "-m", "weft"]


class Service:
    """`weft start` on a project, in processes of its own."""

    def __init__(self, project: Path, data: Path, *, database_url: str | None = None) -> None:
        self.project, self.data = project, data
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.env = {**os.environ, "WEFT_DATA_DIR": str(data)}
        self.env.pop("WEFT_DATABASE_URL", None)
        if database_url:
            self.env["WEFT_DATABASE_URL"] = database_url

    def __enter__(self) -> Service:
        began = time.perf_counter()
        self.data.mkdir(parents=True, exist_ok=True)
        self.log = (self.data / "server.log").open("ab")
        command = [*WEFT, "start", str(self.project), "--port", str(self.port)]
        self.process = subprocess.Popen(
            command, env=self.env, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL
        )
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"weft start ended: {(self.data / 'server.log').read_text()}")
            try:
                self.get("/api/status")
                break
            except OSError:
                time.sleep(0.005)
        self.first_answer = time.perf_counter() - began
        self.tree = psutil.Process(self.process.pid)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        self.log.close()

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Send one request on a connection of its own; return the decoded body."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as link:
            text = None if body is None else json.dumps(body)
            link.request(method, path, text, {"Content-Type": "application/json"})
            answer = link.getresponse()
            data = json.loads(answer.read())
            if answer.status != http.HTTPStatus.OK:
                raise RuntimeError(f"{method} {path}: {answer.status} {data}")
            return data

    def get(self, path: str) -> Any:
        """Return the body of a GET."""
        return self.request("GET", path)

    def trigger_of(self, pipeline: str, **attributes: Any) -> dict[str, Any]:
        """Create a trigger (an active API trigger unless told otherwise)."""
        given = {"name": f"bench {pipeline}", "schedule_type": "api", "status": "active"}
        body = {"pipeline_schedule": {**given, **attributes}}
        made = self.request("POST", f"/api/pipelines/{pipeline}/pipeline_schedules", body)
        return dict(made["pipeline_schedule"])

    def fire(self, trigger: Mapping[str, Any]) -> int:
        """Start a run by its trigger's token; return the run's id."""
        path = f"/api/pipeline_schedules/{trigger['id']}/pipeline_runs/{trigger['token']}"
        return int(
            self.request("POST", path, {"pipeline_run": {"variables": {}}})["pipeline_run"]["id"]
        )

    def ended(self, run_id: int, limit: float = 300) -> dict[str, Any]:
        """Wait until a run has ended; return it. Raises if it did not complete."""
        give_up = time.monotonic() + limit
        while time.monotonic() < give_up:
            run = self.get(f"/api/pipeline_runs/{run_id}")["pipeline_run"]
            if run["status"] not in {"initial", "running"}:
                if run["status"] != "completed":
                    raise RuntimeError(f"run {run_id} is {run['status']}")
                return dict(run)
            time.sleep(0.1)  # seldom: asking takes processor time from what is measured
        raise RuntimeError(f"run {run_id} did not end in {limit} s: {run['status']}")

    def processes(self) -> list[psutil.Process]:
        """Return the server's process and all its children."""
        return [self.tree, *self.tree.children(recursive=True)]

    def pss(self) -> float:
        """Return the memory of all processes together, in MB of proportional set size."""
        total = 0
        for process in self.processes():
            for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        return total / 1024

    def cpu_seconds(self) -> float:
        """Return the processor time of all processes so far."""
        times = [process.cpu_times() for process in self.processes()]
        return sum(t.user + t.system for t in times)


def when(text: str) -> float:
    """Return a time of the API as seconds since 1970."""
    return datetime.fromisoformat(text).astimezone(UTC).timestamp()
