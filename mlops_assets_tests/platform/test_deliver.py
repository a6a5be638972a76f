from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mlops_assets.catalog import get_project
from mlops_assets.platform.deliver import DeliveryError, deliver, keys_for
from mlops_assets.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets_tests.services import ObjectStore

PROJECT = get_project("flight_delays")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "flights/2013-01.csv",
        "weather/2013-01.csv",
        "planes/planes.csv",
        "2013-02.csv",
        "planes.csv",
    ):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(name)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "source", "key"),
    [
        ("flights/2013-01.csv", None, "flights/2013-01.csv"),
        ("weather/2013-01.csv", None, "weather/2013-01.csv"),
        ("planes/planes.csv", None, "planes/planes.csv"),
        ("planes.csv", None, "planes/planes.csv"),
        ("2013-02.csv", "flights", "flights/2013-02.csv"),
    ],
)
def test_the_path_or_the_source_says_the_key(folder: Path, name: str, source: str | None, key: str) -> None:
    file = folder / name
    assert keys_for(PROJECT, [file], source) == {file: f"flight_delays/{key}"}


def test_a_key_forces_any_name(folder: Path) -> None:
    file = folder / "2013-02.csv"
    assert keys_for(PROJECT, [file], key="flights/what.txt") == {file: "flight_delays/flights/what.txt"}
    with pytest.raises(DeliveryError, match="2 files"):
        keys_for(PROJECT, [file, folder / "planes.csv"], key="flights/what.txt")


def test_a_file_of_several_sources_is_asked_about(folder: Path) -> None:
    with pytest.raises(
        DeliveryError, match=r"flights/2013-02.csv or flight_delays/weather/2013-02.csv.*--source"
    ):
        keys_for(PROJECT, [folder / "2013-02.csv"])


@pytest.mark.parametrize("name", ["flights/2013-13.csv", "flights/january.csv", "notes.txt"])
def test_a_file_that_fits_nowhere_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_text("")
    with pytest.raises(DeliveryError, match=r"fits no source of flight_delays .*--key"):
        keys_for(PROJECT, [folder / name])


def test_a_missing_file_and_an_unknown_source_are_named(folder: Path) -> None:
    with pytest.raises(DeliveryError, match=r"no file .*gone.csv"):
        keys_for(PROJECT, [folder / "gone.csv"])
    with pytest.raises(DeliveryError, match=r"no source 'trains'; it has flights, weather, planes"):
        keys_for(PROJECT, [folder / "2013-02.csv"], "trains")


def test_files_become_object_versions(
    object_store: ObjectStore, buckets: tuple[str, str], folder: Path
) -> None:
    settings = Settings(
        _env_file=None,
        s3_endpoint_url=object_store.endpoint_url,
        s3_access_key_id=object_store.access_key,
        s3_secret_access_key=object_store.secret_key,
        raw_bucket=buckets[0],
    )
    file = folder / "flights/2013-01.csv"
    (first,) = deliver(settings, keys_for(PROJECT, [file]))
    (second,) = deliver(settings, keys_for(PROJECT, [file]))
    assert first.version != second.version
    found = object_store.client.get_object(Bucket=buckets[0], Key=first.key, VersionId=first.version)
    assert found["Body"].read() == b"flights/2013-01.csv"


def test_a_store_that_is_down_is_said_to_be(folder: Path) -> None:
    settings = Settings(
        _env_file=None, s3_endpoint_url="http://127.0.0.1:1", s3_access_key_id="a", s3_secret_access_key="b"
    )
    with pytest.raises(DeliveryError, match="mlops status"):
        deliver(settings, keys_for(PROJECT, [folder / "planes.csv"]))
