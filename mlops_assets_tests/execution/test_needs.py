"""What a project says of its steps' needs, and what becomes of it on the assets."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from dagster_k8s.job import get_user_defined_k8s_config
from pydantic import ValidationError

from mlops_assets.catalog import PROJECTS
from mlops_assets.definitions import build_definitions
from mlops_assets.execution.pods import CONFIG, tags
from mlops_assets.needs import Needs, Toleration
from mlops_assets.project import Project
from mlops_assets.settings import Settings
from mlops_assets_tests.projects.flight_delays.data import PROJECT

if TYPE_CHECKING:
    import dagster as dg

GPU = "nvidia.com/gpu"


def project(**needs: Needs) -> Project:
    declared = {key.replace("__", "/"): value for key, value in needs.items()}
    parts = {name: getattr(PROJECT, name) for name in Project.model_fields}
    return Project(**(parts | {"needs": declared}))


def ops(settings: Settings, *projects: Project) -> dict[str, dg.OpDefinition]:
    """The op of each of the projects' assets, by ``<stage>[/<name>]``."""
    definitions = build_definitions(settings, projects=projects).get_repository_def()
    return {
        "/".join(key.path[1:]): asset.op
        for key, asset in definitions.assets_defs_by_key.items()
        if asset.is_executable and key.path[0] != "alerts"
    }


def limits(op: dg.OpDefinition) -> dict[str, str]:
    return dict(json.loads(op.tags[CONFIG])["container_config"]["resources"]["limits"])


def settings(**changes: Any) -> Settings:
    return Settings(_env_file=None, **changes)


@pytest.mark.parametrize("executor", ["in_process", "kubernetes"])
def test_a_gpu_is_asked_for_by_the_training_step_that_declares_it_and_by_no_other(executor: str) -> None:
    found = ops(settings(executor=executor), project(candidates__network=Needs(gpu=2)))
    assert {name: limits(op)[GPU] for name, op in found.items() if GPU in limits(op)} == {
        "candidates/network": "2"
    }
    assert {name for name, op in found.items() if op.pool == "gpu"} == {"candidates/network"}


def test_every_step_says_what_its_pod_asks_for() -> None:
    for name, op in ops(settings(), *PROJECTS).items():
        config = json.loads(op.tags[CONFIG])
        resources = config["container_config"]["resources"]
        assert {"cpu", "memory", "ephemeral-storage"} <= set(resources["requests"]), name
        assert {"memory", "ephemeral-storage"} <= set(resources["limits"]), name
        assert config["job_spec_config"]["active_deadline_seconds"] >= 60, name
        assert config["job_spec_config"]["backoff_limit"] == 0, name
        assert op.retry_policy is None, f"{name}: Dagster's policy would try again after an error of the code"


def test_dagster_k8s_takes_the_tags_and_makes_of_them_what_was_declared() -> None:
    needs = Needs(
        gpu=1,
        cpu="500m",
        memory="3Gi",
        node_selector={"pool": "a100"},
        tolerations=(Toleration(key=GPU), Toleration(key="team", value="ml", effect="NoExecute")),
        time_limit=timedelta(minutes=30),
        image="registry.example.org/own:1",
    )
    op = ops(settings(), project(candidates__boosting=needs))["candidates/boosting"]
    taken = get_user_defined_k8s_config(op.tags)
    assert taken.container_config["image"] == "registry.example.org/own:1"
    assert taken.container_config["resources"]["requests"] == {
        "cpu": "500m",
        "memory": "3Gi",
        "ephemeral-storage": "2Gi",
        GPU: "1",
    }
    assert taken.pod_spec_config["node_selector"] == {"pool": "a100"}
    assert taken.pod_spec_config["tolerations"] == [
        {"key": GPU, "operator": "Exists", "effect": "NoSchedule"},
        {"key": "team", "operator": "Equal", "value": "ml", "effect": "NoExecute"},
    ]
    assert taken.job_spec_config["active_deadline_seconds"] == 1800


def test_a_stages_needs_are_overridden_by_name_and_override_the_usual() -> None:
    declared = project(candidates=Needs(memory="5Gi"), candidates__network=Needs(memory="7Gi"))
    assert declared.needs_of("candidates", "network").memory == "7Gi"
    assert declared.needs_of("candidates", "boosting").memory == "5Gi"
    assert declared.needs_of("raw", "flights").memory == "1Gi"
    assert declared.needs_of("training_set") == Needs()


def test_a_cluster_without_gpus_is_asked_for_none_and_for_no_node_that_has_them() -> None:
    wanting = Needs(gpu=1, node_selector={"gpu": "yes"}, tolerations=(Toleration(key=GPU),), memory="6Gi")
    op = ops(settings(kubernetes_gpus=False), project(candidates__network=wanting))["candidates/network"]
    config = json.loads(op.tags[CONFIG])
    assert limits(op) == {"memory": "6Gi", "ephemeral-storage": "2Gi"}
    assert config["pod_spec_config"] == {"node_selector": {}, "tolerations": []}
    assert op.pool is None


def test_steps_with_a_gpu_and_no_others_run_the_gpu_image() -> None:
    found = ops(settings(kubernetes_gpu_image="platform:cuda"), project(candidates__network=Needs(gpu=1)))
    images = {
        name: json.loads(op.tags[CONFIG])["container_config"].get("image") for name, op in found.items()
    }
    assert {name for name, image in images.items() if image} == {"candidates/network"}
    assert images["candidates/network"] == "platform:cuda"


def test_what_reads_and_writes_s3_shares_a_pool() -> None:
    found = ops(settings(), PROJECT)
    assert {name for name, op in found.items() if op.pool == "s3"} == {
        "features",
        *(f"raw/{source.name}" for source in PROJECT.sources),
    }


@pytest.mark.parametrize(
    ("key", "needs", "says"),
    [
        ("features", Needs(gpu=1), "only candidates train, so only they may ask for a GPU"),
        ("features", Needs(nodes=2), "only candidates train, so only they may share nodes"),
        ("candidates", Needs(nodes=2), "a Boosting trains on one node"),
        ("trainning", Needs(), "no such stage"),
    ],
)
def test_needs_of_no_stage_or_a_gpu_for_no_training_are_refused(key: str, needs: Needs, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        project(**{key: needs})


@pytest.mark.parametrize(
    "wrong", [{"memory": "8 GB"}, {"cpu": "two"}, {"gpu": -1}, {"gpus": 1}, {"nodes": 0}]
)
def test_needs_that_kubernetes_would_not_understand_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Needs(**wrong)


def test_the_executor_is_the_code_locations_own() -> None:
    repository = build_definitions(settings(executor="kubernetes")).get_repository_def()
    assert repository.get_job("__ASSET_JOB").executor_def.name == "kubernetes"
    assert build_definitions(settings()).get_repository_def().get_job("__ASSET_JOB").executor_def.name == (
        "in_process"
    )


def test_labels_say_whose_pod_it_is() -> None:
    labels = tags(Needs(), "flight_delays", "candidates", "network")[CONFIG]["pod_template_spec_metadata"]
    assert labels["labels"] == {
        "mlops/project": "flight_delays",
        "mlops/stage": "candidates",
        "mlops/name": "network",
    }
