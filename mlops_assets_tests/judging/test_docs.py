"""The gate's page names every rule and every limit, with the defaults that the code has."""

from pathlib import Path

from mlops_assets.judging.gate import CHECKS
from mlops_assets.project import Gate

PAGE = (Path(__file__).parents[2] / "docs" / "gate.md").read_text("utf-8")


def test_every_rule_is_explained() -> None:
    for name in CHECKS:
        assert f"| `{name}` |" in PAGE


def test_every_limit_is_named_and_its_default_is_the_codes() -> None:
    for name in Gate.model_fields:
        assert f"`{name}`" in PAGE, name
    gate = Gate()
    page = PAGE.replace("\N{MINUS SIGN}", "-")
    for words in (
        f"low ≥ {gate.min_auc_over_baseline}",
        f"high ≥ -{gate.noise_margin}",
        f"low ≥ -{gate.max_possible_loss}",
        f"≤ {gate.max_calibration_error} + the baseline's",
        f"{gate.bootstrap_rounds} times\n(`bootstrap_rounds`)",
        f"middle {gate.confidence:.0%}\n(`confidence`)",
        f"from {gate.min_slice_rows} rows",
        f"below {gate.min_slice_auc}, with its whole interval",
        f"more than {gate.max_slice_auc_drop:.2f} below the champion's",
    ):
        assert words in page, words
