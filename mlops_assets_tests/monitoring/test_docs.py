"""The page on drift names every limit, with the defaults that the code has."""

from pathlib import Path

from mlops_assets.monitoring import binning, calibration, distance, evidently, performance
from mlops_assets.project import Drift, Performance

PAGE = (Path(__file__).parents[2] / "docs" / "drift.md").read_text("utf-8")
_FLAT = " ".join(PAGE.split())


def test_every_limit_is_named_and_its_default_is_the_codes() -> None:
    for limits in (Drift(), Performance()):
        for name, value in limits.model_dump().items():
            assert f"`{name}` [{value:,}]" in _FLAT, name


def test_the_constants_are_the_codes() -> None:
    for words in (
        f"bins are {binning.BINS} quantiles",
        f"{binning.CHUNK:,} values at a time",
        f"its {binning.MAX_VALUES} most frequent values",
        f"fewer than {distance.MIN_EXPECTED:g} rows expected",
        f"{performance.ROUNDS} rounds",
        f"up to {calibration.MAX_BINS} bins",
        f"each of {calibration.ROWS_PER_BIN} rows or more",
        f"at most {evidently.SAMPLE_ROWS:,} rows a side",
    ):
        assert words in _FLAT, words
