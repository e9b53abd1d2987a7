"""Pipelines and blocks: as the files say, the broken ones too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.served import Served, serving

from weft.artifacts.files import store

NOTE = "# ünïcode ✓\n@data_loader\ndef load(*args, **kwargs):\n    return 5\n"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path) as served:
        yield served


def names(served: Served, query: str = "") -> list[str]:
    answer = served.client.get(f"/api/pipelines?{query}")
    assert answer.status_code == 200, answer.text
    return [item["uuid"] for item in answer.json()["pipelines"]]


def block(served: Served, uuid: str = "one") -> Any:
    return served.client.get(f"/api/pipelines/sums/blocks/{uuid}")


def test_filters_and_orders(served: Served) -> None:
    served.schedule("sums", status="inactive")
    served.schedule("sums", status="active")
    assert names(served) == ["lone", "sums"]
    assert names(served, "search=UM") == ["sums"]
    assert names(served, "type[]=pyspark,other") == ["lone"]
    assert names(served, "tag[]=daily") == ["sums"]
    assert names(served, "tag[]=no_tags") == ["lone"]
    assert names(served, "tag[]=no_tags&tag[]=sums") == ["lone", "sums"]
    assert names(served, "status[]=active&include_schedules=1") == ["sums"]
    assert names(served, "status[]=no_schedules&include_schedules=1") == ["lone"]
    assert names(served, "status[]=inactive") == []
    assert names(served, "_order_by[]=-uuid") == ["sums", "lone"]
    assert names(served, "_order_by[]=blocks") == ["lone", "sums"]
    assert names(served, "_order_by[]=-triggers") == ["sums", "lone"]
    assert names(served, "_order_by[]=-type&_order_by[]=uuid") == ["sums", "lone"]


def test_the_list_pages(served: Served) -> None:
    first = served.client.get("/api/pipelines?_limit=1").json()
    assert [item["uuid"] for item in first["pipelines"]] == ["lone"]
    assert first["metadata"] == {"count": 2, "results": 1, "next": True}
    last = served.client.get("/api/pipelines?_limit=1&_offset=1").json()
    assert [item["uuid"] for item in last["pipelines"]] == ["sums"]
    assert last["metadata"] == {"count": 2, "results": 1, "next": False}


def test_schedules_come_along_when_asked_for(served: Served) -> None:
    made = served.schedule()
    listed = served.client.get("/api/pipelines?include_schedules=1").json()["pipelines"]
    assert [[one["id"] for one in item["schedules"]] for item in listed] == [[], [made["id"]]]
    assert "schedules" not in served.client.get("/api/pipelines").json()["pipelines"][0]


def test_a_broken_pipeline_is_listed_and_disturbs_no_other(served: Served) -> None:
    path = served.context.files.path / "pipelines/sums/metadata.yaml"
    path.write_text("name: sums\nblocks: [\n", encoding="utf-8")
    listed = served.client.get("/api/pipelines?include_schedules=1").json()["pipelines"]
    assert [(item["uuid"], item["type"]) for item in listed] == [
        ("lone", "pyspark"),
        ("sums", "invalid"),
    ]
    keys = [key for key in listed[1] if key != "error"]
    assert keys == list(listed[0])
    where = listed[1]["error"]["where"]
    assert where["path"] == "pipelines/sums/metadata.yaml"
    assert where["line"] >= 2
    detail = served.client.get("/api/pipelines/sums")
    assert detail.status_code == 422
    assert served.error(detail)["where"] == where
    assert names(served, "type[]=invalid") == ["sums"]
    assert served.client.get("/api/pipelines/lone").status_code == 200


def test_a_cycle_is_named(served: Served) -> None:
    path = served.context.files.path / "pipelines/sums/metadata.yaml"
    text = path.read_text(encoding="utf-8")
    assert "upstream_blocks: []" in text
    path.write_text(text.replace("upstream_blocks: []", "upstream_blocks: [two]", 1), "utf-8")
    said = served.error(served.client.get("/api/pipelines/sums"))
    assert "one --> two --> one" in said["message"] or "two --> one --> two" in said["message"]


def test_fresh_files_are_seen_at_once(served: Served) -> None:
    path = served.context.files.path / "pipelines/sums/metadata.yaml"
    before = served.client.get("/api/pipelines/sums")
    path.write_text(path.read_text("utf-8") + "description: new\n", encoding="utf-8")
    after = served.client.get("/api/pipelines/sums")
    assert after.json()["pipeline"]["description"] == "new"
    assert after.headers["etag"] != before.headers["etag"]


def test_sampled_outputs_stand_beside_their_block(served: Served, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    output = store([[{"a": 1}, {"a": 2}]], tmp_path / "out", fsync=False)[0]
    served.play(served.fire(served.schedule())["id"], output=output)
    blocks = served.client.get("/api/pipelines/sums").json()["pipeline"]["blocks"]
    (shown,) = blocks[0]["outputs"]
    assert shown["variable_uuid"] == "output_0"
    assert None not in shown.values()
    without = served.client.get("/api/pipelines/sums?includes_outputs=false").json()["pipeline"]
    assert "outputs" not in without["blocks"][0]


def test_blocks_are_filtered_and_paged(served: Served) -> None:
    path = "/api/pipelines/sums/blocks"
    some = served.client.get(f"{path}?block_uuid[]=two,deep/three").json()
    assert [item["uuid"] for item in some["blocks"]] == ["two", "deep/three"]
    page = served.client.get(f"{path}?_limit=2").json()
    assert [item["uuid"] for item in page["blocks"]] == ["one", "two"]
    assert page["metadata"] == {"count": 3, "next": True}


@pytest.mark.parametrize("path", ["deep/three", "deep%2Fthree", "deep%252Fthree"])
def test_a_block_in_a_folder_is_found_however_its_slash_is_written(
    served: Served, path: str
) -> None:
    item = block(served, path).json()["block"]
    assert item["uuid"] == "deep/three"
    assert "args[0] + 1" in item["content"]


def test_a_missing_file_is_said_and_not_hidden(served: Served) -> None:
    (found,) = served.context.files.path.glob("*/one.py")
    found.unlink()
    item = block(served).json()["block"]
    assert item["content"] is None
    assert item["error"]["error"] == "No such file or directory"


def test_code_is_written_and_read_back(served: Served) -> None:
    before = block(served)
    answer = served.client.put(
        "/api/pipelines/sums/blocks/one",
        json={"block": {"content": NOTE}},
        headers={"If-Match": before.headers["etag"]},
    )
    assert answer.status_code == 200, answer.text
    assert block(served).json()["block"]["content"] == NOTE
    assert block(served).headers["etag"] == answer.headers["etag"]
    assert answer.headers["etag"] != before.headers["etag"]
    (found,) = served.context.files.path.glob("*/one.py")
    assert found.read_text(encoding="utf-8") == NOTE


def test_a_newer_file_is_kept(served: Served) -> None:
    stale = block(served).headers["etag"]
    (found,) = served.context.files.path.glob("*/one.py")
    found.write_text("# newer\n", encoding="utf-8")
    answer = served.client.put(
        "/api/pipelines/sums/blocks/one",
        json={"block": {"content": NOTE}},
        headers={"If-Match": stale},
    )
    assert answer.status_code == 409
    assert served.error(answer)["type"] == "stale_file"
    assert found.read_text(encoding="utf-8") == "# newer\n"


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"block": {}}, "block.content"),
        ({"block": {"content": 7}}, "block.content"),
        ({"block": {"name": "other"}}, "block.content"),
        ({"content": "x"}, "'block'"),
    ],
)
def test_a_change_that_makes_no_sense_writes_nothing(
    served: Served, body: dict[str, Any], named: str
) -> None:
    before = block(served).json()
    answer = served.client.put("/api/pipelines/sums/blocks/one", json=body)
    assert answer.status_code == 422
    assert named in served.error(answer)["message"]
    assert block(served).json() == before
