"""The fields of a project's instances: what kind of value each takes, and rows of them as columns."""

from __future__ import annotations

import types
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

Kind = Literal["int", "float", "bool", "str"]
_KINDS: dict[type, Kind] = {int: "int", float: "float", bool: "bool", str: "str"}
_DTYPES: dict[Kind, Any] = {"int": np.int64, "float": np.float64, "bool": np.bool_, "str": object}


@dataclass(frozen=True)
class Field:
    """One field. ``optional``: may be null; a null number is NaN in a column, a null text None."""

    name: str
    kind: Kind
    optional: bool
    required: bool

    @property
    def dtype(self) -> Any:
        """The column's NumPy type: int64, float64 (also for a number that may be null), bool or object."""
        return np.float64 if self.optional and self.kind != "str" else _DTYPES[self.kind]

    def column(self, values: Any) -> NDArray[Any]:
        """``values`` (rows,) in the type that this field's column always has.

        Raises ``ValueError`` or ``TypeError`` for values that do not convert.
        """
        if self.kind != "str":
            return np.asarray(values, dtype=self.dtype)
        column = np.empty(len(values), dtype=object)
        column[:] = values
        return column


def fields_of(instance: type[msgspec.Struct]) -> tuple[Field, ...]:
    """The fields of ``instance``; ``TypeError`` for a type that no JSON value of a form can be."""
    return tuple(field_of(info) for info in msgspec.structs.fields(instance))


def field_of(info: msgspec.structs.FieldInfo) -> Field:
    """One field; ``TypeError`` as ``fields_of``."""
    declared = info.type
    while hasattr(declared, "__metadata__"):  # Annotated[...]
        declared = declared.__origin__
    options = get_args(declared) if get_origin(declared) in (Union, types.UnionType) else (declared,)
    plain = {_plain(option) for option in options if option is not type(None)}
    if plain == {int, float}:
        plain = {float}
    if len(plain) != 1 or (only := next(iter(plain))) not in _KINDS:
        raise TypeError(
            f"field {info.name}: {info.type} is none of int, float, bool, str, or one of these | None"
        )
    return Field(info.name, _KINDS[only], len(options) > len(plain) and type(None) in options, info.required)


def _plain(option: Any) -> Any:
    while hasattr(option, "__metadata__"):
        option = option.__origin__
    if get_origin(option) is Literal:
        kinds = {type(value) for value in get_args(option)}
        return kinds.pop() if len(kinds) == 1 else option
    return option


class Columns:
    """Turns decoded instances into the columns that ``Features.transform`` takes."""

    def __init__(self, instance: type[msgspec.Struct]) -> None:
        self.fields = fields_of(instance)
        self._get = attrgetter(*(field.name for field in self.fields))
        self._single = len(self.fields) == 1

    def of(self, rows: Sequence[msgspec.Struct]) -> dict[str, NDArray[Any]]:
        """One column of shape (rows,) for each field; ``rows`` has at least one."""
        values = (
            [[self._get(row) for row in rows]] if self._single else zip(*map(self._get, rows), strict=True)
        )
        return {field.name: field.column(column) for field, column in zip(self.fields, values, strict=True)}

    def canonical(self, columns: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """``columns`` from elsewhere (a frame) in the same types, so that both paths compute the same.

        Raises ``KeyError`` for a missing column, ``ValueError`` for values that do not convert.
        """
        missing = [field.name for field in self.fields if field.name not in columns]
        if missing:
            raise KeyError(f"columns missing: {', '.join(missing)}")
        return {field.name: _clean(field, columns[field.name]) for field in self.fields}


def _clean(field: Field, values: Any) -> NDArray[Any]:
    array = np.asarray(values)
    if field.kind == "str":
        return field.column([value if isinstance(value, str) else None for value in array.tolist()])
    if array.dtype == object:  # pandas' nullable types hold NA, which NumPy cannot make a number of
        array = np.array([np.nan if _missing(value) else value for value in array.tolist()])
    if field.dtype != np.float64 and array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"column {field.name} has missing values, but may have none")
    return field.column(array)


def _missing(value: object) -> bool:
    return value is None or type(value).__name__ in ("NAType", "NaTType")
