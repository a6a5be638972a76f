"""What the running Dagster says of a project's assets and runs, by its GraphQL API."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Mapping

_ASSETS = """
query Assets($group: AssetGroupSelector!) {
  assetNodes(group: $group) {
    assetKey { path }
    assetMaterializations(limit: 20) {
      runId timestamp partition
      metadataEntries {
        label
        ... on TextMetadataEntry { text }
        ... on JsonMetadataEntry { jsonString }
        ... on IntMetadataEntry { intRepr }
        ... on FloatMetadataEntry { floatValue }
        ... on UrlMetadataEntry { url }
      }
    }
    assetChecksOrError {
      ... on AssetChecks {
        checks {
          name
          executionForLatestMaterialization {
            status timestamp evaluation { success description }
          }
        }
      }
    }
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
    made = tuple(
        Made(
            at=float(m["timestamp"]) / 1000,
            run_id=m["runId"],
            partition=m["partition"],
            metadata={e["label"]: _value(e) for e in m["metadataEntries"]},
        )
        for m in node["assetMaterializations"]
    )
    checks = tuple(_check(c) for c in node["assetChecksOrError"].get("checks", []))
    return Asset("/".join(node["assetKey"]["path"][1:]), made, checks)


def _value(entry: Mapping[str, Any]) -> Any:
    if "jsonString" in entry:
        return json.loads(entry["jsonString"])
    if "intRepr" in entry:
        return int(entry["intRepr"])
    return next((entry[name] for name in ("text", "floatValue", "url") if name in entry), None)


def _check(row: Mapping[str, Any]) -> Check:
    done = row["executionForLatestMaterialization"]
    if not done or not done["evaluation"]:
        return Check(row["name"], None, "", 0)
    evaluation = done["evaluation"]
    return Check(
        row["name"], bool(evaluation["success"]), evaluation["description"] or "", float(done["timestamp"])
    )


def _run(row: Mapping[str, Any]) -> Run:
    tags = {tag["key"]: tag["value"] for tag in row["tags"]}
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
