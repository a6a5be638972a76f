"""Binned profiles: what lands in which bin, what is refused, and that batches add up."""

from __future__ import annotations

import tracemalloc
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from mlops_assets.monitoring.binning import MAX_VALUES, NumericBins
from mlops_assets.monitoring.profiles import Profile, ProfileError, empty_profile, make_binning, profile
from mlops_assets_tests.monitoring.data import CATEGORICAL, NUMERIC, columns


def _one(reference: Any, window: Any, *, numeric: bool = True) -> dict[str, int]:
    """Counts of ``window`` by bin label, in the bins of ``reference``; empty bins left out."""
    names = (("x",), ()) if numeric else ((), ("x",))
    binning = make_binning({"x": np.asarray(reference)}, *names)
    found = profile(binning, {"x": np.asarray(window)})
    return {label: n for label, n in zip(binning.columns["x"].labels, found.counts["x"], strict=True) if n}


def test_numbers_fall_into_bins_of_equal_share() -> None:
    rng = np.random.default_rng(0)
    binning = make_binning({"x": rng.lognormal(0, 2, 60_000)}, ("x",), (), bins=30)
    counts = profile(binning, {"x": rng.lognormal(0, 2, 60_000)}).array("x")
    assert counts.sum() == 60_000
    assert counts[1:-2].size == 30
    assert np.allclose(counts[1:-2] / 60_000, 1 / 30, atol=0.005)


def test_what_was_never_seen_lands_outside_infinities_among_it() -> None:
    found = _one(np.linspace(0, 10, 1000), [-5.0, -np.inf, 11.0, np.inf, np.inf, 10.0])
    assert found["below 0"] == 2
    assert found["above 10"] == 3
    assert sum(found.values()) == 6


def test_infinities_in_the_reference_do_not_become_edges() -> None:
    reference = np.array([np.inf, -np.inf, *np.linspace(0, 10, 1000)])
    bins = make_binning({"x": reference}, ("x",), ()).columns["x"]
    assert isinstance(bins, NumericBins)
    assert np.isfinite(bins.edges).all()
    assert _one(reference, reference)["below 0"] == 1


def test_missing_has_a_bin_of_its_own_as_nan_or_none() -> None:
    assert _one([1.0, 2.0, np.nan], [np.nan, np.nan, 1.0])["missing"] == 2
    assert _one([1.0, 2.0], np.array([None, 1.0, None], dtype=object))["missing"] == 2
    assert _one(["a", "b"], np.array(["a", None, np.nan], dtype=object), numeric=False) == {
        "a": 1,
        "missing": 2,
    }


@pytest.mark.parametrize(
    "values", [[True, None], [Decimal(1), None], [1, None], [pd.NA, 1.0], [np.nan, np.float32(1)]]
)
def test_objects_that_are_numbers_count_as_such(values: list[object]) -> None:
    found = _one([1.0, 2.0], np.array(values, dtype=object))
    assert found.pop("missing") == 1
    assert list(found.values()) == [1]


def test_a_constant_is_told_from_what_is_above_and_below() -> None:
    found = _one(np.full(500, 3.0), [3.0, 3.0, 3.1, 2.9, 2.0])
    assert list(found.values()) == [2, 2, 1]


def test_a_value_that_many_rows_share_has_its_own_bin() -> None:
    rain = np.where(np.arange(10_000) < 9_950, 0.0, np.linspace(0.01, 1, 10_000))
    found = _one(rain, np.array([0.0] * 7 + [0.001] * 5))
    assert sorted(found.values()) == [5, 7]


def test_a_column_that_was_missing_throughout_shows_when_values_come() -> None:
    gone = np.full(100, np.nan)
    assert _one(gone, gone) == {"missing": 100}
    assert _one(gone, [1.0, np.nan, 2.0]) == {"any": 2, "missing": 1}


def test_float64_and_the_logs_float32_are_the_same_numbers() -> None:
    values = np.random.default_rng(0).choice([0.1, 0.2, 0.3, 0.7], 5_000)
    assert _one(values, values) == _one(values, values.astype(np.float32))


def test_beyond_float32_counts_as_outside() -> None:
    assert _one([0.0, 1.0], [1e300]) == {"above 1": 1}


def test_new_and_rare_values_share_other() -> None:
    many = [f"v{n:04}" for n in range(MAX_VALUES + 50) for _ in range(2 if n < MAX_VALUES else 1)]
    assert _one(many, ["v0000", "new", "newer", "v0249"], numeric=False) == {"v0000": 1, "other": 3}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.array(["a", "b"], dtype=object), "string where numbers"),
        (np.array(["1.5", "2"], dtype=object), "string where numbers"),
        (np.array(["1.5", "2"]), "where numbers"),
        (np.array(["2013-01-01"], dtype="datetime64[D]"), "where numbers"),
        (np.array([1.0, "x", None], dtype=object), "mixed where numbers"),
    ],
)
def test_text_in_a_numeric_column_is_refused(values: Any, words: str) -> None:
    with pytest.raises(ProfileError, match=f"column x: .*{words}"):
        _one([1.0, 2.0], values)


@pytest.mark.parametrize("wrong", [3, 3.5, True])
def test_numbers_in_a_categorical_column_are_refused(wrong: object) -> None:
    with pytest.raises(ProfileError, match=r"column x: .* where text is declared"):
        _one(["a"], np.array(["a", wrong], dtype=object), numeric=False)


def test_an_unhashable_value_is_refused() -> None:
    values = np.empty(1, dtype=object)
    values[0] = ["a"]
    with pytest.raises(ProfileError, match=r"column x: .*text"):
        _one(["a"], values, numeric=False)


def test_columns_that_are_absent_new_or_uneven_are_refused() -> None:
    binning = make_binning({"x": np.ones(3), "y": np.ones(3)}, ("x", "y"), ())
    with pytest.raises(ProfileError, match=r"\['y'\] are absent"):
        profile(binning, {"x": np.ones(3)})
    with pytest.raises(ProfileError, match=r"\['z'\] are not in the reference"):
        profile(binning, {"x": np.ones(3), "y": np.ones(3), "z": np.ones(3)})
    with pytest.raises(ProfileError, match="as many for each column"):
        profile(binning, {"x": np.ones(3), "y": np.ones(4)})
    with pytest.raises(ProfileError, match=r"\['z'\] are not in the reference"):
        make_binning({"x": np.ones(3)}, ("x", "z"), ())


def test_profiles_of_batches_add_up_to_that_of_all() -> None:
    whole = columns(200_000, seed=1)
    binning = make_binning(columns(5_000, seed=2), NUMERIC, CATEGORICAL)
    total = empty_profile(binning)
    for start, end in ((0, 1), (1, 70_001), (70_001, 70_001), (70_001, 200_000)):
        total += profile(binning, {name: values[start:end] for name, values in whole.items()})
    assert total == profile(binning, whole)
    assert total.rows == 200_000
    assert all(sum(counts) == 200_000 for counts in total.counts.values())


def test_profiles_with_other_bins_do_not_add() -> None:
    one, other = (
        profile(make_binning(c, NUMERIC, CATEGORICAL), c) for c in (columns(100, 1), columns(100, 2))
    )
    with pytest.raises(ProfileError, match="different bins"):
        one + other


def test_a_profile_survives_json_exactly() -> None:
    made = columns(5_000, seed=3)
    made["n0"] = np.where(np.arange(5_000) % 2, 0.1, made["n0"]).astype(np.float32)
    found = profile(make_binning(made, NUMERIC, CATEGORICAL), made)
    again = msgspec.json.decode(msgspec.json.encode(found), type=Profile)
    assert again == found
    assert profile(again.binning, made) == found


def test_memory_is_bounded_however_many_rows() -> None:
    rng = np.random.default_rng(0)
    some = {
        "n": rng.normal(0, 1, 3_000_000),
        "c": np.tile(np.array(["a", "b", None], dtype=object), 1_000_000),
    }
    binning = make_binning({name: values[:10_000] for name, values in some.items()}, ("n",), ("c",))
    profile(binning, {name: values[:10] for name, values in some.items()})
    tracemalloc.start()
    profile(binning, some)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * 2**20  # the two columns alone are 48 MB
