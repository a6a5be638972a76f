"""A project's declaration is frozen, refuses what it does not know, and names its objects."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from mlops_assets.catalog import PROJECTS
from mlops_assets.project import Gate, Partitions, Project, Source, frame_columns
from mlops_assets_tests.projects.flight_delays.data import PROJECT

FLIGHTS, _, PLANES = PROJECT.sources


def parts(**changes: object) -> dict[str, object]:
    return {name: getattr(PROJECT, name) for name in Project.model_fields} | changes


def test_a_source_names_its_objects() -> None:
    assert FLIGHTS.partitioned
    assert FLIGHTS.key("flight_delays", "2013-01") == "flight_delays/flights/2013-01.csv"
    assert not PLANES.partitioned
    assert PLANES.key("flight_delays", None) == "flight_delays/planes/planes.csv"


@pytest.mark.parametrize(
    ("key", "partition"),
    [
        ("flight_delays/flights/2013-01.csv", "2013-01"),
        ("flight_delays/flights/january.csv", "january"),
        ("flight_delays/flights/2013-01xcsv", None),
        ("flight_delays/flights/old/2013-01.csv", None),
        ("flight_delays/flights/.csv", None),
        ("flight_delays/flights/2013-01.csv.gz", None),
        ("other/flights/2013-01.csv", None),
        ("flight_delays/planes/planes.csv", None),
    ],
)
def test_a_source_knows_its_objects(key: str, partition: str | None) -> None:
    assert FLIGHTS.match("flight_delays", key) == partition


def test_a_source_without_partitions_has_one_object() -> None:
    assert PLANES.match("flight_delays", "flight_delays/planes/planes.csv") == ""
    assert PLANES.match("flight_delays", "flight_delays/planes/planes_csv") is None


def test_a_declaration_is_frozen_and_forbids_the_unknown() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        PROJECT.name = "other"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Project.model_validate(parts(colour="red"))
    with pytest.raises(ValidationError, match="Input should be 'month' or 'day'"):
        Partitions.model_validate({"every": "week", "start": "2013-01"})
    with pytest.raises(ValidationError, match="greater than or equal to 100"):
        Gate(bootstrap_rounds=1)


def test_names_are_plain_and_unique() -> None:
    Project.model_validate(parts())
    with pytest.raises(ValidationError, match="should match pattern"):
        Project.model_validate(parts(name="Flight-Delays"))
    with pytest.raises(ValidationError, match="two sources share a name"):
        Project.model_validate(parts(sources=(FLIGHTS, FLIGHTS)))
    with pytest.raises(ValidationError, match="two families share a name"):
        Project.model_validate(parts(families=PROJECT.families[:1] * 2))


def test_a_source_is_found_by_name() -> None:
    assert PROJECT.source("planes") is PLANES
    with pytest.raises(KeyError, match="trains"):
        PROJECT.source("trains")


def test_a_frames_columns_are_arrays_of_its_rows() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": [0.5, np.nan]})
    columns = frame_columns(frame, ("b", "a"))
    assert list(columns) == ["b", "a"]
    assert columns["b"].tolist() == ["x", None]
    assert columns["a"].dtype == np.int64


def test_every_project_of_the_catalog_holds_together() -> None:
    assert len({project.name for project in PROJECTS}) == len(PROJECTS)
    assert len({project.endpoint.port_offset for project in PROJECTS}) == len(PROJECTS)
    for project in PROJECTS:
        features = project.features
        fields = features.instance_fields
        assert features.label not in fields
        assert not set(features.numeric) & set(features.categorical)
        assert set(project.endpoint.choices) <= set(fields)
        assert set(project.endpoint.example) == set(fields)
        for source in project.sources:
            assert isinstance(source, Source)
            assert bool(source.contract.partition_by) == source.partitioned
