"""The story: kept between showings, laid out in time, drawn, told, and held to what it promises."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import msgspec
import pytest
from rich.console import Console

from mlops_assets.demo import expected, terminal
from mlops_assets.demo.picture import draw
from mlops_assets.demo.spans import ALERTS, LABELS, TRAINING, Scale, Span, lanes, scores, serving, stacked
from mlops_assets.demo.story import Month, Seen, Story, load, merge, save
from mlops_assets.demo.strip import NAMES, WIDEST, strip
from mlops_assets_tests.demo.stories import BEGAN, MONTH, SWAP, story, verdict

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType


def shown(what: RenderableType, width: int = 140) -> str:
    console = Console(width=width, file=io.StringIO())
    console.print(what)
    return str(getattr(console.file, "getvalue")())  # noqa: B009 - a StringIO


def test_it_is_kept_for_the_next_showing(tmp_path: Path) -> None:
    file = tmp_path / "demo" / "story.json"
    assert load(file).last_month is None
    save(file, story())
    assert load(file) == story()
    assert load(file).last_month == "2013-06"


def test_a_month_that_was_broken_off_is_sent_again() -> None:
    broken = story()
    broken.months.append(Month("2013-07", BEGAN + 3 * MONTH))
    assert broken.last_month == "2013-06"
    assert Story(before="2013-06").last_month == "2013-06"


def test_what_a_look_no_longer_tells_is_not_forgotten() -> None:
    early, late = (
        [verdict(n, passed=True, champion="1") for n in (1, 2)],
        verdict(3, passed=True, champion="1"),
    )
    assert merge(Seen(verdicts=early), Seen(verdicts=[early[1], late])).verdicts == [*early, late]
    assert merge(Seen(verdicts=early), Seen()).verdicts == early


def test_lanes_hold_what_happened_since_the_first_request() -> None:
    told = story()
    found = lanes(told)
    assert [span.text for span in found[LABELS]] == ["2013-04", "2013-05"]
    assert [span.good for span in found["feature drift"]] == [False, False, True]
    assert found["performance"] == []
    assert found[ALERTS] == [Span(BEGAN + 12, "feature_drift", BEGAN + 57, good=False)]
    assert found[TRAINING] == [Span(BEGAN + 35, "drift", BEGAN + 52)]


def test_what_was_over_before_the_first_request_is_left_out() -> None:
    told = story()
    early = msgspec.structs.replace(told.seen.alerts[0], began=BEGAN - 99)
    over = msgspec.structs.replace(early, id=2, ended=BEGAN - 9)
    first = verdict(-5, passed=True, champion="1")
    told.seen = msgspec.structs.replace(told.seen, alerts=[early, over], verdicts=[first])
    found = lanes(told)
    assert [span.began for span in found[ALERTS]] == [BEGAN - 99]
    assert found["feature drift"] == []


def test_spans_that_overlap_are_stacked() -> None:
    spans = [Span(0, "a", 10), Span(5, "b", None), Span(11, "c", 12)]
    assert stacked(spans, 20) == ([0, 1, 0], 2)


def test_each_version_is_shown_while_it_was_the_champion() -> None:
    told = story()
    end = Scale.of(told).end
    assert [(m.version, began, ended) for m, began, ended in serving(told)] == [
        ("1", BEGAN, SWAP - 1),
        ("2", SWAP - 1, end),
    ]


def test_a_score_is_shown_where_its_version_answered_about_its_month() -> None:
    [(score, began, ended)] = scores(story())
    assert score.month == "2013-04"
    assert (began, ended) == (BEGAN, BEGAN + MONTH + 1)


def test_it_is_drawn_as_a_picture() -> None:
    drawn = draw(story())
    assert drawn.startswith(b"\x89PNG")
    other = story()
    other.seen = msgspec.structs.replace(other.seen, alerts=[])
    assert draw(other) != drawn
    with pytest.raises(ValueError, match="no traffic"):
        draw(Story())


@pytest.mark.parametrize("width", [80, 140, 400])
def test_it_is_drawn_for_a_terminal(width: int) -> None:
    said = shown(strip(story(), width), width)
    lines = {line.split("  ")[0].strip(): line for line in said.splitlines()}
    assert "|2013-05" in lines["flights of"]
    first, second = (lines["answered by"].index(f"|version {number}") for number in (1, 2))
    assert second - first == pytest.approx(50 / 90 * min(width - NAMES, WIDEST), abs=2)
    assert max(map(len, said.splitlines())) <= width
    assert lines["feature drift"].count("✖") == 2
    assert lines["feature drift"].count("●") == 1
    assert "feature_drift" in lines["alerts"]
    with pytest.raises(ValueError, match="no traffic"):
        strip(Story(), width)


def test_its_scores_are_told() -> None:
    assert "0.620 to 0.660" in shown(terminal.quality(story()))


def test_news_are_told_once_and_in_order() -> None:
    said = [line.text.plain for line in terminal.news(story().seen)]
    told = " / ".join(said)
    assert told.count("feature_drift fails for version 1") == 1
    assert (
        told.index("alert (warning)") < told.index("cause drift: it drifts") < told.index("version 2 is the")
    )
    assert "alert resolved after 45 s" in told
    keys = [line.key for line in terminal.news(story().seen)]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("wanted", [*expected.FIRST_SHOWING.values(), expected.AT_REST])
def test_the_whole_story_is_what_is_expected(wanted: expected.Expectation) -> None:
    told = story()
    told.labels.pop("2013-05")
    assert wanted.met(told)


def test_without_an_alert_it_was_not_noticed() -> None:
    told = story()
    told.seen = msgspec.structs.replace(told.seen, alerts=[])
    assert not expected.NOTICED.met(told)
    assert not expected.RESOLVED.met(told)
    assert "alerts: none" in expected.NOTICED.found(told)


def test_a_training_for_another_cause_repairs_nothing() -> None:
    told = story()
    by_hand = [msgspec.structs.replace(t, cause="new_data") for t in told.seen.trainings]
    told.seen = msgspec.structs.replace(told.seen, trainings=by_hand)
    assert not expected.REPAIRED.met(told)
    assert "new_data" in expected.REPAIRED.found(told)


def test_a_version_that_answers_nobody_repairs_nothing_as_long_as_there_is_traffic() -> None:
    told = story()
    told.sent = [sent for sent in told.sent if sent.version == "1"]
    told.months[-1].ended = None
    assert not expected.REPAIRED.met(told)
    told.months[-1].ended = BEGAN + 90
    assert expected.REPAIRED.met(told)


def test_a_training_without_a_promotion_repairs_nothing() -> None:
    told = story()
    told.seen = msgspec.structs.replace(told.seen, promotions=told.seen.promotions[:1])
    assert not expected.REPAIRED.met(told)


def test_labels_that_are_not_joined_yet_are_waited_for() -> None:
    assert not expected.AT_REST.met(story()), "the outcomes of May are missing"


def test_a_new_champion_that_was_not_watched_yet_is_waited_for() -> None:
    told = story()
    told.labels.pop("2013-05")
    assert expected.AT_REST.met(told)
    told.seen = msgspec.structs.replace(told.seen, verdicts=told.seen.verdicts[:-1])
    assert not expected.AT_REST.met(told)


def test_an_alert_that_is_about_to_be_resolved_is_waited_for() -> None:
    told = story()
    told.labels.pop("2013-05")
    lasting = [msgspec.structs.replace(alert, ended=None) for alert in told.seen.alerts]
    told.seen = msgspec.structs.replace(told.seen, alerts=lasting)
    assert not expected.AT_REST.met(told)
    failing = [*told.seen.verdicts, verdict(60, passed=False, champion="2")]
    told.seen = msgspec.structs.replace(told.seen, verdicts=failing)
    assert expected.AT_REST.met(told), "it lasts as long as the check fails: nothing to wait for"
