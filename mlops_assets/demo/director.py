"""``mlops demo``: real flights become a served model, and every line said of it is observed.

It starts the platform, uploads what an airline's exporter would deliver, and then only watches: the
sensor, Dagster's runs, the gate and the endpoint do the rest. It can be run again: it goes on with
the next month that is not there yet.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import httpx
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.live import Live
from rich.text import Text

from mlops_assets.catalog import get_project
from mlops_assets.demo.outcome import Outcome, failed_checks, given_up, outcome
from mlops_assets.demo.show import (
    Chapter,
    Story,
    addresses,
    clock,
    flight,
    moments,
    picture,
    program,
    scores,
    timeline,
)
from mlops_assets.observe import Asset, Dagster, ObserveError, Run
from mlops_assets.platform import up
from mlops_assets.platform.show import progress
from mlops_assets.sample_data import month_objects, planes_object
from mlops_assets.upload import put_objects, raw_objects

if TYPE_CHECKING:
    from mlops_assets.project import Project
    from mlops_assets.settings import Settings

PROJECT = "flight_delays"
FIRST = ("2013-01", "2013-02", "2013-03")
MONTHS = tuple(f"2013-{month:02d}" for month in range(1, 13))
PATIENCE_SECONDS = 600
SILENCE_SECONDS = 30
"""How long Dagster may not answer: a service that died is back within ten."""


class DemoError(RuntimeError):
    """Something that the demo promises did not happen."""


class Demo:
    """One showing, told on ``console``."""

    def __init__(self, settings: Settings, console: Console | None = None) -> None:
        self.settings = settings
        self.console = console or Console()
        self.project: Project = get_project(PROJECT)
        self.dagster = Dagster(settings.dagster_url)
        self.endpoint = settings.endpoint_url(self.project.endpoint.port_offset)
        self.story = Story()

    def run(self) -> None:
        """Show it all. Raises ``DemoError``, or what the platform's start raises."""
        self._say("1", "The platform starts: object store, database, registry, orchestrator, endpoint.")
        with progress(self.console) as note:
            up(self.settings, None, note)
        present = self._months_present()
        if self._served_version() is None:
            present |= set(FIRST)
            self._chapter(
                tuple(sorted(present)), present, "The months so far land in S3; the sensor sees them."
            )
        self._predict()
        self._next_month(present)
        self._summary()

    def _next_month(self, present: set[str]) -> None:
        month = next((m for m in MONTHS if m not in present), None)
        if month is None:
            self.console.print("All of 2013 is there already. `mlops reset` starts over.")
            return
        title = "A month later the next files land: the champion is challenged."
        self._chapter((month,), present | {month}, title)
        self._predict()

    def _chapter(self, months: tuple[str, ...], present: set[str], title: str) -> None:
        self._say(str(len(self.story.chapters) + 2), f"{title} ({', '.join(months)})")
        chapter = Chapter(months, max(present), self._deliver(months))
        self._follow(chapter)
        self.story.chapters.append(chapter)
        if self._served_version() is None:
            raise DemoError("there is no champion to serve: the gate refused the first challenger")

    def _deliver(self, months: tuple[str, ...]) -> float:
        """Upload what is not there yet; since when all of it is there (seconds since 1970).

        An interrupted demo goes on where it was: what it had uploaded may be served already.
        """
        objects = planes_object()
        objects |= {name: data for month in months for name, data in month_objects(month).items()}
        there = raw_objects(self.settings, PROJECT)
        missing = {
            name: data
            for name, data in objects.items()
            if name not in there or there[name].bytes != len(data)  # somebody tried a broken file
        }
        if not missing:
            since = max(there[name].at for name in objects)
            self.console.print(
                f"  all {len(objects)} objects are there since {clock(since)}; it goes on from that"
            )
            return since
        began = time.time()
        put_objects(self.settings, PROJECT, missing)
        self.console.print(
            f"  uploaded {len(missing)} objects to s3://{self.settings.raw_bucket}/{PROJECT}/ in "
            f"{time.time() - began:.1f} s"
        )
        return began

    def _follow(self, chapter: Chapter) -> None:
        """Watch Dagster until the chapter's upload is served or refused."""
        began = heard = time.monotonic()
        assets: dict[str, Asset] = {}
        with Live(console=self.console, refresh_per_second=8, transient=True) as live:
            while chapter.outcome is None:
                time.sleep(0.5)
                if time.monotonic() - began > PATIENCE_SECONDS:
                    raise DemoError(
                        f"nothing was served or refused within {PATIENCE_SECONDS} s; see "
                        f"{self.settings.dagster_url}/runs and `mlops logs`{_broken(assets)}"
                    )
                try:
                    assets = self.dagster.assets(PROJECT)
                    runs = self.dagster.runs(chapter.uploaded - 1)
                except ObserveError:
                    if time.monotonic() - heard > SILENCE_SECONDS:
                        raise
                    continue
                heard = time.monotonic()
                live.update(picture(chapter, assets, runs))
                chapter.outcome = outcome(assets, chapter.uploaded, chapter.held_out)
                if chapter.outcome is None:
                    self._complain(chapter, runs, assets)
        chapter.moments = moments(chapter, assets)
        self._tell(chapter, chapter.outcome)

    def _complain(self, chapter: Chapter, runs: list[Run], assets: dict[str, Asset]) -> None:
        """Raise if a run that the chapter needs ended badly, and nothing tries it again."""
        if run := given_up(runs, assets, chapter.months, time.time()):
            raise DemoError(
                f"Dagster run {run.run_id} ended as {run.status}; see "
                f"{self.settings.dagster_url}/runs/{run.run_id}{_broken(assets)}"
            )

    def _tell(self, chapter: Chapter, came: Outcome) -> None:
        for what, at in chapter.moments:
            self.console.print(f"  [dim]+{at - chapter.uploaded:6.1f} s[/dim]  {what}")
        if came.kind == "refused":
            self.console.print("  the gate refused the challenger; the champion stays:", style="yellow")
            for reason in came.refusals:
                self.console.print(f"    {reason}")
        else:
            self.console.print(f"  [green]version {came.version} is the champion, and is served[/green]")

    def _predict(self) -> None:
        """Ask the endpoint about a real flight."""
        example = dict(self.project.endpoint.example)
        key = self.settings.endpoint_api_key
        headers = {"X-API-Key": key.get_secret_value()} if key else {}
        answer = httpx.post(
            f"{self.endpoint}/predict", json={"instances": [example]}, headers=headers, timeout=10
        )
        if not answer.is_success:
            raise DemoError(f"the endpoint answered {answer.status_code} to a real flight: {answer.text}")
        self.story.prediction = answer.json()
        answered, served = self.story.prediction["model"]["version"], self._expected_version()
        if served and answered != served:
            raise DemoError(f"version {answered} answered, though version {served} was seen to be served")
        self.console.print(f"  asked about {flight(example)}")
        self.console.print(f"  the endpoint answered {json.dumps(self.story.prediction)}", soft_wrap=True)

    def _served_version(self) -> str | None:
        info = httpx.get(f"{self.endpoint}/info", timeout=10)
        return str(info.json()["version"]) if info.is_success and info.json().get("version") else None

    def _expected_version(self) -> str:
        """The version that the last chapter ended with, if it brought one."""
        last = self.story.chapters[-1].outcome if self.story.chapters else None
        return last.version if last else ""

    def _months_present(self) -> set[str]:
        names = raw_objects(self.settings, PROJECT)
        return {month for month in MONTHS if all(name in names for name in _names(month))}

    def _say(self, number: str, text: str) -> None:
        self.console.print(Text.assemble((f"\n{number}  ", "bold cyan"), (text, "bold")))

    def _summary(self) -> None:
        self.console.rule("[bold]What happened")
        self.console.print(timeline(self.story))
        if any(chapter.outcome for chapter in self.story.chapters):
            self.console.print(scores(self.story))
        self.console.print(addresses(self.settings, self.endpoint))
        mlops = program()
        self.console.print(
            "Try next:\n"
            f"  {mlops} predict {PROJECT} '{json.dumps(dict(self.project.endpoint.example))}'\n"
            "  make demo            # the next month lands\n"
            f"  {mlops} rollback {PROJECT}\n"
            f"  {mlops} status | {mlops} logs | {mlops} down",
            soft_wrap=True,
        )


def run_demo(settings: Settings) -> int:
    """Show the demo; the exit code: 0 only if all of it happened."""
    demo = Demo(settings)
    try:
        demo.run()
    except (DemoError, ObserveError, httpx.HTTPError, BotoCoreError, ClientError) as error:
        demo.console.print(f"[red bold]The demo stopped:[/red bold] {error}")
        return 1
    return 0


def _broken(assets: dict[str, Asset]) -> str:
    """The checks that fail, as the end of a message."""
    found = failed_checks(assets)
    return f"; failed checks: {'; '.join(found)}" if found else ""


def _names(month: str) -> tuple[str, ...]:
    """The objects that a month's features need, besides the planes."""
    return f"flights/{month}.csv", f"weather/{month}.csv"
