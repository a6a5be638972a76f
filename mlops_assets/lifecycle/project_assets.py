"""All assets of a project, in the order of ``STAGES``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.lifecycle.candidates import build_candidate
from mlops_assets.lifecycle.champion import build_champion
from mlops_assets.lifecycle.endpoint import build_endpoint
from mlops_assets.lifecycle.evaluation import build_evaluation
from mlops_assets.lifecycle.features import build_features
from mlops_assets.lifecycle.raw import build_raw
from mlops_assets.lifecycle.training_set import build_training_set

if TYPE_CHECKING:
    import dagster as dg

    from mlops_assets.project import Project
    from mlops_assets.resources.registry import Registry


def build_assets(
    project: Project, registry: Registry, raw_bucket: str, endpoint_url: str
) -> list[dg.AssetsDefinition]:
    """The assets from raw objects to the endpoint."""
    return [
        *(build_raw(project, source, raw_bucket) for source in project.sources),
        build_features(project),
        build_training_set(project),
        *(build_candidate(project, family) for family in project.families),
        build_evaluation(project, registry),
        build_champion(project, registry),
        build_endpoint(project, endpoint_url),
    ]
