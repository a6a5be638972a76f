"""Drift counts from a growth of the labelled rows on; failed performance does not wait for it."""

from __future__ import annotations

import pytest

from mlops_assets.retraining.policy import Cause, Part
from mlops_assets_tests.retraining.test_policy import MORE, POLICY, ask, signal, state

ASKS = POLICY.model_copy(update={"min_growth": 0.4, "growth": None})


def test_drift_waits_until_the_rows_have_grown() -> None:
    few = ask(state(signals=[signal("drift")]), ASKS)  # 100 rows on top of 300
    assert not few.train
    assert few.why.endswith("Only 100 labelled rows are new since the last training. Waits for 120.")
    more = {**MORE, "2013-05": Part("e", 20)}
    assert ask(state(more, signals=[signal("drift")]), ASKS).cause == "drift"


@pytest.mark.parametrize("cause", ["performance", "freshness", "code"])
def test_other_causes_do_not_wait_for_growth(cause: Cause) -> None:
    assert ask(state(signals=[signal(cause)]), ASKS).cause == cause


def test_of_a_training_for_another_cause_drift_is_told_and_may_still_be_asked_for() -> None:
    broken = ask(state(signals=[signal("drift"), signal("performance")]), ASKS)
    assert (broken.train, broken.cause, broken.causes) == (True, "performance", ("performance", "drift"))
    assert broken.key.startswith("performance@")  # drift has yet to be asked for


def test_a_minimum_of_rows_holds_beside_it() -> None:
    strict = ASKS.model_copy(update={"min_growth": 0.1, "min_new_rows": 101})
    assert not ask(state(signals=[signal()]), strict).train
    assert "Waits for 101." in ask(state(signals=[signal()]), strict).why
