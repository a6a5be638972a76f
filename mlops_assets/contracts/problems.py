"""What is wrong with an object, in words that name the place and the remedy."""

from __future__ import annotations

from dataclasses import dataclass

MAX_PROBLEMS = 20
MAX_PER_KIND = 5


@dataclass(frozen=True)
class Problem:
    """One breach. ``line`` is 1-based, the header is line 1; None where no line is to blame."""

    line: int | None
    column: str | None
    what: str
    remedy: str

    def __str__(self) -> str:
        line = "" if self.line is None else f"line {self.line}"
        column = "" if self.column is None else f"column {self.column}"
        place = ", ".join(part for part in (line, column) if part)
        return f"{place + ': ' if place else ''}{self.what}. Remedy: {self.remedy}."


class ContractError(ValueError):
    """An object breaks its contract. ``problems`` is bounded; ``total`` counts all of them."""

    def __init__(self, key: str, problems: tuple[Problem, ...], total: int) -> None:
        self.key = key
        self.problems = problems
        self.total = total
        super().__init__(key, problems, total)

    def __str__(self) -> str:
        places = "1 place" if self.total == 1 else f"{self.total} places"
        lines = [f"{self.key} breaks its contract in {places}:"]
        lines += [f"- {problem}" for problem in self.problems]
        if self.total > len(self.problems):
            lines.append(f"- and {self.total - len(self.problems)} more.")
        return "\n".join(lines)


class Found:
    """Collects an object's problems: the first few of each kind are kept, all are counted."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.kept: list[Problem] = []
        self.total = 0

    def add(self, *problems: Problem, total: int | None = None) -> None:
        """Keep ``problems``; ``total`` is how many there are where only the first are given."""
        room = max(0, MAX_PROBLEMS - len(self.kept))
        self.kept.extend(problems[: min(room, MAX_PER_KIND)])
        self.total += len(problems) if total is None else total

    def raise_any(self) -> None:
        """Raise ``ContractError`` if there is any problem."""
        if self.total:
            raise ContractError(self.key, tuple(self.kept), self.total)
