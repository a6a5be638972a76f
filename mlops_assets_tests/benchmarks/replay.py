"""How well the declared policy of flight_delays decides, on the whole of 2013."""

from __future__ import annotations

from mlops_assets.catalog import get_project
from mlops_assets.replay.command import Wanted, replay
from mlops_assets.replay.show import TARGET_GAIN, TARGET_TRAININGS
from mlops_assets.settings import get_settings
from mlops_assets_tests.benchmarks.rows import Row

PROJECT = "flight_delays"


def run() -> list[Row]:
    """The policy beside retraining at every chance. Trainings of an earlier replay are used again."""
    project = get_project(PROJECT)
    comparison = replay(project, get_settings(), Wanted(), lambda what: print(what, flush=True))
    [policy] = comparison.policies
    every = comparison.entry("every chance")
    gain, effort = comparison.gain(policy), comparison.effort(policy)
    return [
        Row(
            "replay of 2013: gain in ROC AUC over never retraining",
            policy.line.roc_auc - comparison.entry("never").line.roc_auc,
            every.line.roc_auc - comparison.entry("never").line.roc_auc,
            "AUC",
            gain,
            TARGET_GAIN,
            gain >= TARGET_GAIN,
        ),
        Row(
            "replay of 2013: retrainings",
            policy.trainings,
            every.trainings,
            "trainings",
            effort,
            TARGET_TRAININGS,
            effort <= TARGET_TRAININGS,
        ),
    ]
