"""What stands behind ``mlops replay``."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_assets.replay.history import ReplayError, load
from mlops_assets.replay.strategies import DECLARED, read_policy

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

    from mlops_assets.project import Project
    from mlops_assets.replay.compare import Comparison
    from mlops_assets.replay.history import Tell
    from mlops_assets.settings import Settings


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for; see ``mlops replay --help``."""

    policies: Sequence[str] = (DECLARED,)
    families: Sequence[str] = ()
    data: Path | None = None
    until: str | None = None
    months: int | None = None
    first: int | None = None
    lag: int = 1
    slices: int = 4


def replay(project: Project, settings: Settings, wanted: Wanted, tell: Tell) -> Comparison:
    """Load the history and play it. Trainings are kept below the platform's state.

    Raises ``ReplayError`` and ``ContractError``.
    """
    from mlops_assets.replay.compare import compare
    from mlops_assets.replay.store import Store

    played = narrow(project, wanted.families, wanted.first)
    policies = [read_policy(played, text) for text in wanted.policies]
    history = load(played, settings, wanted.data, tell).until(wanted.until, wanted.months)
    store = Store(settings.state / "replay" / project.name)
    return compare(played, history, policies, store, tell, wanted.lag, wanted.slices)


def narrow(project: Project, families: Sequence[str], first: int | None) -> Project:
    """The project with some of its families only, and its first training after ``first`` partitions."""
    known = {family.name: family for family in project.families}
    if unknown := sorted(set(families) - set(known)):
        raise ReplayError(f"{project.name} has no family {', '.join(unknown)}; it has {', '.join(known)}")
    changed = {"families": tuple(f for name, f in known.items() if name in families)} if families else {}
    if first is not None:
        if first < 2:
            raise ReplayError(f"a first training after {first} partition: 2 or more, one is held out")
        changed["min_partitions"] = first  # type: ignore[assignment]
    return project.model_copy(update=changed)


def run(project: Project, settings: Settings, wanted: Wanted, out: Path, console: Console) -> None:
    """Play, print the tables, write ``replay.json`` and ``replay.png`` into ``out``."""
    from mlops_assets.replay import picture, show

    started = time.monotonic()
    with console.status("reads the history") as status:

        def tell(what: str) -> None:
            said = f"{time.monotonic() - started:4.0f} s  {what}"
            status.update(said)
            if not console.is_terminal:  # a log has no spinner
                console.print(said)

        comparison = replay(project, settings, wanted, tell)
    out.mkdir(parents=True, exist_ok=True)
    (out / "replay.json").write_text(json.dumps(comparison.as_json(), indent=2, default=str) + "\n")
    (out / "replay.png").write_bytes(picture.draw(comparison, project.partitions.every))
    console.print(show.tables(comparison))
    for entry in comparison.policies:
        console.print(show.verdict(comparison, entry))
    console.print(f"{out / 'replay.png'} and replay.json, after {time.monotonic() - started:.0f} s")
