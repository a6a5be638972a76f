"""``GET /predictions/{request_id}``: before it is shipped and afterwards; questions that are none."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from mlops_assets_tests.serving import toy
from mlops_assets_tests.serving.conftest import BIAS
from mlops_assets_tests.serving.harness import Endpoint, Lake, seed, trip
from serving.prediction_log import objects
from serving.prediction_log.reader import time_of_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlops_assets_tests.services import ObjectStore


@pytest.fixture
def running(
    tmp_path: Path, start: Callable[..., Endpoint], object_store: ObjectStore, buckets: tuple[str, str]
) -> Endpoint:
    seed(tmp_path / "store", toy.make_bundle(BIAS))
    endpoint = start(lake=Lake(object_store, buckets[1]), segment_seconds=2)
    endpoint.until("the shipper", lambda: endpoint.metric("endpoint_log_shipper_up") == 1)
    return endpoint


def look_up(endpoint: Endpoint, name: str, query: str = "") -> tuple[int, dict[str, Any]]:
    response = endpoint.client.get(f"/predictions/{name}{query}")
    assert response.headers["cache-control"] == "no-store"
    return response.status_code, response.json()


def test_an_answer_is_found_before_and_after_it_is_shipped(
    running: Endpoint, object_store: ObjectStore, buckets: tuple[str, str]
) -> None:
    answer = running.predict(trip(), trip(carrier="ZZ", hot=0.5)).json()
    own = running.predict(trip(), **{"X-Request-ID": "of-a.client:1"}).json()
    assert own["request_id"] == "of-a.client:1"
    name = answer["request_id"]
    assert abs((time_of_id(name) or 0) / 1000 - time.time()) < 30
    assert objects.list_days(object_store.client, buckets[1], "trips") == []
    status, early = look_up(running, name)
    assert (status, early["request_id"]) == (200, name)
    first, second = early["predictions"]
    assert [first["row"], second["row"]] == [0, 1]
    assert first["received"] == {**trip(), "weekend": False, "hot": None, "nap": 0.0}
    assert first["used"] == {"far": pytest.approx(0.7), "hot": None, "carrier": "AA"}
    assert (second["used"]["carrier"], second["unknown"]) == (None, ["carrier"])
    for row, told in zip(early["predictions"], answer["predictions"], strict=True):
        assert (row["probability"], row["label"]) == (told["probability"], told["late"])
        assert (row["version"], row["training_set"]) == ("1", "set-of-tests")
        assert 0 < row["latency_seconds"] < 30
    running.until("it to be shipped", lambda: objects.list_days(object_store.client, buckets[1], "trips"))
    running.until("the segment to go", lambda: running.metric("endpoint_log_spool_bytes") == 0)
    assert look_up(running, name) == (200, early)
    assert look_up(running, name, f"?day={first['time'][:10]}") == (200, early)
    status, found = look_up(running, "of-a.client:1")
    assert (status, len(found["predictions"])) == (200, 1)
    schema = running.client.get("/openapi.json").json()
    part = schema["paths"]["/predictions/{request_id}"]["get"]["responses"]["200"]["content"]
    wanted = {**part["application/json"]["schema"], "components": schema["components"]}
    jsonschema.Draft202012Validator(wanted).validate(early)


def test_what_is_not_there_and_what_is_no_question(running: Endpoint) -> None:
    for name, words in (
        ("never-sent", "in the last 7 days"),
        ("01a20758829378f3ac5f038c01eaf0fc", "is in the prediction log"),
        ("x" * 40, "no request has the id"),
    ):
        status, error = look_up(running, name)
        assert (status, error["request_id"]) == (404, name)
        assert words in error["error"]
    status, error = look_up(running, "never-sent", "?day=2026-02-30")
    assert (status, "YYYY-MM-DD" in error["error"]) == (422, True)
    running.shipper().kill()
    status, error = look_up(running, "never-sent")
    assert (status, "try again" in error["error"]) == (503, True)
    running.until("the next shipper", lambda: look_up(running, "never-sent")[0] == 404)


def test_the_key_guards_it(tmp_path: Path, start: Callable[..., Endpoint]) -> None:
    key = {"X-API-Key": "a-long-key-of-tests"}
    seed(tmp_path / "store", toy.make_bundle(BIAS))
    endpoint = start(env={"MLOPS_ENDPOINT_API_KEY": key["X-API-Key"]})
    name = endpoint.predict(trip(), **key).json()["request_id"]
    refused = endpoint.client.get(f"/predictions/{name}")
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert "carrier" not in refused.text
    # The object store is out of reach; what is still here is found all the same.
    found = endpoint.until(
        "it to be found",
        lambda: (r := endpoint.client.get(f"/predictions/{name}", headers=key)).status_code == 200 and r,
    )
    assert found.json()["predictions"][0]["received"]["carrier"] == "AA"
    assert endpoint.client.get("/predictions/another", headers=key).status_code == 503


def test_the_log_is_off_only_when_told_so(tmp_path: Path, start: Callable[..., Endpoint]) -> None:
    seed(tmp_path / "store", toy.make_bundle(BIAS))
    endpoint = start(env={"MLOPS_PREDICTION_LOG": "off"})
    name = endpoint.predict(trip()).json()["request_id"]
    status, error = look_up(endpoint, name)
    assert (status, "MLOPS_PREDICTION_LOG=off" in error["error"]) == (404, True)
    assert endpoint.health()["log"] is None
    assert list((endpoint.store / "log" / "segments").iterdir()) == []
    assert not [child for child in endpoint.children() if "serving.prediction_log" in child.cmdline()]
