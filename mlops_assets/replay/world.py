"""What could be known at a moment: traffic without labels, and labels once they have arrived."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from numpy.typing import NDArray

    from mlops_assets.project import Project
    from mlops_assets.replay.calendar import Calendar
    from mlops_assets.replay.history import History


class TooEarlyError(RuntimeError):
    """Something was asked for that nobody knew then."""


class World:
    """The history as it is known at ``now``, which only moves forward."""

    def __init__(self, project: Project, history: History, calendar: Calendar) -> None:
        self._project = project
        self._history = history
        self._calendar = calendar
        self.now: datetime = calendar.begin(calendar.partitions[0])

    def move(self, now: datetime) -> None:
        if now < self.now:
            raise ValueError(f"time goes from {self.now} to {now}: it only goes forward")
        self.now = now

    def rows(self, partition: str) -> int:
        return len(self._history.frames[partition])

    def fields(self, partition: str) -> Mapping[str, NDArray[Any]]:
        """What requests about ``partition`` hold: (rows,) each, oldest first; no label."""
        frame = self._history.frames[partition]
        return {name: frame[name].to_numpy() for name in self._project.features.instance_fields}

    def times(self, partition: str) -> NDArray[np.datetime64]:
        """When what each row is about happens (without a zone): as the project tells, else spread evenly."""
        frame = self._history.frames[partition]
        column = self._project.features.event_time or self._project.gate.resample_days_of
        if column is not None:
            return frame[column].to_numpy().astype("datetime64[s]")
        first, last = self._calendar.begin(partition), self._calendar.end(partition)
        steps = np.linspace(0, (last - first).total_seconds(), len(frame), endpoint=False)
        return np.datetime64(first.replace(tzinfo=None), "s") + steps.astype("timedelta64[s]")

    def labelled(self) -> tuple[str, ...]:
        """The partitions whose labels have arrived."""
        return self._calendar.labelled(self.now)

    def labels(self, partition: str) -> NDArray[np.float64]:
        """The labels of ``partition``, (rows,). Raises ``TooEarlyError`` before they have arrived."""
        self.require((partition,))
        label = self._project.features.label
        return self._history.frames[partition][label].to_numpy().astype(np.float64)

    def require(self, partitions: tuple[str, ...]) -> None:
        """Raises ``TooEarlyError`` unless the labels of all ``partitions`` have arrived."""
        for partition in partitions:
            arrive = self._calendar.labels_arrive(partition)
            if arrive > self.now:
                raise TooEarlyError(f"the labels of {partition} arrive at {arrive}, it is {self.now} only")
