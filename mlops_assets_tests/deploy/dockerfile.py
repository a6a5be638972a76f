"""Dockerfiles as lists of instructions: enough of their grammar to hold rules to them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Instruction:
    """``rest`` without line breaks and comments."""

    word: str
    rest: str


@dataclass
class Stage:
    """From one ``FROM`` to the next."""

    image: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, word: str) -> list[str]:
        return [i.rest for i in self.instructions if i.word == word]


def parse(file: Path) -> tuple[list[Instruction], list[Stage]]:
    """What stands before the first stage, and the stages."""
    lines = [line for line in file.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    before: list[Instruction] = []
    stages: list[Stage] = []
    for line in joined.splitlines():
        if not line.strip():
            continue
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            image, _, name = rest.partition(" AS ")
            stages.append(Stage(image, name))
        else:
            (stages[-1].instructions if stages else before).append(Instruction(word, rest.strip()))
    return before, stages
