"""Freshness policies: declared by the project, judged by Dagster's own daemon, partitions and all."""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from dagster._core.definitions.freshness import FreshnessState
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.test_utils import create_test_daemon_workspace_context, freeze_time, instance_for_test
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.freshness import FreshnessDaemon

from mlops_assets.definitions import build_definitions
from mlops_assets.lifecycle.describe import asset_key
from mlops_assets.lifecycle.freshness import freshness
from mlops_assets.project import Freshness
from mlops_assets.settings import Settings
from mlops_assets_tests.quality.data import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

DEFS = build_definitions(Settings(_env_file=None))
"""What the daemon of the test loads."""
DAY = 86_400


def policy(defs: dg.Definitions, *path: str) -> dg.FreshnessPolicy | None:
    return defs.get_repository_def().asset_graph.get(asset_key(PROJECT, *path)).freshness_policy


def test_assets_may_be_as_old_as_the_project_declares() -> None:
    declared = PROJECT.freshness
    for path, window in (
        (("raw", "flights"), declared.raw),
        (("raw", "weather"), declared.raw),
        (("champion",), declared.champion),
        (("endpoint",), declared.endpoint),
        (("predictions",), declared.predictions),
    ):
        assert window is not None
        assert policy(DEFS, *path) == dg.FreshnessPolicy.time_window(fail_window=window), path
    # A dimension table has no rhythm; what follows other assets is as fresh as they are.
    for path in (("raw", "planes"), ("features",), ("training_set",)):
        assert policy(DEFS, *path) is None, path


def test_none_is_no_policy() -> None:
    none = Freshness(raw=None, champion=None, endpoint=None, predictions=None)
    project = PROJECT.model_copy(update={"freshness": none})
    defs = build_definitions(Settings(_env_file=None), projects=[project])
    for path in (("raw", "flights"), ("champion",), ("endpoint",), ("predictions",)):
        assert policy(defs, *path) is None, path
    assert freshness(None) == {}
    assert freshness(dt.timedelta(days=1)) == {
        "freshness_policy": dg.FreshnessPolicy.time_window(fail_window=dt.timedelta(days=1))
    }


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_dagsters_daemon_judges_them(tmp_path: Path) -> None:
    """A partition of raw keeps it fresh for its window, whichever it is; the alerts read the changes."""
    flights, weather = (asset_key(PROJECT, "raw", name) for name in ("flights", "weather"))
    champion = asset_key(PROJECT, "champion")
    raw_days = (PROJECT.freshness.raw or dt.timedelta()).days
    origin = LoadableTargetOrigin(module_name=__name__, attribute="DEFS")
    load = InProcessWorkspaceLoadTarget(InProcessCodeLocationOrigin(origin))
    now = time.time()
    with instance_for_test(temp_dir=str(tmp_path)) as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization(flights, partition="2013-02"))
        instance.report_runless_asset_event(dg.AssetMaterialization(champion))

        def judged(at: float) -> list[FreshnessState | None]:
            with create_test_daemon_workspace_context(load, instance) as workspace, freeze_time(at):
                list(FreshnessDaemon().run_iteration(workspace))
            records = instance.get_freshness_state_records([flights, weather, champion])
            return [
                records[key].freshness_state if key in records else None
                for key in (flights, weather, champion)
            ]

        passed, failed, unknown = FreshnessState.PASS, FreshnessState.FAIL, FreshnessState.UNKNOWN
        assert judged(now + 60) == [passed, unknown, passed]
        assert judged(now + (raw_days - 1) * DAY) == [passed, unknown, passed]
        assert judged(now + (raw_days + 1) * DAY) == [failed, unknown, passed]
        instance.report_runless_asset_event(dg.AssetMaterialization(weather, partition="2013-01"))
        assert judged(now + 60) == [passed, passed, passed]  # the clock goes back: as if it came anew
        wanted = dg.EventRecordsFilter(event_type=dg.DagsterEventType.FRESHNESS_STATE_CHANGE)
        changes = instance.event_log_storage.get_event_records(wanted, limit=500, ascending=True)
        told = [
            record.event_log_entry.get_dagster_event().asset_freshness_state_change_data for record in changes
        ]
        assert [c.new_state for c in told if c.key == flights] == [passed, failed, passed]
