"""Of a step's pods, the one that executes it. A step over several nodes has others beside it."""

from __future__ import annotations

from datetime import timedelta
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from kubernetes.client import V1Pod

_INDEX = "batch.kubernetes.io/job-completion-index"
_OVERDUE = timedelta(seconds=30)


def by_node(pods: Sequence[V1Pod]) -> list[list[V1Pod]]:
    """The pods of each node, the first node's first; of a step with one node, all of them."""
    return [list(group) for _, group in groupby(sorted(pods, key=_index), key=_index)]


def executing(pods: Sequence[V1Pod]) -> list[V1Pod]:
    """Those that execute the step: one, or none yet or any more."""
    return [pod for pod in pods if _index(pod) == 0]


def may_still_report(pods: Sequence[V1Pod], now: datetime) -> bool:
    """Whether the step's process is there: a Job has failed with its first pod, and ends the others.

    One that has long been told to end, and has not, is on a machine that is lost. ``now``: with a time zone.
    """
    running = (pod for pod in executing(pods) if pod.status.phase == "Running")
    return any(
        pod.metadata.deletion_timestamp is None or now < pod.metadata.deletion_timestamp + _OVERDUE
        for pod in running
    )


def _index(pod: V1Pod) -> int:
    return int((pod.metadata.labels or {}).get(_INDEX, 0))
