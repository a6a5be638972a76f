"""What a policy is compared with, and how a policy is named on the command line."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.project import Retraining
from mlops_assets.replay.history import ReplayError

if TYPE_CHECKING:
    from mlops_assets.project import Project

_UNBOUND: dict[str, Any] = {"cool_down": timedelta(0), "trainings_per_day": 1_000_000, "min_new_rows": 1}

NEVER = Retraining(on=(), growth=None, **_UNBOUND)
"""The first champion for ever."""

EVERY = Retraining(on=(), growth=1e-9, **_UNBOUND)
"""A training each time that labels arrive."""

DECLARED = "declared"
_CAUSES = ("performance", "drift", "freshness", "code")


def read_policy(project: Project, text: str) -> tuple[str, Retraining]:
    """The policy that ``text`` names, and what it is called in tables.

    ``declared``: the project's own. ``drift``, ``performance``, ``freshness``: that alone is a cause.
    ``growth=0.5,on=drift+performance``: the declared one with other values (``growth=none``: new data is
    no cause; ``cool_down`` in seconds). A file: JSON with the fields of ``Retraining``.
    Raises ``ReplayError`` for anything else.
    """
    declared = project.retraining
    if text == DECLARED:
        return DECLARED, declared
    if text in _CAUSES:
        return f"{text} alone", declared.model_copy(update={"on": (text,), "growth": None})
    if "=" in text:
        return text, _validated(declared.model_dump() | _pairs(text), text)
    path = Path(text)
    if not path.is_file():
        raise ReplayError(
            f"there is no policy {text!r}: give {DECLARED}, {', '.join(_CAUSES)}, a JSON file, or values "
            "such as growth=0.5,on=drift+performance"
        )
    try:
        return path.stem, _validated(json.loads(path.read_text()), text)
    except json.JSONDecodeError as error:
        raise ReplayError(f"the policy {path} is no JSON: {error}") from error


def _pairs(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in text.split(","):
        name, mark, value = (part.strip() for part in pair.partition("="))
        if not mark:
            raise ReplayError(f"the policy {text!r} has a part {pair!r}: write name=value")
        if name == "on":
            found[name] = tuple(cause for cause in value.split("+") if cause)
        else:
            found[name] = None if value.lower() == "none" else value
    return found


def _validated(values: dict[str, Any], text: str) -> Retraining:
    from pydantic import ValidationError

    if isinstance(cool := values.get("cool_down"), str) and cool.replace(".", "", 1).isdigit():
        values["cool_down"] = float(cool)
    try:
        return Retraining.model_validate(values)
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ReplayError(
            f"the policy {text!r} is none: {said}. Its fields: {', '.join(Retraining.model_fields)}"
        ) from error
