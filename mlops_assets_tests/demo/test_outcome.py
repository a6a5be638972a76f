"""What the demo concludes from what it observes: built from plain assets and runs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from mlops_assets.demo.outcome import SENSOR_SECONDS, SETTLE_SECONDS, failed_checks, given_up, outcome
from mlops_assets.demo.show import program
from mlops_assets.observe import Asset, Check, Made, Run

if TYPE_CHECKING:
    from pathlib import Path

UPLOADED = 100.0
EVIDENCE = {"challenger": "network", "scores": {}}


def made(at: float, run: str = "run-1", partition: str | None = None, **metadata: Any) -> Made:
    return Made(at, run, partition, metadata)


def judged(at: float, held_out: str = "2013-03") -> Made:
    return made(at, evidence=EVIDENCE, **{"held out": held_out})


def flow(
    evaluation: tuple[Made, ...] = (),
    champion: tuple[Made, ...] = (),
    endpoint: tuple[Made, ...] = (),
    checks: tuple[Check, ...] = (),
) -> dict[str, Asset]:
    return {
        "evaluation": Asset("evaluation", evaluation, checks),
        "champion": Asset("champion", champion),
        "endpoint": Asset("endpoint", endpoint),
    }


PASSED = Check("beats_baseline", passed=True, description="", at=150)
FAILED = Check("beats_baseline", passed=False, description="it does not", at=150)
ALL = flow((judged(150),), (made(160, version="1"),), (made(170, version="1"),), (PASSED,))


def test_served_is_evaluated_promoted_and_answered_with() -> None:
    came = outcome(ALL, UPLOADED, "2013-03")
    assert came is not None
    assert (came.kind, came.version, came.evidence) == ("served", "1", EVIDENCE)


@pytest.mark.parametrize(
    "assets",
    [
        pytest.param(flow(), id="nothing yet"),
        pytest.param(flow((judged(150),), checks=(PASSED,)), id="not promoted yet"),
        pytest.param(flow((judged(150),), (made(160, version="1"),)), id="not seen at the endpoint"),
        pytest.param(
            flow((judged(150),), (made(160, version="2"),), (made(170, version="1"),)),
            id="the endpoint answers with another version",
        ),
        pytest.param(
            flow((judged(150),), (made(140, version="1"),), (made(170, version="1"),)),
            id="the champion is of an earlier evaluation",
        ),
        pytest.param(
            flow((judged(150),), (made(160, version="1"),), (made(155, version="1"),)),
            id="the endpoint was seen before the promotion",
        ),
        pytest.param(
            flow((judged(150),), checks=(replace(FAILED, at=90),)), id="the failed check is of an earlier one"
        ),
        pytest.param(
            flow((judged(150),), (made(160, run="", version="1"),), (made(170, version="1"),)),
            id="a rollback is no promotion",
        ),
        pytest.param(
            flow((judged(90),), (made(160, version="1"),), (made(170, version="1"),)),
            id="evaluated before the upload",
        ),
        pytest.param(
            flow((judged(150, "2013-02"),), (made(160, version="1"),), (made(170, version="1"),)),
            id="evaluated on another month",
        ),
    ],
)
def test_anything_less_is_open(assets: dict[str, Asset]) -> None:
    assert outcome(assets, UPLOADED, "2013-03") is None


def test_a_failed_check_of_the_evaluation_is_a_reasoned_refusal() -> None:
    came = outcome(flow((judged(150),), checks=(PASSED, FAILED)), UPLOADED, "2013-03")
    assert came is not None
    assert (came.kind, came.version, came.refusals) == (
        "refused", "", ("beats_baseline: it does not",),
    )  # fmt: skip


NOW = 1000.0
RUN = Run("run-1", "FAILURE", 200, 300, ("training_set", "evaluation"), None, sensor="automation")
READ = Run("run-2", "FAILURE", 200, 300, ("raw/flights",), "2013-03", sensor="flight_delays_s3")


def over(*runs: Run, assets: dict[str, Asset] | None = None, now: float = NOW) -> Run | None:
    return given_up(runs, assets or flow(), ("2013-03",), now)


@pytest.mark.parametrize("run", [RUN, READ, replace(RUN, status="CANCELED"), replace(RUN, ended=None)])
def test_a_failed_run_that_nothing_tries_again_is_told(run: Run) -> None:
    assert over(run) == run


@pytest.mark.parametrize(
    "runs",
    [
        pytest.param([replace(RUN, status="STARTED", ended=None)], id="under way"),
        pytest.param([replace(RUN, will_retry=True)], id="Dagster starts it again"),
        pytest.param(
            [replace(RUN, run_id="r", status="SUCCESS", created=310), RUN], id="the retry succeeded"
        ),
        pytest.param([replace(RUN, run_id="r", status="STARTED", created=310), RUN], id="tried now"),
        pytest.param([replace(READ, run_id="r", status="QUEUED", created=310), READ], id="asked for again"),
        pytest.param([replace(READ, partition="2013-09")], id="another partition's"),
        pytest.param([replace(RUN, sensor=None)], id="a person's"),
    ],
)
def test_other_failed_runs_are_no_reason_to_stop(runs: list[Run]) -> None:
    assert over(*runs) is None


def test_a_retry_that_failed_for_good_is_told() -> None:
    again = replace(RUN, run_id="again", created=310, ended=400)
    assert over(again, replace(RUN, will_retry=True)) == again


def test_a_later_run_of_something_else_takes_nothing_over() -> None:
    other = replace(READ, run_id="other", assets=("raw/weather",), created=310, status="SUCCESS")
    assert over(other, READ) == READ
    assert over(replace(READ, partition="2013-02", created=310, status="SUCCESS"), READ) == READ


def test_it_waits_as_long_as_whoever_tries_again_may_take() -> None:
    assert over(RUN, now=300 + SETTLE_SECONDS) is None
    assert over(READ, now=300 + SENSOR_SECONDS) is None


def test_what_only_the_gate_failed_is_no_failure_of_the_run() -> None:
    assert over(RUN, assets=flow((judged(250),), checks=(FAILED,))) is None
    assert over(RUN, assets=flow((judged(250),), checks=(PASSED,))) == RUN


def test_failed_checks_are_named_with_their_asset() -> None:
    assert failed_checks(flow((judged(150),), checks=(PASSED, FAILED))) == [
        "evaluation/beats_baseline: it does not"
    ]


@pytest.mark.parametrize(
    ("called", "path", "shown"),
    [
        ("{here}/.venv/bin/mlops", "/nowhere", ".venv/bin/mlops"),
        ("{here}/.venv/bin/mlops", "{here}/.venv/bin", "mlops"),
        ("/x/mlops", "/nowhere", "/x/mlops"),
    ],
)
def test_what_to_try_next_can_be_pasted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, called: str, path: str, shown: str
) -> None:
    command = tmp_path / ".venv" / "bin" / "mlops"
    command.parent.mkdir(parents=True)
    command.touch(mode=0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", path.format(here=tmp_path))
    monkeypatch.setattr("sys.argv", [called.format(here=tmp_path), "demo"])
    assert program() == shown
