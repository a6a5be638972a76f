"""What would have been best, known afterwards: bounds that no policy can be sure to reach.

``best schedule``: from the same first champion, as many retrainings as the policy had, at the label arrivals
that turn out best for the row-weighted mean ROC AUC; each is promoted, since who knows the future needs no
gate. ``best version``: in each partition the version that turns out best in it, of all that could have been
trained before it. Both choose among what a training at each arrival brings (its candidate with the lowest log
loss on the held-out partition, as the gate's challenger is chosen).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_assets.replay.watch import Served

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops_assets.replay.play import Setting, Training
    from mlops_assets.replay.scores import Scorer
    from mlops_assets.replay.training import Candidate


@dataclass(frozen=True)
class Chance:
    """A training that was possible. ``serves_from``: the first partition that it could have served."""

    number: int
    on: tuple[str, ...]
    serves_from: str
    model: Candidate


def chances(setting: Setting, first: Training) -> list[Chance]:
    """The first champion's training, and one for each arrival of labels after it."""
    calendar = setting.calendar
    found: list[Chance] = []
    for partition in calendar.partitions:
        arrived = calendar.labelled(calendar.begin(partition))
        if len(arrived) <= len(first.on) or (found and len(arrived) == len(found[-1].on) + 1):
            continue
        *on, held_out = arrived
        model = setting.judge.challenger(setting.trainer.train(tuple(on)), held_out)
        found.append(Chance(len(found) + 1, tuple(on), partition, model))
    return found


def values(
    chances_: Sequence[Chance], partitions: Sequence[str], scorer: Scorer, rows: Mapping[str, int]
) -> list[list[float | None]]:
    """ROC AUC of each chance on each of ``partitions`` that it could have served, else None."""
    return [
        [
            scorer.line("", [Served(p, 0, rows[p], "", chance.model)]).roc_auc
            if chance.serves_from <= p
            else None
            for p in partitions
        ]
        for chance in chances_
    ]


def best_schedule(table: Sequence[Sequence[float | None]], rows: Sequence[int], changes: int) -> list[int]:
    """Which chance serves each partition, so that the row-weighted sum of ``table`` is the greatest.

    ``table[chance][partition]``: its value, None where it cannot serve yet (chances rise in time). The first
    chance serves first; then at most ``changes`` others take over, each as soon as it can. Exact, by
    dynamic programming: a schedule is as good as its parts, so only the best way to each chance counts.
    """
    starts = [next((i for i, v in enumerate(line) if v is not None), len(rows)) for line in table]

    def worth(chance: int, first: int, last: int) -> float:
        cells = zip(table[chance][first:last], rows[first:last], strict=True)
        return sum(n * value for value, n in cells if value is not None and value == value)  # noqa: PLR0124

    # best[chance]: (value before it takes over, the chances up to it), by number of changes
    best: list[dict[int, tuple[float, tuple[int, ...]]]] = [{0: (0.0, (0,))}]
    for used in range(1, changes + 1):
        best.append({})
        for chance in range(1, len(table)):
            ways = [
                (value + worth(former, starts[former], starts[chance]), (*way, chance))
                for former, (value, way) in best[used - 1].items()
                if starts[former] < starts[chance]
            ]
            if ways:
                best[used][chance] = max(ways)
    ends = [
        (value + worth(chance, starts[chance], len(rows)), way)
        for found in best
        for chance, (value, way) in found.items()
    ]
    _, way = max(ends, key=lambda end: (end[0], -len(end[1])))
    return [max(c for c in way if starts[c] <= at) for at in range(len(rows))]


def best_version(table: Sequence[Sequence[float | None]]) -> list[int]:
    """For each partition the chance with the highest value."""
    known = [
        {chance: value for chance, value in enumerate(column) if value is not None and value == value}  # noqa: PLR0124
        for column in zip(*table, strict=True)
    ]
    return [max(column, key=lambda c: column[c]) if column else 0 for column in known]


def as_served(
    choice: Sequence[int], chances_: Sequence[Chance], partitions: Sequence[str], rows: Mapping[str, int]
) -> list[Served]:
    """``choice`` (a chance for each partition) as what was served; the version is the chance's number."""
    return [
        Served(p, 0, rows[p], str(chances_[c].number), chances_[c].model)
        for p, c in zip(partitions, choice, strict=True)
    ]
