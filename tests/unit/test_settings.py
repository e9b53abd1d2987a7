"""Settings: where each value comes from, and what makes no sense."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from weft.app.settings import (
    FILE_NAME,
    KNOWN,
    Settings,
    default_data_dir,
    masked_url,
    read_settings,
)
from weft.core.errors import Invalid, MissingExtra, NotFound


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    return folder


def _read(project: Path, flags: dict[str, object] | None = None, **environment: str) -> Settings:
    home = {"HOME": str(project.parent / "home")}
    return read_settings(
        {"project_dir": project, **(flags or {})}, environment={**home, **environment}
    )


def test_nothing_given_means_the_defaults(project: Path) -> None:
    settings = _read(project)
    digest = hashlib.sha256(str(project.resolve()).encode()).hexdigest()[:8]
    assert settings.data_dir == project.parent / "home" / ".weft" / f"shop-{digest}"
    assert settings.database_url == f"sqlite:///{settings.data_dir}/weft.db"
    assert settings.sqlite_path == settings.data_dir / "weft.db"
    assert (settings.host, settings.port, settings.env) == ("127.0.0.1", 6789, "dev")
    assert settings.origins["port"] == "default"


def test_two_folders_of_one_name_have_data_directories_of_their_own(tmp_path: Path) -> None:
    a, b = tmp_path / "a" / "shop", tmp_path / "b" / "shop"
    assert default_data_dir(a, tmp_path) != default_data_dir(b, tmp_path)
    assert default_data_dir(a, tmp_path).name.startswith("shop-")


def test_a_link_and_its_target_share_a_data_directory(project: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(project)
    assert default_data_dir(link, tmp_path) == default_data_dir(project, tmp_path)


def test_a_flag_wins_over_the_environment_and_that_over_the_file(project: Path) -> None:
    data = project.parent / "data"
    data.mkdir()
    (data / FILE_NAME).write_text("port = 7001\nlog_level = 'error'\n", encoding="utf-8")
    place = {"WEFT_DATA_DIR": str(data)}
    only_file = _read(project, **place)
    assert (only_file.port, only_file.log_level) == (7001, "ERROR")
    assert only_file.origins["port"] == f"file {data / FILE_NAME}"
    with_variable = _read(project, **place, WEFT_PORT="7002")
    assert (with_variable.port, with_variable.origins["port"]) == (7002, "environment WEFT_PORT")
    with_flag = _read(project, {"port": 7003}, **place, WEFT_PORT="7002")
    assert (with_flag.port, with_flag.origins["port"]) == (7003, "command line")


def test_ours_wins_over_mages_name(project: Path) -> None:
    assert _read(project, ENV="prod").env == "prod"
    assert _read(project, ENV="prod", WEFT_ENV="staging").env == "staging"


def test_mages_data_directory_gets_the_projects_name(project: Path, tmp_path: Path) -> None:
    settings = _read(project, MAGE_DATA_DIR=str(tmp_path / "mage"))
    assert settings.data_dir == tmp_path / "mage" / "shop"
    assert _read(project, WEFT_DATA_DIR=str(tmp_path / "own")).data_dir == tmp_path / "own"


def test_mages_remote_data_directory_moves_outputs_only(project: Path) -> None:
    settings = _read(project, MAGE_DATA_DIR="s3://bucket/data")
    assert settings.data_dir.parts[-2] == ".weft"
    with pytest.raises(MissingExtra, match="'s3'"):
        settings.outputs_root(None)


def test_a_remote_data_directory_of_ours_is_refused(project: Path) -> None:
    with pytest.raises(Invalid, match="is a URL"):
        _read(project, WEFT_DATA_DIR="s3://bucket/data")


def test_mages_database_is_named_and_left_alone(project: Path) -> None:
    settings = _read(project, MAGE_DATABASE_CONNECTION_URL="postgresql://u:p@h/mage")
    assert settings.sqlite_path is not None
    assert "ignored" in settings.ignored["MAGE_DATABASE_CONNECTION_URL"]


def test_mages_database_is_used_when_it_is_adopted(project: Path) -> None:
    settings = read_settings(
        {"project_dir": project},
        environment={
            "HOME": "/nowhere",
            "MAGE_DATABASE_CONNECTION_URL": "postgresql+psycopg2://u:p@h/mage",
        },
        adopt_database=True,
    )
    assert settings.database_url == "postgresql://u:p@h/mage"
    assert settings.ignored == {}
    assert "adopted" in settings.origins["database_url"]


def test_mages_sqlite_file_is_never_adopted(project: Path) -> None:
    environment = {"HOME": "/x", "MAGE_DATABASE_CONNECTION_URL": "sqlite:////mage-ai.db"}
    with pytest.raises(Invalid, match="only a PostgreSQL"):
        read_settings({"project_dir": project}, environment=environment, adopt_database=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WEFT_PORT", "no"),
        ("WEFT_PORT", "65536"),
        ("WEFT_PORT", "-1"),
        ("WEFT_LEASE_TTL", "0"),
        ("WEFT_LOG_LEVEL", "loud"),
        ("WEFT_MAGE_STATUS_CODES", "perhaps"),
        ("WEFT_DATABASE_URL", "mysql://u:secret@h/d"),
        ("WEFT_DATABASE_URL", "weft.db"),
    ],
)
def test_nonsense_is_refused_naming_its_variable(project: Path, name: str, value: str) -> None:
    with pytest.raises(Invalid) as caught:
        _read(project, **{name: value})
    assert f"environment {name}" in str(caught.value)
    assert caught.value.hint
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("text", ["port = \n", "colour = 'red'\n", "\udcff"])
def test_a_broken_settings_file_is_named(project: Path, text: str) -> None:
    data = project.parent / "data"
    data.mkdir()
    (data / FILE_NAME).write_bytes(text.encode("utf-8", errors="surrogateescape"))
    with pytest.raises(Invalid) as caught:
        _read(project, WEFT_DATA_DIR=str(data))
    assert caught.value.where is not None
    assert caught.value.where.path == str(data / FILE_NAME)


def test_a_project_that_does_not_exist_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nothing-here"):
        _read(tmp_path / "nothing-here")


def test_outputs_lie_in_the_data_directory_by_default(project: Path) -> None:
    settings = _read(project)
    assert settings.outputs_root(None) == settings.data_dir / "outputs"


def test_a_variables_dir_follows_mages_rules(project: Path, tmp_path: Path) -> None:
    settings = _read(project)
    assert settings.outputs_root("vars") == project.resolve() / "vars"
    assert settings.outputs_root(str(tmp_path / "vars")) == tmp_path.resolve() / "vars" / "shop"
    assert settings.outputs_root(str(project)) == project.resolve()
    assert settings.outputs_root("~/vars") == Path.home().resolve() / "vars" / "shop"


@pytest.mark.parametrize(
    ("url", "extra"), [("s3://b/p", "s3"), ("S3://b/p", "s3"), ("gs://b/p", "gcs")]
)
def test_a_remote_variables_dir_names_its_extra(project: Path, url: str, extra: str) -> None:
    with pytest.raises(MissingExtra, match=f"{extra!r}") as caught:
        _read(project).outputs_root(url)
    assert f"weft[{extra}]" in str(caught.value.hint)


def test_secrets_are_masked(project: Path) -> None:
    settings = _read(
        project,
        WEFT_DATABASE_URL="postgresql://me:hush@db/weft",
        WEFT_SECRET_KEY="quiet",
    )
    shown = {name: value for name, value, _ in settings.shown()}
    assert shown["database_url"] == "postgresql://me:********@db/weft"
    assert shown["secret_key"] == "********"
    assert set(shown) == {known.name for known in KNOWN}
    assert masked_url("postgresql://me@db/weft") == "postgresql://me@db/weft"


def test_preload_may_be_nothing(project: Path) -> None:
    assert _read(project).preload is None
    assert _read(project, WEFT_PRELOAD="").preload == ()
    assert _read(project, WEFT_PRELOAD="pandas, numpy").preload == ("pandas", "numpy")


def test_a_settings_file_that_cannot_be_read_is_named(project: Path) -> None:
    (project / "data" / FILE_NAME).mkdir(parents=True)
    with pytest.raises(Invalid, match="cannot be read") as refused:
        _read(project, {"data_dir": project / "data"})
    assert str(refused.value.where).endswith(f"data/{FILE_NAME}")


@pytest.mark.parametrize(
    ("given", "size", "shown"),
    [
        ("512M", 512 * 2**20, "512M"),
        ("2g", 2 * 2**30, "2G"),
        ("1.5 GiB", 1536 * 2**20, "1536M"),
        ("20000000", 20_000_000, "20000000"),
        ("None", None, "none"),
        ("", None, "none"),
    ],
)
def test_a_memory_limit_is_a_size(project: Path, given: str, size: int | None, shown: str) -> None:
    settings = _read(project, WEFT_MEMORY_LIMIT=given)
    assert settings.memory_limit == size
    assert {name: value for name, value, _ in settings.shown()}["memory_limit"] == shown


@pytest.mark.parametrize("given", ["lots", "-1G", "1M", "0", "5 X", "1e9", "G", "\u0662G"])
def test_a_memory_limit_that_makes_no_sense_is_refused(project: Path, given: str) -> None:
    with pytest.raises(Invalid, match="WEFT_MEMORY_LIMIT") as refused:
        _read(project, WEFT_MEMORY_LIMIT=given)
    assert "512M" in str(refused.value.hint)
