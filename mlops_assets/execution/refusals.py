"""What Kubernetes' API says when it does not do what it was asked: whether to ask again, and what to do."""

from __future__ import annotations

import json
from dataclasses import dataclass

from dagster_k8s.client import DagsterK8sAPIRetryLimitExceeded, DagsterK8sUnrecoverableAPIError
from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

from mlops_assets.execution.stuck import REMEDY

API_ERRORS = (
    ApiException,
    DagsterK8sAPIRetryLimitExceeded,
    DagsterK8sUnrecoverableAPIError,
    HTTPError,
)
"""What Kubernetes' client and dagster-k8s raise when the API refuses, fails, or is not reached."""

_NOT_NOW = "if it lasts: look at Kubernetes' API server"
_REMEDIES = {
    400: "correct what the step's tags say of its pod (Needs in the project)",
    401: "check the token of the run's service account",
    403: "give the run's service account the role launch-pods (deploy/k8s/base/accounts.yaml)",
    404: "make the namespace, or correct job_namespace in dagster.yaml",
    422: "correct what the step's tags say of its pod (Needs in the project)",
}
_QUOTA = "raise the namespace's ResourceQuota, or ask for less (Needs in the project)"


@dataclass(frozen=True)
class Refusal:
    """One answer, or none. ``status``: that of HTTP; None where the API was not reached."""

    status: int | None
    reason: str
    message: str

    @property
    def exists(self) -> bool:
        """Whether what was to be made is there already."""
        return self.status == 409 and self.reason == "AlreadyExists"

    @property
    def over_quota(self) -> bool:
        return self.status == 403 and "exceeded quota" in self.message

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed later: the API is busy, in trouble, or away."""
        if self.status in (400, 403, 404, 422):
            return self.over_quota
        return not self.exists

    def __str__(self) -> str:
        remedy = _QUOTA if self.over_quota else _REMEDIES.get(self.status or 0, _NOT_NOW)
        said = ": ".join(str(part) for part in (self.status, self.reason, self.message) if part)
        return f"({said}). {REMEDY}{remedy}"


def refusal(error: BaseException) -> Refusal:
    """What one of ``API_ERRORS`` tells."""
    cause = getattr(error, "k8s_api_exception", None) or error
    if not isinstance(cause, ApiException):
        return Refusal(None, type(cause).__name__, str(cause))
    try:
        told = json.loads(cause.body)
    except (TypeError, ValueError):
        told = {}
    return Refusal(cause.status, told.get("reason") or cause.reason or "", told.get("message") or "")
