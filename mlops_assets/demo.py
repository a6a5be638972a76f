"""``mlops demo``: real flights become a served model, and every line said of it is observed.

It starts the platform, uploads what an airline's exporter would deliver, and then only watches: the
sensor, Dagster's runs, the gate and the endpoint do the rest. It can be run again: it goes on with
the next month that is not there yet.
"""

from __future__ import annotations

import datetime as dt
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from mlops_assets.catalog import get_project
from mlops_assets.observe import Asset, Dagster, ObserveError, Run
from mlops_assets.platform import up
from mlops_assets.sample_data import month_objects, planes_object
from mlops_assets.upload import put_objects, raw_keys

if TYPE_CHECKING:
    from mlops_assets.project import Project
    from mlops_assets.settings import Settings

PROJECT = "flight_delays"
FIRST = ("2013-01", "2013-02", "2013-03")
MONTHS = tuple(f"2013-{month:02d}" for month in range(1, 13))
PATIENCE_SECONDS = 600
SETTLE_SECONDS = 5


class DemoError(RuntimeError):
    """Something that the demo promises did not happen."""


@dataclass
class Chapter:
    """What one upload led to. ``outcome``: "served" or "refused"."""

    months: tuple[str, ...]
    uploaded: float
    outcome: str = ""
    version: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)
    moments: list[tuple[str, float]] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)


@dataclass
class Story:
    """What has happened so far."""

    started: float = field(default_factory=time.time)
    chapters: list[Chapter] = field(default_factory=list)
    prediction: dict[str, Any] = field(default_factory=dict)


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
        up(self.settings)
        present = self._months_present()
        if self._served_version() is None:
            first = tuple(sorted({*FIRST, *present}))
            self._chapter(first, "The months so far land in S3; the sensor sees them.")
        self._predict()
        self._next_month(present)
        self._summary()

    def _next_month(self, present: set[str]) -> None:
        known = present | {month for chapter in self.story.chapters for month in chapter.months}
        month = next((m for m in MONTHS if m not in known), None)
        if month is None:
            self.console.print("All of 2013 is there already. `mlops reset` starts over.")
            return
        self._chapter((month,), "A month later the next files land: the champion is challenged.")
        self._predict()

    def _chapter(self, months: tuple[str, ...], title: str) -> None:
        self._say(str(len(self.story.chapters) + 2), f"{title} ({', '.join(months)})")
        objects = {name: data for month in months for name, data in month_objects(month).items()}
        if "planes/planes.csv" not in raw_keys(self.settings, PROJECT):
            objects |= planes_object()
        chapter = Chapter(months, time.time())
        put_objects(self.settings, PROJECT, objects)
        self.console.print(
            f"  uploaded {len(objects)} objects to s3://{self.settings.raw_bucket}/{PROJECT}/ in "
            f"{time.time() - chapter.uploaded:.1f} s"
        )
        self._follow(chapter)
        self.story.chapters.append(chapter)

    def _follow(self, chapter: Chapter) -> None:
        """Watch Dagster until the chapter's upload is served or refused."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        with Live(console=self.console, refresh_per_second=8, transient=True) as live:
            while not chapter.outcome:
                if time.monotonic() > deadline:
                    raise DemoError(
                        f"nothing was served or refused within {PATIENCE_SECONDS} s of the upload; see "
                        f"{self.settings.dagster_url}/runs and `mlops logs`"
                    )
                assets = self.dagster.assets(PROJECT)
                runs = self.dagster.runs(chapter.uploaded - 1)
                live.update(_picture(chapter, assets, runs))
                self._judge(chapter, assets, runs)
                time.sleep(0.5)
        self._tell(chapter)

    def _judge(self, chapter: Chapter, assets: dict[str, Asset], runs: list[Run]) -> None:
        """Set the chapter's outcome once there is one."""
        after = chapter.uploaded
        judged = assets["evaluation"].since(after)
        if not judged or judged[0].metadata["held out"] != max(chapter.months):
            self._complain(runs, assets)
            return
        chapter.evidence = judged[0].metadata["evidence"]
        served = assets["endpoint"].since(judged[0].at)
        failed = [c for c in assets["evaluation"].checks if c.passed is False and c.at >= after]
        if served:
            chapter.outcome, chapter.version = "served", str(served[0].metadata["version"])
        elif failed:
            chapter.outcome = "refused"
            chapter.refusals = [f"{c.name}: {c.description}" for c in failed]
        else:
            self._complain(runs, assets)
        if chapter.outcome:
            chapter.moments = _moments(chapter, assets)

    def _complain(self, runs: list[Run], assets: dict[str, Asset]) -> None:
        """A run that failed is no reason to wait on, unless the gate is what failed it."""
        for run in runs:
            if run.status in ("FAILURE", "CANCELED") and time.time() - (run.ended or 0) > SETTLE_SECONDS:
                broken = [
                    f"{a.name}/{c.name}: {c.description}"
                    for a in assets.values()
                    for c in a.checks
                    if c.passed is False
                ]
                page = f"{self.settings.dagster_url}/runs/{run.run_id}"
                raise DemoError(
                    f"Dagster run {run.run_id} ended as {run.status}; see {page}"
                    + (f"; failed checks: {'; '.join(broken)}" if broken else "")
                )

    def _tell(self, chapter: Chapter) -> None:
        for what, at in chapter.moments:
            self.console.print(f"  [dim]+{at - chapter.uploaded:6.1f} s[/dim]  {what}")
        if chapter.outcome == "refused":
            self.console.print("  the gate refused the challenger; the champion stays:", style="yellow")
            for reason in chapter.refusals:
                self.console.print(f"    {reason}")
        else:
            self.console.print(f"  [green]version {chapter.version} is the champion, and is served[/green]")

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
        self.console.print(f"  asked about {_flight(example)}")
        self.console.print(f"  the endpoint answered {json.dumps(self.story.prediction)}")

    def _served_version(self) -> str | None:
        info = httpx.get(f"{self.endpoint}/info", timeout=10)
        return str(info.json()["version"]) if info.is_success and info.json().get("version") else None

    def _months_present(self) -> set[str]:
        keys = raw_keys(self.settings, PROJECT)
        return {month for month in MONTHS if f"flights/{month}.csv" in keys}

    def _say(self, number: str, text: str) -> None:
        self.console.print(Text.assemble((f"\n{number}  ", "bold cyan"), (text, "bold")))

    def _summary(self) -> None:
        self.console.rule("[bold]What happened")
        self.console.print(_timeline(self.story))
        if any(chapter.evidence for chapter in self.story.chapters):
            self.console.print(_scores(self.story))
        self.console.print(_addresses(self.settings, self.endpoint))
        self.console.print(
            "Try next:\n"
            f"  mlops predict {PROJECT} '{json.dumps(dict(self.project.endpoint.example))}'\n"
            "  make demo            # the next month lands\n"
            f"  mlops rollback {PROJECT}\n"
            "  mlops status | mlops logs | mlops down"
        )


def run_demo(settings: Settings) -> int:
    """Show the demo; the exit code: 0 only if all of it happened."""
    demo = Demo(settings)
    try:
        demo.run()
    except (DemoError, ObserveError, httpx.HTTPError) as error:
        demo.console.print(f"[red bold]The demo stopped:[/red bold] {error}")
        return 1
    return 0


def _moments(chapter: Chapter, assets: dict[str, Asset]) -> list[tuple[str, float]]:
    """When each asset of the chapter was first there, in order of time."""
    found = []
    for asset in assets.values():
        for made in asset.since(chapter.uploaded):
            rows = made.metadata.get("dagster/row_count")
            size = f", {rows:,} rows" if isinstance(rows, int) else ""
            where = f" [{made.partition}]" if made.partition else ""
            found.append((f"{asset.name}{where}{size}", made.at))
    return sorted(found, key=lambda moment: moment[1])


def _picture(chapter: Chapter, assets: dict[str, Asset], runs: list[Run]) -> Group:
    """The state of the flow, one line an asset."""
    table = Table.grid(padding=(0, 2))
    busy = {step.split("__", 1)[-1].replace("__", "/") for run in runs for step in run.running}
    for name in _flow_order(assets):
        made = assets[name].since(chapter.uploaded)
        if name in busy:
            state: Any = Text("running", "yellow")
        elif made:
            state = Text(f"done at +{made[0].at - chapter.uploaded:.1f} s", "green")
        else:
            state = Text("waiting", "dim")
        parts = ", ".join(sorted({m.partition for m in made if m.partition}))
        table.add_row(f"  {name}", state, Text(parts, "dim"))
    waited = f"+{time.time() - chapter.uploaded:.0f} s, {sum(r.ended is None for r in runs)} run(s) under way"
    return Group(table, Spinner("dots", text=waited))


def _flow_order(assets: dict[str, Asset]) -> list[str]:
    from mlops_assets.lifecycle import STAGES

    return sorted(assets, key=lambda name: (STAGES.index(name.split("/", maxsplit=1)[0]), name))


def _timeline(story: Story) -> Table:
    table = Table("when", "what", title="Timeline", title_justify="left", box=None)
    for chapter in story.chapters:
        table.add_row(_clock(chapter.uploaded), f"uploaded {', '.join(chapter.months)}")
        for what, at in chapter.moments:
            if not what.startswith("raw/"):
                table.add_row(_clock(at), f"{what}  [dim]+{at - chapter.uploaded:.1f} s[/dim]")
        said = f"version {chapter.version} served" if chapter.version else "challenger refused, champion kept"
        table.add_row("", f"[bold]{said}[/bold]")
    return table


def _scores(story: Story) -> Table:
    table = Table(
        "held out", "model", "ROC AUC", "log loss", "Brier", title="Scores", title_justify="left", box=None
    )
    for chapter in story.chapters:
        for model, score in chapter.evidence.get("scores", {}).items():
            chosen = " (challenger)" if model == chapter.evidence["challenger"] else ""
            numbers = [f"{score[name]:.4f}" for name in ("roc_auc", "log_loss", "brier")]
            table.add_row(chapter.evidence["held_out"], f"{model}{chosen}", *numbers)
    return table


def _addresses(settings: Settings, endpoint: str) -> Table:
    table = Table("page", "address", title="Open", title_justify="left", box=None)
    table.add_row("Dagster: assets, runs, checks, the evaluation's report", settings.dagster_url)
    table.add_row("MLflow: candidates, the registry", settings.mlflow_url)
    table.add_row("Endpoint: a form, /docs, /info, /metrics", endpoint)
    return table


def _flight(example: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in list(example.items())[:4])


def _clock(moment: float) -> str:
    return dt.datetime.fromtimestamp(moment).astimezone().strftime("%H:%M:%S")
