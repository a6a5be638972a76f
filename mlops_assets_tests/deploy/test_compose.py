"""``deploy/compose.yaml``: no default secrets, nothing open to the network, all bounded and watched."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlops_assets.catalog import PROJECTS
from mlops_assets.settings import Settings

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy" / "compose.yaml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
MONITORING = {"prometheus", "alertmanager", "grafana"}
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
each = pytest.mark.parametrize("name", SERVICES)
each_of_ours = pytest.mark.parametrize("name", OURS)
closed_up = pytest.mark.parametrize("name", [*OURS, *sorted(MONITORING)])


def test_the_whole_platform_is_there() -> None:
    endpoints = {f"endpoint-{project.name.replace('_', '-')}" for project in PROJECTS}
    dagster = {"code-location", "webserver", "daemon"}
    stores = {"database", "object-store"}
    assert set(SERVICES) == {"migrate", "mlflow", "metrics"} | stores | dagster | endpoints | MONITORING


def test_secrets_come_from_the_environment_and_have_no_default() -> None:
    text = FILE.read_text()
    for name in re.findall(r"\$\{(STACK_(?!VERSION|\w+_FILE)\w+)", text):
        assert f"${{{name}:?" in text
        assert not re.search(rf"\$\{{{name}(:-|-|\}})", text), f"{name} could be empty"
    for service in SERVICES.values():
        for variable, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|API_KEY|TOKEN", variable):
                assert re.fullmatch(r"\$\{\w+:[?-].*\}", str(value)), variable


def test_the_example_lists_every_variable_that_is_read() -> None:
    example = (ROOT / ".env.example").read_text()
    for name in set(re.findall(r"\$\{(\w+)", FILE.read_text())):
        assert re.search(rf"^{name}=", example, re.MULTILINE), name


@each
def test_images_are_pinned(name: str) -> None:
    image = re.sub(r"\$\{\w+:-([^}]+)\}", r"\1", SERVICES[name]["image"])
    tag = image.rpartition(":")[2]
    assert re.match(r"v?\d", tag), image


@each
def test_ports_are_on_loopback(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert port.startswith("127.0.0.1:"), port


@each
def test_memory_is_bounded_and_health_is_asked(name: str) -> None:
    service = SERVICES[name]
    assert "mem_limit" in service
    # The platform's image asks its default command, the code location.
    assert "healthcheck" in service or name == "code-location"


@each
def test_what_is_waited_for_can_say_that_it_is_ready(name: str) -> None:
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        if how["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[needed] or needed == "code-location"
        else:
            assert SERVICES[needed]["restart"].startswith("on-failure"), f"{needed} never completes"


@closed_up
def test_containers_are_closed_up(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["user"].split(":")[0]) >= (10_000 if name in OURS else 1)
    assert "privileged" not in service


@pytest.mark.parametrize("name", sorted(MONITORING))
def test_what_monitoring_reads_is_in_deploy_and_cannot_be_written(name: str) -> None:
    mounts = [v.rsplit(":", 2) for v in SERVICES[name]["volumes"] if v.startswith((".", "$"))]
    assert mounts
    for source, _, mode in mounts:
        assert (FILE.parent / re.sub(r"\$\{\w+:-([^}]+)\}", r"\1", source)).exists(), source
        assert mode == "ro"


def test_monitoring_finds_its_targets_under_their_names_and_ports() -> None:
    """``host:port`` as in the files that Prometheus and Grafana read; a container listens where it says."""
    deploy = FILE.parent
    prometheus = yaml.safe_load((deploy / "prometheus" / "prometheus.yml").read_text())
    scraped = [s for job in prometheus["scrape_configs"] for s in job["static_configs"]]
    told = [s for one in prometheus["alerting"]["alertmanagers"] for s in one["static_configs"]]
    sources = yaml.safe_load((deploy / "grafana/provisioning/datasources/prometheus.yaml").read_text())
    hosts = [source["url"].removeprefix("http://") for source in sources["datasources"]]
    for target in [*(t for static in [*scraped, *told] for t in static["targets"]), *hosts]:
        name, _, port = target.partition(":")
        assert any(p.endswith(f":{port}") for p in SERVICES[name]["ports"]), target


@each_of_ours
def test_our_containers_are_given_settings_that_there_are(name: str) -> None:
    for variable in OURS[name]["environment"]:
        if variable.startswith("MLOPS_"):
            assert variable.removeprefix("MLOPS_").lower() in Settings.model_fields, variable


@pytest.mark.parametrize("name", [name for name in OURS if name.startswith("endpoint")])
def test_an_endpoint_knows_no_database_and_keeps_its_log(name: str) -> None:
    assert not any("DATABASE" in variable for variable in OURS[name]["environment"])
    assert any(volume.endswith(":/var/lib/mlops") for volume in OURS[name]["volumes"])


def test_the_endpoint_is_found_under_the_name_that_it_has() -> None:
    settings = Settings(
        _env_file=None, endpoint_address=SERVICES["webserver"]["environment"]["MLOPS_ENDPOINT_ADDRESS"]
    )
    for project in PROJECTS:
        host = settings.endpoint_url(0, project.name).removeprefix("http://").partition(":")[0]
        assert host in SERVICES
