"""Boosting learns, is deterministic, and its graph answers as scikit-learn does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from mlops_assets.bundle import open_session
from mlops_assets.families import Family
from mlops_assets.families.boosting import Boosting, to_onnx
from mlops_assets.families.encoding import forget_some
from mlops_assets.families.validation import roc_auc
from mlops_assets_tests.families.data import encoded

if TYPE_CHECKING:
    from collections.abc import Mapping

QUICK = Boosting(stages=25, min_leaf_rows=50)


def test_it_is_a_family() -> None:
    assert isinstance(QUICK, Family)


def test_it_learns_and_tells_how() -> None:
    examples, _ = encoded()
    told: list[tuple[int, Mapping[str, float]]] = []
    fitted = QUICK.fit(examples, lambda stage, metrics: told.append((stage, metrics)))
    (probability,) = open_session(fitted.onnx).run(None, {"X": examples.x})
    assert probability.shape == (len(examples.y),)
    assert probability.dtype == np.float32
    assert roc_auc(examples.y, probability) > 0.7
    assert probability.mean() == pytest.approx(examples.y.mean(), abs=0.02)
    assert [stage for stage, _ in told] == [10, 20]
    losses = [row["train_loss"] for row in fitted.history]
    assert len(losses) == fitted.summary["stages"] == 25
    assert losses == sorted(losses, reverse=True)
    assert fitted.params["stages"] == 25


def test_the_graph_answers_as_scikit_learn_does() -> None:
    examples, _ = encoded()
    model = Boosting()._model()
    with threadpool_limits(1):
        model.fit(forget_some(examples, 0.05, 0), examples.y)
    session = open_session(to_onnx(model, examples.x.shape[1]))
    rng = np.random.default_rng(0)
    unknown = forget_some(examples, 0.3, 1)
    missing = np.where(rng.random(examples.x.shape) < 0.3, np.nan, examples.x).astype(np.float32)
    missing[:, len(examples.numeric) :] = examples.x[:, len(examples.numeric) :]
    for x in (examples.x, unknown, missing):
        (found,) = session.run(None, {"X": x})
        with threadpool_limits(1):
            expected = model.predict_proba(x)[:, 1]
        np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)
    (one,) = session.run(None, {"X": examples.x[:1]})
    assert one.shape == (1,)


def test_the_same_seed_gives_the_same_model_another_another() -> None:
    examples, _ = encoded()
    x = examples.x[:500]

    def answer(family: Boosting) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        return np.asarray(open_session(family.fit(examples, lambda *_: None).onnx).run(None, {"X": x})[0])

    first = answer(QUICK)
    np.testing.assert_array_equal(answer(QUICK), first)
    assert not np.array_equal(answer(replace(QUICK, seed=1)), first)
