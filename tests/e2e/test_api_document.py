"""The OpenAPI document, and the right that every route declares."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute
from tests.served import Served, serving

from weft.api.app import routers
from weft.api.declare import RIGHT
from weft.services.caller import Caller, Right

ROUTES = [route for router in routers() for route in router.routes]
OPERATIONS = [
    (method, route)
    for route in ROUTES
    if isinstance(route, APIRoute)
    for method in sorted(route.methods or ())
]
NAMES = [f"{method} {route.path}" for method, route in OPERATIONS]
BODY = {
    "pipeline_schedule": {"name": "x"},
    "pipeline_run": {},
    "block": {"content": "x"},
}
"""What any route that takes a body finds its part in."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("document")) as served:
        yield served


def test_there_is_nothing_but_ordinary_routes() -> None:
    assert len(ROUTES) > 25
    assert all(isinstance(route, APIRoute) for route in ROUTES)
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize(("method", "route"), OPERATIONS, ids=NAMES)
def test_a_route_declares_its_right_and_describes_itself(method: str, route: APIRoute) -> None:
    extra = route.openapi_extra
    assert extra is not None
    assert extra[RIGHT] in {*Right}, "say which right it needs"
    if method in {"PUT", "DELETE"}:
        assert extra[RIGHT] not in {Right.PUBLIC, Right.READ}
    assert route.tags
    assert route.summary
    assert route.responses[200]["content"], "give an example of its answer"


@pytest.mark.parametrize(("method", "route"), OPERATIONS, ids=NAMES)
def test_a_route_refuses_whoever_lacks_the_right(
    tmp_path: Path, method: str, route: APIRoute
) -> None:
    assert route.openapi_extra is not None
    right = Right(route.openapi_extra[RIGHT])
    others = Caller("ada", frozenset(Right) - {right})
    with serving(tmp_path, identify=lambda _request: others) as served:
        path = re.sub(r"\{pipeline_uuid\}", "sums", route.path)
        path = re.sub(r"\{block_uuid:path\}", "one", path)
        path = re.sub(r"\{\w+\}", "1", path)
        body = None
        if method in {"POST", "PUT"}:
            # The trigger endpoints know no wrapper but `pipeline_run`.
            body = {"pipeline_run": {}} if right is Right.PUBLIC else BODY
        headers = {"Authorization": "Bearer x"}
        answer = served.client.request(method, path, json=body, headers=headers)
        assert answer.status_code == 403, answer.text
        said = served.error(answer)
        assert said["type"] == "unauthorized_access"
        assert right.value in said["message"]


def test_the_document_names_every_route(served: Served) -> None:
    document = served.client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert document["info"] == {"title": "Weft", "version": "1.2.3"}
    listed = {
        f"{method.upper()} {path}"
        for path, operations in document["paths"].items()
        for method in operations
    }
    assert listed == {name.replace(":path}", "}") for name in NAMES}


def test_the_document_is_sound(served: Served) -> None:
    document = served.client.get("/openapi.json").json()
    seen: set[str] = set()
    for path, operations in document["paths"].items():
        for operation in operations.values():
            check_operation(path, operation)
            assert operation["operationId"] not in seen
            seen.add(operation["operationId"])


def check_operation(path: str, operation: dict[str, Any]) -> None:
    parameters = operation.get("parameters", [])
    names = [(one["name"], one["in"]) for one in parameters]
    assert len(set(names)) == len(names), path
    assert {name for name, place in names if place == "path"} == set(re.findall(r"{(\w+)}", path))
    for one in parameters:
        assert one["schema"]["type"] in {"string", "integer", "number", "boolean"}
    assert {"200", "default"} <= set(operation["responses"])
    for answer in operation["responses"].values():
        assert answer["description"]
        assert all("example" in kind for kind in answer["content"].values())
    assert "$ref" not in str(operation)


def test_nothing_is_fetched_from_elsewhere(served: Served) -> None:
    for path in ("/docs", "/redoc"):
        assert served.client.get(path).status_code == 404


def test_the_application_is_there_quickly() -> None:
    code = (
        "import sys, weft.api.app\n"
        "heavy = {'pandas', 'pyarrow', 'polars', 'duckdb', 'sqlalchemy', 'httpx'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
