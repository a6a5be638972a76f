"""The first half: the first months land, and the first champion is watched until it is served."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.live import Live

from mlops_assets.demo.delivery import PROJECT, deliver, months_present
from mlops_assets.demo.errors import DemoError
from mlops_assets.demo.outcome import failed_checks, given_up, outcome
from mlops_assets.demo.show import Chapter, clock, moments, picture
from mlops_assets.observe import ObserveError

if TYPE_CHECKING:
    from rich.console import Console

    from mlops_assets.demo.outcome import Outcome
    from mlops_assets.observe import Asset, Dagster, Run
    from mlops_assets.settings import Settings

FIRST = ("2013-01", "2013-02", "2013-03")
PATIENCE_SECONDS = 600
SILENCE_SECONDS = 30
"""How long Dagster may not answer: a service that died is back within ten."""


def first_months(settings: Settings) -> tuple[str, ...]:
    """The months that the first champion is made of: those that are there, the first three at least."""
    return tuple(sorted(months_present(settings) | set(FIRST)))


def first_champion(
    settings: Settings, dagster: Dagster, console: Console, months: tuple[str, ...]
) -> Chapter:
    """Upload ``months`` and watch until a champion is served.

    Raises ``DemoError`` if the gate refuses it, a run is given up, or nothing comes of it in time.
    """
    delivered = deliver(settings, months)
    if delivered.put:
        console.print(f"  uploaded {delivered.put} objects to s3://{settings.raw_bucket}/{PROJECT}/")
    else:
        since = clock(delivered.since)
        console.print(f"  all {delivered.objects} objects are there since {since}; it goes on from that")
    chapter = Chapter(months, months[-1], delivered.since)
    came = _follow(settings, dagster, console, chapter)
    for what, at in chapter.moments:
        console.print(f"  [dim]+{at - chapter.uploaded:6.1f} s[/dim]  {what}")
    if came.kind == "refused":
        raise DemoError(f"the gate refused the first challenger: {'; '.join(came.refusals)}")
    console.print(f"  [green]version {came.version} is the champion, and is served[/green]")
    return chapter


def _follow(settings: Settings, dagster: Dagster, console: Console, chapter: Chapter) -> Outcome:
    """Watch Dagster until what was uploaded is served or refused."""
    began = heard = time.monotonic()
    assets: dict[str, Asset] = {}
    with Live(console=console, refresh_per_second=8, transient=True) as live:
        while chapter.outcome is None:
            time.sleep(0.5)
            if time.monotonic() - began > PATIENCE_SECONDS:
                raise DemoError(
                    f"nothing was served or refused within {PATIENCE_SECONDS} s; see "
                    f"{settings.dagster_url}/runs and `mlops logs`{_broken(assets)}"
                )
            try:
                assets, runs = dagster.assets(PROJECT), dagster.runs(chapter.uploaded - 1)
            except ObserveError:
                if time.monotonic() - heard > SILENCE_SECONDS:
                    raise
                continue
            heard = time.monotonic()
            live.update(picture(chapter, assets, runs))
            chapter.outcome = outcome(assets, chapter.uploaded, chapter.held_out)
            if chapter.outcome is None:
                _complain(settings, chapter, runs, assets)
    chapter.moments = moments(chapter, assets)
    return chapter.outcome


def _complain(settings: Settings, chapter: Chapter, runs: list[Run], assets: dict[str, Asset]) -> None:
    """Raise if a run that the chapter needs ended badly, and nothing tries it again."""
    if run := given_up(runs, assets, chapter.months, time.time()):
        raise DemoError(
            f"Dagster run {run.run_id} ended as {run.status}; see "
            f"{settings.dagster_url}/runs/{run.run_id}{_broken(assets)}"
        )


def _broken(assets: dict[str, Asset]) -> str:
    """The checks that fail, as the end of a message."""
    found = failed_checks(assets)
    return f"; failed checks: {'; '.join(found)}" if found else ""
