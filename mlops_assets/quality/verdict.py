"""What a check found, in words for a person and figures for a machine."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops_assets.contracts import Problem


@dataclass(frozen=True)
class Verdict:
    """One check's result.

    ``observed`` and ``allowed`` say what was seen and what is permitted, ``remedy`` what a person does
    about it. ``problems`` are the places, where there are some. ``accepted``: why a person let a
    failure pass.
    """

    check: str
    passed: bool
    observed: str
    allowed: str
    remedy: str
    figures: Mapping[str, Any] = field(default_factory=dict)
    problems: Sequence[Problem] = ()
    accepted: str = ""

    def accept(self, why: str) -> Verdict:
        """Passed, if it failed and ``why`` says that it may."""
        return self if self.passed or not why else replace(self, passed=True, accepted=why)

    @property
    def explanation(self) -> str:
        """One line: what was seen and, if that is too much, what is allowed and what to do."""
        if self.accepted:
            return f"{self.observed}; accepted: {self.accepted}"
        if self.passed:
            return self.observed
        return f"{self.observed}. Allowed: {self.allowed}. Remedy: {self.remedy}."


def merge(check: str, parts: Sequence[Verdict]) -> Verdict:
    """One verdict of several: passed if all are; what failed is told first."""
    told = sorted(parts, key=lambda part: part.passed)
    failed = [part for part in told if not part.passed]
    return Verdict(
        check,
        not failed,
        "; ".join(part.observed for part in (failed or told)),
        "; ".join(part.allowed for part in told),
        "; ".join(dict.fromkeys(part.remedy for part in failed or told)),
        {name: value for part in parts for name, value in part.figures.items()},
        [problem for part in told for problem in part.problems],
    )
