"""Routes: which alert takes which channels."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from mlops_assets.alerts.channels import NAMES
from mlops_assets.alerts.routes import ROUTING
from mlops_assets.alerts.routing import Match, Route, Routing
from mlops_assets_tests.alerts.world import an_alert


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        ({}, True),
        ({"severity": ["error"]}, True),
        ({"severity": ["warning"]}, False),
        ({"kind": ["run", "check"]}, True),
        ({"kind": ["run"]}, False),
        ({"project": ["shop"]}, True),
        ({"project": ["other"]}, False),
        ({"group": ["shop"]}, True),
        ({"group": ["other"]}, False),
        ({"owner": ["team:shop", "team:other"]}, True),
        ({"owner": ["team:other"]}, False),
        ({"severity": ["error"], "project": ["other"]}, False),
    ],
)
def test_all_that_is_said_must_hold(match: dict[str, list[str]], fits: bool) -> None:  # noqa: FBT001
    assert Match.model_validate(match).fits(an_alert()) is fits


def test_the_first_route_that_matches_is_taken_unless_it_goes_on() -> None:
    rules = Routing(
        routes=(
            Route(name="audit", channels=("log",), go_on=True),
            Route(name="other", match=Match(project=frozenset({"other"})), channels=("email",)),
            Route(name="shop", match=Match(project=frozenset({"shop"})), channels=("slack", "email")),
            Route(name="rest", channels=("webhook",)),
        )
    )
    assert rules.of(an_alert(), NAMES) == {"audit": ("log",), "shop": ("slack", "email")}
    assert rules.of(an_alert(project="new"), NAMES) == {"audit": ("log",), "rest": ("webhook",)}


def test_nothing_is_lost_for_want_of_a_route_or_an_address() -> None:
    rules = Routing(routes=(Route(name="shop", match=Match(kind=frozenset({"run"})), channels=("slack",)),))
    assert rules.of(an_alert(), NAMES) == {"default": ("log",)}
    assert rules.of(an_alert(kind="run"), {"log"}) == {"shop": ("log",)}


def test_a_channels_death_is_not_told_through_it() -> None:
    rules = Routing(routes=(Route(name="all", channels=("slack", "email")),))
    dead = an_alert("delivery/slack", kind="delivery")
    assert rules.of(dead, NAMES) == {"all": ("email",)}
    assert rules.of(dead, {"slack", "log"}) == {"all": ("log",)}


def test_the_shipped_routes_reach_the_log_where_nothing_is_configured() -> None:
    assert ROUTING.of(an_alert(), {"log"}) == {"everything": ("log",)}
    assert ROUTING.of(an_alert(), {"log", "slack"})["everything"][0] == "slack"


@pytest.mark.parametrize(
    "wrong",
    [
        {"routes": [{"name": "a", "channels": ["pager"]}]},
        {"routes": [{"name": "a", "channels": []}]},
        {"routes": [{"name": "a", "channels": ["log"], "macth": {}}]},
        {"routes": [{"name": "a", "channels": ["log"], "match": {"severity": ["bad"]}}]},
        {"routes": [{"name": "a", "channels": ["log"]}, {"name": "a", "channels": ["log"]}]},
    ],
)
def test_a_mistake_in_the_routes_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        Routing.model_validate(wrong)


def test_the_documented_example_is_a_routing() -> None:
    page = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text("utf-8")
    (example,) = re.findall(r"^    ROUTING = .*?^    \)$", page, re.MULTILINE | re.DOTALL)
    names = {"Routing": Routing, "Route": Route, "Match": Match}
    exec(textwrap.dedent(example), names)  # noqa: S102 - it is ours
    made = names["ROUTING"]
    assert isinstance(made, Routing)
    assert made.of(an_alert(project="flight_delays"), NAMES)["flights"] == ("slack", "email")
