"""What every asset shows of itself: key, group, owners, column schema, row count, a preview."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.execution.pods import pool, tags

if TYPE_CHECKING:
    import pandas as pd

    from mlops_assets.contracts import Contract
    from mlops_assets.project import Project

PREVIEW_ROWS = 5


def asset_key(project: Project, stage: str, name: str | None = None) -> dg.AssetKey:
    """``<project>/<stage>[/<name>]``."""
    return dg.AssetKey([project.name, stage, *([name] if name else [])])


def common(project: Project, stage: str, name: str | None = None) -> dict[str, Any]:
    """The arguments that every asset of a project takes alike."""
    return {
        "key": asset_key(project, stage, name),
        "group_name": project.name,
        "owners": list(project.owners),
        "tags": {"mlops/stage": stage},
    }


def step(project: Project, stage: str, name: str | None = None, *, priority: int = 0) -> dict[str, Any]:
    """The arguments of an asset's decorator that say what its step needs to run.

    On the asset itself, so that every run of it has them alike, whoever started the run. ``priority``: of
    steps that could start, those with a higher one do first.
    """
    needs = project.needs_of(stage, name)
    first = {"dagster/priority": str(priority)} if priority else {}
    return {"op_tags": tags(needs, project.name, stage, name) | first, "pool": pool(stage, needs)}


def contract_schema(contract: Contract) -> dg.TableSchema:
    """The columns that a contract declares, as Dagster shows them."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                c.name,
                c.type,
                description=c.description,
                constraints=dg.TableColumnConstraints(nullable=c.nullable),
            )
            for c in contract.columns
        ]
    )


def frame_schema(frame: pd.DataFrame) -> dg.TableSchema:
    """The columns that a frame has, as Dagster shows them."""
    return dg.TableSchema(columns=[dg.TableColumn(str(n), str(kind)) for n, kind in frame.dtypes.items()])


def frame_metadata(frame: pd.DataFrame) -> dict[str, dg.MetadataValue[Any]]:
    """Row count, column schema and the first rows as a table."""
    return {
        "dagster/row_count": dg.MetadataValue.int(len(frame)),
        "dagster/column_schema": dg.MetadataValue.table_schema(frame_schema(frame)),
        "preview": dg.MetadataValue.md(markdown_table(frame.head(PREVIEW_ROWS))),
    }


def markdown_table(frame: pd.DataFrame) -> str:
    """A Markdown table of a small frame; floats to four significant digits."""
    cells = [[_cell(value) for value in row] for row in frame.itertuples(index=False)]
    lines = [[str(name) for name in frame.columns], ["---"] * len(frame.columns), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def markdown_picture(title: str, png: bytes) -> str:
    """A PNG inside Markdown, which Dagster's UI shows in place."""
    return f"![{title}](data:image/png;base64,{base64.b64encode(png).decode()})"


def plain(value: Any) -> str | int | float | bool:
    """A value as metadata or an MLflow parameter takes it; all else as JSON."""
    return value if isinstance(value, (str, int, float, bool)) else json.dumps(value, default=str)
