"""Stage ``evaluation``: candidates, champion and a naive baseline on the same held-out partition."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.automation.conditions import following_condition
from mlops_assets.bundle import BundleError
from mlops_assets.judging import gate as judging_gate
from mlops_assets.judging.evaluation import CHAMPION
from mlops_assets.lifecycle.checking import check_spec
from mlops_assets.lifecycle.describe import asset_key, common, markdown_picture, step
from mlops_assets.lifecycle.lineage import CHALLENGER, EVIDENCE, MLFLOW_RUN, MODEL_URI, TRAINING_SET, latest
from mlops_assets.lifecycle.tracking import log_bytes, run_url
from mlops_assets.lifecycle.training_set import TrainingSet, read_training_set
from mlops_assets.project import Project
from mlops_assets.resources.lake import Lake
from mlops_assets.resources.registry import Registry, Version
from mlops_assets.retraining.reasons import REASON, read_reason

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mlops_assets.judging.evaluation import Evaluation
    from mlops_assets.judging.gate import Verdict
    from serving.predictor import Predictor


GATE_REMEDY = (
    "nothing is wrong with the endpoint: the champion stays. See the report of the evaluation; deliver more "
    "or corrected data, or change the model's code, and it is judged anew"
)


@dataclass(frozen=True)
class _Model:
    """A model under evaluation. ``proof``: None, or why it does not reproduce its own predictions."""

    model_uri: str
    mlflow_run: str
    predictor: "Predictor"
    proof: str | None


def build_evaluation(project: Project, registry: Registry) -> dg.AssetsDefinition:
    """The ``evaluation`` asset of ``project``; its checks are the gate, and block ``champion``."""
    key = asset_key(project, "evaluation")

    @dg.asset(
        **common(project, "evaluation"),
        **step(project, "evaluation"),
        deps=[asset_key(project, "candidates", family.name) for family in project.families],
        kinds={"mlflow", "numpy"},
        automation_condition=following_condition(),
        required_resource_keys={"mlflow", "lake"},
        check_specs=[
            check_spec(name, key, description, blocking=True)
            for name, description in judging_gate.CHECKS.items()
        ],
        description=(
            "Candidates, the champion and a naive baseline on the same held-out partition: scores with "
            "confidence intervals, calibration, slices, and the gate's verdict on the best candidate."
        ),
    )
    def evaluation(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        from mlops_assets.judging.baseline import fit_baseline
        from mlops_assets.judging.evaluation import evaluate
        from mlops_assets.judging.resampling import days

        lake: Lake = context.resources.lake
        training_set = read_training_set(context, project)
        held_out = lake.get_frame(training_set.held_out_key)
        labels = held_out[project.features.label].to_numpy()
        trained_on = lake.get_frame(training_set.lake_key)[project.features.label].to_numpy()
        champion = registry.champion(project.name)
        models = _candidates(context, project, registry, training_set.id)
        unscored = _add_champion(models, project, registry, champion)
        predictions = {"baseline": fit_baseline(trained_on).predict(len(labels))}
        for name, model in models.items():
            predictions[name] = model.predictor.predict_frame(held_out).probability
        slices = {name: held_out[name].to_numpy() for name in project.features.slices}
        result = evaluate(
            labels,
            predictions,
            slices,
            project.gate,
            unscored_champion=unscored,
            groups=days(held_out[column].to_numpy()) if (column := project.gate.resample_days_of) else None,
            holdout=training_set.held_out,
            trained_on={name: training_set.partitions for name in models if name != CHAMPION},
        )
        verdicts = judging_gate.judge(result, project.gate, models[result.challenger].proof)
        challenger = models[result.challenger]
        evidence = _evidence(project, result, verdicts, training_set) | {
            "champion": champion.number if champion else None,
            REASON: read_reason(context.instance, project).as_json(),
        }
        shown = _show(context, project, result, verdicts, labels, predictions, training_set.held_out)
        yield dg.MaterializeResult(
            metadata={
                **shown,
                "held out": training_set.held_out,
                "rows": len(labels),
                CHALLENGER: result.challenger,
                MODEL_URI: challenger.model_uri,
                MLFLOW_RUN: challenger.mlflow_run,
                TRAINING_SET: training_set.id,
                EVIDENCE: evidence,
                **({"not scored": result.unscored} if result.unscored else {}),
            },
            check_results=[_check(verdict) for verdict in verdicts],
        )

    return evaluation


def _candidates(
    context: dg.AssetExecutionContext, project: Project, registry: Registry, training_set: str
) -> dict[str, _Model]:
    """The candidates of this training set, by family name."""
    models = {}
    for family in project.families:
        made = latest(context.instance, asset_key(project, "candidates", family.name)).metadata
        if made[TRAINING_SET] != training_set:
            raise dg.Failure(
                f"candidate {family.name} was trained on training set {made[TRAINING_SET]}, the current one "
                f"is {training_set}: materialize candidates/{family.name} and this again"
            )
        models[family.name] = _load(project, registry, made[MODEL_URI], made[MLFLOW_RUN])
    return models


def _add_champion(
    models: dict[str, _Model], project: Project, registry: Registry, champion: Version | None
) -> str | None:
    """Add the champion to ``models``; why it cannot be scored, if so: it does not lose by default."""
    if champion is None:
        return None
    try:
        models[CHAMPION] = _load(project, registry, champion.model_uri, "")
    except BundleError as error:
        return f"version {champion.number} cannot be loaded: {error}"
    return models[CHAMPION].proof


def _load(project: Project, registry: Registry, model_uri: str, mlflow_run: str) -> _Model:
    """The model as the registry has it: what is judged is what would be served."""
    from serving.predictor import Predictor, ProofError

    predictor = Predictor.load(registry.model_bytes(model_uri), project)
    try:
        predictor.prove()
    except ProofError as error:
        return _Model(model_uri, mlflow_run, predictor, str(error))
    return _Model(model_uri, mlflow_run, predictor, None)


def _evidence(
    project: Project, result: "Evaluation", verdicts: "tuple[Verdict, ...]", training_set: TrainingSet
) -> dict[str, Any]:
    """The numbers that a promotion goes by, as the promotion log and the registry keep them."""
    return {
        "project": project.name,
        "challenger": result.challenger,
        "training_set": training_set.id,
        "held_out": training_set.held_out,
        "scores": {name: score.as_numbers() for name, score in result.scores.items()},
        "verdicts": {v.name: {"passed": v.passed, "observed": v.observed} for v in verdicts},
    }


def _check(verdict: "Verdict") -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=verdict.name,
        passed=verdict.passed,
        severity=dg.AssetCheckSeverity.ERROR,
        description=verdict.explanation,
        metadata={
            "observed": verdict.observed,
            "allowed": verdict.allowed,
            "what to do": GATE_REMEDY,
            **verdict.figures,
        },
    )


def _show(  # noqa: PLR0913 - all that the report draws
    context: dg.AssetExecutionContext,
    project: Project,
    result: "Evaluation",
    verdicts: "tuple[Verdict, ...]",
    labels: "NDArray[Any]",
    predictions: "dict[str, NDArray[np.float64]]",
    held_out: str,
) -> dict[str, Any]:
    """Log the report to MLflow; links and pictures for Dagster's UI."""
    from mlops_assets.judging.report import render_plots, render_report

    mlflow = context.resources.mlflow
    title = f"{project.title}: evaluation on {held_out}"
    plots = render_plots(result, labels, predictions)
    report = render_report(result, verdicts, labels, predictions, title=title)
    with mlflow.start_run(run_name=f"{project.name}/evaluation", nested=True) as run:
        files = {"report.html": report.encode(), **plots}
        log_bytes(mlflow, run.info.run_id, files)
        mlflow.set_tags(read_reason(context.instance, project).tags("mlops."))
    folder = f"{project.name}/evaluation/{context.run.run_id}"
    lake: Lake = context.resources.lake
    address = lake.put(f"{folder}/report.html", report.encode(), "text/html")
    return {
        "report": dg.MetadataValue.url(f"{run_url(mlflow, run)}/artifacts/report.html"),
        "report address": address,
        "scores": dg.MetadataValue.md(_score_table(result)),
        **{
            name.removesuffix(".png"): dg.MetadataValue.md(markdown_picture(name, png))
            for name, png in plots.items()
        },
    }


def _score_table(result: "Evaluation") -> str:
    import pandas as pd

    from mlops_assets.lifecycle.describe import markdown_table

    rows = [{"model": name, **score.as_numbers()} for name, score in result.scores.items()]
    frame: pd.DataFrame = pd.DataFrame(rows)
    return markdown_table(frame)
