"""The evaluation and the gate of the replay: as the lifecycle's stage does them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_assets.lifecycle.code import code_version

if TYPE_CHECKING:
    from mlops_assets.judging.evaluation import Evaluation
    from mlops_assets.judging.gate import Verdict
    from mlops_assets.project import Project
    from mlops_assets.replay.history import History, Tell
    from mlops_assets.replay.store import Store
    from mlops_assets.replay.training import Candidate, Trainer


@dataclass(frozen=True)
class Judged:
    """The gate's word on the best candidate of a training."""

    challenger: Candidate
    evaluation: Evaluation
    verdicts: tuple[Verdict, ...]

    @property
    def passed(self) -> bool:
        return all(verdict.passed for verdict in self.verdicts)

    @property
    def failed(self) -> tuple[str, ...]:
        return tuple(verdict.name for verdict in self.verdicts if not verdict.passed)


class Judge:
    """Judges candidates on a held-out partition; an evaluation is made once and stored."""

    def __init__(
        self, project: Project, history: History, trainer: Trainer, store: Store, tell: Tell
    ) -> None:
        self._project = project
        self._history = history
        self._trainer = trainer
        self._store = store
        self._tell = tell

    def judge(self, candidates: tuple[Candidate, ...], champion: Candidate | None, held_out: str) -> Judged:
        """The verdicts on the best of ``candidates`` against ``champion``, on ``held_out``."""
        from mlops_assets.judging import gate
        from mlops_assets.judging.evaluation import Evaluation, evaluate

        limits = self._project.gate
        parts = [
            [c.key for c in candidates],
            champion.key if champion else None,
            self._history.content[held_out],
            repr(limits),
            list(self._project.features.slices),
            code_version(evaluate),
        ]
        stored = self._store.bytes(
            "evaluations", parts, lambda: self._evaluate(candidates, champion, held_out).to_json()
        )
        evaluation = Evaluation.from_json(stored)
        challenger = next(c for c in candidates if c.family == evaluation.challenger)
        return Judged(challenger, evaluation, gate.judge(evaluation, limits, challenger.proof))

    def challenger(self, candidates: tuple[Candidate, ...], held_out: str) -> Candidate:
        """The one of ``candidates`` that the evaluation would choose: the lowest log loss."""
        from mlops_assets.judging.statistics import log_losses

        label = self._project.features.label
        y = self._history.frames[held_out][label].to_numpy().astype("float64")
        return min(candidates, key=lambda c: float(log_losses(y, self._trainer.scores(c, held_out)).mean()))

    def _evaluate(
        self, candidates: tuple[Candidate, ...], champion: Candidate | None, held_out: str
    ) -> Evaluation:
        from mlops_assets.judging.baseline import fit_baseline
        from mlops_assets.judging.evaluation import CHAMPION, evaluate
        from mlops_assets.judging.resampling import days

        self._tell(f"judges what was trained up to {candidates[0].trained[-1]} on {held_out}")
        project, frame = self._project, self._history.frames[held_out]
        seen = self._trainer.rows(candidates[0].trained)[project.features.label].to_numpy()
        models = {c.family: c for c in candidates} | ({CHAMPION: champion} if champion else {})
        column = project.gate.resample_days_of
        return evaluate(
            frame[project.features.label].to_numpy(),
            {
                "baseline": fit_baseline(seen).predict(len(frame)),
                **{name: self._trainer.scores(model, held_out) for name, model in models.items()},
            },
            {name: frame[name].to_numpy() for name in project.features.slices},
            project.gate,
            unscored_champion=champion.proof if champion else None,
            groups=days(frame[column].to_numpy()) if column else None,
            holdout=held_out,
            trained_on={c.family: c.trained for c in candidates},
        )
