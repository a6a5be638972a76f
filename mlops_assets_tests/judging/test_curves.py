import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mlops_assets.judging.curves import roc_curve
from mlops_assets_tests.judging.data import World


@pytest.mark.parametrize("decimals", [12, 1])
def test_the_area_below_the_thinned_curve_is_the_auc(decimals: int) -> None:
    world = World(20_000)
    p = world.truth.round(decimals)
    false, true = roc_curve(world.labels, p)
    assert len(false) <= 202
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert (np.diff(false) >= 0).all()
    assert (np.diff(true) >= 0).all()
    assert np.trapezoid(true, false) == pytest.approx(roc_auc_score(world.labels, p), abs=1e-3)


def test_the_curve_of_a_constant_is_the_diagonal() -> None:
    false, true = roc_curve([0, 1] * 50, np.full(100, 0.5))
    assert (false.tolist(), true.tolist()) == ([0, 1], [0, 1])
