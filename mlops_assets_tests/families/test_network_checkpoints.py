"""A fit that was cut off goes on where it was, and comes to the same model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mlops_assets.families.network import Network
from mlops_assets_tests.families.checkpoints import CutOffError, Kept
from mlops_assets_tests.families.data import encoded

if TYPE_CHECKING:
    from collections.abc import Mapping

QUICK = Network(max_epochs=4, patience=4, batch_rows=256, device="cpu")


@pytest.fixture(scope="module")
def whole() -> Kept:
    """The checkpoints of a fit that nothing disturbs."""
    kept = Kept()
    fitted = QUICK.fit(encoded()[0], lambda *_: None, kept)
    assert len(kept.states) == QUICK.max_epochs + fitted.summary["best_epoch"]
    assert fitted.summary["resumed_at_epoch"] == 0
    return kept


@pytest.mark.parametrize("epochs", [1, 3, 4, 5])
def test_a_fit_that_was_cut_off_comes_to_the_same_model(epochs: int) -> None:
    """1 and 3: in the search; 4: between search and final fit; 5: in the final fit."""
    examples, _ = encoded()
    undisturbed = QUICK.fit(examples, lambda *_: None)
    kept = Kept(saves=epochs)
    told: list[int] = []

    def progress(epoch: int, _: Mapping[str, float]) -> None:
        told.append(epoch)

    with pytest.raises(CutOffError):
        QUICK.fit(examples, progress, kept)
    fitted = QUICK.fit(examples, progress, replace(kept, saves=1_000))
    assert fitted.onnx == undisturbed.onnx
    assert fitted.history == undisturbed.history
    assert fitted.summary["resumed_at_epoch"] == epochs
    assert told == list(range(1, QUICK.max_epochs + 1))  # no epoch was trained twice


def test_a_fit_that_was_done_but_not_kept_trains_no_epoch_again(whole: Kept) -> None:
    examples, _ = encoded()
    again = Kept(states=whole.states[-1:])
    fitted = QUICK.fit(examples, lambda *_: pytest.fail("an epoch was trained"), again)
    assert len(again.states) == 1
    assert fitted.onnx == QUICK.fit(examples, lambda *_: None).onnx


def test_a_checkpoint_of_another_fit_is_refused(whole: Kept) -> None:
    examples, _ = encoded()
    fewer = replace(examples, x=examples.x[:-1], y=examples.y[:-1])
    for family, given in ((replace(QUICK, seed=1), examples), (QUICK, fewer)):
        with pytest.raises(ValueError, match=r"the checkpoint is of fit .* delete it, and train again"):
            family.fit(given, lambda *_: None, Kept(states=whole.states[:1]))


def test_a_torn_checkpoint_is_refused_and_runs_no_code(whole: Kept) -> None:
    import pickle

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return pytest.fail, ("code of the checkpoint ran",)

    for state in (whole.states[0][:-100], b"", pickle.dumps({"point": Evil()})):
        with pytest.raises(ValueError, match="the checkpoint cannot be read"):
            QUICK.fit(encoded()[0], lambda *_: None, Kept(states=[state]))
