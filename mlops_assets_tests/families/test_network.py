"""The network learns, stops early, is deterministic, and its graph answers as torch does."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from mlops_assets.bundle import open_session
from mlops_assets.families import Examples, Family, Fitted
from mlops_assets.families.encoding import forget_some
from mlops_assets.families.network import Network
from mlops_assets.families.network_fit import NetworkFit
from mlops_assets.families.network_module import TabularNetwork
from mlops_assets.families.validation import roc_auc
from mlops_assets_tests.families.data import encoded

if TYPE_CHECKING:
    from collections.abc import Mapping

QUICK = Network(max_epochs=6, batch_rows=256, device="cpu")


def fit(family: Network, examples: Examples | None = None) -> Fitted:
    return family.fit(examples or encoded()[0], lambda *_: None)


def answer(fitted: Fitted) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.asarray(open_session(fitted.onnx).run(None, {"X": encoded()[0].x})[0])


def test_it_is_a_family() -> None:
    assert isinstance(QUICK, Family)


def test_it_learns_and_tells_each_epoch() -> None:
    examples, _ = encoded()
    told: list[tuple[int, Mapping[str, float]]] = []
    fitted = QUICK.fit(examples, lambda epoch, metrics: told.append((epoch, metrics)))
    probability = answer(fitted)
    assert probability.shape == (len(examples.y),)
    assert probability.dtype == np.float32
    assert roc_auc(examples.y, probability) > 0.65
    assert [epoch for epoch, _ in told] == list(range(1, len(fitted.history) + 1))
    assert tuple(metrics for _, metrics in told) == fitted.history
    assert set(fitted.history[0]) == {"train_loss", "validation_loss", "validation_auc"}
    assert fitted.history[-1]["train_loss"] < fitted.history[0]["train_loss"]
    assert fitted.summary["device"] == "cpu"


def test_it_stops_when_the_last_rows_get_no_better_and_keeps_the_best_epoch() -> None:
    examples, _ = encoded()
    rng = np.random.default_rng(0)
    # Labels of the last rows that say nothing: training longer makes them worse.
    split = int(len(examples.y) * 0.9)
    noise = np.concatenate([examples.y[:split], rng.permutation(examples.y[split:])])
    fitted = fit(replace(QUICK, max_epochs=40, patience=2, learning_rate=0.02), replace(examples, y=noise))
    losses = [row["validation_loss"] for row in fitted.history]
    best = fitted.summary["best_epoch"]
    assert best == int(np.argmin(losses)) + 1
    assert len(losses) == best + 2 < 40
    assert fitted.summary["validation_loss"] == min(losses)


def test_the_graph_answers_as_torch_does() -> None:
    examples, _ = encoded()
    fit = NetworkFit(QUICK, examples)
    fit.run(lambda *_: None)
    session = open_session(fit.to_onnx())
    rng = np.random.default_rng(0)
    unknown = forget_some(examples, 0.3, 1)
    missing = np.where(rng.random(examples.x.shape) < 0.3, np.nan, examples.x).astype(np.float32)
    missing[:, len(examples.numeric) :] = examples.x[:, len(examples.numeric) :]
    for x in (examples.x, unknown, missing, examples.x[:1]):
        (found,) = session.run(None, {"X": x})
        np.testing.assert_allclose(found, fit.predict(x), atol=1e-5, rtol=0)


def test_the_same_seed_gives_the_same_model_another_another() -> None:
    family = replace(QUICK, max_epochs=2)
    first = answer(fit(family))
    torch.manual_seed(99)  # the caller's own random numbers have no part in it
    np.testing.assert_array_equal(answer(fit(family)), first)
    assert not np.array_equal(answer(fit(replace(family, seed=1))), first)


def test_it_leaves_torchs_threads_and_random_numbers_as_they_were() -> None:
    threads = torch.get_num_threads()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(replace(QUICK, max_epochs=1, threads=threads + 1))
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads


def test_a_column_of_missing_values_or_of_one_value_does_no_harm() -> None:
    examples, _ = encoded()
    x = examples.x.copy()
    x[:, 0], x[:, 1] = np.nan, 7.0
    assert np.isfinite(answer(fit(replace(QUICK, max_epochs=1), replace(examples, x=x)))).all()


def test_standardisation_and_missing_values_are_in_the_graph() -> None:
    numbers = np.array([[10.0], [20.0], [np.nan], [30.0]], dtype=np.float32)
    network = TabularNetwork(numbers, (2,), (4,), 0.0).eval()
    assert network.mean.tolist() == [20.0]
    assert network.scale.tolist() == pytest.approx([np.std([10, 20, 30])])
    with torch.no_grad():
        at_mean, missing, far, farther = network(
            torch.tensor([[20.0, 1], [torch.nan, 1], [1e4, 1], [1e6, 1]])
        )
    assert at_mean != missing  # a missing number is told apart from the mean
    assert far == farther  # what lies far outside the training's range is clipped


def test_what_cannot_be_fitted_is_said() -> None:
    examples, _ = encoded()
    x = examples.x.copy()
    x[:, 0] = np.inf
    with (
        np.errstate(invalid="ignore"),
        pytest.raises(
            FloatingPointError, match="no epoch gave a finite validation loss; lower learning_rate"
        ),
    ):
        fit(replace(QUICK, max_epochs=1), replace(examples, x=x))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_that_is_not_there_is_said() -> None:
    with pytest.raises(RuntimeError, match="use device='auto'"):
        fit(replace(QUICK, device="cuda"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_it_learns_as_well() -> None:
    fitted = fit(replace(QUICK, device="cuda"))
    assert fitted.summary["device"] == "cuda"
    assert roc_auc(encoded()[0].y, answer(fitted)) > 0.7


def test_export_warns_nobody() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(replace(QUICK, max_epochs=1))
