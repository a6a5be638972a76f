"""What Dagster's API answers, as the demo and the trace read it."""

from __future__ import annotations

import pytest

from mlops_assets.observe import (
    Asset,
    Check,
    Dagster,
    Made,
    ObserveError,
    Run,
    Verdict,
    Work,
    _asset,
    _run,
    _verdict,
    _work,
)


def test_what_dagster_answers_is_read() -> None:
    asset = _asset(
        {
            "assetKey": {"path": ["p", "raw", "flights"]},
            "assetMaterializations": [
                {
                    "runId": "r",
                    "timestamp": "1500",
                    "partition": "2013-01",
                    "metadataEntries": [
                        {"label": "rows", "intRepr": "12345678901"},
                        {"label": "e", "jsonString": '{"a": [1]}'},
                        {"label": "t", "text": "x"},
                        {"label": "table"},
                    ],
                }
            ],
            "assetChecksOrError": {"checks": [{"name": "c", "executionForLatestMaterialization": None}]},
        }
    )
    assert asset == Asset(
        "raw/flights",
        (Made(1.5, "r", "2013-01", {"rows": 12345678901, "e": {"a": [1]}, "t": "x", "table": None}),),
        (Check("c", None, "", 0),),
    )
    assert asset.since(1.5) == []
    assert len(asset.since(1.4)) == 1
    run = _run(
        {
            "runId": "r",
            "status": "FAILURE",
            "creationTime": 1.0,
            "startTime": 2.0,
            "endTime": 3.0,
            "assetSelection": [{"path": ["p", "evaluation"]}],
            "tags": [
                {"key": "dagster/sensor_name", "value": "automation"},
                {"key": "dagster/will_retry", "value": "true"},
            ],
            "stepStats": [{"stepKey": "a", "status": "IN_PROGRESS"}, {"stepKey": "b", "status": "SUCCESS"}],
        }
    )
    assert run == Run("r", "FAILURE", 1.0, 3.0, ("evaluation",), None, ("a",), "automation", will_retry=True)


def test_an_evaluation_of_a_check_is_read() -> None:
    row = {
        "runId": "r",
        "partition": None,
        "evaluation": {
            "timestamp": 5.0,
            "success": False,
            "severity": "WARN",
            "description": None,
            "metadataEntries": [{"label": "champion", "text": "3"}, {"label": "judged", "boolValue": True}],
        },
    }
    assert _verdict(row) == Verdict(5.0, False, "", "r", None, {"champion": "3", "judged": True})  # noqa: FBT003


def test_what_a_run_made_is_read() -> None:
    made = {"timestamp": "1500", "partition": None, "assetKey": {"path": ["p", "raw", "flights"]}}
    version = {"key": "dagster/code_version", "value": "abc"}
    row = {
        "runId": "r",
        "status": "SUCCESS",
        "tags": [{"key": "mlops/cause", "value": "drift"}],
        "assetMaterializations": [made | {"tags": [version]}, made | {"partition": "2013-01", "tags": []}],
    }
    assert _work(row) == Work(
        "r",
        "SUCCESS",
        {"mlops/cause": "drift"},
        {("raw/flights", ""): (1.5, {"dagster/code_version": "abc"}), ("raw/flights", "2013-01"): (1.5, {})},
    )


def test_a_webserver_that_is_down_is_said_so() -> None:
    with pytest.raises(ObserveError, match="did not answer"):
        Dagster("http://127.0.0.1:9").runs(0)
