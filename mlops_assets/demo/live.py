"""The second half: live traffic by month, labels a month behind, and what the loop makes of it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.text import Text

from mlops_assets.demo import terminal
from mlops_assets.demo.delivery import deliver, months_present
from mlops_assets.demo.errors import DemoError
from mlops_assets.demo.expected import AT_REST, FIRST_SHOWING, Expectation
from mlops_assets.demo.eyes import Eyes
from mlops_assets.demo.flights import requests_of
from mlops_assets.demo.picture import draw
from mlops_assets.demo.show import clock
from mlops_assets.demo.story import Month, Sent, Story, load, merge, save
from mlops_assets.demo.strip import strip
from mlops_assets.demo.traffic import Traffic
from mlops_assets.observe import ObserveError
from mlops_assets.sample_data import MONTHS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from rich.console import Console

    from mlops_assets.demo.flights import Request
    from mlops_assets.observe import Dagster
    from mlops_assets.project import Project
    from mlops_assets.settings import Settings

FIRST_LIVE, LAST_OF_FIRST = "2013-04", "2013-07"
MONTH_SECONDS = 28.0
LOOK_SECONDS = 1.5
SILENCE_SECONDS = 30
PATIENCE_SECONDS = 300.0
"""How long what is expected of a month may come after the month's last request."""


class LiveTraffic:
    """Sends months of flights, lands their labels, and watches."""

    def __init__(self, settings: Settings, project: Project, dagster: Dagster, console: Console) -> None:
        self.story = Story()
        self.answer = ""
        """Request id of one of the answers: the newest version's last."""
        self._settings, self._project, self._console = settings, project, console
        self._eyes = Eyes(settings, project, dagster)
        self._told: set[str] = set()
        self._began = self._heard = 0.0

    @property
    def folder(self) -> Path:
        """Where the story and its picture are kept."""
        return self._settings.state / "demo"

    def months(self) -> list[str]:
        """The months to send: April to July at first, then the next one each time."""
        before = load(self.folder / "story.json").last_month
        self.story = Story(before=before)
        first = MONTHS.index(before) + 1 if before else MONTHS.index(FIRST_LIVE)
        last = max(first, MONTHS.index(LAST_OF_FIRST))
        return list(MONTHS[first : last + 1])

    def show(self, months: Sequence[str]) -> None:
        """Send ``months``; raises ``DemoError`` if a request fails or what is expected does not come."""
        self._began = self._heard = time.time()
        first = months[0] == FIRST_LIVE
        with self._sending() as traffic, ThreadPoolExecutor(1) as ahead:
            prepared = ahead.submit(requests_of, self._project, months[0])
            for number, month in enumerate(months):
                requests = prepared.result()
                if number + 1 < len(months):
                    prepared = ahead.submit(requests_of, self._project, months[number + 1])
                wanted = FIRST_SHOWING.get(month, AT_REST) if first else AT_REST
                self._month(traffic, month, requests, wanted)
            self._wait_for(traffic, AT_REST)
        save(self.folder / "story.json", self.story)
        if first and len(self.story.by_version()) < 2:
            raise DemoError(
                "the endpoint answered with one version only: no swap came while there was traffic"
            )
        if self.story.failed:
            what = "; ".join(traffic.tally.failures)
            raise DemoError(f"{self.story.failed} of {self.story.requests} requests failed: {what}")

    def summary(self) -> None:
        """The story as a picture of characters, tables, and a PNG in ``folder``."""
        story = self.story
        if not story.sent:
            return
        file = self.folder / "story.png"
        file.write_bytes(draw(story))
        self._console.print(Text("Live traffic", "italic"))
        self._console.print(strip(story, self._console.width))
        self._console.print(terminal.quality(story))
        answered = ", ".join(f"{rows:,} by version {version}" for version, rows in story.by_version().items())
        self._console.print(
            f"{story.rows:,} predictions in {story.requests:,} requests: {answered}; {story.failed} failed.\n"
            f"The same as a picture: {file}\n",
            soft_wrap=True,
        )

    @contextmanager
    def _sending(self) -> Iterator[Traffic]:
        key = self._settings.endpoint_api_key
        url = self._settings.endpoint_url(self._project.endpoint.port_offset)
        with Traffic(url, key.get_secret_value() if key else None) as traffic:
            yield traffic

    def _month(self, traffic: Traffic, month: str, requests: list[Request], wanted: Expectation) -> None:
        before = MONTHS[MONTHS.index(month) - 1]
        if before not in months_present(self._settings):
            self.story.labels[before] = deliver(self._settings, [before]).since
            self._say(
                time.time(), Text.assemble(f"labels of {before} land: ", ("its files are in S3", "bold"))
            )
        sending = traffic.send(requests, MONTH_SECONDS, lambda: not wanted.met(self.story))
        self.story.months.append(Month(month, time.time()))
        self._say(time.time(), Text(f"{len(requests):,} requests about the flights of {month} begin", "bold"))
        self._watch(traffic, sending)
        self.story.months[-1].ended = time.time()
        if wanted is not AT_REST:
            self._wait_for(traffic, wanted)
        save(self.folder / "story.json", self.story)

    def _watch(self, traffic: Traffic, sending: Future[None]) -> None:
        """Look until all requests of the month are answered."""
        while not sending.done():
            self._look(traffic)
            time.sleep(LOOK_SECONDS)
        sending.result()
        self._look(traffic)

    def _wait_for(self, traffic: Traffic, wanted: Expectation) -> None:
        until = time.monotonic() + PATIENCE_SECONDS
        while not wanted.met(self.story):
            if time.monotonic() > until:
                raise DemoError(
                    f"it was not seen that {wanted.what}, within {PATIENCE_SECONDS:.0f} s after the traffic; "
                    f"{wanted.found(self.story)}. See {self._settings.dagster_url}/runs, the checks of "
                    f"{self._settings.dagster_url}/assets/{self._project.name}/drift and `mlops logs daemon`"
                )
            time.sleep(LOOK_SECONDS)
            self._look(traffic)

    def _look(self, traffic: Traffic) -> None:
        """Take in what happened since the last look, and tell what is new."""
        self._count(traffic)
        try:
            seen = self._eyes.look(self._began)
        except ObserveError:
            if time.time() - self._heard > SILENCE_SECONDS:
                raise
            return
        self._heard = time.time()
        self.story.seen = merge(self.story.seen, seen)
        for line in terminal.news(self.story.seen):
            if line.key not in self._told and line.at >= self._began:
                self._told.add(line.key)
                self._say(line.at, line.text)

    def _count(self, traffic: Traffic) -> None:
        tally, story = traffic.tally, self.story
        before = set(story.by_version())
        story.sent = [Sent(at, version, rows) for (at, version), rows in sorted(tally.copy().items())]
        story.requests, story.failed = tally.requests, tally.failed
        for version in story.by_version().keys() - before if before else ():
            at = min(sent.at for sent in story.sent if sent.version == version)
            failed = f"{story.failed} of {story.requests:,} requests failed so far"
            self._say(at, Text(f"the endpoint answers with version {version} now; {failed}", "bold green"))
        if tally.last:
            self.answer = tally.last[max(tally.last, key=int)]

    def _say(self, at: float, text: Text) -> None:
        self._console.print(Text.assemble((f"  {clock(at)}  ", "dim"), text))
