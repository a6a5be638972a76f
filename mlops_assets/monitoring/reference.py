"""The reference: what a champion was trained on and promised, small enough to be stored with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from mlops_assets.judging.metrics import Score, score
from mlops_assets.judging.resampling import Resampling, days
from mlops_assets.judging.sample import checked_probabilities
from mlops_assets.monitoring.binning import make_binning
from mlops_assets.monitoring.calibration import Calibration, fit_calibration
from mlops_assets.monitoring.profiles import Profile, ProfileError, profile
from mlops_assets.monitoring.usual import Usual, usual_movement

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike

    from mlops_assets.project import Columns, Project

FORMAT = 1
"""Of the JSON. A reference of another format is refused: make it anew from the champion."""
SCORES = "probability"
"""The column of the scores' profile."""


class Reference(msgspec.Struct, frozen=True):
    """What live traffic and outcomes are compared with.

    ``champion`` is the model version, ``training_set`` the training set's id, ``held_out`` the partition
    that was held out of it. ``features`` profiles the training set, ``held_out_features`` and ``scores`` the
    held-out partition; ``usual_features`` and ``usual_scores`` say how far stretches of it were from the
    training set and from all of its scores. ``promised`` is the evaluation's score there,
    ``positive_rate`` its positive rate.
    """

    project: str
    champion: str
    training_set: str
    held_out: str
    features: Profile
    held_out_features: Profile
    scores: Profile
    usual_features: Usual
    usual_scores: Usual
    calibration: Calibration
    promised: Score
    positive_rate: float
    format: int = FORMAT


def make_reference(  # noqa: PLR0913 -- what a reference is made of; all but the first five by keyword
    project: Project,
    training_columns: Columns,
    held_out_columns: Columns,
    held_out_scores: ArrayLike,
    held_out_labels: ArrayLike,
    *,
    champion: str,
    training_set: str,
    held_out: str,
    held_out_times: ArrayLike | None,
    promised: Score | None = None,
) -> Reference:
    """The reference of ``champion``.

    Columns: the model's, after ``Features.transform`` (name -> (rows,); others are ignored). Scores and
    labels: the champion's probabilities and the truth on the held-out partition, (rows,).
    ``held_out_times``: when each held-out row happened; None where rows of one day share nothing: the
    held-out partition is then one stretch. ``promised``: from the evaluation; None: scored here,
    resampled by day.
    Raises ``ProfileError`` or ``ScoreError`` for what cannot be profiled or scored.
    """
    features = project.features
    binning = make_binning(training_columns, features.numeric, features.categorical)
    y = np.asarray(held_out_labels, dtype=np.float64)
    p = checked_probabilities(f"version {champion}", held_out_scores, y.size)
    day = None if held_out_times is None else days(held_out_times)
    if promised is None:
        promised = score(y, p, Resampling(confidence=project.gate.confidence), day)
    trained_on = profile(binning, _only(binning.columns, training_columns))
    held_out_only = _only(binning.columns, held_out_columns)
    scores = profile(make_binning({SCORES: p}, (SCORES,), ()), {SCORES: p})
    return Reference(
        project=project.name,
        champion=champion,
        training_set=training_set,
        held_out=held_out,
        features=trained_on,
        held_out_features=profile(binning, held_out_only),
        scores=scores,
        usual_features=usual_movement(trained_on, held_out_only, day),
        usual_scores=usual_movement(scores, {SCORES: p}, day),
        calibration=fit_calibration(y, p),
        promised=promised,
        positive_rate=float(y.mean()),
    )


def profile_features(reference: Reference, columns: Columns) -> Profile:
    """The profile of some rows, to be judged against ``reference``.

    ``columns``: what ``Features.transform`` gives, name -> (rows,); those that are no input of the model
    are left out. Raises ``ProfileError`` as ``profile`` does.
    """
    binning = reference.features.binning
    return profile(binning, _only(binning.columns, columns))


def profile_scores(reference: Reference, probabilities: ArrayLike) -> Profile:
    """The profile of the model's probabilities (rows,), to be judged against ``reference``."""
    return profile(reference.scores.binning, {SCORES: np.asarray(probabilities)})


def encode_reference(reference: Reference) -> bytes:
    """Its JSON."""
    return msgspec.json.encode(reference)


def decode_reference(data: bytes | str) -> Reference:
    """The reference in ``data``. Raises ``ProfileError`` for what is none, or of another format."""
    try:
        found = msgspec.json.decode(data, type=_Format).format
        if found != FORMAT:
            raise ProfileError(f"the reference has format {found}, this code reads {FORMAT}: {_REMEDY}")
        return msgspec.json.decode(data, type=Reference)
    except msgspec.DecodeError as error:
        raise ProfileError(f"this is no reference ({error}): {_REMEDY}") from error


_REMEDY = "materialize the champion's reference_profile anew"


class _Format(msgspec.Struct):
    format: int


def _only(names: Iterable[str], columns: Columns) -> Columns:
    absent = [name for name in names if name not in columns]
    if absent:
        raise ProfileError(f"columns {absent} are absent: give every column that the project declares")
    return {name: columns[name] for name in names}
