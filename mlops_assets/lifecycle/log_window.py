"""The last predictions of the log as the champion sees them, read a batch at a time."""

from __future__ import annotations

from bisect import bisect_left
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_assets.lifecycle.event_partitions import event_days, event_partitions, event_time_column
from mlops_assets.lifecycle.log_days import read_manifest
from mlops_assets.lifecycle.model_columns import (
    as_used,
    logged_as_received,
    logged_as_used,
    received_columns,
    used_columns,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

    from mlops_assets.lifecycle.log_days import Entry
    from mlops_assets.project import Project
    from mlops_assets.resources.lake import Lake
    from serving.predictor import Predictor


class Rows:
    """Some rows of the window: the model's ``columns``, the champion's ``scores``, (rows,) each.

    ``partitions``: which partition each is about; ``days``: which days they are about; ``times``: arrivals,
    microseconds since 1970.
    """

    def __init__(
        self,
        columns: Mapping[str, NDArray[Any]],
        scores: NDArray[np.float64],
        partitions: NDArray[Any],
        days: set[str],
        times: NDArray[np.int64],
    ) -> None:
        self.columns = columns
        self.scores = scores
        self.partitions = partitions
        self.days = days
        self.times = times


class Window:
    """The last ``size`` predictions, judged as answers of the champion ``version``.

    What it answered itself is taken from the log. What another version answered is put through the
    champion's own transform and model (``load``), as it was received: so the verdict on a new champion
    does not wait for its first thousands of answers. ``answered_by_others`` counts those rows.
    """

    def __init__(
        self, lake: Lake, project: Project, size: int, version: str, load: Callable[[], Predictor]
    ) -> None:
        self._lake, self._project, self._size = lake, project, size
        self._version, self._load = version, load
        self.answered_by_others = 0

    @cached_property
    def _predictor(self) -> Predictor:
        return self._load()

    def read(self, days: Sequence[str]) -> Iterator[Rows]:
        """Its rows, from the newest of ``days`` (of which manifests were made) that hold them.

        Memory: one object of the log, and eight bytes for each row of the window's objects.
        """
        import pyarrow as pa

        from serving.prediction_log.reader import read_batches

        columns = ["time", "version", "probability", event_time_column(self._project)]
        columns += [*used_columns(self._project), *received_columns(self._project)]
        columns = list(dict.fromkeys(columns))
        keys = self._with_columns([entry.key for entry in self._entries(days)], columns)
        client, bucket = self._lake.s3.get_client(), self._lake.bucket
        times = [_micros(batch) for batch in read_batches(client, bucket, keys, ["time"])]
        arrivals = np.concatenate(times) if times else np.empty(0, dtype=np.int64)
        late = max(0, arrivals.size - self._size)
        since = np.partition(arrivals, late)[late] if arrivals.size else 0
        for batch in read_batches(client, bucket, keys, columns):
            mine = batch.filter(pa.array(_micros(batch) >= since))
            if mine.num_rows:
                yield from self._rows(mine)

    def _entries(self, days: Sequence[str]) -> list[Entry]:
        """The objects that may hold the ``size`` newest rows, in order of arrival.

        Objects of several servers overlap in time: one is left out only if all of its rows are older than
        all of ``size`` others.
        """
        chosen: list[Entry] = []
        rows, since = 0, 0
        for entry in self._newest_first(days):
            if rows >= self._size and entry.last < since:
                break
            chosen.append(entry)
            if rows < self._size:
                rows += entry.rows
                since = min(one.first for one in chosen)
        return sorted(chosen, key=lambda entry: (entry.first, entry.key))

    def _newest_first(self, days: Sequence[str]) -> Iterator[Entry]:
        for day in sorted(days, reverse=True):
            manifest = read_manifest(self._lake, self._project, day)
            yield from sorted(manifest.entries if manifest else (), key=lambda e: e.last, reverse=True)

    def _with_columns(self, keys: list[str], columns: list[str]) -> list[str]:
        """``keys`` without the oldest, if the project's code declares columns that it had not then."""
        from serving.prediction_log.reader import read_batches

        def has_all(key: str) -> bool:
            try:
                next(read_batches(self._lake.s3.get_client(), self._lake.bucket, [key], columns), None)
            except KeyError:
                return False
            return True

        if not keys or has_all(keys[0]):
            return keys
        return keys[bisect_left(keys, True, key=has_all) :]  # noqa: FBT003 - what is looked for

    def _rows(self, batch: pa.RecordBatch) -> Iterator[Rows]:
        import pyarrow.compute as pc

        own = pc.equal(batch.column("version"), self._version)
        for part, mine in ((batch.filter(own), True), (batch.filter(pc.invert(own)), False)):
            if not part.num_rows:
                continue
            if mine:
                columns = logged_as_used(self._project, part)
                scores = np.asarray(part.column("probability").to_numpy(zero_copy_only=False))
            else:
                received = logged_as_received(self._project, part)
                columns = as_used(self._predictor, received)
                scores = self._predictor.predict(received).probability
                self.answered_by_others += part.num_rows
            events = part.column(event_time_column(self._project))
            about = np.asarray(event_partitions(self._project, events).to_numpy(zero_copy_only=False))
            yield Rows(columns, scores, about, event_days(events), _micros(part))


class Sample:
    """Rows spread evenly over a window of ``size`` rows, at most ``wanted`` of them."""

    def __init__(self, size: int, wanted: int) -> None:
        self._step = max(1, -(-size // wanted))
        self._seen = 0
        self._parts: list[pd.DataFrame] = []

    def take(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Take each n-th of the rows, counted over all calls."""
        import pandas as pd

        rows = len(next(iter(columns.values())))
        at = np.arange(-self._seen % self._step, rows, self._step)
        self._parts.append(pd.DataFrame({name: values[at] for name, values in columns.items()}))
        self._seen += rows

    def frame(self) -> pd.DataFrame:
        import pandas as pd

        return pd.concat(self._parts, ignore_index=True) if self._parts else pd.DataFrame()


def _micros(batch: pa.RecordBatch) -> NDArray[np.int64]:
    import pyarrow as pa

    return np.asarray(batch.column("time").cast(pa.int64()).to_numpy(zero_copy_only=False))
