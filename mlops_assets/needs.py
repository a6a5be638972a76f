"""What a step needs of the machine that it runs on. Pure: neither Dagster nor Kubernetes is imported.

A project says it by stage, or by stage and name: ``{"candidates/network": Needs(gpu=1)}``. On one machine
it changes nothing; on Kubernetes each step is a pod, and this is what the pod asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

_CPU = r"^([0-9]+(\.[0-9]+)?|[0-9]+m)$"
_BYTES = r"^[0-9]+(Mi|Gi)$"


class Toleration(BaseModel):
    """A taint of nodes that the step may run on all the same; ``value`` None: whatever it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = "NoSchedule"


class Needs(BaseModel):
    """What one step needs.

    ``cpu``: cores, asked for but not a limit (a step may use what nobody else does). ``memory`` and
    ``scratch`` (the folder for temporary files): asked for, and a limit. ``gpu``: whole GPUs, of the kind
    ``gpu_resource``. ``node_selector``: labels that the node must have. ``time_limit``: from the pod's
    creation, the wait for a node included. ``image``: None for the platform's own. ``nodes``: machines that
    share the training, each with all of the above.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu: str = Field(default="1", pattern=_CPU)
    memory: str = Field(default="2Gi", pattern=_BYTES)
    scratch: str = Field(default="2Gi", pattern=_BYTES)
    gpu: int = Field(default=0, ge=0)
    gpu_resource: str = Field(default="nvidia.com/gpu", pattern=r"^[a-z0-9.-]+/[a-z0-9.-]+$")
    node_selector: Mapping[str, str] = Field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    time_limit: timedelta = Field(default=timedelta(hours=1), ge=timedelta(minutes=1))
    image: str | None = None
    nodes: int = Field(default=1, ge=1, le=64)


BY_STAGE: Mapping[str, Needs] = {
    "raw": Needs(cpu="500m", memory="1Gi"),
    "candidates": Needs(cpu="2", memory="4Gi", time_limit=timedelta(hours=6)),
    "endpoint": Needs(cpu="250m", memory="1Gi"),
}
"""What a stage's steps need as long as the project does not say otherwise; any other: ``Needs()``."""

TRAINING = "candidates"
"""The stage that trains: the only one that may ask for a GPU, or for several nodes."""


def find_needs(declared: Mapping[str, Needs], stage: str, name: str | None) -> Needs:
    """What ``declared`` says of ``<stage>/<name>``, else of ``<stage>``, else what is usual for it."""
    for key in (f"{stage}/{name}", stage):
        if key in declared:
            return declared[key]
    return BY_STAGE.get(stage, Needs())


def check_needs(declared: Mapping[str, Needs], stages: tuple[str, ...]) -> None:
    """Raise ``ValueError`` for a stage that there is not, or a GPU or nodes where nothing is trained."""
    for key, needs in declared.items():
        stage = key.partition("/")[0]
        if stage not in stages:
            raise ValueError(f"needs of {key!r}: there is no such stage; there are {', '.join(stages)}")
        if needs.gpu and stage != TRAINING:
            raise ValueError(f"needs of {key!r}: only {TRAINING} train, so only they may ask for a GPU")
        if needs.nodes > 1 and stage != TRAINING:
            raise ValueError(f"needs of {key!r}: only {TRAINING} train, so only they may share nodes")
