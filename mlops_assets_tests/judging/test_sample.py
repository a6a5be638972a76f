import re

import numpy as np
import pytest

from mlops_assets.judging.sample import (
    ScoreError,
    checked_labels,
    checked_probabilities,
    checked_values,
)

GOOD = np.array([0, 1] * 20)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "labels: no rows"),
        ([[0, 1], [1, 0]], r"labels: shape \(2, 2\)"),
        ([*GOOD, np.nan], r"1 of 41 rows are neither 0 nor 1 \(row 40 is nan\)"),
        ([*GOOD, 2], r"row 40 is 2"),
        (["late", "on time"], "labels: not numbers"),
        (np.zeros(500), "0 of 500 rows are positive; at least 10"),
        (np.ones(500), "500 of 500 rows are positive"),
        ([0] * 100 + [1] * 9, "9 of 109 rows are positive"),
    ],
)
def test_unusable_labels_are_refused_with_the_reason(labels: object, message: str) -> None:
    with pytest.raises(ScoreError, match=message):
        checked_labels(labels)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [bool, np.int8, np.float32, object])
def test_labels_of_any_type_become_floats(kind: type) -> None:
    assert checked_labels(GOOD.astype(kind)).tolist() == GOOD.tolist()


@pytest.mark.parametrize(
    ("probabilities", "message"),
    [
        ([0.1, 0.2], "predictions of net: 2 probabilities for 3 labels"),
        ([0.1, np.nan, 0.2], r"predictions of net: 1 of 3 .* \(row 1 is nan\)"),
        ([0.1, 0.2, np.inf], r"row 2 is inf"),
        ([-0.01, 0.2, 0.3], r"row 0 is -0.01"),
        ([0.1, 1.01, 0.3], r"row 1 is 1.01"),
        ([[0.1], [0.2], [0.3]], r"shape \(3, 1\)"),
        ([None, 0.1, 0.2], "row 0 is nan"),
    ],
)
def test_unusable_probabilities_are_refused_with_the_model(probabilities: object, message: str) -> None:
    with pytest.raises(ScoreError, match=message):
        checked_probabilities("net", probabilities, 3)  # type: ignore[arg-type]


def test_missing_slice_values_have_a_name() -> None:
    values = np.array(["AA", None, float("nan"), 7], dtype=object)
    assert checked_values("carrier", values, 4).tolist() == ["AA", "(missing)", "(missing)", "7"]
    with pytest.raises(ScoreError, match=re.escape("column carrier: shape (4,) for 5 labels")):
        checked_values("carrier", values, 5)
