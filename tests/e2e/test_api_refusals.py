"""Bad input and foreign pages: refused clearly, with nothing stored."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.types import Message, Scope
from tests.served import BASE, Served, serving

from weft.api.app import create_app

LIMIT = 4096


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("refusals"), body_limit=LIMIT) as served:
        yield served


@pytest.fixture
def schedule(served: Served) -> Iterator[dict[str, Any]]:
    """A trigger; afterwards neither triggers nor runs are more than before."""
    made = served.schedule()
    before = served.counts()
    yield made
    assert served.counts() == before
    served.client.delete(f"/api/pipeline_schedules/{made['id']}")


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/api/pipelines/nosuch", 404, "record_not_found"),
        ("GET", "/api/pipelines/nosuch/blocks", 404, "record_not_found"),
        ("GET", "/api/pipelines/nosuch/logs", 404, "record_not_found"),
        ("GET", "/api/pipelines/sums/blocks/nosuch", 404, "record_not_found"),
        ("GET", "/api/pipeline_schedules/999", 404, "record_not_found"),
        ("GET", "/api/pipeline_schedules/abc", 404, "record_not_found"),
        ("GET", "/api/pipeline_schedules/-1", 404, "record_not_found"),
        ("GET", "/api/pipeline_schedules/²", 404, "record_not_found"),
        ("GET", "/api/pipeline_schedules/99999999999999999999", 404, "record_not_found"),
        ("GET", "/api/pipeline_schedules/999/pipeline_runs", 404, "record_not_found"),
        ("GET", "/api/pipeline_runs/999", 404, "record_not_found"),
        ("GET", "/api/pipeline_runs/999/logs/stream", 404, "record_not_found"),
        ("GET", "/api/block_runs/999", 404, "record_not_found"),
        ("GET", "/api/block_runs/999/outputs", 404, "record_not_found"),
        ("GET", "/api/block_runs/999/logs", 404, "record_not_found"),
        ("DELETE", "/api/pipeline_runs/999", 404, "record_not_found"),
        ("POST", "/api/pipeline_schedules/999/pipeline_runs/x", 404, "record_not_found"),
        ("GET", "/api/nothing", 404, "no_such_path"),
        ("GET", "/api/pipelines/", 404, "no_such_path"),
        ("GET", "/", 404, "no_such_path"),
        ("PATCH", "/api/pipelines", 405, "method_not_allowed"),
        ("DELETE", "/api/pipelines", 405, "method_not_allowed"),
        ("GET", "/api/pipeline_schedules/1/api_trigger", 405, "method_not_allowed"),
        ("GET", "/api/pipelines/%2e%2e%2fsecret", 400, "malformed"),
        ("GET", "/api/pipelines/%252e%252e%252fsecret", 400, "malformed"),
        ("GET", "/api/pipelines/sums/blocks/..%5csecret", 400, "malformed"),
        ("GET", "/api/pipelines/sums/blocks/a%2F..", 400, "malformed"),
        ("GET", "/api/pipelines?search=..%2Fx", 400, "malformed"),
        ("GET", "/api/pipelines/a%00b", 400, "malformed"),
        ("GET", "/api/pipelines?_order_by[]=colour", 422, "invalid"),
        ("GET", "/api/pipelines?status[]=asleep", 422, "invalid"),
    ],
)
def test_a_path_that_names_nothing_or_climbs(
    served: Served, method: str, path: str, status: int, kind: str
) -> None:
    answer = served.client.request(method, path)
    assert answer.status_code == status, answer.text
    assert served.error(answer)["type"] == kind
    assert answer.headers["content-type"] == "application/json"


def test_a_wrong_method_says_which_are_right(served: Served) -> None:
    assert served.client.patch("/api/pipelines").headers["allow"] == "GET"


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        (b"{", 400, "line 1"),
        (b'{"a": 1,\n "b": }', 400, "line 2, column 7"),
        (b"\xff\xfe", 400, "not valid JSON"),
        (b"a=1&b=2", 400, "not valid JSON"),
        (b'{"a": NaN}', 400, "not valid JSON"),
        (b'{"a": "\\ud800"}', 400, "not valid JSON"),
        (b'{"a": "\\u0000"}', 400, "NUL"),
        (b'{"a\\u0000b": 1}', 400, "NUL"),
        (b'{"a": ' + b"[" * 200 + b"]" * 200 + b"}", 400, "levels deep"),
        (b'{"a": ' + b"[" * 1500 + b"]" * 1500 + b"}", 400, "levels deep"),
        (b'{"a": "' + b"x" * LIMIT + b'"}', 413, str(LIMIT)),
        (b"[1]", 422, "must be a JSON object"),
        (b'"text"', 422, "must be a JSON object"),
        (b"null", 422, "must be a JSON object"),
        (b'{"pipeline_run": [1]}', 422, "pipeline_run"),
        (b'{"pipeline_run": {"variables": [1]}}', 422, "pipeline_run.variables"),
        (b'{"pipeline_run": {"execution_date": "soon"}}', 422, "pipeline_run.execution_date"),
        (b'{"pipeline_run": {"execution_date": 5}}', 422, "pipeline_run.execution_date"),
        (b'{"pipeline_run": {"backfill_id": "1"}}', 422, "pipeline_run.backfill_id"),
        (b'{"pipeline_run": {"status": "completed"}}', 422, "'status'"),
        (b'{"pipeline_run": {"variables": {"execution_partition": "../x"}}}', 422, "partition"),
    ],
)
def test_a_body_that_makes_no_sense(
    served: Served, schedule: dict[str, Any], body: bytes, status: int, named: str
) -> None:
    for path in (
        f"/api/pipeline_schedules/{schedule['id']}/pipeline_runs/{schedule['token']}",
        f"/api/pipeline_schedules/{schedule['id']}/pipeline_runs",
    ):
        if path.endswith("runs") and status == 422 and b"pipeline_run" not in body:
            continue
        answer = served.client.post(path, content=body)
        assert answer.status_code == status, answer.text
        assert named in served.error(answer)["message"]


def test_a_wrong_token_is_refused(served: Served, schedule: dict[str, Any]) -> None:
    path = f"/api/pipeline_schedules/{schedule['id']}/pipeline_runs"
    for token in ("deadbeef", schedule["token"][:-1], "tökén"):
        answer = served.client.post(f"{path}/{token}")
        assert answer.status_code == 401
        said = served.error(answer)
        assert said["message"] == f"Invalid token for pipeline schedule ID {schedule['id']}."
        assert schedule["token"] not in answer.text


def test_a_missing_wrapper_says_how_to_wrap(served: Served, schedule: dict[str, Any]) -> None:
    for method, path in (
        ("POST", "/api/pipelines/sums/pipeline_schedules"),
        ("PUT", f"/api/pipeline_schedules/{schedule['id']}"),
    ):
        answer = served.client.request(method, path, json={"name": "x"})
        assert answer.status_code == 422
        assert '{"pipeline_schedule": {...}}' in served.error(answer)["hint"]


@pytest.mark.parametrize("length", [None, LIMIT + 1])
def test_a_large_body_is_not_read_to_its_end(served: Served, length: int | None) -> None:
    app = create_app(served.context, version="1", body_limit=LIMIT)
    sent: list[Message] = []
    read = 0

    async def receive() -> Message:
        nonlocal read
        read += 1
        return {"type": "http.request", "body": b"x" * 1024, "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost")]
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "method": "POST",
        "scheme": "http",
        "path": "/api/pipelines/sums/pipeline_schedules",
        "raw_path": b"",
        "query_string": b"",
        "headers": headers,
    }
    anyio.run(app, scope, receive, send)
    assert sent[0]["status"] == 413
    assert (b"connection", b"close") in sent[0]["headers"]
    assert read == (0 if length else 5)


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:6789", "localhost.:1", "127.0.0.1", "127.9.9.9:80", "[::1]:6789"],
)
def test_loopback_names_are_known(served: Served, host: str) -> None:
    assert served.client.get("/api/status", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "192.168.0.1",
        "[::2]",
        "",
        "localhost:x",
        "evil.example@localhost",
        "localhost/evil.example",
        "[::1",
    ],
)
def test_a_foreign_host_is_refused(served: Served, host: str) -> None:
    answer = served.client.get("/api/status", headers={"Host": host})
    assert answer.status_code == 403
    assert served.error(answer)["type"] == "foreign_host"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "https://localhost:6789.evil.example"},
        {"Origin": "null"},
        {"Origin": "http://[::1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Site": "cross-site", "Origin": BASE},
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_a_foreign_page_is_refused(
    served: Served, schedule: dict[str, Any], headers: dict[str, str], method: str
) -> None:
    path = f"/api/pipeline_schedules/{schedule['id']}/pipeline_runs"
    answer = served.client.request(method, path, headers=headers)
    assert answer.status_code == 403
    assert served.error(answer)["type"] == "foreign_origin"
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_foreign_form_is_no_plain_navigation(served: Served, schedule: dict[str, Any]) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    path = f"/api/pipeline_schedules/{schedule['id']}/pipeline_runs"
    assert served.client.post(path, headers=headers).status_code == 403
    assert served.client.get(path, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{}, {"Origin": BASE}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}],
)
def test_our_own_page_and_programs_are_served(served: Served, headers: dict[str, str]) -> None:
    assert served.client.get("/api/pipelines", headers=headers).status_code == 200


def test_allowed_hosts_and_origins_are_served(tmp_path: Path) -> None:
    allowed: dict[str, Any] = {
        "allowed_hosts": ["weft.example"],
        "allowed_origins": ["https://ui.example"],
    }
    with serving(tmp_path, **allowed) as served:
        own = {"Host": "weft.example", "Origin": "http://weft.example"}
        assert served.client.get("/api/status", headers=own).status_code == 200
        ui = {"Origin": "https://ui.example", "Sec-Fetch-Site": "cross-site"}
        assert served.client.get("/api/status", headers=ui).status_code == 200
        other = {"Origin": "https://other.example"}
        assert served.client.get("/api/status", headers=other).status_code == 403


@pytest.mark.parametrize("path", ["/api/status", "/api/nothing", "/openapi.json"])
def test_every_answer_protects_itself(served: Served, path: str) -> None:
    headers = served.client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == "frame-ancestors 'none'"
    if path.startswith("/api"):
        assert headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in headers


def test_old_clients_get_errors_with_status_200(tmp_path: Path) -> None:
    with serving(tmp_path, legacy_errors=True) as served:
        for path in ("/api/pipelines/nosuch", "/api/nothing"):
            answer = served.client.get(path)
            assert answer.status_code == 200
            assert served.error(answer)["code"] == 404
        foreign = served.client.get("/api/status", headers={"Origin": "https://evil.example"})
        assert foreign.status_code == 403


def test_mage_s_switch_for_honest_codes_changes_nothing(served: Served) -> None:
    for path in ("/api/pipelines/nosuch", "/api/pipelines/nosuch?_http_error_codes=1"):
        assert served.client.get(path).status_code == 404


def test_the_unexpected_is_numbered_and_told_to_the_log_alone(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def explode(*_: object) -> None:
        raise ZeroDivisionError("the secret detail")

    monkeypatch.setattr(type(served.context.files), "scan", explode)
    with caplog.at_level(logging.ERROR):
        answer = served.client.get("/api/pipelines")
    assert answer.status_code == 500
    said = served.error(answer)
    assert said["type"] == "internal"
    assert "secret" not in json.dumps(said)
    (record,) = [record for record in caplog.records if record.message == "unexpected error"]
    assert record.error_id in said["message"]  # type: ignore[attr-defined]
    assert record.exc_info is not None
