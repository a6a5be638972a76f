"""From a request's body to typed instances; from what is wrong with it to a message that helps."""

from __future__ import annotations

import json
import math
import re
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Optional

import msgspec

from serving import fields
from serving.bounds import MAX_ROWS

if TYPE_CHECKING:
    from collections.abc import Sequence

_PATH = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>\$[^`]*)`)?$", re.DOTALL)
_ROW = re.compile(r"^\$\.instances\[(\d+)\](?:\.(.+))?$")
_NAMED = re.compile(r"(?:required|unknown) field `([^`]+)`")


MOST_TEXTS = 10_000
"""Texts of a field that are remembered to fit."""


class RequestError(ValueError):
    """The request cannot be answered; ``row`` counts from 0."""

    def __init__(self, status: int, message: str, row: int | None = None, field: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.row = row
        self.field = field


def error_body(message: str, request_id: str, row: int | None = None, field: str | None = None) -> bytes:
    """The JSON of every answer that is an error."""
    where = {name: value for name, value in (("row", row), ("field", field)) if value is not None}
    return msgspec.json.encode({"error": message, **where, "request_id": request_id})


class RequestDecoder:
    """Decodes ``{"instances": [...]}`` straight into the project's instances.

    Patterns and choices of text fields are what costs most to check, and their values repeat: rows are
    decoded without these checks, and each text is checked once. Whatever does not pass is decoded
    again with all checks, for a message with the place.
    """

    def __init__(self, instance: type[msgspec.Struct]) -> None:
        strict = instance
        if not instance.__struct_config__.forbid_unknown_fields:
            strict = msgspec.defstruct(instance.__name__, [], bases=(instance,), forbid_unknown_fields=True)
        self._strict = _decoder(strict)
        self._texts = [_Text(info) for info in msgspec.structs.fields(instance) if _constrained_text(info)]
        self._loose = _decoder(_loosened(instance, self._texts))
        self._fields = instance.__struct_fields__

    def decode(self, body: bytes) -> Sequence[msgspec.Struct]:
        """The rows of a request, 1 to ``MAX_ROWS``.

        Raises ``RequestError``: 400 for what is no JSON, 422 for JSON that does not fit.
        """
        try:
            rows: list[msgspec.Struct] = self._loose(body).instances
            good = all(text.fits(rows) for text in self._texts)
        except Exception:  # noqa: BLE001 - a project's own checks may fail on text that was not checked
            good = False
        if not good:
            rows = self._decode_strictly(body)
        if not 0 < len(rows) <= MAX_ROWS:
            hint = "send at least one" if not rows else f"a request takes {MAX_ROWS}: send several"
            raise RequestError(422, f"instances has {len(rows)} rows; {hint}")
        return rows

    def _decode_strictly(self, body: bytes) -> list[msgspec.Struct]:
        try:
            rows: list[msgspec.Struct] = self._strict(body).instances
        except msgspec.ValidationError as error:
            raise self._misfit(str(error)) from error
        except (msgspec.DecodeError, RecursionError) as error:
            raise _no_json(body, error) from error
        return rows

    def _misfit(self, text: str) -> RequestError:
        found = _PATH.match(text)
        what, path = (found["what"], found["path"]) if found else (text, None)
        place = _ROW.match(path or "")
        named = _NAMED.search(what)
        row = int(place[1]) if place else None
        field = place[2] if place and place[2] else (named[1] if named else None)
        if "unknown field" in what:
            takes = ", ".join(self._fields) if row is not None else "instances"
            what = f"Object contains an unknown field; it takes {takes}"
        elif "missing required field" in what:
            what = "Required field is missing"
        elif field is None and row is None and path is None:
            what = f'{what}; a request is {{"instances": [{{...}}, ...]}}'
        where = path.removeprefix("$.") if path else ""
        if named:
            where = f"{where}.{named[1]}" if where else named[1]
        return RequestError(422, f"{where}: {what}" if where else what, row, field)


class _Text:
    """The texts of one field that were found to fit its declared type."""

    def __init__(self, info: msgspec.structs.FieldInfo) -> None:
        self.info = info
        self.loose: Any = (str | None) if fields.field_of(info).optional else str
        self._get = attrgetter(info.name)
        self._fitting: set[str | None] = set()

    def fits(self, rows: Sequence[msgspec.Struct]) -> bool:
        """Whether the field fits in all ``rows``."""
        values = set(map(self._get, rows))
        if self._fitting.issuperset(values):
            return True
        if len(self._fitting) > MOST_TEXTS:
            self._fitting.clear()
        for value in values - self._fitting:
            try:
                msgspec.convert(value, self.info.type)
            except msgspec.ValidationError:
                return False
            self._fitting.add(value)
        return True


def _constrained_text(info: msgspec.structs.FieldInfo) -> bool:
    return fields.field_of(info).kind == "str" and info.type not in (str, str | None, Optional[str])  # noqa: UP045 - another object


def _loosened(instance: type[msgspec.Struct], texts: Sequence[_Text]) -> type[msgspec.Struct]:
    """``instance`` with its own checks, but any text where ``texts`` says."""
    looser = [(text.info.name, text.loose, _default(text.info)) for text in texts]
    return msgspec.defstruct(
        instance.__name__,
        looser,
        bases=(instance,),
        kw_only=True,
        forbid_unknown_fields=True,
        frozen=instance.__struct_config__.frozen,
        gc=False,  # holds numbers and texts only: nothing for the collector to find
    )


def _default(info: msgspec.structs.FieldInfo) -> Any:
    if info.default_factory is not msgspec.NODEFAULT:
        return msgspec.field(name=info.encode_name, default_factory=info.default_factory)
    if info.default is not msgspec.NODEFAULT:
        return msgspec.field(name=info.encode_name, default=info.default)
    return msgspec.field(name=info.encode_name)


def _decoder(instance: type[msgspec.Struct]) -> Any:
    request = msgspec.defstruct(
        "Request",
        [("instances", list[instance])],  # type: ignore[valid-type]
        forbid_unknown_fields=True,
    )
    return msgspec.json.Decoder(request).decode


def _no_json(body: bytes, error: Exception) -> RequestError:
    """Why ``body`` is no JSON: a number that JSON does not know, with its place, or the first wrong byte."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return RequestError(400, f"the body is not JSON: {_lower(str(error))}")
    for row, field, name in _not_numbers(value):
        where = f"instances[{row}].{field}"
        return RequestError(422, f"{where}: {name} is not a number in JSON", row, field)
    return RequestError(400, f"the body is not JSON: {_lower(str(error))}")


def _not_numbers(value: Any) -> list[tuple[int, str, str]]:
    rows = value.get("instances") if isinstance(value, dict) else None
    return [
        (number, field, "NaN" if math.isnan(cell) else "Infinity")
        for number, row in enumerate(rows if isinstance(rows, list) else [])
        if isinstance(row, dict)
        for field, cell in row.items()
        if isinstance(cell, float) and not math.isfinite(cell)
    ]


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def misfit_column(rows: Sequence[msgspec.Struct], names: Sequence[str], error: Exception) -> RequestError:
    """The error for rows whose types fit, but whose values no column can hold (an integer past 64 bits)."""
    for number, row in enumerate(rows):
        for name in names:
            value = getattr(row, name)
            if isinstance(value, int) and not -(2**63) <= value < 2**63:
                where = f"instances[{number}].{name}"
                return RequestError(422, f"{where}: integer out of range (64 bits)", number, name)
    return RequestError(422, f"the rows cannot be read: {error}")
