"""``serves_champion``: said of a real HTTP server, by the sensor's look and by a person's run."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from mlops_assets.automation.endpoint_sensor import (
    REPEAT_SECONDS,
    Told,
    build_endpoint_sensor,
    watch_endpoint,
)
from mlops_assets.catalog import get_project
from mlops_assets.lifecycle.describe import asset_key
from mlops_assets.lifecycle.lineage import VERSION, latest
from mlops_assets.lifecycle.serving_check import (
    SERVES_CHAMPION,
    Answer,
    ask,
    build_serving_check,
    judge_serving,
)
from mlops_assets_tests.services import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = get_project("flight_delays")
PATIENCE = PROJECT.endpoint.timeout_seconds


class Server:
    """Answers ``/info`` with ``body`` and ``status``."""

    def __init__(self) -> None:
        self.body: bytes = b"{}"
        self.status = 200

    def serve(self, version: str | None) -> None:
        self.body = json.dumps({"version": version}).encode()


@contextmanager
def running(server: Server) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(server.status)
            self.send_header("Content-Length", str(len(server.body)))
            self.end_headers()
            self.wfile.write(server.body)

        def log_message(self, *_: object) -> None: ...

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}"
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def url(server: Server) -> Iterator[str]:
    with running(server) as url:
        yield url


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def promote(instance: dg.DagsterInstance, version: str) -> float:
    """As ``champion`` tells of a promotion; when that was."""
    key = asset_key(PROJECT, "champion")
    instance.report_runless_asset_event(dg.AssetMaterialization(key, metadata={VERSION: version}))
    return latest(instance, key).timestamp


def test_what_a_server_says_of_itself(server: Server, url: str) -> None:
    server.serve("7")
    assert ask(url) == Answer("7")
    server.serve(None)
    assert ask(url) == Answer(None, "no model is loaded")
    for body in (b"not JSON", b"[]", b"{}"):
        server.body = body
        assert ask(url).version is None
        assert "/info is no information" in ask(url).why
    server.status = 503
    assert "503" in ask(url).why
    assert "ConnectError" in ask(f"http://127.0.0.1:{free_port()}").why


def test_the_verdict_waits_for_a_swap_and_not_for_ever() -> None:
    old = Answer("6")
    assert judge_serving(None, old, "u", 1e9, PATIENCE) is None
    assert judge_serving("7", old, "u", PATIENCE - 1, PATIENCE) is None
    right = judge_serving("7", Answer("7"), "u", 0, PATIENCE)
    assert right is not None
    assert right.passed
    for answer, told in (
        (old, "serves version 6"),
        (Answer(None, "ConnectError"), "no version (ConnectError)"),
    ):
        wrong = judge_serving("7", answer, "u", PATIENCE, PATIENCE)
        assert wrong is not None
        assert not wrong.passed
        assert told in wrong.observed
        assert wrong.allowed.startswith("version 7")
        assert "alias `champion`" in wrong.remedy


def test_the_sensor_tells_what_changes_and_only_that(
    instance: dg.DagsterInstance, server: Server, url: str
) -> None:
    server.serve("1")
    assert watch_endpoint(instance, PROJECT, url, Told(), 0)[0] == []  # no champion yet
    now = promote(instance, "1")
    events, told = watch_endpoint(instance, PROJECT, url, Told(), now)
    (passed,) = events
    assert isinstance(passed, dg.AssetCheckEvaluation)
    assert (passed.check_name, passed.passed) == (SERVES_CHAMPION, True)
    assert watch_endpoint(instance, PROJECT, url, told, now + 60) == ([], told)
    # A rollback that the endpoint does not follow.
    now = promote(instance, "0")
    assert watch_endpoint(instance, PROJECT, url, told, now + 1) == ([], told)
    events, doubtful = watch_endpoint(instance, PROJECT, url, told, now + PATIENCE)
    assert events == []  # once is a restart
    (failed,), told = watch_endpoint(instance, PROJECT, url, doubtful, now + PATIENCE + 15)
    assert isinstance(failed, dg.AssetCheckEvaluation)
    assert not failed.passed
    assert failed.severity == dg.AssetCheckSeverity.ERROR
    assert failed.metadata["observed"].value == f"the endpoint at {url} serves version 1"
    assert "what to do" in failed.metadata
    assert watch_endpoint(instance, PROJECT, url, told, now + PATIENCE + 30) == ([], told)
    server.serve("0")
    (healed,), told = watch_endpoint(instance, PROJECT, url, told, now + PATIENCE + 45)
    assert isinstance(healed, dg.AssetCheckEvaluation)
    assert healed.passed
    (again,), _ = watch_endpoint(instance, PROJECT, url, told, told.at + REPEAT_SECONDS)
    assert isinstance(again, dg.AssetCheckEvaluation)


def test_one_failed_look_between_good_ones_is_nothing(
    instance: dg.DagsterInstance, server: Server, url: str
) -> None:
    server.serve("1")
    now = promote(instance, "1") + PATIENCE
    _, told = watch_endpoint(instance, PROJECT, url, Told(), now)
    for _ in range(3):
        server.status = 503
        events, told = watch_endpoint(instance, PROJECT, url, told, now + 15)
        server.status = 200
        more, told = watch_endpoint(instance, PROJECT, url, told, now + 30)
        assert events == more == []


def test_an_endpoint_that_is_seen_stays_fresh(instance: dg.DagsterInstance, server: Server, url: str) -> None:
    window = PROJECT.freshness.endpoint
    assert window is not None
    server.serve("1")
    now = promote(instance, "1")
    _, told = watch_endpoint(instance, PROJECT, url, Told(), now)
    key = asset_key(PROJECT, "endpoint")
    instance.report_runless_asset_event(dg.AssetMaterialization(key, metadata={"version": "1"}))
    made = latest(instance, key).timestamp
    assert watch_endpoint(instance, PROJECT, url, told, made + 60)[0] == []
    later = made + window.total_seconds() / 2
    seen = [e for e in watch_endpoint(instance, PROJECT, url, told, later)[0] if hasattr(e, "tags")]
    assert [(e.asset_key, e.description) for e in seen] == [(key, "seen again")]
    server.serve("0")
    assert not [e for e in watch_endpoint(instance, PROJECT, url, told, later)[0] if hasattr(e, "tags")]


def test_the_sensor_and_a_person_say_the_same(instance: dg.DagsterInstance, server: Server, url: str) -> None:
    server.serve("1")
    promote(instance, "1")
    sensor = build_endpoint_sensor(PROJECT, url)
    with dg.build_sensor_context(instance=instance) as context:
        data = sensor.evaluate_tick(context)
    (event,) = data.asset_events
    assert isinstance(event, dg.AssetCheckEvaluation)
    assert event.passed
    assert Told.parse(data.cursor).verdict == "1"
    assert Told.parse("junk") == Told.parse(None) == Told()

    asset = dg.AssetSpec(asset_key(PROJECT, "endpoint"))
    defs = dg.Definitions(assets=[asset], asset_checks=[build_serving_check(PROJECT, url)])
    job = defs.resolve_implicit_global_asset_job_def()
    (by_hand,) = job.execute_in_process(instance=instance).get_asset_check_evaluations()
    assert (by_hand.check_name, by_hand.passed) == (SERVES_CHAMPION, True)
    assert by_hand.metadata["observed"] == event.metadata["observed"]
