"""``mlops``: the platform's command line. Heavy imports are in the commands, so that help is quick."""

from __future__ import annotations

import json
import shlex
from contextlib import contextmanager
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from mlops_assets.project import Project
    from mlops_assets.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="The MLOps platform on this machine: real parts, state under .mlops/.",
)
Services = Annotated[
    list[str] | None, typer.Argument(metavar="[SERVICE]...", help="Services or groups; default: all.")
]
ProjectName = Annotated[str, typer.Argument(metavar="PROJECT", help="A project of the catalog.")]


@app.command()
def up(services: Services = None) -> None:
    """Start the platform (what does not run yet), wait until all of it answers, show the addresses."""
    from mlops_assets import platform
    from mlops_assets.platform import show

    console = _console()
    with _errors(), show.progress(console) as progress:
        started = platform.up(_settings(), services or None, progress)
    console.print(show.addresses(started))


@app.command()
def down() -> None:
    """Stop the platform. Nothing is lost: the next up goes on where it stopped."""
    from mlops_assets import platform
    from mlops_assets.platform import show

    with _errors(), show.progress(_console()) as progress:
        platform.down(_settings(), progress)


@app.command()
def restart(
    services: Annotated[list[str], typer.Argument(metavar="SERVICE...", help="Services or groups.")],
) -> None:
    """Stop services and start them again, with changed code for example (code-location)."""
    from mlops_assets import platform
    from mlops_assets.platform import show

    with _errors(), show.progress(_console()) as progress:
        platform.restart(_settings(), services, progress)


@app.command()
def status(
    services: Services = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """What each service does now, asked of the service itself. Exit code 1 if one is not ready."""
    from mlops_assets import platform
    from mlops_assets.platform import show

    with _errors():
        rows = platform.status(_settings(), services or None)
    if as_json:
        typer.echo(json.dumps([row.as_json() for row in rows], indent=2))
    else:
        _console().print(show.statuses(rows))
    if any(row.state not in {"ready", "outside"} for row in rows):
        raise typer.Exit(1)


@app.command()
def logs(
    services: Services = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as the log grows.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")] = 50,
) -> None:
    """The end of the services' logs (also: supervisord, the one that keeps them alive)."""
    from mlops_assets.platform import show, stack

    with _errors():
        show.logs(stack.log_files(_settings(), services or None), lines, follow=follow)


@app.command()
def reset(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Stop the platform and delete all of its state: objects, models, history, credentials."""
    from mlops_assets import platform

    settings = _settings()
    if not yes:
        typer.confirm(f"Delete everything under {settings.state}?", abort=True)
    with _errors():
        platform.reset(settings)
    typer.echo(f"{settings.state} is gone.")


@app.command()
def env() -> None:
    """Shell commands that let other tools (aws, mlflow, dagster) meet the platform: eval "$(mlops env)"."""
    from mlops_assets.platform.environment import shell_environment

    for name, value in shell_environment(_settings()).items():
        typer.echo(f"export {name}={shlex.quote(value)}")


@app.command()
def upload(
    project: ProjectName,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Such as flights/2013-01.csv.")],
    source: Annotated[str | None, typer.Option(help="The source, where the path does not say it.")] = None,
    key: Annotated[str | None, typer.Option(help="The name below the project, whatever it is.")] = None,
) -> None:
    """Put files into the raw bucket, under the names that the project's sources expect."""
    from mlops_assets.platform.deliver import deliver, keys_for

    with _errors():
        for done in deliver(_settings(), keys_for(_project(project), files, source, key)):
            typer.echo(f"{done.file} -> s3://{done.bucket}/{done.key} (version {done.version})")


@app.command()
def predict(
    project: ProjectName,
    instances: Annotated[
        str, typer.Argument(metavar="JSON", help="An instance, a list of them, @FILE, or - for stdin.")
    ],
) -> None:
    """Ask the project's endpoint for predictions, and print its answer."""
    from mlops_assets.platform.ask import predict as ask

    with _errors():
        typer.echo(json.dumps(ask(_settings(), _project(project), instances), indent=2))


@app.command()
def rollback(project: ProjectName) -> None:
    """Return to the project's former champion; the promotion log says so."""
    from mlops_assets.lifecycle.champion import RollbackError
    from mlops_assets.platform.rollback import rollback as return_to_former

    settings = _settings()
    with _errors(RollbackError):
        entry = return_to_former(settings, _project(project))
    typer.echo(f"{project}: version {entry.version} is the champion again, instead of {entry.replaced}.")


@app.command()
def retire(project: ProjectName) -> None:
    """Take the alias from a champion that this code cannot load any more; what follows it is judged alone."""
    from mlops_assets.lifecycle.champion import RollbackError
    from mlops_assets.platform.rollback import retire as take_the_alias

    settings = _settings()
    with _errors(RollbackError):
        entry = take_the_alias(settings, _project(project))
    typer.echo(f"{project}: version {entry.version} is not the champion any more; there is none now.")


@app.command()
def migrate(
    buckets: Annotated[bool, typer.Option("--buckets", help="Make missing buckets, too.")] = False,
) -> None:
    """Bring outside databases up to the installed versions, and set the limits of pools."""
    from mlops_assets.platform.migrate import make_buckets
    from mlops_assets.platform.migrate import migrate as bring_up_to_date

    settings = _settings()
    with _errors():
        bring_up_to_date(settings, typer.echo)
        if buckets:
            make_buckets(settings, typer.echo)


@app.command()
def reap(
    watch: Annotated[bool, typer.Option("--watch", help="Again and again, until it is ended.")] = False,
) -> None:
    """On Kubernetes: fail runs whose pods do not come, and delete what is left of those that are over."""
    from mlops_assets.execution.reaper import NoKubernetesError
    from mlops_assets.platform.reap import reap as look

    settings = _settings()
    with _errors(NoKubernetesError):
        fine = look(settings, typer.echo, watch=watch)
    if not fine:
        raise typer.Exit(1)


@app.command()
def backup(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new one.")],
) -> None:
    """Write databases and buckets into a folder, as of one moment. The platform goes on meanwhile."""
    from mlops_assets.platform.backup import backup as write

    with _errors():
        made = write(_settings(), folder, typer.echo)
    typer.echo(f"{folder} is a backup of {made.at}. To use it: mlops restore {folder}")


@app.command()
def restore(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What mlops backup has written.")],
    force: Annotated[bool, typer.Option("--force", help="Also in the place of data.")] = False,
) -> None:
    """Put a backup back into databases and buckets, once it is seen to be whole. Needs the platform down."""
    from mlops_assets.platform import show
    from mlops_assets.platform.backup import restore as put_back

    with _errors(), show.progress(_console()) as progress:
        made = put_back(_settings(), folder, typer.echo, force=force, starting=progress)
    typer.echo(f"The platform is as it was at {made.at}. Start it: mlops up")


@app.command()
def trace(
    request_id: Annotated[str, typer.Argument(metavar="REQUEST_ID", help="As the endpoint's answer has it.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """From an answer back to the model, training set, raw object versions, code and runs it came from."""
    from mlops_assets.catalog import PROJECTS
    from mlops_assets.trace import TraceError, as_json_text, follow, tree

    with _errors(TraceError):
        found = follow(_settings(), PROJECTS, request_id)
    if as_json:
        typer.echo(as_json_text(found))
    else:
        _console().print(tree(found))


@app.command()
def why(
    project: ProjectName,
    last: Annotated[int, typer.Option("--last", "-n", min=1, help="How many trainings.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Why the project was trained, what came of it, and what the next training waits for."""
    from mlops_assets.retraining import show

    with _errors():
        trainings = show.trainings_of(_settings(), _project(project))
    if as_json:
        typer.echo(json.dumps(show.as_json(trainings, last), indent=2))
    else:
        _console().print(show.picture(_project(project), trainings, last))


@app.command()
def replay(  # noqa: PLR0913 - a command's options
    project: ProjectName,
    policy: Annotated[
        list[str] | None,
        typer.Option(help="declared, drift, growth=0.5,on=performance, a JSON file. Repeat."),
    ] = None,
    families: Annotated[str | None, typer.Option(help="Only these, by commas: quicker.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="A folder of raw objects; default: sample or lake.")
    ] = None,
    months: Annotated[int | None, typer.Option(min=3, help="Only the first so many partitions.")] = None,
    until: Annotated[str | None, typer.Option(help="Only up to this partition.")] = None,
    first: Annotated[int | None, typer.Option(min=2, help="Partitions before the first training.")] = None,
    label_lag: Annotated[int, typer.Option(min=1, help="Partitions until labels arrive.")] = 1,
    slices: Annotated[int, typer.Option(min=1, help="Judge drift so often in a partition.")] = 4,
    out: Annotated[Path | None, typer.Option(help="For replay.png and replay.json.")] = None,
) -> None:
    """Play the project's whole history through a retraining policy, beside never, always and hindsight."""
    from mlops_assets.contracts import ContractError
    from mlops_assets.replay.command import Wanted, run
    from mlops_assets.replay.history import ReplayError

    chosen = tuple(families.split(",")) if families else ()
    wanted = Wanted(tuple(policy or ["declared"]), chosen, data, until, months, first, label_lag, slices)
    settings = _settings()
    with _errors(ReplayError, ContractError):
        run(_project(project), settings, wanted, out or settings.state / "replay" / project, _console())


@app.command()
def demo() -> None:
    """Real flights become a served model, and the loop repairs it under live traffic. Leaves all running."""
    from mlops_assets.demo import run_demo

    with _errors():
        code = run_demo(_settings(), _console())
    raise typer.Exit(code)


def _console() -> Console:
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=160)  # a log or a pipe has no edge


def _settings() -> Settings:
    from pydantic import ValidationError

    from mlops_assets.settings import get_settings

    try:
        return get_settings()
    except ValidationError as error:
        for one in error.errors():
            name = "_".join(str(part) for part in one["loc"]).upper()
            typer.secho(f"MLOPS_{name} {one['msg'].removeprefix('Value error, ')}", fg="red", err=True)
        raise typer.Exit(2) from None


def _project(name: str) -> Project:
    from mlops_assets.catalog import get_project

    try:
        return get_project(name)
    except KeyError as error:
        raise typer.BadParameter(str(error.args[0])) from None


@contextmanager
def _errors(*more: type[Exception]) -> Iterator[None]:
    """Show an error that says what to do as its message alone, without a traceback."""
    from mlops_assets.platform.ask import AskError
    from mlops_assets.platform.deliver import DeliveryError
    from mlops_assets.platform.service import PlatformError

    known: tuple[type[Exception], ...] = (PlatformError, AskError, DeliveryError, *more)
    try:
        yield
    except known as error:
        typer.secho(str(error), fg="red", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


if __name__ == "__main__":
    app()
