"""Binned profiles: how often each column's values fall into each bin. Small, mergeable, JSON.

A profile has a few hundred integers a column however many rows it counted, so that batches are profiled one
by one and added: ``profile(binning, a) + profile(binning, b) == profile(binning, a and b)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from mlops_assets.monitoring.binning import Binning, ProfileError, make_binning

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops_assets.project import Columns

__all__ = ["Binning", "Profile", "ProfileError", "empty_profile", "make_binning", "profile"]


class Profile(msgspec.Struct, frozen=True):
    """``counts[column]``: how many of ``rows`` rows are in each of the column's bins, in their order."""

    binning: Binning
    rows: int
    counts: dict[str, tuple[int, ...]]

    def __add__(self, other: Profile) -> Profile:
        """The profile of the rows of both. Raises ``ProfileError`` for two binnings."""
        check_same_binning(self, other)
        counts = {
            name: tuple(a + b for a, b in zip(mine, other.counts[name], strict=True))
            for name, mine in self.counts.items()
        }
        return Profile(self.binning, self.rows + other.rows, counts)

    def array(self, name: str) -> NDArray[np.int64]:
        """The counts of one column, int64 (bins,)."""
        return np.asarray(self.counts[name], dtype=np.int64)


def profile(binning: Binning, columns: Columns) -> Profile:
    """The profile of ``columns`` (name -> (rows,) values: numbers, or objects of text).

    They are exactly those of ``binning``. Memory: a chunk of one column, whatever the rows.
    Raises ``ProfileError`` for a column that is absent, new, of another length or of the wrong type.
    """
    absent = [name for name in binning.columns if name not in columns]
    new = [name for name in columns if name not in binning.columns]
    if absent or new:
        raise ProfileError(
            f"columns {absent or new} are {'absent' if absent else 'not in the reference'}: profile the "
            "columns of the model that the reference was made for, or make the reference anew"
        )
    arrays = {name: np.asarray(columns[name]) for name in binning.columns}
    shapes = {array.shape for array in arrays.values()}
    if len(shapes) > 1 or any(len(shape) != 1 for shape in shapes):
        lengths = {name: array.shape for name, array in arrays.items()}
        raise ProfileError(f"columns of shapes {lengths}: give one value a row, as many for each column")
    counts = {
        name: tuple(int(n) for n in bins.count(name, arrays[name])) for name, bins in binning.columns.items()
    }
    return Profile(binning, int(next(iter(shapes), (0,))[0]), counts)


def empty_profile(binning: Binning) -> Profile:
    """The profile of no rows: where adding up begins."""
    return Profile(binning, 0, {name: (0,) * len(bins.labels) for name, bins in binning.columns.items()})


def check_same_binning(one: Profile, other: Profile) -> None:
    """Raises ``ProfileError`` unless the two count into the same bins."""
    if one.binning != other.binning:
        raise ProfileError(
            "two profiles with different bins: profile both with the binning of one reference "
            "(reference.features.binning, reference.scores.binning)"
        )
