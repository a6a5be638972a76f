"""Stage ``reference_profile``: what the champion was trained on and promised, kept by its version."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.automation.conditions import following_condition
from mlops_assets.lifecycle.describe import asset_key, common, step
from mlops_assets.lifecycle.lineage import LAKE_KEY, MODEL_URI, TRAINING_SET, VERSION, latest
from mlops_assets.project import Project
from mlops_assets.resources.lake import Lake
from mlops_assets.resources.registry import Registry, Version

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from numpy.typing import NDArray

    from mlops_assets.monitoring.reference import Reference
    from serving.predictor import Predictor

SAMPLE_ROWS = 2_000
"""Of the training set, kept for the report that a person looks at."""

TAG = "reference_profile"
"""On the registered version: where its reference lies. Without it there is none of this very model."""


@dataclass(frozen=True)
class Watched:
    """The champion that live traffic is compared with: the one whose reference was made last."""

    version: str
    training_set: str
    model_uri: str
    lake_key: str

    @property
    def sample_key(self) -> str:
        """The sample of the training set's model columns, Parquet in the lake."""
        return sample_key(self.lake_key)

    def reference(self, lake: Lake) -> "Reference":
        from mlops_assets.monitoring.reference import decode_reference

        return decode_reference(lake.get(self.lake_key))


def watched(instance: dg.DagsterInstance, project: Project) -> Watched:
    """Raises ``NotMaterializedError`` before the first champion."""
    made = latest(instance, asset_key(project, "reference_profile")).metadata
    return Watched(*(str(made[name]) for name in (VERSION, TRAINING_SET, MODEL_URI, LAKE_KEY)))


def build_reference_profile(project: Project, registry: Registry) -> dg.AssetsDefinition:
    """The ``reference_profile`` asset of ``project``; it follows each move of the champion."""

    @dg.asset(
        **common(project, "reference_profile"),
        # The endpoint has the new version already: what says so goes first.
        **step(project, "reference_profile", priority=-1),
        deps=[asset_key(project, "champion")],
        kinds={"numpy", "mlflow"},
        automation_condition=following_condition(),
        description=(
            "The champion's training set and its scores on the held-out partition as binned profiles, "
            "with the metrics that its evaluation promised: what live traffic and outcomes are held "
            "against. Kept by version, so that a rollback finds it again."
        ),
    )
    def reference_profile(context: dg.AssetExecutionContext, lake: Lake) -> dg.MaterializeResult:
        number = latest(context.instance, asset_key(project, "champion")).metadata[VERSION]
        version = registry.version(project.name, number)
        reference = _find(lake, version) or _make(lake, project, registry, version)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(number), metadata=_show(lake, reference, version)
        )

    return reference_profile


def reference_key(project_name: str, version: str) -> str:
    return f"{project_name}/reference_profile/{version}.json"


def sample_key(reference_key: str) -> str:
    return reference_key.removesuffix(".json") + "-sample.parquet"


def _find(lake: Lake, version: Version) -> "Reference | None":
    """The reference of this very version, made before; None if there is none that can be read."""
    from mlops_assets.monitoring.profiles import ProfileError
    from mlops_assets.monitoring.reference import decode_reference

    key = reference_key(version.project, version.number)
    # A registry that was begun anew counts from 1 again: its version 1 has no tag.
    if version.tags.get(TAG) != lake.address(key) or (data := lake.find(key)) is None:
        return None
    try:
        return decode_reference(data)
    except ProfileError:
        return None


def _make(lake: Lake, project: Project, registry: Registry, version: Version) -> "Reference":
    """The reference of ``version`` from the rows that it was trained and judged on; stored."""
    from mlops_assets.lifecycle.model_columns import as_used
    from mlops_assets.monitoring.reference import encode_reference, make_reference
    from serving.predictor import Predictor

    training_set, held_out = version.tags[TRAINING_SET], version.tags["held_out"]
    manifest = lake.get_json(f"{project.name}/training_set/{training_set}/manifest-{held_out}.json")
    predictor = Predictor.load(registry.model_bytes(version.model_uri), project)
    judged_on = lake.get_frame(manifest["held_out"][LAKE_KEY])
    times = judged_on[column].to_numpy() if (column := project.gate.resample_days_of) else None
    trained_on = as_used(predictor, _fields(project, lake.get_frame(manifest["lake_key"])))
    reference = make_reference(
        project,
        trained_on,
        as_used(predictor, _fields(project, judged_on)),
        predictor.predict_frame(judged_on).probability,
        judged_on[project.features.label].to_numpy(),
        champion=version.number,
        training_set=training_set,
        held_out=held_out,
        held_out_times=times,
    )
    key = reference_key(project.name, version.number)
    _put_sample(lake, key, predictor, trained_on)
    address = lake.put(key, encode_reference(reference), "application/json")
    registry.tag(version, TAG, address)
    return reference


def _fields(project: Project, frame: "pd.DataFrame") -> "Mapping[str, NDArray[Any]]":
    return {name: frame[name].to_numpy() for name in project.features.instance_fields}


def _put_sample(lake: Lake, key: str, predictor: "Predictor", columns: "Mapping[str, NDArray[Any]]") -> None:
    """Rows spread evenly over the training set: what the report draws the reference from."""
    import io

    import numpy as np
    import pandas as pd

    rows = len(next(iter(columns.values())))
    at = np.unique(np.linspace(0, rows - 1, min(rows, SAMPLE_ROWS)).astype(int))
    sample = pd.DataFrame({name: columns[name][at] for name in predictor.bundle.columns})
    buffer = io.BytesIO()
    sample.to_parquet(buffer, index=False, compression="zstd")
    lake.put(sample_key(key), buffer.getvalue(), "application/vnd.apache.parquet")


def _show(lake: Lake, reference: "Reference", version: Version) -> dict[str, Any]:
    promised = reference.promised
    auc = promised.roc_auc
    key = reference_key(version.project, version.number)
    return {
        VERSION: version.number,
        TRAINING_SET: reference.training_set,
        MODEL_URI: version.model_uri,
        LAKE_KEY: key,
        "address": lake.address(key),
        "held out": reference.held_out,
        "rows trained on": reference.features.rows,
        "columns": len(reference.features.counts),
        "promised": promised.as_numbers(),
        "promised ROC AUC": f"{auc.value:.3f} ({auc.low:.3f} to {auc.high:.3f})",
        "positive rate": reference.positive_rate,
    }
