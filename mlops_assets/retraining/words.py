"""Decisions in plain sentences, with their figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta

    from mlops_assets.project import Retraining
    from mlops_assets.retraining.policy import State

BUSY = "a training is under way, or features are being made"

NAMES = {
    "first": "no champion yet",
    "performance": "performance",
    "drift": "drift",
    "code": "new code",
    "freshness": "freshness",
    "new_data": "new data",
}


def too_few(partitions: Sequence[str], needed: int) -> str:
    """Before a training is possible at all."""
    there = f"there are {len(partitions)} ({', '.join(partitions)})" if partitions else "there are none"
    return f"Waits for features: a training needs {needed} partitions, {there}."


def calm(policy: Retraining, state: State) -> str:
    """Nothing speaks for a training."""
    waits = [f"for a sign that version {state.champion} needs one ({_any(policy.on)})"] if policy.on else []
    if policy.growth is not None:
        needed = max(policy.min_new_rows, -int(-policy.growth * state.seen_rows // 1))
        waits.append(f"for {needed:,} new labelled rows (there are {state.new_rows:,})")
    if not waits:
        return "Nothing calls for a training, and the project asks for none by itself."
    return f"Nothing calls for a training. Waits {' or '.join(waits)}."


def held_back(state: State, found: Mapping[str, Mapping[str, Any]], needed: int | None) -> str:
    """Something speaks for a training that would be the last one over again, or nearly.

    ``needed``: how many new labelled rows are waited for; None if it was tried already on these.
    """
    said = " ".join(sentence(cause, evidence) for cause, evidence in found.items())
    if state.busy:
        return f"{said} Waits: {busy(state)}."
    if needed is None:
        return (
            f"{said} A training was asked for because of this on the same {rows(state)} already. Waits for "
            "new labelled rows, new code, or a person."
        )
    return (
        f"{said} Only {state.new_rows:,} labelled rows are new since the last training. Waits for {needed:,}."
    )


def busy(state: State) -> str:
    """What is under way."""
    return state.busy if isinstance(state.busy, str) else BUSY


def waiting(cause: str, found: Mapping[str, Mapping[str, Any]], held: str) -> str:
    """A training is due, and something keeps it waiting."""
    return f"{sentence(cause, found[cause])} A training is due, but waits: {held}."


def cooling(policy: Retraining, until: datetime) -> str:
    return f"the last one was less than {span(policy.cool_down)} ago, the next may be at {moment(until)}"


def spent(policy: Retraining, until: datetime) -> str:
    return f"the {policy.trainings_per_day} trainings of a day are used up until {moment(until)}"


def reason(
    state: State, found: Mapping[str, Mapping[str, Any]], causes: Sequence[str], due: Sequence[str]
) -> str:
    """Why a training is asked for."""
    others = [NAMES[cause] for cause in causes if cause != due[0]]
    parts = [sentence(due[0], found[due[0]])]
    if due[0] not in ("first", "new_data"):
        share = f", {state.growth:.0%} of those it had" if state.seen_rows else ""
        parts.append(f"{state.new_rows:,} labelled rows are new since the last training{share}.")
    if others:
        parts.append(f"Also: {_listed(others)}.")
    return " ".join(parts)


def sentence(cause: str, evidence: Mapping[str, Any]) -> str:
    """One cause with its figures."""
    if cause == "first":
        return (
            f"There is no champion, and features of {evidence['partitions']} partitions are there "
            f"({evidence['new_rows'] + evidence['seen_rows']:,} rows)."
        )
    if cause == "new_data":
        grown = "" if evidence["growth"] is None else f", {evidence['growth']:.0%} more"
        return (
            f"{evidence['new_rows']:,} labelled rows are new on top of {evidence['seen_rows']:,}{grown} "
            f"(asked for: {evidence['asked_growth']:.0%})."
        )
    about = f" of version {evidence['about']}" if evidence.get("about") else ""
    allowed = f" (allowed: {evidence['allowed']})" if evidence.get("allowed") else ""
    text = f"{NAMES[cause].capitalize()}{about}: {evidence.get('observed', 'a check failed')}{allowed}"
    return text if text.endswith(".") else f"{text}."


def rows(state: State) -> str:
    return f"{state.new_rows + state.seen_rows:,} rows"


def span(length: timedelta) -> str:
    """``90 s``, ``2 h``: the largest unit that divides it."""
    seconds = int(length.total_seconds())
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _any(causes: Sequence[str]) -> str:
    *first, last = [NAMES[cause] for cause in causes]
    return f"{', '.join(first)} or {last}" if first else last


def _listed(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
