import numpy as np

from mlops_assets.judging.slices import slicings
from mlops_assets_tests.judging.data import World


def test_small_and_one_sided_slices_are_skipped_with_the_reason() -> None:
    labels = np.array([0.0, 1.0] * 100 + [0.0] * 150)
    column = np.array(["big"] * 180 + ["small"] * 20 + ["never late"] * 150)
    [cut] = slicings(labels, {"carrier": column}, min_rows=100)
    assert cut.values == ("big",)
    assert (cut.codes == 0).tolist() == (column == "big").tolist()
    assert {s.value: s.reason for s in cut.skipped} == {
        "never late": "0 of 150 rows are positive; 10 of each class are needed",
        "small": "20 rows; 100 are needed",
    }


def test_slices_are_scored_on_their_own_rows() -> None:
    world = World(6000)
    here = world.carrier == "DL"
    reversed_here = np.where(here, 1 - world.truth, world.truth)
    evaluation = world.evaluate(reversed_here, champion=world.truth)
    found = {s.value: s for s in evaluation.slices}
    assert set(found) == {"AA", "DL", "UA"}
    assert found["DL"].challenger.rows == here.sum()
    assert found["DL"].challenger.positives == world.labels[here].sum()
    assert found["DL"].challenger.roc_auc.high < 0.5 < found["AA"].challenger.roc_auc.low
    champion, drop = found["DL"].champion, found["DL"].auc_difference
    assert champion is not None
    assert drop is not None
    assert champion.roc_auc.low > 0.6
    assert drop.high < -0.3
