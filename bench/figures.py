"""Every figure: what it measures, its floor, its aim."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import storage
from bench.service import WEFT, Service, when
from bench.workloads import chain, fanout, write_project

WORKLOADS = {
    "chain4_trivial": chain(4, "trivial"),
    "chain4_frame": chain(4, "frame"),
    "chain50_trivial": chain(50, "trivial"),
    "chain50_frame": chain(50, "frame"),
    "fanout50_trivial": fanout(50, "trivial"),
    "fanout50_frame": fanout(50, "frame"),
}
PLACES = 20
"""Blocks live at once: the default of a project, and the floor's."""


def spread(values: Sequence[float], scale: float = 1000.0) -> dict[str, float]:
    """Return minimum, median, p99 and maximum, in milliseconds."""
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, round(0.99 * (len(ordered) - 1)))]
    found = {"min": ordered[0], "p50": statistics.median(ordered), "p99": p99, "max": ordered[-1]}
    return {key: round(value * scale, 2) for key, value in found.items()} | {"n": len(ordered)}


def emit(figure: str, **facts: Any) -> Mapping[str, Any]:
    """Print one figure as one line."""
    line = {"figure": figure, **facts}
    print(json.dumps(line), flush=True)
    return line


def floor(name: str, rounds: int) -> list[float]:
    """Run the floor of a workload in a process of its own; seconds per round."""
    command = [sys.executable, "-m", "bench.floor", name, str(rounds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return list(json.loads(done.stdout))


def latencies(service: Service, name: str, rounds: int) -> list[float]:
    """Return seconds from sending the trigger to `completed_at`, one run at a time."""
    trigger = service.trigger_of(name)
    service.ended(service.fire(trigger))
    found = []
    for _ in range(rounds):
        sent = time.time()
        found.append(when(service.ended(service.fire(trigger))["completed_at"]) - sent)
    return found


def workloads(service: Service, kind: str, rounds: int) -> Iterator[Mapping[str, Any]]:
    """Measure each workload beside its floor, in turn."""
    for name, workload in WORKLOADS.items():
        times = max(3, rounds // workload.depth)
        ours, floors = latencies(service, name, times), floor(name, times)
        commits = storage.commit_seconds(service.env.get("WEFT_DATABASE_URL"), service.data)
        # Made, begun and, per block of the longest path, handed on.
        needed = (2 + workload.depth) * commits
        base = statistics.median(floors)
        yield emit(
            f"{name}.{kind}",
            measures="trigger sent to completed_at",
            weft_ms=spread(ours),
            floor_ms=spread(floors),
            ratio=round(statistics.median(ours) / base, 2),
            commit_ms=round(commits * 1000, 3),
            ratio_with_commits=round(statistics.median(ours) / (base + needed), 2),
            aim="chain4: ratio <= 2 (SQLite), ratio_with_commits <= 2 (PostgreSQL)",
        )


def burst(service: Service, kind: str, rounds: int) -> Iterator[Mapping[str, Any]]:
    """Measure 50 API-triggered runs of chain4 sent at once."""
    for value in ("trivial", "frame"):
        trigger = service.trigger_of(f"chain4_{value}", name=f"burst {value}")
        ours = []
        for _ in range(rounds):
            sent = time.time()
            ids = [service.fire(trigger) for _ in range(50)]
            ours.append(max(when(service.ended(id_)["completed_at"]) for id_ in ids) - sent)
        floors = floor(f"burst50_{value}", rounds)
        share = statistics.median(floors) / statistics.median(ours)
        yield emit(
            f"burst50_{value}.{kind}",
            measures="first trigger sent to last completed_at",
            weft_ms=spread(ours),
            floor_ms=spread(floors),
            share_of_floor_throughput=round(share, 2),
            aim="share >= 0.5",
        )


def first_line(service: Service, kind: str, rounds: int) -> Mapping[str, Any]:
    """Measure from an API trigger to the first line that the first block prints."""
    trigger = service.trigger_of("chain4_trivial", name="first line")
    service.ended(service.fire(trigger))
    found = []
    for _ in range(rounds):
        sent = time.time()
        run = service.ended(service.fire(trigger))
        logs = service.data / "logs" / str(run["id"])
        lines = [json.loads(line) for path in logs.iterdir() for line in path.open()]
        begun = min(line["timestamp"] for line in lines if line["message"] == "begun")
        found.append(begun - sent)
    return emit(
        f"api_to_first_line.{kind}",
        measures="trigger sent to the first line of the first block",
        weft_ms=spread(found),
        aim="p50 <= 30",
    )


def cron(service: Service, kind: str, seconds: float) -> Mapping[str, Any]:
    """Measure how late runs of an every-second schedule are made."""
    trigger = service.trigger_of(
        "chain4_trivial",
        name="every second",
        schedule_type="time",
        schedule_interval="* * * * * *",
    )
    time.sleep(seconds)
    service.request(
        "PUT",
        f"/api/pipeline_schedules/{trigger['id']}",
        {"pipeline_schedule": {"status": "inactive"}},
    )
    listed = service.get(f"/api/pipeline_schedules/{trigger['id']}/pipeline_runs?_limit=1000")
    runs = listed["pipeline_runs"]
    late = [when(run["created_at"]) - when(run["execution_date"]) for run in runs[:-1]]
    return emit(
        f"cron_lateness.{kind}",
        measures="execution_date to created_at, one schedule that fires every second",
        weft_ms=spread(late),
        aim="p99 <= 100",
    )


def listing(service: Service, kind: str, rounds: int) -> Mapping[str, Any]:
    """Measure the first page of the list of runs."""
    found = []
    for _ in range(rounds):
        began = time.perf_counter()
        service.get("/api/pipeline_runs?_limit=40")
        found.append(time.perf_counter() - began)
    return emit(f"list_first_page.{kind}", weft_ms=spread(found), aim="p50 <= 20")


def idle(service: Service, kind: str, seconds: float, state: str) -> Mapping[str, Any]:
    """Measure what a server costs that has nothing to do."""
    before, queries = service.cpu_seconds(), storage.transactions(service.env)
    time.sleep(seconds)
    used = service.cpu_seconds() - before
    after = storage.transactions(service.env)
    rate = None if queries is None or after is None else (after - queries) / seconds
    return emit(
        f"idle_{state}.{kind}",
        measures=f"{seconds:.0f} s without work",
        percent_of_a_core=round(100 * used / seconds, 3),
        pss_mb=round(service.pss(), 1),
        processes=len(service.processes()),
        transactions_per_second=None if rate is None else round(rate, 2),
        aim="< 0.5 % of a core; PSS <= 110 MB before the first run, <= 200 MB warm; "
        "transactions: lease upkeep only (2 per 5 s)",
    )


def command_line(rounds: int) -> Mapping[str, Any]:
    """Measure `weft --help` beside `python -c pass`."""
    found: dict[str, list[float]] = {"weft": [], "python": []}
    for _ in range(rounds):
        for name, command in (
            ("weft", [*WEFT, "--help"]),
            ("python", [sys.executable, "-c", "pass"]),
        ):
            began = time.perf_counter()
            subprocess.run(command, capture_output=True, check=True)
            found[name].append(time.perf_counter() - began)
    return emit(
        "weft_help",
        weft_ms=spread(found["weft"]),
        floor_ms=spread(found["python"]),
        aim="p50 <= 150",
    )


def start_up(
    project: Path, data: Path, kind: str, url: str | None, rounds: int
) -> Mapping[str, Any]:
    """Measure from `weft start` to its first answer."""
    found = []
    for _ in range(rounds):
        with Service(project, data, database_url=url) as service:
            found.append(service.first_answer)
    return emit(f"start_to_first_answer.{kind}", weft_ms=spread(found), aim="p50 <= 1500")


def measure(kind: str, url: str | None, folder: Path, *, rounds: int, filled: int) -> None:
    """Measure everything on one database, empty and then with `filled` finished runs."""
    project, data = folder / "project", folder / "data"
    write_project(project, list(WORKLOADS.values()))
    with Service(project, data, database_url=url) as service:
        idle(service, kind, 20, "before_first_run")
        first_line(service, kind, rounds * 2)
        list(workloads(service, kind, rounds))
        list(burst(service, kind, max(3, rounds // 5)))
        cron(service, kind, 30)
        listing(service, kind, rounds)
        time.sleep(1)
        idle(service, kind, 20, "warm")
    start_up(project, data, kind, url, 5)
    if filled:
        storage.fill(url, data, filled)
        full = f"{kind}.{filled}_runs"
        start_up(project, data, full, url, 3)
        with Service(project, data, database_url=url) as service:
            idle(service, full, 20, "before_first_run")
            first_line(service, full, rounds * 2)
            emit_chain4(service, full, rounds)
            listing(service, full, rounds)
            cron(service, full, 20)
    shutil.rmtree(folder)


def emit_chain4(service: Service, kind: str, rounds: int) -> None:
    """Measure chain4 again, to compare with the figure on an empty database."""
    for name in ("chain4_trivial", "chain4_frame"):
        emit(f"{name}.{kind}", weft_ms=spread(latencies(service, name, rounds)))
