"""Hindsight is what it says: no schedule of as many trainings, and no version, would have been better."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mlops_assets.replay import hindsight
from mlops_assets.replay.play import Player
from mlops_assets.replay.store import Store
from mlops_assets.replay.strategies import EVERY
from mlops_assets_tests.replay import toy

if TYPE_CHECKING:
    from pathlib import Path

Table = list[list[float | None]]


def made_up(seed: int, partitions: int = 7) -> tuple[Table, list[int]]:
    """Chance ``c`` can serve from partition ``c`` on; some partitions are larger."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(0.5, 0.8, (partitions, partitions))
    table: Table = [
        [float(v) if c <= p else None for p, v in enumerate(line)] for c, line in enumerate(values)
    ]
    return table, [int(n) for n in rng.integers(100, 1_000, partitions)]


def total(table: Table, rows: list[int], choice: list[int]) -> float:
    return sum(n * (table[c][p] or 0.0) for p, (c, n) in enumerate(zip(choice, rows, strict=True)))


def schedules(partitions: int, changes: int) -> list[list[int]]:
    """All of them with at most so many changes, by trying each."""
    found = []
    for n in range(changes + 1):
        for chosen in itertools.combinations(range(1, partitions), n):
            way = (0, *chosen)
            found.append([max(c for c in way if c <= p) for p in range(partitions)])
    return found


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("changes", [0, 1, 3, 6])
def test_no_schedule_of_as_many_changes_is_better(seed: int, changes: int) -> None:
    table, rows = made_up(seed)
    choice = hindsight.best_schedule(table, rows, changes)
    assert len(set(choice) - {0}) <= changes
    best = max(total(table, rows, one) for one in schedules(len(rows), changes))
    assert total(table, rows, choice) == pytest.approx(best)


def test_a_partition_that_cannot_be_scored_does_not_matter() -> None:
    table, rows = made_up(1)
    for line in table:
        line[3] = float("nan") if line[3] is not None else None
    choice = hindsight.best_schedule(table, rows, 2)
    assert len(choice) == len(rows)
    assert hindsight.best_version(table)[3] == 0


def test_the_best_version_is_the_best_that_there_was() -> None:
    table, rows = made_up(2)
    choice = hindsight.best_version(table)
    for partition, chance in enumerate(choice):
        values = [line[partition] for line in table if line[partition] is not None]
        assert table[chance][partition] == max(v for v in values if v is not None)
    assert total(table, rows, choice) >= total(table, rows, hindsight.best_schedule(table, rows, 6))


def test_the_chances_are_the_trainings_of_every_chance(tmp_path: Path) -> None:
    setting = toy.setting(toy.project(), toy.moved(), Store(tmp_path))
    every = Player(setting, "every", EVERY).play()
    chances = hindsight.chances(setting, every.trainings[0])
    assert [c.on for c in chances] == [t.on for t in every.trainings]
    assert [c.serves_from for c in chances] == list(toy.MONTHS[2:])
    assert all(c.on[-1] < c.serves_from for c in chances)
