"""Checkpoints in memory, and a fit that is cut off."""

from __future__ import annotations

from dataclasses import dataclass, field


class CutOffError(Exception):
    """Stands for the end of the process."""


@dataclass
class Kept:
    """Keeps what is saved; raises ``CutOffError`` after ``saves`` of them."""

    saves: int = 1_000
    states: list[bytes] = field(default_factory=list)

    def load(self) -> bytes | None:
        return self.states[-1] if self.states else None

    def save(self, state: bytes) -> None:
        self.states.append(state)
        if len(self.states) == self.saves:
            raise CutOffError
