"""``mlops demo``: real flights become a served model, and the loop repairs it under live traffic.

It starts the platform, uploads what an airline's exporter would deliver, sends what an airline's system
would ask, and otherwise only watches: the sensors, Dagster's runs, the checks, the gate and the endpoint
do the rest. It can be run again: it goes on with the next month.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx
from botocore.exceptions import BotoCoreError, ClientError
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from mlops_assets.catalog import PROJECTS, get_project
from mlops_assets.demo.delivery import PROJECT
from mlops_assets.demo.errors import DemoError
from mlops_assets.demo.live import LiveTraffic
from mlops_assets.demo.opening import first_champion, first_months
from mlops_assets.demo.show import addresses, flight, program, scores, timeline
from mlops_assets.observe import Dagster, ObserveError
from mlops_assets.platform import up
from mlops_assets.platform.ask import AskError, predict
from mlops_assets.platform.show import progress
from mlops_assets.trace import TraceError, follow, tree

if TYPE_CHECKING:
    from rich.console import Console

    from mlops_assets.demo.show import Chapter
    from mlops_assets.project import Project
    from mlops_assets.settings import Settings

STOPS = (
    DemoError,
    AskError,
    TraceError,
    ObserveError,
    httpx.HTTPError,
    BotoCoreError,
    ClientError,
    SQLAlchemyError,
)
"""What ends a showing with its message."""


class Demo:
    """One showing, told on ``console``."""

    def __init__(self, settings: Settings, console: Console) -> None:
        self.settings = settings
        self.console = console
        self.project: Project = get_project(PROJECT)
        self.dagster = Dagster(settings.dagster_url)
        self.endpoint = settings.endpoint_url(self.project.endpoint.port_offset)
        self.chapter: Chapter | None = None
        self.live = LiveTraffic(settings, self.project, self.dagster, self.console)

    def run(self) -> None:
        """Show it all. Raises ``DemoError``, or what a part that does not answer raises (``STOPS``)."""
        self._say("1", "The platform starts: object store, database, registry, orchestrator, endpoint.")
        with progress(self.console) as note:
            up(self.settings, None, note)
        if self._served_version() is None:
            months = first_months(self.settings)
            self._say("2", f"The first months land in S3; the sensor sees them. ({', '.join(months)})")
            self.chapter = first_champion(self.settings, self.dagster, self.console, months)
        self._predict()
        if coming := self.live.months():
            self._say("3", f"Live traffic begins; labels land a month later. ({', '.join(coming)})")
            self.live.show(coming)
            self._say(
                "4", "From one of these answers back to the model, rows, object versions, code and runs."
            )
            self.console.print(tree(follow(self.settings, PROJECTS, self.live.answer), brief=True))
        else:
            self.console.print("All of 2013 was asked about already. `mlops reset` starts over.")
        self._close()

    def _predict(self) -> None:
        """Ask the endpoint about a real flight."""
        example = dict(self.project.endpoint.example)
        answer = predict(self.settings, self.project, json.dumps(example))
        served = self.chapter.outcome.version if self.chapter and self.chapter.outcome else ""
        answered = answer["model"]["version"]
        if served and answered != served:
            raise DemoError(f"version {answered} answered, though version {served} was seen to be served")
        self.console.print(f"  asked about {flight(example)}")
        self.console.print(f"  the endpoint answered {json.dumps(answer)}", soft_wrap=True)

    def _served_version(self) -> str | None:
        info = httpx.get(f"{self.endpoint}/info", timeout=10)
        return str(info.json()["version"]) if info.is_success and info.json().get("version") else None

    def _say(self, number: str, text: str) -> None:
        self.console.print(Text.assemble((f"\n{number}  ", "bold cyan"), (text, "bold")))

    def _close(self) -> None:
        self.console.rule("[bold]What happened")
        if self.chapter is not None:
            self.console.print(timeline(self.chapter))
            self.console.print(scores(self.chapter))
        self.live.summary()
        self.console.print(addresses(self.settings, self.endpoint))
        mlops = program()
        self.console.print(
            "Try next:\n"
            f"  {mlops} predict {PROJECT} '{json.dumps(dict(self.project.endpoint.example))}'\n"
            f"  {mlops} trace {self.live.answer or 'REQUEST_ID'}\n"
            "  make demo            # the next month\n"
            f"  {mlops} rollback {PROJECT}\n"
            f"  {mlops} status | {mlops} logs | {mlops} down",
            soft_wrap=True,
        )


def run_demo(settings: Settings, console: Console) -> int:
    """Show the demo on ``console``; the exit code: 0 only if all of it happened."""
    demo = Demo(settings, console)
    try:
        demo.run()
    except STOPS as error:
        demo.console.print(f"[red bold]The demo stopped:[/red bold] {error}")
        return 1
    return 0
