"""The reference: made from real project declarations, kept as JSON."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from mlops_assets.catalog import get_project
from mlops_assets.judging.sample import ScoreError
from mlops_assets.monitoring.profiles import ProfileError
from mlops_assets.monitoring.reference import (
    Reference,
    decode_reference,
    encode_reference,
    make_reference,
    profile_features,
)
from mlops_assets_tests.monitoring.data import CATEGORICAL, NUMERIC, columns, promise

ROWS = 4_000
TIMES = np.datetime64("2013-03-01T00:00") + np.arange(ROWS) * np.timedelta64(10, "m")


def _make(**changes: Any) -> Reference:
    real = get_project("flight_delays")
    features = real.features.model_copy(update={"numeric": NUMERIC, "categorical": CATEGORICAL})
    rng = np.random.default_rng(0)
    p = rng.beta(1, 3, ROWS)
    given: dict[str, Any] = {
        "training_columns": columns(9_000, 1) | {"helper": np.ones(9_000)},
        "held_out_columns": columns(ROWS, 2),
        "held_out_scores": p,
        "held_out_labels": rng.random(ROWS) < p,
        "champion": "7",
        "training_set": "abc",
        "held_out": "2013-03",
        "held_out_times": TIMES,
    }
    return make_reference(real.model_copy(update={"features": features}), **(given | changes))


def test_it_holds_what_later_is_compared() -> None:
    reference = _make()
    assert reference.features.rows == 9_000
    assert reference.held_out_features.rows == reference.scores.rows == ROWS
    assert set(reference.features.counts) == {*NUMERIC, *CATEGORICAL}
    assert reference.usual_features.days == reference.usual_scores.days == 28
    assert 0.2 < reference.positive_rate < 0.3
    assert abs(reference.calibration([0.3])[0] - 0.3) < 0.06
    auc = reference.promised.roc_auc
    assert auc.low < auc.value < auc.high


def test_what_the_evaluation_promised_is_kept() -> None:
    assert _make(promised=promise(0.81)).promised == promise(0.81)


def test_it_survives_json() -> None:
    reference = _make()
    again = decode_reference(encode_reference(reference))
    assert again == reference
    window = columns(500, 5)
    assert profile_features(again, window) == profile_features(reference, window)
    assert len(encode_reference(reference)) < 100_000


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"format": 1}', b'{"format": "x"}'])
def test_what_is_no_reference_is_refused(data: bytes) -> None:
    with pytest.raises(ProfileError, match=r"no reference .* reference_profile anew"):
        decode_reference(data)


def test_another_format_is_refused_by_its_number() -> None:
    data = encode_reference(msgspec.structs.replace(_make(), format=99))
    with pytest.raises(ProfileError, match="format 99, this code reads 1"):
        decode_reference(data)


def test_an_absent_column_is_refused() -> None:
    less = columns(ROWS, 2)
    del less["n3"]
    with pytest.raises(ProfileError, match=r"\['n3'\] are absent"):
        _make(held_out_columns=less)
    with pytest.raises(ProfileError, match=r"\['n3'\]"):
        _make(training_columns=less)


def test_scores_that_are_no_probabilities_are_refused() -> None:
    with pytest.raises(ScoreError, match="version 7"):
        _make(held_out_scores=np.full(ROWS, 1.5))
