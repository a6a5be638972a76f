"""What the command line shows of the platform: progress, tables, logs."""

from __future__ import annotations

import re
import sys
import time
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from mlops_assets.platform import Progress
    from mlops_assets.platform.service import Service, Status

COLOURS = {
    "ready": "green", "outside": "green", "starting": "yellow", "warming": "yellow", "stopping": "yellow",
    "failing": "red", "unreachable": "red", "stopped": "dim",
}  # fmt: skip
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


@contextmanager
def progress(console: Console) -> Iterator[Progress]:
    """Show what each service does, live on a terminal and line by line elsewhere."""
    began = time.monotonic()
    states: dict[str, tuple[str, float]] = {}

    def picture() -> Group:
        rows = []
        for name, (doing, at) in states.items():
            line = Text.assemble(
                (f"{name:<28}", "bold"), (f"{doing:<10}", COLOURS.get(doing, "")), f"{at:5.1f} s"
            )
            busy = doing in {"starting", "warming", "stopping"}
            rows.append(Spinner("dots", line) if busy else Text("✓ ", "green") + line)
        return Group(*rows)

    def note(name: str, doing: str) -> None:
        states[name] = (doing, time.monotonic() - began)
        if console.is_terminal:
            live.update(picture())
        else:
            console.print(f"{states[name][1]:6.1f} s  {name} {doing}", highlight=False)

    with Live(
        console=console, auto_refresh=console.is_terminal, refresh_per_second=8, transient=True
    ) as live:
        yield note


def addresses(services: Iterable[Service]) -> Table:
    """The table that ``mlops up`` ends with."""
    table = Table("service", "what", "address", box=None, header_style="bold", pad_edge=False)
    for service in services:
        table.add_row(service.name, service.title, service.address or "-")
    return table


def statuses(rows: Iterable[Status]) -> Table:
    """The table of ``mlops status``."""
    table = Table("service", "state", "pid", "up", "address", box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(
            row.name,
            Text(row.state, COLOURS[row.state]),
            str(row.pid or "-"),
            _duration(row.uptime),
            row.address or "-",
        )
        if row.detail:
            table.add_row("", "", "", "", Text(row.detail.splitlines()[0][:300], "dim"))
    return table


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes, rest = divmod(int(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
    )


def logs(files: dict[str, Path], lines: int, *, follow: bool) -> None:
    """Print the last ``lines`` lines of each log; with ``follow``, go on with what is added, for ever."""
    width = max(map(len, files), default=0) if len(files) > 1 else 0
    places = {name: _print_end(name, file, lines, width) for name, file in files.items()}
    while follow:
        for name, file in files.items():
            places[name] = _print_added(name, file, places[name], width)
        time.sleep(0.3)


def _print_end(name: str, file: Path, lines: int, width: int) -> int:
    if not file.exists():
        return 0
    with file.open(errors="replace") as source:
        for line in deque(source, maxlen=lines):
            _print_line(name, line, width)
        return source.tell()


def _print_added(name: str, file: Path, place: int, width: int) -> int:
    if not file.exists():
        return 0
    with file.open(errors="replace") as source:
        if file.stat().st_size >= place:  # shorter: it was rotated, begin anew
            source.seek(place)
        while (line := source.readline()).endswith("\n"):
            _print_line(name, line, width)
            place = source.tell()
        return place


def _print_line(name: str, line: str, width: int) -> None:
    text = line if sys.stdout.isatty() else _ANSI.sub("", line)
    sys.stdout.write(f"{name:<{width}} | {text}" if width else text)
    sys.stdout.flush()
