"""What is kept of a partition's rows, so that others can be compared with it without reading them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

if TYPE_CHECKING:
    import pandas as pd


class Summary(msgspec.Struct, frozen=True):
    """``nulls``: column -> share missing. ``quartiles``: numeric column -> 25%, 50% and 75% quantile.

    ``content`` is the hash of the rows.
    """

    rows: int
    nulls: dict[str, float]
    quartiles: dict[str, tuple[float, float, float]]
    content: str = ""

    def as_json(self) -> dict[str, Any]:
        """Plain values, as metadata holds them."""
        return dict(msgspec.to_builtins(self))

    @classmethod
    def from_json(cls, value: Any) -> Summary:
        """From ``as_json``; ``msgspec.ValidationError`` for anything else."""
        return msgspec.convert(value, cls)


def summarize(frame: pd.DataFrame, content: str = "") -> Summary:
    """The summary of all columns of ``frame``; a column without any value has no quartiles."""
    nulls, quartiles = {}, {}
    for name, values in frame.items():
        missing = values.isna().to_numpy()
        nulls[str(name)] = float(missing.mean()) if len(frame) else 0.0
        if values.dtype.kind in "iuf" and not missing.all():
            given = values.to_numpy(dtype=float)[~missing]
            low, middle, high = np.percentile(given, (25, 50, 75))
            quartiles[str(name)] = (float(low), float(middle), float(high))
    return Summary(len(frame), nulls, quartiles, content)
