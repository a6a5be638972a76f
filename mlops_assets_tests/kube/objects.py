"""What the cluster holds: objects as the API gives them, their owners, and what their deletion does."""

from __future__ import annotations

import copy
import re
import secrets
import string
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Iterator

Object = dict[str, Any]
KINDS = {
    "jobs": ("batch/v1", "Job"),
    "pods": ("v1", "Pod"),
    "events": ("v1", "Event"),
    "services": ("v1", "Service"),
    "configmaps": ("v1", "ConfigMap"),
    "secrets": ("v1", "Secret"),
    "nodes": ("v1", "Node"),
    "namespaces": ("v1", "Namespace"),
}
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")
_SELECTOR = re.compile(
    r"\s*(!?)([\w./-]+)\s*(?:(==|=|!=|\bin\b|\bnotin\b)\s*(\([^)]*\)|[\w./-]*))?\s*(?:,|$)"
)


class RefusedError(Exception):
    """The API's answer to a request that it does not fulfil."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


def now(ahead: float = 0.0) -> str:
    """The time in ``ahead`` seconds as the API writes it: in whole seconds."""
    return (datetime.now(UTC) + timedelta(seconds=ahead)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Objects:
    """Objects by kind (plural), namespace and name. ``held``: take it to read or change more than one."""

    def __init__(self) -> None:
        self._changes = threading.Condition(threading.RLock())
        self._objects: dict[tuple[str, str, str], Object] = {}
        self._version = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else reads or changes anything meanwhile."""
        with self._changes:
            yield

    def wait(self, seconds: float) -> None:
        """Until something was made or deleted, ``seconds`` at most."""
        with self._changes:
            self._changes.wait(seconds)

    def wake(self) -> None:
        """End every ``wait`` now."""
        with self._changes:
            self._changes.notify_all()

    def create(self, kind: str, namespace: str, body: Object) -> Object:
        """Keep ``body`` with what the API adds; ``RefusedError`` if the name is taken or no name."""
        version, name_of_kind = KINDS[kind]
        made = copy.deepcopy(body) | {"apiVersion": version, "kind": name_of_kind}
        meta = made.setdefault("metadata", {})
        if "name" not in meta and "generateName" in meta:
            meta["name"] = meta["generateName"] + suffix()
        name = meta.get("name", "")
        if not _NAME.fullmatch(name):
            raise RefusedError(422, "Invalid", f'{_title(kind)} "{name}" is invalid: metadata.name')
        with self._changes:
            if (kind, namespace, name) in self._objects:
                raise RefusedError(409, "AlreadyExists", f'{_title(kind)} "{name}" already exists')
            meta |= {"namespace": namespace, "uid": str(uuid4()), "creationTimestamp": now()}
            self._objects[kind, namespace, name] = made
            self.touch(made)
        return made

    def get(self, kind: str, namespace: str, name: str) -> Object:
        """The object itself; ``RefusedError`` if there is none."""
        found = self._objects.get((kind, namespace, name))
        if found is None:
            raise RefusedError(404, "NotFound", f'{_title(kind)} "{name}" not found')
        return found

    def find(
        self, kind: str, namespace: str | None = None, labels: str = "", fields: str = ""
    ) -> list[Object]:
        """The objects themselves, oldest first, that both selectors match."""
        with self._changes:
            return [
                held
                for (held_kind, held_namespace, _), held in self._objects.items()
                if held_kind == kind
                and namespace in (None, held_namespace)
                and selects(labels, held["metadata"].get("labels") or {})
                and _fields_match(fields, held)
            ]

    def touch(self, changed: Object) -> None:
        """Tell that ``changed`` has changed."""
        with self._changes:
            self._version += 1
            changed["metadata"]["resourceVersion"] = str(self._version)
            self._changes.notify_all()

    def delete(
        self, kind: str, namespace: str, name: str, *, propagation: str = "", grace: float | None = None
    ) -> Object:
        """Begin or do what a DELETE asks for; the object as it then is.

        A pod goes when its process has ended. A Job goes at once, and leaves its pods behind unless
        ``propagation`` says otherwise: that is the API's default for Jobs, and for nothing else.
        """
        with self._changes:
            found = self.get(kind, namespace, name)
            if kind == "pods":
                default = found.get("spec", {}).get("terminationGracePeriodSeconds", 30)
                self._mark(found, default if grace is None else grace)
                return found
            propagation = propagation or ("Orphan" if kind == "jobs" else "Background")
            if propagation == "Orphan":
                self._orphan(found["metadata"]["uid"])
            if propagation == "Foreground":
                self._mark(found, 0)
            else:
                self.remove(found)
            return found

    def remove(self, gone: Object) -> None:
        """Forget the object at once."""
        meta = gone["metadata"]
        kind = next(plural for plural, (_, kind) in KINDS.items() if kind == gone["kind"])
        with self._changes:
            self._objects.pop((kind, meta["namespace"], meta["name"]), None)
            self._changes.notify_all()

    def collect(self) -> None:
        """The garbage collector: delete what all owners have left behind."""
        with self._changes:
            alive = {held["metadata"]["uid"] for held in self._objects.values()}
            for (kind, namespace, name), held in list(self._objects.items()):
                owners = {owner["uid"] for owner in held["metadata"].get("ownerReferences") or []}
                leaving = "deletionTimestamp" in held["metadata"]
                if owners and not owners & alive and not leaving:
                    self.delete(kind, namespace, name, propagation="Background")
                elif leaving and kind != "pods":
                    self._leave_last(held)

    def _leave_last(self, leaving: Object) -> None:
        """Foreground deletion: what an object owns goes first."""
        owned = [o for o in self._objects.values() if _owns(leaving["metadata"]["uid"], o)]
        for each in owned:
            meta = each["metadata"]
            if "deletionTimestamp" not in meta:
                plural = "pods" if each["kind"] == "Pod" else "jobs"
                self.delete(plural, meta["namespace"], meta["name"], propagation="Background")
        if not owned:
            self.remove(leaving)

    def _mark(self, leaving: Object, grace: float) -> None:
        meta = leaving["metadata"]
        if "deletionTimestamp" not in meta or grace < meta["deletionGracePeriodSeconds"]:
            meta |= {"deletionTimestamp": now(grace), "deletionGracePeriodSeconds": grace}
            self.touch(leaving)

    def _orphan(self, owner: str) -> None:
        for held in self._objects.values():
            if _owns(owner, held):
                references = held["metadata"]["ownerReferences"]
                held["metadata"]["ownerReferences"] = [r for r in references if r["uid"] != owner]


def suffix() -> str:
    """Five characters, as the API appends them to generated names."""
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(5))


def selects(selector: str, labels: dict[str, str]) -> bool:
    """Whether a label selector (``a=b,c!=d,e in (f,g),!h``) matches."""
    return all(_matches(found, labels) for found in _SELECTOR.finditer(selector) if found.group(2))


def _matches(found: re.Match[str], labels: dict[str, str]) -> bool:
    negated, key, operator, value = found.groups()
    if operator is None:
        return (key in labels) != bool(negated)
    wanted = [each.strip() for each in value.strip("()").split(",")]
    return (labels.get(key) in wanted) == (operator in ("=", "==", "in"))


def _fields_match(selector: str, held: Object) -> bool:
    for term in filter(None, selector.split(",")):
        path, _, wanted = term.partition("=")
        value: Any = held
        for part in path.rstrip("!").split("."):
            value = (value or {}).get(part)
        if (str(value or "") == wanted.lstrip("=")) == path.endswith("!"):
            return False
    return True


def _owns(owner: str, held: Object) -> bool:
    return any(reference["uid"] == owner for reference in held["metadata"].get("ownerReferences") or [])


def _title(kind: str) -> str:
    return "jobs.batch" if kind == "jobs" else kind
