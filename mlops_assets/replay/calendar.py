"""Simulated time: when a partition begins and ends, and when its labels arrive."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

Every = Literal["month", "day"]


def begin(partition: str) -> datetime:
    """The first moment (UTC) of a month (``2013-01``) or a day (``2013-01-31``)."""
    text = partition if partition.count("-") == 2 else f"{partition}-01"
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def end(every: Every, partition: str) -> datetime:
    """The first moment after the partition."""
    first = begin(partition)
    if every == "day":
        return first + timedelta(days=1)
    return (first + timedelta(days=32)).replace(day=1)


class Calendar:
    """The partitions of a history in order, and when what of them is known.

    The labels of a partition arrive ``lag`` partitions after it began: with a lag of 1 as it ends, which is
    as the next one begins. ``lag``: 1 or more, since no outcome is known before the thing has happened.
    """

    def __init__(self, every: Every, partitions: Sequence[str], lag: int = 1) -> None:
        if lag < 1:
            raise ValueError(f"a label lag of {lag} partitions: give 1 or more, outcomes come afterwards")
        self.partitions = tuple(sorted(partitions))
        self._every: Every = every
        self._lag = lag

    def begin(self, partition: str) -> datetime:
        return begin(partition)

    def end(self, partition: str) -> datetime:
        return end(self._every, partition)

    def labels_arrive(self, partition: str) -> datetime:
        """When the labels of ``partition`` arrive."""
        moment = self.begin(partition)
        for _ in range(self._lag):
            moment = end(self._every, f"{moment:%Y-%m-%d}" if self._every == "day" else f"{moment:%Y-%m}")
        return moment

    def labelled(self, now: datetime) -> tuple[str, ...]:
        """The partitions whose labels have arrived by ``now``."""
        return tuple(p for p in self.partitions if self.labels_arrive(p) <= now)

    def moment(self, partition: str, share: float) -> datetime:
        """The moment at which ``share`` (0 to 1) of the partition's time has passed."""
        first = self.begin(partition)
        return first + share * (self.end(partition) - first)
