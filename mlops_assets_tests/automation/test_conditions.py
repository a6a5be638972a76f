"""When a training is asked for: new features, enough of them, none on the way."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from mlops_assets.automation.conditions import (
    DATA_VERSION_TAG,
    contents,
    following_condition,
    training_condition,
)
from mlops_assets.lifecycle.lineage import MANIFEST

MONTHS = dg.MonthlyPartitionsDefinition("2013-01", end_date="2014-01", fmt="%Y-%m")
FEATURES, TRAINING, CHAMPION = (dg.AssetKey(name) for name in ("features", "training_set", "champion"))


@dg.asset(partitions_def=MONTHS)
def features() -> None: ...


@dg.asset(deps=[features], automation_condition=training_condition(FEATURES, 2))
def training_set() -> None: ...


@dg.asset(deps=[training_set], automation_condition=following_condition())
def champion() -> None: ...


class Clock:
    """Evaluates the conditions tick by tick."""

    def __init__(self) -> None:
        self.instance = dg.DagsterInstance.ephemeral()
        self.defs = dg.Definitions([features, training_set, champion])
        self.cursor: Any = None
        self.ask()

    def upload(self, month: str, content: str = "a") -> None:
        """As if features of ``month`` were built, with ``content`` for their data version."""
        tags = {DATA_VERSION_TAG: content}
        self.instance.report_runless_asset_event(
            dg.AssetMaterialization(FEATURES, partition=month, tags=tags)
        )

    def train(self) -> None:
        """As if a training set was made of the features that are there."""
        entries = [
            {"partition": month, "data_version": version}
            for month, version in contents(self.instance, FEATURES).items()
        ]
        manifest = {"partitions": entries[:-1], "held_out": entries[-1]}
        for event in (
            dg.AssetMaterialization(TRAINING, metadata={MANIFEST: manifest}),
            dg.AssetMaterialization(CHAMPION),
        ):
            self.instance.report_runless_asset_event(event)

    def ask(self) -> set[dg.AssetKey]:
        """The assets that are requested now."""
        result = dg.evaluate_automation_conditions(self.defs, self.instance, cursor=self.cursor)
        self.cursor = result.cursor
        return {key for key in (TRAINING, CHAMPION) if result.get_num_requested(key)}

    def start(self, asset: dg.AssetKey) -> dg.DagsterRun:
        """A run that makes ``asset`` is under way."""
        job = self.defs.resolve_implicit_global_asset_job_def()
        return self.instance.create_run_for_job(
            job, status=dg.DagsterRunStatus.STARTED, asset_selection=frozenset({asset})
        )


@pytest.fixture
def clock() -> Clock:
    return Clock()


BOTH = {TRAINING, CHAMPION}


def test_one_partition_is_not_enough_and_two_are(clock: Clock) -> None:
    clock.upload("2013-01")
    assert clock.ask() == set()
    clock.upload("2013-02")
    assert clock.ask() == BOTH


def test_a_state_is_asked_for_once_even_if_the_training_fails(clock: Clock) -> None:
    clock.upload("2013-01")
    clock.upload("2013-02")
    assert [clock.ask() for _ in range(4)] == [BOTH, set(), set(), set()]


def test_a_burst_is_one_training_and_a_later_month_another(clock: Clock) -> None:
    for month in ("2013-01", "2013-02", "2013-03"):
        clock.upload(month)
    assert clock.ask() == BOTH
    clock.train()
    assert clock.ask() == set()
    clock.upload("2013-04")
    assert clock.ask() == BOTH


def test_other_content_is_new_and_the_same_content_is_not(clock: Clock) -> None:
    clock.upload("2013-01")
    clock.upload("2013-02")
    clock.ask()
    clock.train()
    clock.upload("2013-01", "a")
    assert clock.ask() == set()
    clock.upload("2013-01", "b")
    assert clock.ask() == BOTH


def test_what_arrives_during_a_training_is_not_forgotten(clock: Clock) -> None:
    clock.upload("2013-01")
    clock.upload("2013-02")
    clock.ask()
    run = clock.start(TRAINING)
    clock.train()  # its training set is made, the fits go on
    clock.upload("2013-03")
    assert clock.ask() == set()
    clock.instance.report_run_failed(run)
    assert clock.ask() == BOTH


def test_features_on_the_way_are_waited_for(clock: Clock) -> None:
    clock.upload("2013-01")
    clock.upload("2013-02")
    run = clock.start(FEATURES)
    assert clock.ask() == set()
    clock.instance.report_run_failed(run)
    assert clock.ask() == BOTH


def test_a_training_by_hand_is_not_repeated(clock: Clock) -> None:
    clock.upload("2013-01")
    clock.upload("2013-02")
    clock.train()
    assert clock.ask() == set()
