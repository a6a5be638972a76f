"""Two processes (gloo) train as one does, at the same global batch; started by the real torchrun."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mlops_assets.families.network import Network
from mlops_assets_tests.families.checkpoints import CutOffError, Kept
from mlops_assets_tests.families.data import encoded

if TYPE_CHECKING:
    from mlops_assets.families import Fitted

ONE = Network(max_epochs=3, patience=3, batch_rows=256, device="cpu", dropout=0.0)
TWO = replace(ONE, processes=2)
EXACTLY = 1e-3
"""Without dropout only the order of summation differs."""
NEARLY = 0.02
"""With dropout each process draws its own."""


def curve(fitted: Fitted) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.array([[row["train_loss"], row["validation_loss"]] for row in fitted.history])


@pytest.fixture(scope="module")
def two() -> Fitted:
    return TWO.fit(encoded()[0], lambda *_: None)


def test_two_processes_give_the_loss_curve_of_one(two: Fitted) -> None:
    one = ONE.fit(encoded()[0], lambda *_: None)
    np.testing.assert_allclose(curve(two), curve(one), rtol=EXACTLY)
    assert two.summary["processes"] == 2
    assert two.params["batch_rows"] == one.params["batch_rows"]


def test_with_dropout_the_curves_are_close() -> None:
    examples, _ = encoded()
    one, other = (replace(f, dropout=0.3).fit(examples, lambda *_: None) for f in (ONE, TWO))
    np.testing.assert_allclose(curve(other), curve(one), rtol=NEARLY)


def test_they_go_on_from_a_checkpoint_and_tell_each_epoch(two: Fitted) -> None:
    examples, _ = encoded()
    kept = Kept(saves=2)
    told: list[int] = []
    with pytest.raises(CutOffError):
        TWO.fit(examples, lambda epoch, _: told.append(epoch), kept)
    fitted = TWO.fit(examples, lambda epoch, _: told.append(epoch), replace(kept, saves=1_000))
    assert fitted.summary["resumed_at_epoch"] == 2
    assert told == [1, 2, 3]
    np.testing.assert_allclose(curve(fitted), curve(two), rtol=1e-6)


def test_a_process_that_fails_is_told_with_its_last_words() -> None:
    examples, _ = encoded()
    x = examples.x.copy()
    x[:, 0] = np.inf
    with (
        np.errstate(invalid="ignore"),
        pytest.raises(RuntimeError, match="no epoch gave a finite validation loss"),
    ):
        replace(TWO, max_epochs=1).fit(replace(examples, x=x), lambda *_: None)
