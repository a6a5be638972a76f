"""Vocabularies are fitted on training rows; encoding is that of serving."""

from __future__ import annotations

import numpy as np
import pytest

from mlops_assets.families import Examples
from mlops_assets.families.encoding import fit_vocabularies, forget_some, model_columns, split_in_time
from mlops_assets_tests.families.data import encoded, training
from mlops_assets_tests.projects.flight_delays.data import PROJECT, features
from serving.encoding import Encoding


def test_codes_follow_the_rate_of_positive_labels() -> None:
    values = np.array(["a"] * 1000 + ["b"] * 1000 + ["c"] * 1000, dtype=object)
    y = np.concatenate([np.arange(1000) < late for late in (500, 100, 300)]).astype(np.float32)
    assert fit_vocabularies({"x": values}, y) == {"x": ["b", "c", "a"]}


def test_a_rare_value_is_not_the_latest_of_all_by_chance() -> None:
    values = np.array(["a"] * 1000 + ["b"] * 1000 + ["rare"] * 2, dtype=object)
    y = np.concatenate([np.arange(1000) < 100, np.arange(1000) < 500, [True, True]]).astype(np.float32)
    assert fit_vocabularies({"x": values}, y) == {"x": ["a", "rare", "b"]}


def test_a_missing_value_is_no_category() -> None:
    values = np.array(["a", None, "b", None], dtype=object)
    assert sorted(fit_vocabularies({"x": values}, np.ones(4, dtype=np.float32))["x"]) == ["a", "b"]


def test_examples_are_the_frames_rows_in_order() -> None:
    examples, vocabularies = encoded()
    frame = training()
    assert examples.x.dtype == np.float32
    assert examples.x.shape == (len(frame), len(examples.numeric) + len(examples.categorical))
    np.testing.assert_array_equal(examples.y, frame["late"])
    np.testing.assert_array_equal(
        examples.x[:, examples.numeric.index("distance")], frame["distance"].astype(np.float32)
    )
    at = len(examples.numeric) + examples.categorical.index("carrier")
    decoded = [vocabularies["carrier"][int(code) - 1] for code in examples.x[:, at]]
    assert decoded == frame["carrier"].tolist()
    assert examples.cardinalities == tuple(len(vocabularies[n]) + 1 for n in examples.categorical)


def test_a_category_that_training_never_saw_is_unknown() -> None:
    examples, vocabularies = encoded()
    later = features("2013-08").query("dest == 'ANC'")
    assert len(later)
    x, unknown = Encoding(examples.numeric, vocabularies).encode(model_columns(PROJECT, later))
    assert unknown["dest"].all()
    assert not unknown["origin"].any()
    assert (x[:, len(examples.numeric) + examples.categorical.index("dest")] == 0).all()


def test_some_codes_are_forgotten_and_no_number() -> None:
    examples, _ = encoded()
    width = len(examples.numeric)
    x = forget_some(examples, 0.2, seed=1)
    np.testing.assert_array_equal(x[:, :width], examples.x[:, :width])
    assert (x[:, width:] == 0).mean() == pytest.approx(0.2, abs=0.02)
    assert (examples.x[:, width:] > 0).all()
    kept = x[:, width:] > 0
    np.testing.assert_array_equal(x[:, width:][kept], examples.x[:, width:][kept])
    np.testing.assert_array_equal(forget_some(examples, 0.2, seed=1), x)


def test_forgetting_leaves_an_example_without_categories_alone() -> None:
    x = np.ones((3, 2), dtype=np.float32)
    examples = Examples(x, np.ones(3, dtype=np.float32), ("a", "b"), (), ())
    np.testing.assert_array_equal(forget_some(examples, 0.5, seed=0), x)


@pytest.mark.parametrize(
    ("rows", "share", "split"), [(100, 0.1, 90), (10, 0.01, 9), (2, 0.9, 1), (1000, 0.15, 850)]
)
def test_the_last_rows_are_held_back(rows: int, share: float, split: int) -> None:
    assert split_in_time(rows, share) == split
