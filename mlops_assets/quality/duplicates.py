"""Does each row stand once, and are they not another partition's rows?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.contracts import repeated_rows
from mlops_assets.quality.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from mlops_assets.contracts import Contract
    from mlops_assets.quality.summary import Summary

REMEDY = (
    "export the rows once, each under its own partition, and upload the file again under the same name. If "
    "rows of the same key are right: they need a wider `key` in the source's contract"
)


def judge_duplicates(
    frame: pd.DataFrame, contract: Contract, content: str, others: Mapping[str, Summary]
) -> Verdict:
    """Rows that repeat the declared key of another; ``content`` (a hash) that another partition has."""
    problems, total = repeated_rows(frame, contract)
    twins = sorted(name for name, other in others.items() if content and other.content == content)
    key = ", ".join(contract.key)
    observed = f"{total:,} of {len(frame):,} rows repeat the key of another"
    if problems:
        observed += f", the first in line {problems[0].line}: {problems[0].what}"
    if twins:
        observed += f"; the rows are those of {', '.join(twins)} over again"
    return Verdict(
        "duplicates",
        not total and not twins,
        observed,
        f"one row for each {key}, and other rows than any other partition's",
        REMEDY,
        {"repeated rows": total},
        problems,
    )
