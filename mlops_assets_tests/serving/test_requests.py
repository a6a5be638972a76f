"""A running endpoint, as its clients see it."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

import httpx
import jsonschema  # type: ignore[import-untyped]
import numpy as np
import pandas as pd
import pytest
from prometheus_client.parser import text_string_to_metric_families

from mlops_assets_tests.benchmarks.serving_load import Load, Plan
from mlops_assets_tests.serving import toy
from mlops_assets_tests.serving.conftest import BIAS
from mlops_assets_tests.serving.harness import Endpoint, seed, trip
from serving.predictor import Predictor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_an_answer_has_exactly_the_promised_shape(endpoint: Endpoint) -> None:
    response = endpoint.predict(trip(), trip(carrier="ZZ"), **{"X-Request-ID": "my-request.1"})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"] == "my-request.1"
    answer = response.json()
    known, unknown = (pytest.approx(toy.expected(BIAS, carrier), abs=1e-6) for carrier in ("AA", "?"))
    assert answer == {
        "predictions": [
            {"late": False, "probability": known},
            {"late": True, "probability": unknown, "unknown": ["carrier"]},
        ],
        "model": {"project": "trips", "version": "1"},
        "request_id": "my-request.1",
    }


@pytest.mark.parametrize("given", [None, "", "x" * 33, "no spaces", "ü"])
def test_a_request_without_a_sane_id_gets_one(endpoint: Endpoint, given: str | None) -> None:
    headers = {} if given is None else {"X-Request-ID": given.encode()}
    answer = endpoint.client.post("/predict", json={"instances": [trip()]}, headers=headers).json()  # type: ignore[arg-type]
    assert re.fullmatch("[0-9a-f]{32}", answer["request_id"])


def test_served_predictions_equal_the_batch_path(endpoint: Endpoint) -> None:
    random = np.random.default_rng(7)
    rows = 1000
    frame = pd.DataFrame(
        {
            "carrier": random.choice([*toy.CARRIERS, "never seen"], rows),
            "distance": random.uniform(50, 3000, rows),
            "hour": random.integers(14, 24, rows),
            "weekend": random.random(rows) < 0.3,
            "hot": np.where(random.random(rows) < 0.5, np.nan, random.random(rows)),
            "nap": 0.0,
        }
    )
    batch = Predictor.load(toy.make_bundle(BIAS), toy.TOY).predict_frame(frame)
    instances = json.loads(frame.to_json(orient="records", double_precision=15))
    large = endpoint.predict(*instances).json()["predictions"]
    small = [endpoint.predict(row).json()["predictions"][0] for row in instances[:50]]
    assert [row["probability"] for row in large] == pytest.approx(batch.probability.tolist(), abs=1e-6)
    assert [row["probability"] for row in small] == pytest.approx(batch.probability.tolist()[:50], abs=1e-6)
    assert [row.get("unknown") == ["carrier"] for row in large] == batch.unknown["carrier"].tolist()


def test_many_at_once_are_each_answered_with_their_own(endpoint: Endpoint) -> None:
    async def ask() -> list[tuple[list[float], list[float]]]:
        limits = httpx.Limits(max_connections=16)
        async with httpx.AsyncClient(base_url=endpoint.url, limits=limits, timeout=30) as client:

            async def one(number: int) -> tuple[list[float], list[float]]:
                distances = [float(number + row) for row in range(1 + number % 3 * 150)]
                response = await client.post(
                    "/predict", json={"instances": [trip(distance=distance) for distance in distances]}
                )
                found = [row["probability"] for row in response.json()["predictions"]]
                return found, [toy.expected(BIAS, distance=distance) for distance in distances]

            return await asyncio.gather(*(one(number) for number in range(120)))

    for found, wanted in asyncio.run(ask()):
        assert found == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(
    ("method", "content", "status", "words"),
    [
        ("POST", b"{", 400, "not JSON"),
        ("POST", json.dumps({"instances": [trip(bad=1)]}).encode(), 422, "instances[0].bad"),
        (
            "POST",
            json.dumps({"instances": [trip(hour=2**70)]}).encode(),
            422,
            "instances[0].hour: integer out",
        ),
        ("POST", b" " * (4 * 1024 * 1024 + 1), 413, "larger than"),
        ("GET", b"", 405, "takes POST"),
        ("POST", json.dumps({"instances": [trip(hour=13)]}).encode(), 500, "the model failed on these rows"),
    ],
)
def test_errors_say_what_is_wrong(
    endpoint: Endpoint, method: str, content: bytes, status: int, words: str
) -> None:
    before = endpoint.metric("endpoint_requests_total", status=str(status)) or 0
    response = endpoint.client.request(method, "/predict", content=content)
    assert response.status_code == status
    assert words in response.json()["error"]
    assert response.json()["request_id"] == response.headers["x-request-id"]
    assert endpoint.metric("endpoint_requests_total", status=str(status)) == before + 1


def test_one_request_that_fails_does_not_fail_those_beside_it(endpoint: Endpoint) -> None:
    async def ask() -> list[int]:
        async with httpx.AsyncClient(base_url=endpoint.url, timeout=30) as client:
            posts = [
                client.post("/predict", json={"instances": [trip(hour=13 if number % 4 == 0 else 8)]})
                for number in range(40)
            ]
            return [response.status_code for response in await asyncio.gather(*posts)]

    assert asyncio.run(ask()) == [500 if number % 4 == 0 else 200 for number in range(40)]


def test_health_info_and_unknown_paths(endpoint: Endpoint) -> None:
    health = endpoint.health()
    assert (health["status"], health["version"], health["refused"]) == ("degraded", "1", [])
    info = endpoint.info()
    assert (info["version"], info["training_set"], info["family"]) == ("1", "set-of-tests", "hand")
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", info["loaded_at"])
    assert endpoint.client.get("/nothing/here").status_code == 404


def test_metrics_count_what_happened(endpoint: Endpoint) -> None:
    before = {
        name: endpoint.metric(name) or 0 for name in ("endpoint_rows_total", "endpoint_request_seconds_count")
    }
    endpoint.predict(trip(), trip(), trip())
    assert endpoint.metric("endpoint_rows_total") == before["endpoint_rows_total"] + 3
    assert endpoint.metric("endpoint_request_seconds_count") == before["endpoint_request_seconds_count"] + 1
    families = {f.name for f in text_string_to_metric_families(endpoint.client.get("/metrics").text)}
    assert {
        "endpoint_requests", "endpoint_errors", "endpoint_rows", "endpoint_request_seconds",
        "endpoint_ready", "endpoint_model_info", "endpoint_model_age_seconds",
        "endpoint_refused_versions", "endpoint_registry_up",
    } <= families  # fmt: skip
    assert endpoint.metric("endpoint_model_info", version="1", training_set="set-of-tests") == 1
    assert (endpoint.metric("endpoint_model_age_seconds") or 0) > 24 * 3600
    errors = endpoint.metric("endpoint_errors_total", side="client") or 0
    endpoint.predict(trip(bad=1))
    assert endpoint.metric("endpoint_errors_total", side="client") == errors + 1


def test_the_openapi_document_describes_real_requests_and_answers(endpoint: Endpoint) -> None:
    document = endpoint.client.get("/openapi.json").json()
    predict = document["paths"]["/predict"]["post"]

    def check(value: Any, part: dict[str, Any]) -> None:
        schema = {**part["content"]["application/json"]["schema"], "components": document["components"]}
        jsonschema.Draft202012Validator(schema).validate(value)

    good = {"instances": [trip(), trip(hot=None, carrier="ZZ")]}
    bad = {"instances": [trip(bad=1)]}
    check(good, predict["requestBody"])
    check(predict["requestBody"]["content"]["application/json"]["example"], predict["requestBody"])
    wrongs: list[dict[str, Any]] = [bad, {"instances": []}, {"instances": [{}]}, {}]
    for wrong in wrongs:
        with pytest.raises(jsonschema.ValidationError):
            check(wrong, predict["requestBody"])
    check(endpoint.client.post("/predict", json=good).json(), predict["responses"]["200"])
    check(endpoint.client.post("/predict", json=bad).json(), predict["responses"]["422"])
    assert {"400", "401", "413", "422", "500", "503"} <= set(predict["responses"])
    for path in ("/health", "/info"):
        check(endpoint.client.get(path).json(), document["paths"][path]["get"]["responses"]["200"])


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_need_nothing_from_elsewhere(endpoint: Endpoint, path: str) -> None:
    text = endpoint.client.get(path).text
    assert "__FACTS__" not in text
    assert re.findall(r"""(?:src|href)=["'](?!/|data:)[^"']*""", text) == []
    assert "https://" not in text
    assert "http://" not in text


def test_with_a_key_predict_asks_for_it_and_the_rest_does_not(
    tmp_path: Path, start: Callable[..., Endpoint]
) -> None:
    key = "a-long-key-of-tests"
    seed(tmp_path / "store", toy.make_bundle(BIAS))
    endpoint = start(env={"MLOPS_ENDPOINT_API_KEY": key})
    for headers in ({}, {"X-API-Key": "wrong"}, {"Authorization": "Bearer wrong"}, {"Authorization": key}):
        response = endpoint.predict(trip(), **headers)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"
        assert key not in response.text
    for headers in (
        {"X-API-Key": key},
        {"Authorization": f"Bearer {key}"},
        {"Authorization": f"bearer {key}"},
    ):
        assert endpoint.predict(trip(), **headers).status_code == 200
    for path in ("/health", "/info", "/metrics", "/docs", "/openapi.json", "/"):
        response = endpoint.client.get(path)
        assert response.status_code == 200
        assert key not in response.text
    assert endpoint.client.get("/openapi.json").json()["paths"]["/predict"]["post"]["security"]
    assert endpoint.metric("endpoint_requests_total", status="401") == 4
    commands = [" ".join(child.cmdline()) for child in endpoint.children()]
    assert not any(key in command for command in commands)


def test_the_load_generator_sees_failures(endpoint: Endpoint) -> None:
    plan = Plan(port=endpoint.port, path="/predict", body="{", connections=2, seconds=0.2, warmup=0)
    load = Load(plan)
    result = asyncio.run(load.run())
    assert result.failed == result.answered > 0
    assert load.failures[0].startswith("400")
