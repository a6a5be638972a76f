"""A comparison: figures against others' code, shares, what is said and drawn."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from rich.console import Console
from sklearn.metrics import log_loss, roc_auc_score

from mlops_assets.replay import picture, show
from mlops_assets.replay.compare import BEST_SCHEDULE, BEST_VERSION, Comparison, compare
from mlops_assets.replay.history import ReplayError
from mlops_assets.replay.scores import Got, Line, share, weighted
from mlops_assets.replay.store import Store
from mlops_assets_tests.replay import toy

if TYPE_CHECKING:
    from pathlib import Path


def silent(_: str) -> None: ...


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """The toy's own policy, in a world that moves in April."""
    project = toy.project()
    store = Store(tmp_path_factory.mktemp("replay"))
    return compare(project, toy.moved(), [("declared", project.retraining)], store, silent)


def test_the_figures_are_those_of_what_was_served(comparison: Comparison) -> None:
    history, entry = toy.moved(), comparison.entry("declared")
    assert entry.played is not None
    for month in ("2013-04", "2013-06"):
        mine = [s for s in entry.played.served if s.partition == month]
        frame = history.frames[month]
        p = np.concatenate(
            [s.model.predictor.predict_frame(frame.iloc[s.first : s.last]).probability for s in mine]
        )
        part = entry.line.parts[month]
        assert part.roc_auc == pytest.approx(roc_auc_score(frame["y"], p), abs=1e-6)
        assert part.log_loss == pytest.approx(log_loss(frame["y"], p), abs=1e-6)
    assert entry.line.versions["2013-04"] == ("1", "2")


def test_shares_are_of_the_way_from_never_to_every_chance(comparison: Comparison) -> None:
    never, every = comparison.entry("never"), comparison.entry("every chance")
    assert (comparison.gain(never), comparison.gain(every)) == (0, 1)
    assert (comparison.effort(never), comparison.effort(every)) == (0, 1)
    declared = comparison.entry("declared")
    assert (declared.trainings, every.trainings) == (2, 3)
    assert comparison.effort(declared) == pytest.approx(2 / 3)
    assert share(0.69, 0.66, 0.70) == pytest.approx(0.75)
    assert share(0.50, 0.53, 0.51) == pytest.approx(1.5)  # a loss: less is better, on both sides
    assert np.isnan(share(0.5, 0.6, 0.6))


def test_hindsight_is_no_worse_than_what_it_looks_back_on(comparison: Comparison) -> None:
    schedule, version = comparison.entry(BEST_SCHEDULE), comparison.entry(BEST_VERSION)
    assert schedule.trainings <= comparison.entry("declared").trainings
    assert schedule.line.roc_auc >= comparison.entry("never").line.roc_auc
    assert version.line.roc_auc >= schedule.line.roc_auc
    assert version.line.roc_auc >= comparison.entry("every chance").line.roc_auc


def test_means_are_weighted_by_rows() -> None:
    parts = {"2013-01": Got(100, 0.6, 0.5), "2013-02": Got(300, 0.8, 0.1)}
    line = Line("x", parts, {})
    assert line.roc_auc == pytest.approx(0.75)
    assert line.log_loss == pytest.approx(0.2)
    assert weighted([0.6, float("nan")], [1, 9]) == 0.6


def test_the_json_tells_trainings_and_decisions(comparison: Comparison) -> None:
    told = json.loads(json.dumps(comparison.as_json()))
    declared = next(s for s in told["strategies"] if s["name"] == "declared")
    assert [t["cause"] for t in declared["ledger"]] == ["first", "drift", "drift"]
    assert declared["ledger"][1]["why"].startswith("Drift of version 1")
    assert declared["policy"]["on"] == ["performance", "drift"]
    waited = [d for d in declared["decisions"] if d["event"].startswith("traffic") and not d["train"]]
    assert any("Waits for" in d["why"] for d in waited)
    assert list(declared["partitions"]) == list(toy.MONTHS[2:])


def test_the_tables_say_it_in_words(comparison: Comparison) -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(show.tables(comparison))
    text = console.export_text()
    for said in ("best schedule in hindsight", "2013-04", "(1/2)", "Drift of version 1"):
        assert said in text
    assert "with 2 of its 3 retrainings (67%)" in show.verdict(comparison, comparison.entry("declared"))


def test_the_picture_is_drawn_for_months_and_with_several_policies(
    comparison: Comparison, tmp_path: Path
) -> None:
    png = picture.draw(comparison, "month")
    assert png.startswith(b"\x89PNG")
    project = toy.project()
    two = [
        ("declared", project.retraining),
        ("drift", project.retraining.model_copy(update={"on": ("drift",)})),
    ]
    more = compare(project, toy.moved(), two, Store(tmp_path), silent)
    assert len(more.policies) == 2
    assert picture.draw(more, "month") != png


def test_too_short_a_history_says_so(tmp_path: Path) -> None:
    short = toy.calm().until("2013-02")
    with pytest.raises(ReplayError, match="2 partitions are too few"):
        compare(toy.project(), short, [], Store(tmp_path), silent)


def test_without_a_champion_there_is_nothing_to_compare(tmp_path: Path) -> None:
    strict = toy.project(gate=toy.project().gate.model_copy(update={"min_auc_over_baseline": 0.45}))
    with pytest.raises(ReplayError, match=r"refused every first champion.*beats_baseline"):
        compare(strict, toy.calm(), [], Store(tmp_path), silent)
