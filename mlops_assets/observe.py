"""What the running Dagster says of a project's assets and runs, by its GraphQL API."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_METADATA = """metadataEntries {
    label
    ... on TextMetadataEntry { text }
    ... on JsonMetadataEntry { jsonString }
    ... on IntMetadataEntry { intRepr }
    ... on FloatMetadataEntry { floatValue }
    ... on BoolMetadataEntry { boolValue }
    ... on UrlMetadataEntry { url }
  }"""
_ASSETS = f"""
query Assets($group: AssetGroupSelector!) {{
  assetNodes(group: $group) {{
    assetKey {{ path }}
    assetMaterializations(limit: 20) {{ runId timestamp partition {_METADATA} }}
    assetChecksOrError {{
      ... on AssetChecks {{
        checks {{
          name
          executionForLatestMaterialization {{
            status timestamp evaluation {{ success description }}
          }}
        }}
      }}
    }}
  }}
}}
"""
_MADE = f"""
query Made($asset: AssetKeyInput!, $limit: Int!) {{
  assetOrError(assetKey: $asset) {{
    ... on Asset {{ assetMaterializations(limit: $limit) {{ runId timestamp partition {_METADATA} }} }}
  }}
}}
"""
_VERDICTS = f"""
query Verdicts($asset: AssetKeyInput!, $check: String!, $limit: Int!) {{
  assetCheckExecutions(assetKey: $asset, checkName: $check, limit: $limit) {{
    runId partition
    evaluation {{ timestamp success severity description {_METADATA} }}
  }}
}}
"""
_WORK = """
runOrError(runId: "%s") {
  ... on Run {
    runId status tags { key value }
    assetMaterializations { timestamp partition assetKey { path } tags { key value } }
  }
}
"""
_RUNS = """
query Runs($after: Float) {
  runsOrError(filter: { createdAfter: $after }, limit: 50) {
    ... on Runs {
      results {
        runId status creationTime startTime endTime
        assetSelection { path }
        tags { key value }
        stepStats { stepKey status }
      }
    }
  }
}
"""


class ObserveError(RuntimeError):
    """Dagster's webserver did not answer, or answered with an error."""


@dataclass(frozen=True)
class Made:
    """One materialization. ``at``: seconds since 1970."""

    at: float
    run_id: str
    partition: str | None
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class Check:
    """The last evaluation of a check; ``passed`` is None while there is none."""

    name: str
    passed: bool | None
    description: str
    at: float


@dataclass(frozen=True)
class Asset:
    """An asset as Dagster knows it: its materializations, newest first, and its checks."""

    name: str
    made: tuple[Made, ...]
    checks: tuple[Check, ...] = field(default=())

    def since(self, moment: float) -> list[Made]:
        """Materializations after ``moment``, newest first."""
        return [m for m in self.made if m.at > moment]


@dataclass(frozen=True)
class Verdict:
    """One evaluation of a check. ``at``: seconds since 1970; ``partition``: None where it has none."""

    at: float
    passed: bool
    description: str
    run_id: str
    partition: str | None
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class Work:
    """What a run made: (asset's name, partition or "") -> when (seconds since 1970) and tags."""

    run_id: str
    status: str
    tags: Mapping[str, str]
    made: Mapping[tuple[str, str], tuple[float, Mapping[str, str]]]


@dataclass(frozen=True)
class Run:
    """A Dagster run: what it makes, and which steps are under way. Times: seconds since 1970.

    ``sensor``: the one that asked for it, None for a person's. ``will_retry``: it failed for a reason
    outside of it, and Dagster starts it again.
    """

    run_id: str
    status: str
    created: float
    ended: float | None
    assets: tuple[str, ...]
    partition: str | None
    running: tuple[str, ...] = ()
    sensor: str | None = None
    will_retry: bool = False


class Dagster:
    """A client of the webserver at ``url``."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=30)

    def assets(self, project: str) -> dict[str, Asset]:
        """The project's assets by name, without the project's part of the key (``raw/flights``)."""
        group = {
            "groupName": project,
            "repositoryName": "__repository__",
            "repositoryLocationName": self._location(),
        }
        found = [_asset(node) for node in self._ask(_ASSETS, {"group": group})["assetNodes"]]
        return {asset.name: asset for asset in found}

    def runs(self, after: float) -> list[Run]:
        """Runs created after ``after``, newest first."""
        return [_run(row) for row in self._ask(_RUNS, {"after": after})["runsOrError"]["results"]]

    def made(self, project: str, name: str, limit: int = 1000) -> list[Made]:
        """The last ``limit`` materializations of one asset, newest first; none for an unknown asset."""
        key = {"path": [project, *name.split("/")]}
        found = self._ask(_MADE, {"asset": key, "limit": limit})["assetOrError"]
        return [_made(row) for row in found.get("assetMaterializations", [])]

    def verdicts(self, project: str, name: str, check: str, limit: int = 1000) -> list[Verdict]:
        """The last ``limit`` evaluations of a check of one asset, newest first; none while there is none."""
        asset = {"path": [project, *name.split("/")]}
        found = self._ask(_VERDICTS, {"asset": asset, "check": check, "limit": limit})
        return [_verdict(row) for row in found["assetCheckExecutions"] if row["evaluation"]]

    def work(self, run_ids: Collection[str]) -> dict[str, Work]:
        """What each of the runs made; those that Dagster does not know (any more) are left out."""
        wanted = sorted(set(run_ids) - {""})
        asked = "\n".join(f"r{number}: {_WORK % run_id}" for number, run_id in enumerate(wanted))
        found = self._ask(f"{{ {asked} }}", {}) if wanted else {}
        return {row["runId"]: _work(row) for row in found.values() if "runId" in row}

    def _location(self) -> str:
        query = "{ workspaceOrError { ... on Workspace { locationEntries { name } } } }"
        return str(self._ask(query, {})["workspaceOrError"]["locationEntries"][0]["name"])

    def _ask(self, query: str, variables: Mapping[str, Any]) -> Any:
        try:
            answer = self._client.post("/graphql", json={"query": query, "variables": variables})
            body = answer.raise_for_status().json()
        except (httpx.HTTPError, ValueError) as error:
            raise ObserveError(f"Dagster at {self._client.base_url} did not answer: {error}") from error
        if body.get("errors"):
            raise ObserveError(f"Dagster at {self._client.base_url} refused a query: {body['errors'][0]}")
        return body["data"]


def _asset(node: Mapping[str, Any]) -> Asset:
    made = tuple(_made(row) for row in node["assetMaterializations"])
    checks = tuple(_check(c) for c in node["assetChecksOrError"].get("checks", []))
    return Asset("/".join(node["assetKey"]["path"][1:]), made, checks)


def _made(row: Mapping[str, Any]) -> Made:
    return Made(float(row["timestamp"]) / 1000, row["runId"], row["partition"], _metadata(row))


def _metadata(row: Mapping[str, Any]) -> dict[str, Any]:
    return {entry["label"]: _value(entry) for entry in row["metadataEntries"]}


def _verdict(row: Mapping[str, Any]) -> Verdict:
    found = row["evaluation"]
    return Verdict(
        at=float(found["timestamp"]),
        passed=bool(found["success"]),
        description=found["description"] or "",
        run_id=row["runId"],
        partition=row["partition"],
        metadata=_metadata(found),
    )


def _work(row: Mapping[str, Any]) -> Work:
    made = {
        ("/".join(m["assetKey"]["path"][1:]), m["partition"] or ""): (
            float(m["timestamp"]) / 1000,
            _tags(m),
        )
        for m in row["assetMaterializations"]
    }
    return Work(row["runId"], row["status"], _tags(row), made)


def _tags(row: Mapping[str, Any]) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in row["tags"]}


def _value(entry: Mapping[str, Any]) -> Any:
    if "jsonString" in entry:
        return json.loads(entry["jsonString"])
    if "intRepr" in entry:
        return int(entry["intRepr"])
    return next((entry[name] for name in ("text", "floatValue", "boolValue", "url") if name in entry), None)


def _check(row: Mapping[str, Any]) -> Check:
    done = row["executionForLatestMaterialization"]
    if not done or not done["evaluation"]:
        return Check(row["name"], None, "", 0)
    evaluation = done["evaluation"]
    return Check(
        row["name"], bool(evaluation["success"]), evaluation["description"] or "", float(done["timestamp"])
    )


def _run(row: Mapping[str, Any]) -> Run:
    tags = _tags(row)
    return Run(
        run_id=row["runId"],
        status=row["status"],
        created=float(row["creationTime"]),
        ended=row["endTime"],
        assets=tuple("/".join(key["path"][1:]) for key in row["assetSelection"] or []),
        partition=tags.get("dagster/partition"),
        running=tuple(s["stepKey"] for s in row["stepStats"] if s["status"] == "IN_PROGRESS"),
        sensor=tags.get("dagster/sensor_name"),
        will_retry=tags.get("dagster/will_retry", "").lower() == "true",
    )
