"""``deploy/prometheus``, ``alertmanager`` and ``grafana``: a real Prometheus reads the real processes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import dagster as dg
import httpx
import pytest
import yaml
from dagster._daemon.types import DaemonHeartbeat

from mlops_assets.alerts.tables import engine_for
from mlops_assets.catalog import PROJECTS
from mlops_assets_tests.alerts.world import Recorder, alerting, evaluate
from mlops_assets_tests.deploy.promql import (
    BY_PROMETHEUS,
    DASHBOARDS,
    PROMETHEUS,
    ROOT,
    dashboard,
    exposed,
    metrics_in,
    panels,
    queries,
    rules,
)
from mlops_assets_tests.services import Service, free_port, wait_until
from mlops_assets_tests.serving import toy
from mlops_assets_tests.serving.harness import Endpoint, seed, trip

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlops_assets_tests.services import PostgresServer

BINARIES = ("prometheus", "promtool", "prometheus-alertmanager")
ALERTMANAGER = ROOT / "deploy" / "alertmanager" / "alertmanager.yml"
needs = {
    name: pytest.mark.skipif(shutil.which(name) is None, reason=f"no {name}: apt-get install {package}")
    for name, package in {
        "promtool": "prometheus",
        "prometheus": "prometheus",
        "amtool": "prometheus-alertmanager",
        "prometheus-alertmanager": "prometheus-alertmanager",
    }.items()
}
each_dashboard = pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs["promtool"]
def test_prometheus_takes_its_configuration_and_the_rules_do_as_they_say() -> None:
    run("promtool", "check", "config", "deploy/prometheus/prometheus.yml")
    run("promtool", "test", "rules", "mlops_assets_tests/deploy/rules.test.yml")


def test_every_alert_has_its_test_and_says_what_to_do() -> None:
    tested = (ROOT / "mlops_assets_tests" / "deploy" / "rules.test.yml").read_text()
    for rule in rules():
        assert rule["labels"].keys() == {"severity"}
        assert rule["labels"]["severity"] in ("error", "warning")
        assert set(rule["annotations"]) == {"summary", "seen", "remedy"}, rule["alert"]
        assert f'alertname="{rule["alert"]}"' in tested or f"alertname: {rule['alert']}\n" in tested


def test_the_document_lists_every_alert_with_its_severity() -> None:
    text = (ROOT / "docs" / "monitoring.md").read_text()
    listed = re.findall(r"^\| `(\w+)` \|.*\| (\w+) \|$", text, re.MULTILINE)
    assert listed == [(rule["alert"], rule["labels"]["severity"]) for rule in rules()]


@needs["amtool"]
@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (("alertname=DaemonDead", "severity=error"), "people"),
        (("alertname=EndpointSlow", "severity=warning", "project=p"), "later"),
        (("alertname=mlops_check", "severity=error", "fingerprint=x"), "people"),
    ],
)
def test_an_alert_finds_its_receiver(labels: tuple[str, ...], receiver: str) -> None:
    run("amtool", "check-config", str(ALERTMANAGER))
    assert (
        run("amtool", "config", "routes", "test", f"--config.file={ALERTMANAGER}", *labels) == f"{receiver}\n"
    )


def test_alertmanager_is_told_of_alerts_that_there_are_and_of_no_secret() -> None:
    text = ALERTMANAGER.read_text()
    known = {rule["alert"] for rule in rules()}
    named = {name for group in re.findall(r'alertname=~?"([^"]+)"', text) for name in group.split("|")}
    assert named <= known
    assert not re.search(r"^[^#]*(token|password|api_url|credentials|secret)", text, re.MULTILINE)


def test_every_endpoint_of_the_catalog_is_watched() -> None:
    jobs = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]
    (endpoints,) = [job for job in jobs if job["job_name"] == "endpoints"]
    watched = {
        (static["labels"]["mlops_project"], target)
        for static in endpoints["static_configs"]
        for target in static["targets"]
    }
    wanted = {(p.name, f"endpoint-{p.name.replace('_', '-')}:8000") for p in PROJECTS}
    assert watched == wanted


def test_the_operators_rules_are_prometheus_own() -> None:
    """Kustomize reads no file from outside its folder: ``make k8s-rules`` makes it anew."""
    file = ROOT / "deploy" / "k8s" / "components" / "monitoring" / "rules.yaml"
    assert file.read_text() == run("tools/prometheus-rule"), "run: make k8s-rules"
    assert yaml.safe_load(file.read_text())["spec"] == yaml.safe_load((PROMETHEUS / "rules.yml").read_text())


@each_dashboard
def test_a_dashboard_is_laid_out_and_says_where_its_figures_are_from(file: Path) -> None:
    found = dashboard(file)
    assert found["uid"] == file.stem
    variables = {variable["name"] for variable in found["templating"]["list"]}
    assert "datasource" in variables
    assert len({panel["id"] for panel in found["panels"]}) == len(found["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in found["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24, panel["title"]
        assert not cells & taken, f"{panel['title']} lies on another panel"
        taken |= cells
    for panel in panels(file):
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        for target in panel["targets"]:
            used = set(re.findall(r"\$\{?(\w+)", target["expr"])) - {"__rate_interval", "__range"}
            assert used <= variables, panel["title"]


@dataclass
class Watched:
    """A Prometheus that scrapes a metrics server and an endpoint, and tells an Alertmanager."""

    url: str
    alertmanager: str
    instance: dg.DagsterInstance
    pages: str
    """What both show on ``/metrics``."""

    def ask(self, expression: str) -> list[Any]:
        answer = httpx.post(f"{self.url}/api/v1/query", data={"query": expression}, timeout=20).json()
        assert answer["status"] == "success", (expression, answer)
        return list(answer["data"]["result"])

    def firing(self) -> set[str]:
        return {one["metric"]["alertname"] for one in self.ask('ALERTS{alertstate="firing"}')}

    def heartbeat(self, age: float) -> None:
        """The daemon's parts were last heard of ``age`` seconds ago."""
        for name in ("SENSOR", "ASSET", "QUEUED_RUN_COORDINATOR"):
            self.instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - age, name, "one", []))


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer) -> Iterator[Watched]:
    """An alert that is open and was sent, an endpoint that was asked well and wrongly, a dead daemon."""
    for name in BINARIES:
        if shutil.which(name) is None:
            pytest.skip(f"no {name}: apt-get install prometheus prometheus-alertmanager")
    folder = tmp_path_factory.mktemp("monitoring")
    database_url = postgres_server.url("monitoring")
    engine = engine_for(database_url)
    ports = {name: free_port() for name in ("metrics", "prometheus", "alertmanager")}
    started: list[Any] = []
    storage = {"storage": {"postgres": {"postgres_url": database_url}}}
    try:
        with dg.instance_for_test(overrides=storage) as instance:
            world = alerting(engine, instance, {"slack": Recorder()})
            evaluate(instance, passed=False)
            assert world.run().pending == 0
            seed(folder / "endpoint", toy.make_bundle(0.25))
            endpoint = Endpoint(folder / "endpoint")
            started.append(endpoint)
            endpoint.start()
            started.append(metrics := metrics_server(folder, database_url, ports["metrics"]))
            started.append(alertmanager(folder, ports["alertmanager"]))
            shown = partial(httpx.get, f"http://127.0.0.1:{ports['metrics']}/metrics", timeout=20)
            wait_until("the metrics server", lambda: shown().is_success, metrics)
            found = Watched(
                f"http://127.0.0.1:{ports['prometheus']}",
                f"http://127.0.0.1:{ports['alertmanager']}",
                instance,
                shown().text + endpoint.client.get("/metrics").text,
            )
            found.heartbeat(3600)
            started.append(server := prometheus(folder, ports, endpoint.port))
            wait_until("Prometheus", lambda: httpx.get(f"{found.url}/-/ready").is_success, server)
            for _ in range(5):  # what was counted has to be scraped before it grows
                assert endpoint.predict(trip(), trip(carrier="UA")).status_code == 200
                assert endpoint.predict({"carrier": 1}).status_code == 422
                time.sleep(0.8)
            yield found
    finally:
        engine.dispose()
        for one in reversed(started):
            one.stop()


def metrics_server(folder: Path, database_url: str, port: int) -> Service:
    env = {
        "MLOPS_DATABASE_URL": database_url.replace("postgresql+psycopg2", "postgresql"),
        "MLOPS_METRICS_PORT": str(port),
        "MLOPS_HOME": str(folder / "home"),
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "mlops_assets.platform.metrics_server"]
    return Service(command, folder / "metrics.log", env)


def alertmanager(folder: Path, port: int) -> Service:
    """With the file of ``deploy/``, but without its waits."""
    config = folder / "alertmanager.yml"
    config.write_text(re.sub(r"group_wait: \w+", "group_wait: 0s", ALERTMANAGER.read_text()))
    # fmt: off
    command = [
        "prometheus-alertmanager", f"--config.file={config}", f"--storage.path={folder / 'alertmanager'}",
        "--cluster.listen-address=", f"--web.listen-address=127.0.0.1:{port}",
    ]
    # fmt: on
    return Service(command, folder / "alertmanager.log")


def prometheus(folder: Path, ports: dict[str, int], endpoint: int) -> Service:
    """With the files of ``deploy/``: other addresses, each second, and alerts that fire at once."""
    text = (PROMETHEUS / "prometheus.yml").read_text()
    for service, port in {
        "metrics:9464": ports["metrics"],
        "alertmanager:9093": ports["alertmanager"],
    }.items():
        assert service in text
        text = text.replace(service, f"127.0.0.1:{port}")
    text = re.sub(r"endpoint-[\w-]+:8000", f"127.0.0.1:{endpoint}", text)
    text = re.sub(r"(scrape_interval|scrape_timeout|evaluation_interval): \w+", r"\1: 1s", text)
    (folder / "prometheus.yml").write_text(text)
    at_once = re.sub(r"\bfor: \w+", "for: 0s", (PROMETHEUS / "rules.yml").read_text())
    (folder / "rules.yml").write_text(at_once)
    # fmt: off
    command = [
        "prometheus", f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address=127.0.0.1:{ports['prometheus']}",
    ]
    # fmt: on
    return Service(command, folder / "prometheus.log")


def test_rules_and_dashboards_name_only_metrics_that_are_shown(watched: Watched) -> None:
    shown = exposed(watched.pages) | BY_PROMETHEUS
    for rule in rules():
        assert metrics_in(rule["expr"]), rule["alert"]
        assert metrics_in(rule["expr"]) <= shown, rule["alert"]
    for file in DASHBOARDS:
        for title, expression in queries(file):
            assert metrics_in(expression), title
            assert metrics_in(expression) <= shown, title


def test_targets_are_up_and_a_dead_daemon_is_told_until_it_is_heard_of_again(watched: Watched) -> None:
    def told() -> dict[str, Any]:
        alerts = httpx.get(f"{watched.alertmanager}/api/v2/alerts", params={"active": "true"}).json()
        return {alert["labels"]["alertname"]: alert for alert in alerts}

    wait_until("both targets", lambda: len(watched.ask("up == 1")) == 2)
    watched.heartbeat(3600)
    wait_until("the alert", lambda: "DaemonDead" in watched.firing())
    wait_until("Alertmanager", lambda: "DaemonDead" in told())
    alert = told()["DaemonDead"]
    assert [receiver["name"] for receiver in alert["receivers"]] == ["people"]
    assert "read its log" in alert["annotations"]["remedy"]
    watched.heartbeat(5)
    wait_until("its end", lambda: "DaemonDead" not in watched.firing())
    # The registry of this endpoint is out of reach; it has a model all the same, and does not fail.
    wait_until("the endpoint's alert", lambda: "RegistryAway" in watched.firing())
    assert not watched.firing() & {
        "NoChampionLoaded",
        "EndpointErrors",
        "EndpointDown",
        "EndpointsNotWatched",
    }


@each_dashboard
def test_every_panel_shows_something(watched: Watched, file: Path) -> None:
    values = {"$__rate_interval": "1m", "$__range": "1h", "$project": "trips"}

    def answers(expression: str) -> list[Any]:
        for name, value in values.items():
            expression = expression.replace(name, value)
        return watched.ask(expression)

    for variable in dashboard(file)["templating"]["list"]:
        if variable["type"] == "query":
            chooses = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])
            assert chooses, variable
            assert {one["metric"][chooses[2]] for one in watched.ask(chooses[1])} == {"trips"}
    for title, expression in queries(file):
        wait_until(f"{title}: {expression}", partial(answers, expression), seconds=20)
