from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray

from mlops_assets.judging.evaluation import evaluate
from mlops_assets.judging.plots import COLOURS, loss_curve_png, render_plots
from mlops_assets_tests.judging.data import GATE, World

WORLD = World()


def pixels(png: bytes) -> NDArray[np.int_]:
    from matplotlib.image import imread

    assert png.startswith(b"\x89PNG")
    return (np.asarray(imread(BytesIO(png), format="png"))[:, :, :3] * 255).round().astype(int)


def shows(png: bytes, colour: str) -> bool:
    """Whether the picture has at least 50 pixels of the colour."""
    wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return int((np.abs(pixels(png) - wanted).max(axis=2) <= 2).sum()) >= 50


def plots(*, champion: bool) -> dict[str, bytes]:
    predictions = {"baseline": np.full(WORLD.labels.size, 0.25), "new": WORLD.noisy(0.3)}
    if champion:
        predictions["champion"] = WORLD.noisy(0.6)
    evaluation = evaluate(WORLD.labels, predictions, {"carrier": WORLD.carrier}, GATE)
    return render_plots(evaluation, WORLD.labels, predictions)


def test_every_picture_shows_every_model_in_its_colour() -> None:
    with_champion, without = plots(champion=True), plots(champion=False)
    assert set(with_champion) == {"roc.png", "calibration.png", "slices.png"}
    for name, png in with_champion.items():
        assert shows(png, COLOURS["challenger"])
        assert shows(png, COLOURS["champion"])
        assert not shows(without[name], COLOURS["champion"])
        assert len(png) < 150_000


def test_the_loss_curve_shows_training_and_validation() -> None:
    history = [{"train_loss": 1 / e, "validation_loss": 1 / e + 0.01 * e, "auc": 0.5} for e in range(1, 20)]
    png = loss_curve_png(history)
    assert shows(png, COLOURS["challenger"])
    assert shows(png, COLOURS["champion"])


def test_one_epoch_is_drawn_too() -> None:
    assert loss_curve_png([{"loss": 0.5}]).startswith(b"\x89PNG")


def test_a_history_without_a_loss_is_refused() -> None:
    for history in ([], [{"auc": 0.7}]):
        with pytest.raises(ValueError, match="no metric named after a loss"):
            loss_curve_png(history)
