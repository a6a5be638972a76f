"""Stage ``candidates``: each family fits the training set; MLflow keeps what came of it."""

import time
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.automation.conditions import following_condition
from mlops_assets.execution.node import nodes_of_step
from mlops_assets.families import Family, Fitted
from mlops_assets.lifecycle.code import code_version
from mlops_assets.lifecycle.describe import asset_key, common, markdown_picture, plain, step
from mlops_assets.lifecycle.lineage import MLFLOW_RUN, MODEL_URI, TRAINING_SET
from mlops_assets.lifecycle.tracking import RUN_TAG, log_bytes, run_url
from mlops_assets.lifecycle.training_set import TrainingSet, read_training_set
from mlops_assets.project import Project
from mlops_assets.resources.checkpoints import LakeCheckpoints
from mlops_assets.resources.lake import Lake
from mlops_assets.retraining.reasons import read_reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd


def build_candidate(project: Project, family: Family) -> dg.AssetsDefinition:
    """The ``candidates/<family>`` asset of ``project``."""
    version = code_version(project.features.transform, family)

    @dg.asset(
        **common(project, "candidates", family.name),
        **step(project, "candidates", family.name),
        deps=[asset_key(project, "training_set")],
        kinds={*family.kinds, "mlflow", "onnx"},
        code_version=version,
        automation_condition=following_condition(),
        required_resource_keys={"mlflow", "lake"},
        description=(
            f"A candidate of family {family.name}, fitted on the training set and logged to MLflow "
            "with its parameters, metrics by epoch, data and environment."
        ),
    )
    def candidate(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        from mlops_assets.families.packaging import make_bundle, make_examples

        lake: Lake = context.resources.lake
        mlflow = context.resources.mlflow
        training_set = read_training_set(context, project)
        frame = lake.get_frame(training_set.lake_key)
        with mlflow.start_run(run_name=f"{project.name}/{family.name}", nested=True) as run:
            mlflow.set_tags(_tags(context, project, family, version))
            _log_dataset(mlflow, project, training_set, frame, lake)
            examples, encoder = make_examples(project, frame)
            checkpoints = LakeCheckpoints(
                lake, f"{project.name}/checkpoints/{family.name}/{training_set.id}-{version}.pt"
            )
            started = time.monotonic()
            fitted = family.fit(examples, _progress(context, family), checkpoints, nodes_of_step())
            seconds = time.monotonic() - started
            bundle = make_bundle(project, family, fitted, encoder, frame, training_set.id, version)
            plot = _log_history(mlflow, fitted, seconds)
            model_uri = _log_model(mlflow, bundle)
            checkpoints.clear()
        return dg.MaterializeResult(
            metadata={
                MODEL_URI: model_uri,
                MLFLOW_RUN: run.info.run_id,
                TRAINING_SET: training_set.id,
                "MLflow": dg.MetadataValue.url(run_url(mlflow, run)),
                "loss curve": dg.MetadataValue.md(plot),
                "seconds to fit": round(seconds, 2),
                "rows": len(frame),
                "bytes": len(bundle),
                **{name: plain(value) for name, value in fitted.summary.items()},
            },
        )

    return candidate


def _progress(context: dg.AssetExecutionContext, family: Family) -> Any:
    def progress(epoch: int, metrics: "Mapping[str, float]") -> None:
        context.log.info(
            "%s, epoch %d: %s", family.name, epoch, ", ".join(f"{k} {v:.4f}" for k, v in metrics.items())
        )

    return progress


def _tags(
    context: dg.AssetExecutionContext, project: Project, family: Family, version: str
) -> dict[str, str]:
    return {
        RUN_TAG: context.run.run_id,
        "project": project.name,
        "family": family.name,
        "code_version": version,
        "asset": "/".join(context.asset_key.path),
        **read_reason(context.instance, project).tags("mlops."),
    }


def _log_dataset(
    mlflow: Any, project: Project, training_set: TrainingSet, frame: "pd.DataFrame", lake: Lake
) -> None:
    """The training set's identity as an MLflow dataset: its name, digest, address and schema."""
    from mlflow.data.pandas_dataset import from_pandas

    dataset = from_pandas(
        frame,
        source=lake.address(training_set.lake_key),
        targets=project.features.label,
        name=f"{project.name}/training_set",
        digest=training_set.id,
    )
    mlflow.log_input(dataset, context="training")
    mlflow.log_params(
        {
            "training_set": training_set.id,
            "partitions": ", ".join(training_set.partitions),
            "held_out": training_set.held_out,
            "rows": len(frame),
        }
    )


def _log_history(mlflow: Any, fitted: Fitted, seconds: float) -> str:
    """Log parameters, metrics by epoch and the loss curve; the curve as Markdown with its picture."""
    from mlflow.entities import Metric

    from mlops_assets.judging.report import loss_curve_png

    mlflow.log_params({name: plain(value) for name, value in fitted.params.items()})
    now = int(time.time() * 1000)
    metrics = [
        Metric(name, float(value), now, epoch)
        for epoch, row in enumerate(fitted.history, 1)
        for name, value in row.items()
    ]
    metrics.append(Metric("seconds_to_fit", seconds, now, 0))
    run_id = mlflow.active_run().info.run_id
    for start in range(0, len(metrics), 1000):  # MLflow takes at most 1,000 metrics a call
        mlflow.MlflowClient().log_batch(run_id, metrics=metrics[start : start + 1000])
    picture = loss_curve_png(fitted.history)
    log_bytes(mlflow, run_id, {"loss_curve.png": picture})
    return markdown_picture("loss curve", picture)


def _log_model(mlflow: Any, bundle: bytes) -> str:
    """Log the bundle as an ONNX model; its ``models:/m-...`` URI."""
    import onnx

    model = onnx.load_model_from_string(bundle)
    # One file: weights beside the graph would be a second thing to keep together.
    info = mlflow.onnx.log_model(
        model, name="model", pip_requirements=_requirements(), save_as_external_data=False
    )
    return str(info.model_uri)


def _requirements() -> list[str]:
    """What loading the model needs, pinned. Given, since MLflow spends 20 s on guessing it."""
    from importlib.metadata import version

    return [f"{name}=={version(name)}" for name in ("onnxruntime", "numpy", "msgspec")]
