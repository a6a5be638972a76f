"""From what a step needs to what its pod asks for, as ``dagster-k8s`` reads it from an asset's tags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops_assets.needs import TRAINING, Needs, Toleration

if TYPE_CHECKING:
    from mlops_assets.project import Project
    from mlops_assets.settings import Settings

CONFIG = "dagster-k8s/config"
JOB_LABEL = "batch.kubernetes.io/job-name"
GPU_POOL, S3_POOL = "gpu", "s3"
_READ_AND_WRITE_S3 = ("raw", "features")


def tags(needs: Needs, project: str, stage: str, name: str | None = None) -> dict[str, Any]:
    """The tags of the step that makes ``<project>/<stage>[/<name>]``; read on Kubernetes only."""
    labels = {"mlops/project": project, "mlops/stage": stage, **({"mlops/name": name} if name else {})}
    config: dict[str, dict[str, Any]] = {
        "container_config": {
            "resources": _resources(needs),
            **({"image": needs.image} if needs.image else {}),
        },
        "pod_template_spec_metadata": {"labels": labels},
        "pod_spec_config": {
            "node_selector": dict(needs.node_selector),
            "tolerations": [_toleration(t) for t in needs.tolerations],
        },
        "job_spec_config": {
            "active_deadline_seconds": int(needs.time_limit.total_seconds()),
            "backoff_limit": 0,  # Dagster tries again: a pod that Kubernetes starts anew is not followed
        },
    }
    if needs.nodes > 1:
        for part, more in _several(needs.nodes).items():
            config[part] |= more
        labels["mlops/nodes"] = "several"
    return {CONFIG: config}


def pool(stage: str, needs: Needs) -> str | None:
    """The pool whose limit bounds how many such steps run at once; None: no pool."""
    if stage == TRAINING:
        return GPU_POOL if needs.gpu else None
    return S3_POOL if stage in _READ_AND_WRITE_S3 else None


def fitted(project: Project, settings: Settings) -> Project:
    """The project with needs as this cluster can meet them: without GPUs if it has none.

    Steps with a GPU get the image that brings what a GPU needs.
    """
    needs = {key: _fitted(needs, settings) for key, needs in project.needs.items()}
    return project.model_copy(update={"needs": needs})


def _fitted(needs: Needs, settings: Settings) -> Needs:
    if not needs.gpu:
        return needs
    if not settings.kubernetes_gpus:
        return needs.model_copy(update={"gpu": 0, "node_selector": {}, "tolerations": ()})
    return needs.model_copy(update={"image": needs.image or settings.kubernetes_gpu_image})


def _several(nodes: int) -> dict[str, dict[str, Any]]:
    """A Job with a pod for each node, of which the first executes the step (see ``execution.node``)."""
    return {
        "container_config": {
            "command": ["python", "-m", "mlops_assets.execution.node", str(nodes)],
            "env": [
                {
                    "name": "MLOPS_JOB",
                    "value_from": {"field_ref": {"field_path": f"metadata.labels['{JOB_LABEL}']"}},
                }
            ],
        },
        "pod_spec_config": {"subdomain": "training"},
        "job_spec_config": {
            "completion_mode": "Indexed",
            "completions": nodes,
            "parallelism": nodes,
            "success_policy": {"rules": [{"succeeded_indexes": "0"}]},
        },
    }


def _resources(needs: Needs) -> dict[str, dict[str, str]]:
    bounded = {"memory": needs.memory, "ephemeral-storage": needs.scratch}
    if needs.gpu:
        bounded[needs.gpu_resource] = str(needs.gpu)
    return {"requests": {"cpu": needs.cpu, **bounded}, "limits": bounded}


def _toleration(wanted: Toleration) -> dict[str, str]:
    value = {"operator": "Exists"} if wanted.value is None else {"operator": "Equal", "value": wanted.value}
    return {"key": wanted.key, **value, "effect": wanted.effect}
