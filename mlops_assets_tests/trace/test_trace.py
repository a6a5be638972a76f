"""From an answer back to what it came from: parts put together, and what is said where the trail ends."""

from __future__ import annotations

import datetime as dt
import io
import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from rich.console import Console

from mlops_assets.catalog import PROJECTS, get_project
from mlops_assets.observe import Made, Work
from mlops_assets.resources.promotions import Promotion
from mlops_assets.resources.registry import Version
from mlops_assets.settings import Settings
from mlops_assets.trace import Trace, TraceError, as_json_text, follow, tree
from mlops_assets.trace.facts import Facts, frozen_by
from mlops_assets.trace.gather import compose
from mlops_assets_tests.services import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mlops_assets.trace.parts import ModelPart
    from mlops_assets_tests.services import ObjectStore

PROJECT = get_project("flight_delays")
SETTINGS = Settings(_env_file=None)
AT = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
REASON = {"mlops/cause": "drift", "mlops/why": "the weather moved"}


def told(key: str, version: str) -> dict[str, str]:
    return {"bucket": "raw", "key": f"flight_delays/{key}", "version_id": version, "etag": f"e{version}"}


def entry(partition: str) -> dict[str, Any]:
    objects = {
        "flights": told(f"flights/{partition}.csv", f"f{partition}"),
        "planes": told("planes/planes.csv", "p"),
    }
    return {
        "partition": partition,
        "lake_key": f"features/{partition}.parquet",
        "content_hash": f"c{partition}",
        "data_version": f"d{partition}",
        "objects": objects,
        "dagster_run": f"read-{partition}",
    }


MANIFEST = {
    "id": "t1",
    "rows": 50_000,
    "lake_key": "rows.parquet",
    "partitions": [entry("2013-01"), entry("2013-02")],
    "held_out": entry("2013-03"),
}
TAGS = {
    "family": "boosting",
    "held_out": "2013-03",
    "dagster_run": "train",
    "roc_auc": "0.7",
    "log_loss": "0.5",
}


def work(run: str, made: dict[tuple[str, str], str], tags: dict[str, str] | None = None) -> Work:
    at = AT.timestamp()
    return Work(
        run,
        "SUCCESS",
        tags or {},
        {what: (at, {"dagster/code_version": code}) for what, code in made.items()},
    )


def facts(**others: Any) -> Facts:
    trained = {
        ("training_set", ""): "train", ("candidates/boosting", ""): "b1",
        ("evaluation", ""): "e1", ("champion", ""): "train",
    }  # fmt: skip
    works = {"train": work("train", trained, REASON)}
    for partition in ("2013-01", "2013-02", "2013-03"):
        made = {("features", partition): "fc", ("raw/flights", partition): "rc", ("raw/planes", ""): "pc"}
        works[f"read-{partition}"] = work(f"read-{partition}", made)
    readers = {
        (one["key"], one["version_id"]): "read-2013-01" if source == "planes" else f"read-{e['partition']}"
        for e in [entry("2013-01"), entry("2013-02"), entry("2013-03")]
        for source, one in e["objects"].items()
    }
    known: dict[str, Any] = {
        "version": Version("flight_delays", "2", "models:/m-1", TAGS),
        "champion": "2",
        "experiment": "1",
        "mlflow_run": "m",
        "code_version": "b1",
        "manifest_key": "manifest-2013-03.json",
        "manifest": MANIFEST,
        "fitted_in": "train",
        "frozen_in": "train",
        "readers": readers,
        "promotions": (Promotion("flight_delays", "2", "1", "promotion", AT, "train", {}),),
        "works": works,
    }
    return Facts(**{**known, **others})


def composed(**others: Any) -> ModelPart:
    return compose(SETTINGS, PROJECT, facts(**others))


def test_each_part_has_the_run_and_the_code_that_made_it() -> None:
    model = composed()
    assert model.is_champion
    assert (model.made_by.run_id, model.made_by.code_version, model.made_by.at) == ("train", "b1", AT)
    assert model.made_by.url == f"{SETTINGS.dagster_url}/runs/train"
    assert model.judged_by.code_version == "e1"
    first, *_, last = model.training_set.features
    assert [first.held_out, last.held_out] == [False, True]
    assert (first.partition, first.made_by.run_id, first.made_by.code_version) == (
        "2013-01",
        "read-2013-01",
        "fc",
    )
    flights, planes = last.objects
    assert flights.address == "s3://raw/flight_delays/flights/2013-03.csv?versionId=f2013-03"
    assert (flights.etag, flights.read_by.run_id, flights.read_by.code_version) == (
        "ef2013-03", "read-2013-03", "rc",
    )  # fmt: skip
    assert (planes.read_by.run_id, planes.read_by.code_version) == ("read-2013-01", "pc")


def test_a_run_id_is_no_code_version() -> None:
    assert composed().training_set.made_by.code_version == ""


def test_the_promotion_says_its_cause() -> None:
    [promotion] = composed().promotions
    assert (promotion.kind, promotion.replaced, promotion.cause) == ("promotion", "1", "drift")
    assert promotion.why == "the weather moved"


def test_the_cause_outlives_the_run() -> None:
    reason = {"cause": "performance", "why": "it ranks worse", "causes": [], "evidence": {}, "key": ""}
    kept = Promotion("flight_delays", "2", "1", "promotion", AT, "train", {"reason": reason})
    model = composed(works={}, promotions=(kept,))
    assert (model.promotions[0].cause, model.promotions[0].why) == ("performance", "it ranks worse")
    assert model.made_by.code_version == "b1", "MLflow knows it"
    assert model.made_by.at is None


def test_a_rollback_was_made_by_no_run_and_has_no_cause() -> None:
    back = Promotion("flight_delays", "2", "3", "rollback", AT, None, {"from": "3"})
    [_, promotion] = composed(promotions=(*facts().promotions, back)).promotions
    assert (promotion.kind, promotion.made_by.run_id, promotion.made_by.url) == ("rollback", "", "")
    assert promotion.cause == ""


@pytest.mark.parametrize(
    ("made", "run"),
    [
        ([("b", MANIFEST), ("train", MANIFEST)], "train"),
        ([("b", MANIFEST)], "b"),
        ([("b", {**MANIFEST, "id": "other"})], ""),
        ([("b", {**MANIFEST, "held_out": entry("2013-04")})], ""),
    ],
)
def test_the_run_that_froze_the_rows_is_found(made: list[tuple[str, dict[str, Any]]], run: str) -> None:
    found = [Made(1.0, name, None, {"manifest": manifest}) for name, manifest in made]
    assert frozen_by(found, MANIFEST, "train") == run


def answer(row: int = 0) -> dict[str, Any]:
    return {
        "row": row,
        "time": "2026-01-02T03:04:05+00:00",
        "version": "2",
        "probability": 0.25,
        "label": False,
        "unknown": ["dest"],
        "latency_seconds": 0.002,
        "received": {"carrier": "DL", "plane_year": None},
        "used": {"carrier": "DL"},
    }


def whole(rows: int = 1) -> Trace:
    rows_ = [answer(row) for row in range(rows)]
    return Trace(
        request_id="abc",
        project="flight_delays",
        found_in="s3://lake",
        predictions=rows_,
        models=[composed()],
    )


def shown(trace: Trace, *, brief: bool = False) -> str:
    console = Console(width=200, file=io.StringIO())
    console.print(tree(trace, brief=brief))
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_a_person_reads_all_of_it() -> None:
    said = shown(whole())
    for part in (
        "request abc to flight_delays", "probability 0.2500, version 2, 2.0 ms, never seen before: dest",
        "received carrier DL", "now the champion", "cause drift: the weather moved", "code b1",
        f"run {SETTINGS.dagster_url}/runs/read-2013-02", "features 2013-03, held out",
        "s3://raw/flight_delays/flights/2013-01.csv?versionId=f2013-01", "ETag ef2013-01",
    ):  # fmt: skip
        assert part in said
    assert "plane_year" not in said


def test_a_short_form_names_what_it_leaves_out() -> None:
    said = shown(whole(rows=8), brief=True)
    assert "features of 2013-01, 2013-02: likewise" in said
    assert "flights/2013-03.csv" in said
    assert "flights/2013-01.csv" not in said
    assert "and 7 rows more" in said


def test_a_program_reads_all_of_it() -> None:
    read = json.loads(as_json_text(whole()))
    assert read["models"][0]["training_set"]["features"][0]["objects"][0]["version_id"] == "f2013-01"
    assert msgspec.json.decode(as_json_text(whole()), type=Trace) == whole()


@pytest.fixture
def logged(
    object_store: ObjectStore, buckets: tuple[str, str], tmp_path: Path
) -> Iterator[Callable[[dict[str, Any]], Settings]]:
    """Puts rows into a prediction log, beside which nothing else is up."""
    from serving.prediction_log.objects import put_rows

    def put(columns: dict[str, Any]) -> Settings:
        put_rows(object_store.client, buckets[1], PROJECT, columns)
        return Settings(
            _env_file=None,
            home=tmp_path,
            s3_endpoint_url=object_store.endpoint_url,
            s3_access_key_id=object_store.access_key,
            s3_secret_access_key=object_store.secret_key,
            raw_bucket=buckets[0],
            lake_bucket=buckets[1],
            endpoint_base_port=free_port(),
            mlflow_uri=f"http://127.0.0.1:{free_port()}",
        )

    yield put
    for found in object_store.client.list_objects_v2(Bucket=buckets[1]).get("Contents", []):
        object_store.client.delete_object(Bucket=buckets[1], Key=found["Key"])


def test_an_unknown_id_is_answered_with_where_it_was_looked_for(logged: Callable[..., Settings]) -> None:
    settings = logged({"request_id": ["abc"]})
    with pytest.raises(TraceError) as error:
        follow(settings, PROJECTS, "nosuch")
    said = str(error.value)
    assert "No answer with request id nosuch" in said
    assert f"{settings.endpoint_url(0)}/predictions/nosuch (it does not answer" in said
    assert f"s3://{settings.lake_bucket}/flight_delays/prediction_log/" in said


def test_without_the_endpoint_the_log_in_s3_is_read(logged: Callable[..., Settings]) -> None:
    from mlops_assets.trace.answer import find_answer

    settings = logged({"request_id": ["abc", "abc"], "row": [0, 1], "received.carrier": ["DL", "UA"]})
    found = find_answer(settings, PROJECT, "abc")
    assert [(row["row"], row["received"]["carrier"]) for row in found.rows] == [(0, "DL"), (1, "UA")]
    assert found.where == f"s3://{settings.lake_bucket}/flight_delays/prediction_log/"
    assert isinstance(found.rows[0]["time"], str)


def test_a_store_that_is_down_is_no_proof_that_there_is_no_answer(logged: Callable[..., Settings]) -> None:
    settings = logged({"request_id": ["abc"]}).model_copy(
        update={"s3_endpoint_url": f"http://127.0.0.1:{free_port()}"}
    )
    with pytest.raises(TraceError, match=r"object store .* cannot be read"):
        follow(settings, PROJECTS, "abc")
