"""Partitions from the first to the last, and why a text is none of them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mlops_assets.lifecycle.partitions import misplaced, partitions_def
from mlops_assets.project import Partitions, Project
from mlops_assets_tests.automation import toy


def _project(**partitions: str) -> Project:
    return toy.project().model_copy(update={"partitions": Partitions.model_validate(partitions)})


MONTHS = _project(every="month", start="2013-01", end="2013-12")
DAYS = _project(every="day", start="2013-01-30", end="2013-02-02")
NOW = datetime(2026, 11, 23, tzinfo=UTC)


def test_first_and_last_are_included() -> None:
    assert partitions_def(MONTHS).get_partition_keys() == [f"2013-{month:02}" for month in range(1, 13)]
    assert partitions_def(DAYS).get_partition_keys() == [
        "2013-01-30",
        "2013-01-31",
        "2013-02-01",
        "2013-02-02",
    ]


def test_without_a_last_one_they_go_on_to_the_last_window_that_is_over() -> None:
    open_end = partitions_def(_project(every="month", start="2026-09"))
    assert open_end.get_partition_keys(NOW)[-1] == "2026-10"


PROJECTS = (MONTHS, DAYS, _project(every="month", start="2026-09"), _project(every="day", start="2026-11-20"))
TEXTS = (
    *("2013-01", "2013-12", "2012-12", "2014-01", "2013-13", "2013-1", "latest", "", "2026-10", "2026-11"),
    *("2013-01-30", "2013-02-02", "2013-02-03", "2013-02-30", "2013-1-30", "2026-11-22", "2026-11-23"),
    *(" 2013-01", "2013-01 ", "02013-01", "2013-0 1"),
)


@pytest.mark.parametrize(("project", "text"), [(project, text) for project in PROJECTS for text in TEXTS])
def test_what_is_misplaced_is_what_dagster_has_no_partition_for(project: Project, text: str) -> None:
    keys = partitions_def(project).get_partition_keys(NOW)
    assert (misplaced(project, text, NOW) is None) == (text in keys)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("2013-13", "'2013-13' is not a month (YYYY-MM)"),
        ("2013-1", "'2013-1' is not written as YYYY-MM"),
        ("2012-12", "2012-12 is before the project's first partition, 2013-01"),
        ("2014-01", "2014-01 is after the project's last partition, 2013-12"),
    ],
)
def test_the_reason_is_said(text: str, why: str) -> None:
    assert misplaced(MONTHS, text, NOW) == why


def test_a_window_that_is_not_over_yet_has_no_partition_yet() -> None:
    project = _project(every="month", start="2026-09")
    assert misplaced(project, "2026-11", NOW) == "the month 2026-11 is not over yet; it is read when it is"
    assert misplaced(project, "2026-11", datetime(2026, 12, 1, tzinfo=UTC)) is None
