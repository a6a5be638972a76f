"""Into which bins a column's values are counted, as its reference decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlops_assets.project import Columns

BINS = 30
"""Bins of a numeric column, about, each with as many of the reference's rows."""
MAX_VALUES = 200
"""Most values of a categorical column that have a bin of their own; rarer ones share "other"."""
CHUNK = 1 << 16
"""Rows that are counted at once: what bounds the memory."""
_EDGE_ROWS = 200_000  # more would not move an edge: the error of a quantile is then about 0.1%


class ProfileError(ValueError):
    """Columns cannot be profiled, or profiles not be compared; says the thing, the reason, the remedy."""


class NumericBins(msgspec.Struct, frozen=True, tag="numeric"):
    """Bins between rising ``edges`` (float32), each from its edge to below the next; then one for missing.

    The first bin lies below all of the reference's values, the last but one above: there land values that
    the model was not trained on, infinities among them. A value that holds a bin's share of the reference's
    rows (a constant, the zeros of rain) has a bin of its own.
    """

    edges: tuple[float, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """What is in each bin, in their order."""
        if not self.edges:
            return ("any", "missing")
        names = [f"below {self.edges[0]:.4g}"]
        names += [_span(low, high) for low, high in zip(self.edges, self.edges[1:], strict=False)]
        return (*names, f"above {self.edges[-1]:.4g}", "missing")

    def count(self, name: str, values: NDArray[Any]) -> NDArray[np.int64]:
        """How many of ``values`` (rows,) are in each bin, int64 (bins,). Raises ``ProfileError``."""
        edges = np.asarray(self.edges, dtype=np.float32)
        counts = np.zeros(edges.size + 2, dtype=np.int64)
        for start in range(0, values.size, CHUNK):
            chunk = numbers(name, values[start : start + CHUNK])
            found = np.bincount(np.searchsorted(edges, chunk, side="right"), minlength=edges.size + 1)
            missing = np.count_nonzero(np.isnan(chunk))
            found[-1] -= missing  # NaN sorts above all
            counts[:-1] += found
            counts[-1] += missing
        return counts


class CategoricalBins(msgspec.Struct, frozen=True, tag="categorical"):
    """A bin for each of ``values``; then one for all others, and one for missing (None, NaN)."""

    values: tuple[str, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """What is in each bin, in their order."""
        return (*self.values, "other", "missing")

    def count(self, name: str, values: NDArray[Any]) -> NDArray[np.int64]:
        """How many of ``values`` (rows,) are in each bin, int64 (bins,). Raises ``ProfileError``."""
        place = {value: at for at, value in enumerate(self.values)}
        counts = np.zeros(len(place) + 2, dtype=np.int64)
        for start in range(0, values.size, CHUNK):
            for value, found in counted(name, values[start : start + CHUNK]).items():
                counts[-1 if value is None else place.get(value, -2)] += found
        return counts


Bins = NumericBins | CategoricalBins


class Binning(msgspec.Struct, frozen=True):
    """The bins of each column, by name."""

    columns: dict[str, Bins]


def make_binning(
    columns: Columns, numeric: Sequence[str], categorical: Sequence[str], bins: int = BINS
) -> Binning:
    """The bins of the reference ``columns`` (rows,): quantiles of ``numeric``, values of ``categorical``.

    Raises ``ProfileError`` for a column that is absent or of the wrong type.
    """
    missing = [name for name in (*numeric, *categorical) if name not in columns]
    if missing:
        raise ProfileError(f"columns {missing} are not in the reference: give every column that is declared")
    made: dict[str, Bins] = {name: _quantiles(name, np.asarray(columns[name]), bins) for name in numeric}
    return Binning(made | {name: _values(name, np.asarray(columns[name])) for name in categorical})


def numbers(name: str, values: NDArray[Any]) -> NDArray[np.float32]:
    """``values`` as float32, as the model takes and the prediction log keeps them; missing is NaN.

    Both sides of a comparison must be rounded alike: 0.1 in float64 lies below 0.1 in float32.
    """
    kind = values.dtype.kind
    if kind == "O":
        import pandas as pd

        found = pd.api.types.infer_dtype(values, skipna=True)
        if found not in {"integer", "floating", "mixed-integer-float", "boolean", "decimal", "empty"}:
            raise ProfileError(f"column {name}: {found} where numbers are declared: look at its transform")
        values = np.asarray(pd.to_numeric(pd.Series(values, dtype=object)).to_numpy(dtype=np.float64))
    elif kind not in "fiub":
        raise ProfileError(f"column {name}: {values.dtype} where numbers are declared: look at its transform")
    with np.errstate(over="ignore"):  # beyond float32 it is infinite for the model too
        return values.astype(np.float32, copy=False)


def counted(name: str, values: NDArray[Any]) -> dict[str | None, int]:
    """How often each text is in ``values``; None stands for missing."""
    import pandas as pd

    try:
        codes, texts = pd.factorize(np.asarray(values, dtype=object), use_na_sentinel=True)
    except TypeError as error:
        raise ProfileError(f"column {name}: {error}: a categorical column holds text") from error
    wrong = next((text for text in texts if not isinstance(text, str)), None)
    if wrong is not None:
        raise ProfileError(
            f"column {name}: {wrong!r} is a {type(wrong).__name__} where text is declared: "
            "look at its transform, or declare the column numeric"
        )
    missing, *found = np.bincount(codes + 1, minlength=len(texts) + 1).tolist()
    counts: dict[str | None, int] = dict(zip(texts.tolist(), found, strict=True))
    return counts | ({None: missing} if missing else {})


def _span(low: float, high: float) -> str:
    """A value that is a bin of its own is named by itself."""
    before, after = f"{low:.4g}", f"{high:.4g}"
    return before if before == after else f"{before} to {after}"


def _quantiles(name: str, values: NDArray[Any], bins: int) -> NumericBins:
    low, high = np.inf, -np.inf
    for start in range(0, values.size, CHUNK):
        chunk = numbers(name, values[start : start + CHUNK])
        chunk = chunk[np.isfinite(chunk)]
        if chunk.size:
            low, high = min(low, float(chunk.min())), max(high, float(chunk.max()))
    if low > high:
        return NumericBins(())
    if values.size > _EDGE_ROWS:
        values = values[np.random.default_rng(0).integers(0, values.size, _EDGE_ROWS)]
    some = numbers(name, values)
    some = np.sort(some[np.isfinite(some)])
    inner = some[np.arange(1, bins) * some.size // bins] if some.size else some
    often = inner[1:][inner[1:] == inner[:-1]]
    inf = np.float32(np.inf)
    ends = np.array([low, np.nextafter(np.float32(high), inf)], dtype=np.float32)
    edges = np.unique(np.concatenate([ends, inner, np.nextafter(often, inf)]))
    return NumericBins(tuple(float(edge) for edge in edges if np.isfinite(edge)))


def _values(name: str, values: NDArray[Any]) -> CategoricalBins:
    counts: dict[str, int] = {}
    for start in range(0, values.size, CHUNK):
        for value, found in counted(name, values[start : start + CHUNK]).items():
            if value is not None:
                counts[value] = counts.get(value, 0) + found
    return CategoricalBins(tuple(sorted(counts, key=lambda v: (-counts[v], v))[:MAX_VALUES]))
