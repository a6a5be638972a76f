"""All assets of a project, in the order of ``STAGES``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.lifecycle.candidates import build_candidate
from mlops_assets.lifecycle.champion import build_champion
from mlops_assets.lifecycle.drift import build_drift
from mlops_assets.lifecycle.drift_report import build_drift_report
from mlops_assets.lifecycle.endpoint import build_endpoint
from mlops_assets.lifecycle.evaluation import build_evaluation
from mlops_assets.lifecycle.features import build_features
from mlops_assets.lifecycle.outcomes import build_outcomes
from mlops_assets.lifecycle.performance import build_performance
from mlops_assets.lifecycle.predictions import build_predictions
from mlops_assets.lifecycle.raw import build_raw
from mlops_assets.lifecycle.reference_profile import build_reference_profile
from mlops_assets.lifecycle.training_set import build_training_set

if TYPE_CHECKING:
    import dagster as dg

    from mlops_assets.project import Project
    from mlops_assets.resources.registry import Registry


def build_assets(
    project: Project, registry: Registry, raw_bucket: str, endpoint_url: str, database_url: str
) -> list[dg.AssetsDefinition]:
    """The assets from raw objects to the endpoint, and those that watch it."""
    return [
        *(build_raw(project, source, raw_bucket) for source in project.sources),
        build_features(project),
        build_training_set(project, database_url),
        *(build_candidate(project, family) for family in project.families),
        build_evaluation(project, registry),
        build_champion(project, registry),
        build_reference_profile(project, registry),
        build_endpoint(project, endpoint_url),
        build_predictions(project),
        build_outcomes(project),
        build_drift(project, registry),
        build_drift_report(project),
        build_performance(project),
    ]
