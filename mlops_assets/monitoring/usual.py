"""The usual movement: how far stretches of the held-out partition lie from the reference, on average.

Rows of one day share their weather, so that a few days are far from any reference although nothing has
changed: the movement of a window is held against that of stretches of as many days, which the champion was
seen to cope with when it was evaluated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from mlops_assets.monitoring.distance import distance
from mlops_assets.monitoring.profiles import Profile, profile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from mlops_assets.project import Columns

MOST_DAYS = 62


class Usual(msgspec.Struct, frozen=True):
    """``distances[column][n - 1]``: how far ``n`` days on end were from the reference, on average.

    Jensen-Shannon distance. ``rows_a_day``: of the held-out partition.
    """

    rows_a_day: float
    distances: dict[str, tuple[float, ...]]

    @property
    def days(self) -> int:
        return max((len(one) for one in self.distances.values()), default=1)

    def days_of(self, rows: int) -> int:
        """How many days ``rows`` rows are about, at the held-out partition's pace; 1 to ``days``."""
        return int(np.clip(round(rows / self.rows_a_day), 1, self.days)) if self.rows_a_day else 1

    def distance(self, column: str, days: int) -> float:
        """That of ``days`` days on end; of all where there are fewer."""
        distances = self.distances[column]
        return distances[min(max(days, 1), len(distances)) - 1]


def usual_movement(reference: Profile, columns: Columns, day: ArrayLike | None) -> Usual:
    """The usual movement of held-out ``columns`` (name -> (rows,)) against ``reference``.

    ``day``: (rows,) the day of each row, in any order; None: all rows are one stretch.
    """
    whole = profile(reference.binning, columns)
    daily = [whole] if day is None else _daily(reference, columns, np.asarray(day))
    distances = {name: _distances(reference.array(name), [d.array(name) for d in daily]) for name in columns}
    return Usual(rows_a_day=whole.rows / max(len(daily), 1), distances=distances)


def _daily(reference: Profile, columns: Columns, day: NDArray[np.str_]) -> list[Profile]:
    names, codes = np.unique(day, return_inverse=True)
    if names.size > MOST_DAYS:
        codes = codes * MOST_DAYS // names.size
    return [
        profile(reference.binning, {name: values[codes == at] for name, values in columns.items()})
        for at in np.unique(codes)
    ]


def _distances(reference: NDArray[np.int64], daily: Sequence[NDArray[np.int64]]) -> tuple[float, ...]:
    until = np.cumsum([np.zeros_like(reference), *daily], axis=0)
    means = []
    for n in range(1, len(daily) + 1):
        stretches = until[n:] - until[:-n]
        means.append(float(np.mean([distance(reference, stretch) for stretch in stretches])))
    return tuple(0.0 if np.isnan(one) else round(one, 5) for one in means)
