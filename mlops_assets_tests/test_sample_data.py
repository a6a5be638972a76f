"""The sample's objects are the real data, cut by month and otherwise untouched."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from mlops_assets.catalog import get_project
from mlops_assets.contracts import read_object
from mlops_assets.sample_data import MONTHS, month_objects, planes_object, write_objects

if TYPE_CHECKING:
    from pathlib import Path


def test_every_row_of_the_year_is_in_its_month() -> None:
    project = get_project("flight_delays")
    rows = {"flights": 0, "weather": 0}
    for month in MONTHS:
        objects = month_objects(month)
        assert list(objects) == [f"flights/{month}.csv", f"weather/{month}.csv"]
        for name in rows:
            source = project.source(name)
            data = objects[source.pattern.replace("{partition}", month)]
            # The contract refuses rows of another month.
            rows[name] += len(read_object(data, source.contract, key=name, partition=month))
    assert rows == {"flights": 336_776, "weather": 26_115}


def test_a_row_is_the_data_sets_own_bytes() -> None:
    lines = month_objects("2013-01")["flights/2013-01.csv"].splitlines()
    assert lines[0].startswith(b"year,month,day,dep_time,")
    assert (
        lines[1] == b"2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z"
    )


def test_objects_are_written_under_their_keys(tmp_path: Path) -> None:
    paths = write_objects(tmp_path, ["2013-01", "2013-02"])
    names = [str(path.relative_to(tmp_path)) for path in paths]
    assert names == [
        "planes/planes.csv",
        *("flights/2013-01.csv", "weather/2013-01.csv", "flights/2013-02.csv", "weather/2013-02.csv"),
    ]
    project = get_project("flight_delays")
    for name in names:
        matched = [
            s.name for s in project.sources if s.match(project.name, f"flight_delays/{name}") is not None
        ]
        assert matched == [name.split("/")[0]]
    assert (tmp_path / "planes/planes.csv").read_bytes() == planes_object()["planes/planes.csv"]


def test_a_month_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="no sample data of '2014-01'; there is of 2013-01 to 2013-12"):
        month_objects("2014-01")


def test_the_command_writes_the_files_of_the_months(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mlops_assets.sample_data", str(tmp_path), "2013-05"]
    subprocess.run(command, check=True)
    written = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*.csv")}
    assert {"flights/2013-05.csv", "weather/2013-05.csv"} <= written
