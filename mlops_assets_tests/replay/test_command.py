"""How a policy is named, where the history comes from, and the command as a whole."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from mlops_assets.catalog import get_project
from mlops_assets.cli import app
from mlops_assets.contracts import ContractError
from mlops_assets.lifecycle.training_set import _content
from mlops_assets.replay import history
from mlops_assets.replay.command import Wanted, narrow, run
from mlops_assets.replay.history import ReplayError
from mlops_assets.replay.strategies import read_policy
from mlops_assets.replay.training import training_set_id
from mlops_assets.settings import Settings
from mlops_assets_tests.lifecycle import data
from mlops_assets_tests.replay import toy

if TYPE_CHECKING:
    from pathlib import Path

FLIGHTS = get_project("flight_delays")


def silent(_: str) -> None: ...


def test_a_policy_is_named_or_changed_by_values() -> None:
    project = toy.project()
    assert read_policy(project, "declared") == ("declared", project.retraining)
    name, alone = read_policy(project, "drift")
    assert (name, alone.on, alone.growth) == ("drift alone", ("drift",), None)
    _, changed = read_policy(project, "growth=0.5, on=drift+performance, cool_down=90, min_new_rows=7")
    assert (changed.growth, changed.on) == (0.5, ("drift", "performance"))
    assert (changed.cool_down, changed.min_new_rows) == (timedelta(seconds=90), 7)
    assert read_policy(project, "growth=none,on=")[1].on == ()


def test_a_policy_comes_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "calm.json"
    file.write_text(json.dumps({"on": ["performance"], "growth": 0.8}))
    name, policy = read_policy(toy.project(), str(file))
    assert (name, policy.on, policy.growth) == ("calm", ("performance",), 0.8)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dirft", "there is no policy 'dirft'"),
        ("growth=lots", "growth"),
        ("groth=0.5", "Its fields: on, growth"),
        ("on=weather", "on.0"),
        ("growth=0.5,drift", "write name=value"),
    ],
)
def test_a_wrong_policy_is_refused_with_a_remedy(text: str, said: str) -> None:
    with pytest.raises(ReplayError, match=said):
        read_policy(toy.project(), text)


def test_the_history_is_read_from_raw_objects_as_the_lifecycle_reads_them(tmp_path: Path) -> None:
    objects = {"planes/planes.csv": data.planes()} | data.month("2013-01", 40) | data.month("2013-02", 40)
    objects["flights/2013-03.csv"] = b"no weather"  # a partition that lacks a source is not played
    for name, content in {**objects, "notes.txt": b"not a source's"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    del objects["flights/2013-03.csv"]
    (tmp_path / "flights/2013-03.csv").unlink()
    found = history.load(FLIGHTS, Settings(_env_file=None, home=tmp_path / "home"), tmp_path, silent)
    assert found.partitions == ("2013-01", "2013-02")
    assert FLIGHTS.features.label in found.frames["2013-01"]
    assert found.content == history.from_objects(FLIGHTS, objects, silent).content
    assert found.until(count=1).partitions == ("2013-01",)
    with pytest.raises(ReplayError, match="no partition is left up to 2012"):
        found.until("2012-12")
    (tmp_path / "weather/2013-02.csv").write_bytes(b"year\n1\n")
    with pytest.raises(ContractError, match=r"weather/2013-02\.csv"):
        history.load(FLIGHTS, Settings(_env_file=None, home=tmp_path / "home"), tmp_path, silent)


def test_no_data_is_said_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(ReplayError, match="is no folder"):
        history.folder_objects(tmp_path / "nowhere")
    with pytest.raises(ReplayError, match=r"reads flights/\{partition\}\.csv"):
        history.from_objects(FLIGHTS, {}, silent)


def test_only_some_families_and_a_later_first_training() -> None:
    few = narrow(FLIGHTS, ["boosting"], 3)
    assert ([f.name for f in few.families], few.min_partitions) == (["boosting"], 3)
    assert narrow(FLIGHTS, (), None) == FLIGHTS
    with pytest.raises(ReplayError, match="no family forest; it has boosting, network"):
        narrow(FLIGHTS, ["forest"], None)


def test_a_training_set_is_called_as_the_lifecycle_calls_it() -> None:
    class Part:
        def __init__(self, content: str) -> None:
            self.content = content

    parts: list[Any] = [Part("ab"), Part("cd")]
    assert training_set_id(["ab", "cd"]) == _content(parts)[:16]


def test_the_command_plays_prints_and_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlops_assets.replay.command.load", lambda *_: toy.calm())
    settings = Settings(_env_file=None, home=tmp_path / "home")
    console = Console(width=200, record=True, file=io.StringIO())
    run(toy.project(), settings, Wanted(policies=("declared", "drift")), tmp_path / "out", console)
    text = console.export_text()
    assert "fits boosting on 2013-01 to 2013-01" in text
    assert "drift alone" in text
    assert json.loads((tmp_path / "out/replay.json").read_text())["project"] == "toy"
    assert (tmp_path / "out/replay.png").read_bytes().startswith(b"\x89PNG")
    assert (settings.state / "replay/toy/models").is_dir()


def test_the_command_line_says_what_is_wrong() -> None:
    said = CliRunner().invoke(app, ["replay", "flight_delays", "--policy", "dirft"])
    assert said.exit_code == 1
    assert "there is no policy 'dirft'" in said.output
    assert CliRunner().invoke(app, ["replay", "nope"]).exit_code == 2
