"""The evaluation: baseline, champion and candidates on the same held-out rows and the same resamples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from mlops_assets.judging.metrics import Difference, Score, replicate
from mlops_assets.judging.resampling import Resampling
from mlops_assets.judging.sample import ScoreError, checked_labels, checked_probabilities
from mlops_assets.judging.slices import SkippedSlice, Slice, slicings
from mlops_assets.judging.statistics import Statistics, log_losses

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import ArrayLike, NDArray

    from mlops_assets.judging.metrics import Replicates
    from mlops_assets.judging.slices import Slicing
    from mlops_assets.project import Gate

BASELINE = "baseline"
CHAMPION = "champion"


class Evaluation(msgspec.Struct, frozen=True):
    """What the gate judges. JSON: ``to_json`` and ``from_json``.

    ``scores`` holds every model that could be scored, ``unscored`` the others, with the reason;
    ``incumbent`` says whether there is a champion at all, scored or not.
    """

    holdout: str
    rows: int
    positives: int
    resampling: Resampling
    resampled: str
    scores: dict[str, Score]
    unscored: dict[str, str]
    incumbent: bool
    challenger: str
    versus_baseline: Difference
    versus_champion: Difference | None
    slices: tuple[Slice, ...]
    skipped: tuple[SkippedSlice, ...]
    slice_columns: tuple[str, ...]

    @property
    def score(self) -> Score:
        """The challenger's."""
        return self.scores[self.challenger]

    def to_json(self) -> bytes:
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, data: bytes | str) -> Evaluation:
        """Raises ``msgspec.ValidationError`` for JSON that is not an evaluation."""
        return msgspec.json.decode(data, type=cls)


def evaluate(  # noqa: PLR0913 -- what an evaluation needs; all but the first four by keyword
    labels: ArrayLike,
    predictions: Mapping[str, ArrayLike],
    slices: Mapping[str, ArrayLike],
    gate: Gate,
    *,
    unscored_champion: str | None = None,
    groups: ArrayLike | None = None,
    holdout: str = "",
    trained_on: Mapping[str, Collection[str]] | None = None,
    seed: int = 0,
) -> Evaluation:
    """Score all models on the held-out rows and choose the challenger.

    ``labels``: (rows,), 0 or 1. ``predictions``: model -> (rows,) probabilities; "baseline", "champion"
    if there is one, and the candidates by name. ``slices``: column -> (rows,) values. ``groups``: (rows,)
    values; rows of one group (a day) are drawn together. ``holdout``: the partition that the rows are
    from; ``trained_on``: model -> partitions it was trained on.

    ``unscored_champion``: the reason why an existing champion could not be asked; the gate then refuses,
    for an incumbent without a score never loses by default.

    The challenger is the candidate with the lowest log loss: a proper scoring rule, so it rewards both
    rank and honest probabilities, and cannot be gained by distorting either.

    Raises ``ScoreError`` where labels or baseline are unusable, no candidate can be scored, or a candidate
    was trained on the held-out partition. A candidate with unusable predictions is left out, a
    champion with such is one without a score.
    """
    y = checked_labels(labels)
    _refuse_seen_rows(holdout, trained_on or {})
    usable, unscored = _usable(predictions, y.size)
    if unscored_champion is not None:
        usable.pop(CHAMPION, None)
        unscored[CHAMPION] = unscored_champion
    cuts = slicings(y, slices, gate.min_slice_rows)
    resampling = Resampling(gate.bootstrap_rounds, gate.confidence, seed)
    challenger = _challenger(y, usable)
    sliced = [name for name in (challenger, CHAMPION) if name in usable]
    used = [cut for cut in cuts if cut.values]
    replicates = replicate(
        [Statistics(y, p) for p in usable.values()]
        + [cut.statistics(y, usable[name]) for cut in used for name in sliced],
        y.size,
        resampling,
        groups,
    )
    whole = dict(zip(usable, replicates, strict=False))
    by_slice = replicates[len(usable) :]
    return Evaluation(
        holdout=holdout,
        rows=int(y.size),
        positives=int(y.sum()),
        resampling=resampling,
        resampled=_resampled(groups, gate),
        scores={name: one.score(int(y.size), int(y.sum())) for name, one in whole.items()},
        unscored=unscored,
        incumbent=CHAMPION in whole or CHAMPION in unscored,
        challenger=challenger,
        versus_baseline=whole[challenger].minus(whole[BASELINE]),
        versus_champion=whole[challenger].minus(whole[CHAMPION]) if CHAMPION in whole else None,
        slices=_slices(used, y, by_slice, len(sliced)),
        skipped=tuple(skipped for cut in cuts for skipped in cut.skipped),
        slice_columns=tuple(slices),
    )


def candidates(predictions: Mapping[str, object]) -> list[str]:
    """The names that are neither the baseline nor the champion."""
    return [name for name in predictions if name not in {BASELINE, CHAMPION}]


def _refuse_seen_rows(holdout: str, trained_on: Mapping[str, Collection[str]]) -> None:
    for name, partitions in trained_on.items():
        if name != CHAMPION and holdout in partitions:
            raise ScoreError(
                f"{name} was trained on {holdout}, on which it would be judged: "
                "hold a partition out of training"
            )


def _usable(
    predictions: Mapping[str, ArrayLike], rows: int
) -> tuple[dict[str, NDArray[np.float64]], dict[str, str]]:
    """The usable predictions, and why the others are not."""
    if BASELINE not in predictions:
        raise ScoreError(f"no predictions of {BASELINE}: a gate without a floor would pass anything")
    usable, unscored = {}, {}
    for name, probabilities in predictions.items():
        try:
            usable[name] = checked_probabilities(name, probabilities, rows)
        except ScoreError as error:
            if name == BASELINE:
                raise
            unscored[name] = str(error)
    if not candidates(usable):
        reasons = "; ".join(unscored.values()) or "there are none"
        raise ScoreError(f"no candidate can be scored ({reasons}): look at their training")
    return usable, unscored


def _resampled(groups: ArrayLike | None, gate: Gate) -> str:
    if groups is None:
        return "rows"
    what = "days" if gate.resample_days_of else "groups of rows"
    return f"{len(set(np.asarray(groups).tolist()))} {what}"


def _challenger(labels: NDArray[np.float64], usable: Mapping[str, NDArray[np.float64]]) -> str:
    return min(candidates(usable), key=lambda name: float(log_losses(labels, usable[name]).mean()))


def _slices(
    cuts: list[Slicing], labels: NDArray[np.float64], replicates: list[Replicates], models: int
) -> tuple[Slice, ...]:
    """``replicates``: for each of ``cuts``, the challenger's and, if ``models`` is 2, the champion's."""
    scored: list[Slice] = []
    for at, cut in enumerate(cuts):
        challenger, *champion = replicates[at * models : (at + 1) * models]
        scored += cut.scored(labels, challenger, champion[0] if champion else None)
    return tuple(scored)
