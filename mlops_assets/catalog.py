"""The list of projects: the platform's table of contents. A new project is a folder and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.projects.flight_delays.project import PROJECT as FLIGHT_DELAYS

if TYPE_CHECKING:
    from mlops_assets.project import Project

PROJECTS: tuple[Project, ...] = (FLIGHT_DELAYS,)


def get_project(name: str) -> Project:
    """The project called ``name``; ``KeyError`` that lists those there are if there is none."""
    for project in PROJECTS:
        if project.name == name:
            return project
    raise KeyError(f"there is no project {name!r}; there are: {', '.join(p.name for p in PROJECTS)}")
