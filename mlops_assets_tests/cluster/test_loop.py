"""The loop on a real cluster: ``make test-k8s``, after ``make k8s-secrets k8s-apply``. In this order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlops_assets.catalog import get_project
from mlops_assets.sample_data import month_objects, planes_object
from mlops_assets_tests.cluster.cluster import forwarded, kubectl, pods, secret, until, why_not

PROJECT = get_project("flight_delays")
ENDPOINT = "endpoint-flight-delays"
TRAINING = "mlops/stage=candidates,mlops/project=flight_delays"
LOAD = Path(__file__).with_name("load.py")
REASON = why_not()
pytestmark = [
    pytest.mark.skipif(REASON is not None, reason=str(REASON)),
    pytest.mark.timeout(1800),
]


def upload(objects: dict[str, bytes]) -> None:
    import boto3
    from botocore.config import Config

    with forwarded("object-store", 8333) as address:
        client = boto3.client(
            "s3",
            endpoint_url=address,
            region_name="us-east-1",
            aws_access_key_id=secret("mlops-s3", "MLOPS_S3_ACCESS_KEY_ID"),
            aws_secret_access_key=secret("mlops-s3", "MLOPS_S3_SECRET_ACCESS_KEY"),
            config=Config(s3={"addressing_style": "path"}),
        )
        for name, data in objects.items():
            client.put_object(Bucket="raw", Key=f"{PROJECT.name}/{name}", Body=data)


def served() -> str | None:
    """The version that the Service answers with."""
    if not any(
        condition["type"] == "Ready" and condition["status"] == "True"
        for pod in pods("mlops/role=endpoint")
        for condition in pod["status"].get("conditions", [])
    ):
        return None
    with forwarded(ENDPOINT, 8000) as address:
        return str(httpx.get(f"{address}/info", timeout=10).json()["version"])


def newer(version: str) -> str | None:
    found = served()
    return found if found is not None and found != version else None


def test_objects_become_a_champion_that_predicts_through_the_service() -> None:
    upload(planes_object() | month_objects("2013-01") | month_objects("2013-02"))
    until("the first champion", served, 1200)
    with forwarded(ENDPOINT, 8000) as address:
        answer = httpx.post(
            f"{address}/predict",
            json={"instances": [dict(PROJECT.endpoint.example)]},
            headers={"X-API-Key": secret("mlops-endpoint", "MLOPS_ENDPOINT_API_KEY")},
            timeout=30,
        )
    assert answer.status_code == 200, answer.text


def test_a_training_whose_pod_is_deleted_midway_succeeds_by_itself() -> None:
    before = str(served())
    upload(month_objects("2013-03") | month_objects("2013-04"))
    running: list[dict[str, Any]] = until(
        "a training's pod",
        lambda: [pod for pod in pods(TRAINING) if pod["status"]["phase"] == "Running"],
        900,
    )
    kubectl("delete", "pod", running[0]["metadata"]["name"], "--wait=false")
    assert until("the next champion", lambda: newer(before), 1500) != before


def test_an_endpoint_is_rolled_under_load_with_nothing_failed() -> None:
    kubectl("delete", "pod", "load", "--ignore-not-found")
    kubectl("apply", "--filename", "-", stdin=json.dumps(load_pod(90)))
    until("the load's pod", lambda: pods("mlops/load=yes")[0]["status"]["phase"] == "Running" or None, 120)
    kubectl("rollout", "restart", f"deployment/{ENDPOINT}")
    kubectl("rollout", "status", "--timeout=300s", f"deployment/{ENDPOINT}")
    until("the load's end", lambda: pods("mlops/load=yes")[0]["status"]["phase"] == "Succeeded" or None, 180)
    answers = json.loads(kubectl("logs", "load").splitlines()[-1])
    kubectl("delete", "pod", "load")
    assert set(answers) == {"200"}, answers
    assert answers["200"] > 100


def load_pod(seconds: int) -> dict[str, Any]:
    """A pod of the endpoint's own image, in the role of a run: it may talk to endpoints."""
    image = json.loads(kubectl("get", "deployment", ENDPOINT, "--output", "json"))["spec"]["template"][
        "spec"
    ]["containers"][0]["image"]
    body = json.dumps({"instances": [dict(PROJECT.endpoint.example)]})
    code = LOAD.read_text()
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "load", "labels": {"mlops/load": "yes", "mlops/role": "run"}},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "main",
                    "image": image,
                    "command": ["python", "-c", code, f"http://{ENDPOINT}:8000", str(seconds), body],
                    "envFrom": [{"secretRef": {"name": "mlops-endpoint"}}],
                    "resources": {
                        "requests": {"cpu": "100m", "memory": "64Mi"},
                        "limits": {"memory": "128Mi"},
                    },
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }
