"""A bad month never reaches a training set, by whichever way; real store, tables and Dagster.

Each test starts from three good months. What is bad about the fourth (or about another version of the
third) is what exporters do wrong.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import dagster as dg
import pandas as pd
import pytest

from mlops_assets.catalog import get_project
from mlops_assets.lifecycle.describe import asset_key
from mlops_assets.lifecycle.lineage import MANIFEST, latest
from mlops_assets.project import Accepted
from mlops_assets.resources.tables import engine_for, object_versions
from mlops_assets_tests.lifecycle.data import FIRST_MONTHS, month, planes
from mlops_assets_tests.lifecycle.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

APRIL, EVERY = "2013-04", 20
GOOD = month(APRIL, EVERY)
FLIGHTS = f"flights/{APRIL}.csv"


def half(data: bytes) -> bytes:
    header, *lines = data.splitlines(keepends=True)
    return header + b"".join(lines[: len(lines) // 2])


def doubled(data: bytes) -> bytes:
    return data + data.partition(b"\n")[2]


def edited(data: bytes, edit: Callable[[pd.DataFrame], Any]) -> bytes:
    """The CSV after ``edit`` has changed its frame of texts."""
    frame = pd.read_csv(io.BytesIO(data), dtype=str, keep_default_na=False)
    edit(frame)
    return frame.to_csv(index=False, lineterminator="\n").encode()


def null(column: str) -> Callable[[bytes], bytes]:
    return lambda data: edited(data, lambda frame: frame.__setitem__(column, "NA"))


def celsius(data: bytes) -> bytes:
    def edit(frame: pd.DataFrame) -> None:
        numbers = pd.to_numeric(frame["temp"], errors="coerce")
        frame["temp"] = ((numbers - 32) / 1.8).round(2).astype(str).replace("nan", "NA")

    return edited(data, edit)


BAD: dict[str, tuple[str, str, str, Callable[[bytes], bytes]]] = {
    "cut in half": ("2013-04", "flights", "volume", half),
    "doubled": ("2013-05", "flights", "duplicates", doubled),
    "a column gone null": ("2013-06", "flights", "nulls", null("arr_delay")),
    "weather cut in half": ("2013-07", "weather", "volume", half),
    "Celsius": ("2013-08", "weather", "ranges", celsius),
    "no CSV": ("2013-09", "flights", "contract", lambda _: b"PK\x03\x04"),
}
"""What is wrong -> the month in which it is, the source, the check that fails, how to make it."""


@pytest.fixture(scope="module")
def sources() -> tuple[Any, ...]:
    """As the project declares them, but for the number of rows: these months are thin."""
    declared = get_project("flight_delays").sources
    return tuple(
        s.model_copy(update={"quality": s.quality.model_copy(update={"rows": None})}) for s in declared
    )


@pytest.fixture
def world(make_world: Callable[..., World], sources: tuple[Any, ...]) -> World:
    return three_months(make_world, sources)


@pytest.fixture(scope="module")
def shared(make_world: Callable[..., World], sources: tuple[Any, ...]) -> World:
    """One to which bad months are added, of which nothing may come."""
    return three_months(make_world, sources)


def three_months(make_world: Callable[..., World], sources: tuple[Any, ...]) -> World:
    world = make_world(sources=sources)
    world.upload("planes/planes.csv", planes())
    for name in FIRST_MONTHS:
        upload(world, month(name, EVERY))
    world.settle()
    assert held(world, "features") == [*FIRST_MONTHS]
    return world


def upload(world: World, objects: dict[str, bytes]) -> dict[str, str]:
    return {name: world.upload(name, data) for name, data in objects.items()}


def held(world: World, *path: str) -> list[str]:
    return sorted(world.instance.get_materialized_partitions(asset_key(world.project, *path)))


def trained_on(world: World) -> dict[str, dict[str, str]]:
    """Partition -> version ids by source, of a training set made now."""
    assert world.train("training_set").success
    manifest = latest(world.instance, asset_key(world.project, "training_set")).metadata[MANIFEST]
    entries = [*manifest["partitions"], manifest["held_out"]]
    return {
        entry["partition"]: {source: made["version_id"] for source, made in entry["objects"].items()}
        for entry in entries
    }


def states(world: World, name: str) -> list[tuple[str, str]]:
    """(state, reason) of the versions of an object, oldest first."""
    columns = object_versions.c
    query = (
        object_versions.select()
        .where(columns.key == f"{world.project.name}/{name}", columns.project == world.project.name)
        .order_by(columns.seq)
    )
    with engine_for(world.settings.dagster_database).connect() as connection:
        return [(row.state, row.reason or "") for row in connection.execute(query)]


def by_hand(world: World, *keys: str, partition: str | None = APRIL) -> dg.ExecuteInProcessResult:
    """As a person materializes in Dagster's UI."""
    return world.execute([asset_key(world.project, *key.split("/")) for key in keys], partition)


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_month_never_reaches_a_training_set(shared: World, kind: str) -> None:
    world, (bad, source, check, spoil) = shared, BAD[kind]
    good, name = month(bad, EVERY), f"{source}/{bad}.csv"
    upload(world, good | {name: spoil(good[name])})
    runs = world.settle()
    assert all(run.success for run in runs)  # a bad file is a failed check, not a failed run
    found = world.check(check, "raw", source)
    assert not found.passed
    assert found.severity == dg.AssetCheckSeverity.ERROR
    assert found.partition == bad
    for told in ("observed", "allowed", "what to do"):
        assert len(str(found.metadata[told].value)) > 5, told
    assert states(world, name)[-1][0] == "broken"
    assert bad not in [*held(world, "raw", source), *held(world, "features")]
    # Later, by hand, and when the planes come anew: there are no rows of it to be found.
    assert not by_hand(world, "features", partition=bad).success
    assert by_hand(world, f"raw/{source}", partition=bad).success
    assert not by_hand(world, f"raw/{source}", "features", partition=bad).get_asset_materialization_events()
    world.upload("planes/planes.csv", planes(without=1 + [*BAD].index(kind)))
    built = {run.dagster_run.tags.get("dagster/partition") for run in world.settle()}
    assert built - {None} == {*FIRST_MONTHS}  # None: the run that read the planes
    assert held(world, "features") == [*FIRST_MONTHS]
    assert [*trained_on(world)] == [*FIRST_MONTHS]


def test_the_sensor_asks_once_for_a_bad_version_and_again_for_the_next(world: World) -> None:
    upload(world, GOOD | {FLIGHTS: half(GOOD[FLIGHTS])})
    assert len(world.settle()) == 1
    assert world.settle() == []
    world.upload(FLIGHTS, GOOD[FLIGHTS])
    world.settle()
    assert world.check("volume", "raw", "flights").passed
    assert [state for state, _ in states(world, FLIGHTS)] == ["broken", "handled"]
    assert "Remedy: see whether the export ended early" in states(world, FLIGHTS)[0][1]
    assert [*trained_on(world)] == [*FIRST_MONTHS, APRIL]


def test_what_replaces_a_good_month_badly_leaves_the_good_one(world: World) -> None:
    good = upload(world, GOOD)
    world.settle()
    before = trained_on(world)
    assert before[APRIL]["flights"] == good[FLIGHTS]
    bad = world.upload(FLIGHTS, half(GOOD[FLIGHTS]))
    world.settle()
    assert not world.check("volume", "raw", "flights").passed
    by_hand(world, "raw/flights")
    assert by_hand(world, "features").success
    world.upload("planes/planes.csv", planes(without=9))
    world.settle()
    after = trained_on(world)
    assert [*after] == [*before]
    assert after[APRIL]["flights"] == good[FLIGHTS] != bad
    assert after[APRIL]["planes"] != before[APRIL]["planes"]


def test_a_version_that_was_read_stays_handled_when_it_is_judged_again(world: World) -> None:
    """By hand, under stricter limits: its rows are still what the month is made of, and stay so."""
    upload(world, GOOD)
    world.settle()
    strict = world.project.source("flights").quality.model_copy(update={"rows": (10_000, 20_000)})
    sources = tuple(
        s.model_copy(update={"quality": strict}) if s.name == "flights" else s for s in world.project.sources
    )
    project = world.project.model_copy(update={"sources": sources})
    stricter = World(project, world.settings, world.store, world.instance, world.cursor)
    assert by_hand(stricter, "raw/flights").success
    assert not stricter.check("volume", "raw", "flights").passed
    assert [state for state, _ in states(world, FLIGHTS)] == ["handled"]
    world.upload("planes/planes.csv", planes(without=9))
    world.settle()
    assert held(world, "features") == [*FIRST_MONTHS, APRIL]


def test_a_person_accepts_a_small_month_by_declaring_it(world: World) -> None:
    upload(world, GOOD | {FLIGHTS: half(GOOD[FLIGHTS])})
    world.settle()
    why = "the airports were closed for half of the month"
    accepted = (Accepted(partition=APRIL, check="volume", why=why),)
    sources = tuple(
        s.model_copy(update={"quality": s.quality.model_copy(update={"accepted": accepted})})
        for s in world.project.sources
    )
    project = world.project.model_copy(update={"sources": sources})
    lenient = World(project, world.settings, world.store, world.instance, world.cursor)
    assert by_hand(lenient, "raw/flights").success
    found = lenient.check("volume", "raw", "flights")
    assert found.passed
    assert found.metadata["accepted"].value == why
    lenient.settle()
    assert [*trained_on(lenient)] == [*FIRST_MONTHS, APRIL]


def leaking(frames: Any) -> pd.DataFrame:
    """Features that know the answer: the gust is made of the arrival's delay."""
    frame = get_project("flight_delays").features.build(frames)
    return frame.assign(wind_gust=20.0 + 30 * frame["late"])


def with_build(world: World, build: Any, **changes: Any) -> World:
    features = world.project.features.model_copy(update={"build": build, **changes})
    project = world.project.model_copy(update={"features": features})
    return World(project, world.settings, world.store, world.instance, world.cursor)


def test_a_leak_into_the_features_is_withheld_and_asked_for_once(world: World) -> None:
    spoiled = with_build(world, leaking)
    upload(spoiled, GOOD)
    (run,) = spoiled.settle()
    assert run.success
    found = spoiled.check("leakage", "features")
    assert not found.passed
    assert found.partition == APRIL
    assert "wind_gust alone reaches a ROC AUC of 1.000" in str(found.metadata["observed"].value)
    assert held(spoiled, "raw", "flights") == [*FIRST_MONTHS, APRIL]
    assert held(spoiled, "features") == [*FIRST_MONTHS]
    assert spoiled.settle() == []
    assert [*trained_on(spoiled)] == [*FIRST_MONTHS]
    # The code is corrected: a person materializes the features, as the remedy says.
    mended = World(world.project, world.settings, world.store, world.instance, spoiled.cursor)
    assert by_hand(mended, "features").success
    assert mended.check("leakage", "features").passed
    assert [*trained_on(mended)] == [*FIRST_MONTHS, APRIL]


def test_rows_of_another_month_are_no_features(world: World) -> None:
    spoiled = with_build(world, lambda frames: _moved(get_project("flight_delays").features.build(frames)))
    upload(spoiled, GOOD)
    spoiled.settle()
    found = spoiled.check("leakage", "features")
    assert not found.passed
    assert "rows do not happen in 2013-04, the first at 2013-03-01" in str(found.metadata["observed"].value)
    assert held(spoiled, "features") == [*FIRST_MONTHS]


def _moved(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(scheduled_departure=frame["scheduled_departure"].str.replace("2013-04", "2013-03"))


def test_a_training_set_with_held_out_rows_is_not_made_and_nothing_follows_it(world: World) -> None:
    """Features without times of their own, whose April is March over again."""
    first = trained_on(world)
    march = latest(world.instance, asset_key(world.project, "features"), FIRST_MONTHS[-1])
    rows = (world.defs.resources or {})["lake"].get_frame(march.lake_key)
    spoiled = with_build(world, lambda _: rows, event_time=None)
    upload(spoiled, GOOD)
    spoiled.settle()
    assert held(spoiled, "features") == [*FIRST_MONTHS, APRIL]
    key = asset_key(world.project, "training_set")
    made = len(world.instance.fetch_materializations(key, limit=9).records)
    result = spoiled.train("training_set", "candidates/boosting")
    assert not result.get_asset_materialization_events()
    found = spoiled.check("leakage", "training_set")
    assert not found.passed
    assert "held-out rows (100.0%) are among the training rows" in str(found.metadata["observed"].value)
    assert len(world.instance.fetch_materializations(key, limit=9).records) == made
    assert latest(world.instance, key).metadata[MANIFEST]["held_out"]["partition"] == max(first)
