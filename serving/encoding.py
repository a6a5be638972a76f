"""From the model's named columns to the matrix ``X`` that the stored graph takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


class Encoding:
    """Numeric columns as they are, categorical ones as codes (position in the vocabulary + 1; 0 unknown)."""

    def __init__(self, numeric: Sequence[str], vocabularies: Mapping[str, Sequence[str]]) -> None:
        self._numeric = tuple(numeric)
        self._codes = {
            name: {value: code for code, value in enumerate(values, 1)}
            for name, values in vocabularies.items()
        }

    def encode(
        self, columns: Mapping[str, NDArray[Any]]
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[np.bool_]]]:
        """``X`` float32 (rows, columns), and for each categorical column which rows were unknown.

        A missing value (None) has code 0 as well, but is not marked: nothing was said that is not known.
        """
        names = (*self._numeric, *self._codes)
        rows = len(columns[names[0]])
        x = np.empty((rows, len(names)), dtype=np.float32)
        unknown = {}
        for position, name in enumerate(self._numeric):
            x[:, position] = columns[name]
        for position, (name, codes) in enumerate(self._codes.items(), len(self._numeric)):
            values, get = columns[name].tolist(), codes.get
            x[:, position] = [get(value, 0) for value in values]
            marks = x[:, position] == 0
            if marks.any():
                marks &= [value is not None for value in values]
            unknown[name] = marks
        return x, unknown
