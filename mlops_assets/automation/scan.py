"""A pass over all objects below a project's prefix, in as many ticks as it takes.

Each page is compared with the ledger, not with a time or a last key: an object written in the same
second as another, out of order, or while a tick was under way is a difference like any other, in
this pass or in the next. Where a pass was left is the store's own continuation.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from mlops_assets.automation.ledger import version_id_of
from mlops_assets.automation.listing import BadContinuation, list_page
from mlops_assets.automation.recording import Recording, Seen

if TYPE_CHECKING:
    from collections.abc import Collection

HEAD_THREADS = 8
MAX_GONE = 2000
"""Deleted objects that one hunt makes sure of; the next hunt takes the rest."""


@dataclass(frozen=True)
class Position:
    """Where a pass is: the continuation (None at the start), and how many objects it has met.

    ``hunt``: the pass looks for what was deleted.
    """

    after: str | None = None
    met: int = 0
    hunt: bool = False


@dataclass
class Memory:
    """What this process remembers of the pages it saw, so that the same page need not be compared again.

    ``known``: digest -> objects, of pages that were equal to the ledger in the last pass; ``passing``:
    those of the pass under way. ``hunted``: the keys met by a hunt under way, None if it did not begin
    in this process. ``vain``: (objects in the ledger, objects met) when a hunt found nothing deleted.
    """

    generation: int = -1
    count: int = 0
    known: dict[bytes, int] = field(default_factory=dict)
    passing: dict[bytes, int] = field(default_factory=dict)
    hunted: set[str] | None = None
    vain: tuple[int, int] | None = None


@dataclass
class Scan:
    """Goes on with a pass from ``position`` until it ends or time is up."""

    client: Any
    bucket: str
    prefix: str
    recording: Recording
    memory: Memory
    news: int = 0
    gone: int = 0

    def go_on(self, position: Position, seconds: float) -> Position:
        """The position where the next tick goes on. Raises ``ClientError`` when the store does not answer."""
        deadline = time.monotonic() + seconds
        self._trust_memory()
        while True:
            if position.after is None:
                self.memory.passing = {}
                self.memory.hunted = set() if position.hunt else None
            try:
                page = list_page(self.client, self.bucket, self.prefix, position.after)
            except BadContinuation:
                position = Position(hunt=position.hunt)
                continue
            digest = page.digest
            met = None if position.hunt else self.memory.known.get(digest)
            if met is None:
                met, settled = self._compare(page.etags())
            else:
                settled = True
            if settled:
                self.memory.passing[digest] = met
            position = replace(position, after=page.after, met=position.met + met)
            if page.after is None:
                return self._end_pass(position)
            if time.monotonic() > deadline:
                return position

    def _trust_memory(self) -> None:
        """Forget everything if another process changed the ledger since."""
        generation = self.recording.generation()
        if generation != self.memory.generation:
            self.memory.known, self.memory.passing, self.memory.vain = {}, {}, None
            self._remember_generation(generation)

    def _remember_generation(self, generation: int) -> None:
        self.memory.generation, self.memory.count = generation, self.recording.count()

    def _compare(self, etags: dict[str, str]) -> tuple[int, bool]:
        """Record a page's news: how many of its objects are there, and whether the ledger now equals it."""
        if self.memory.hunted is not None:
            self.memory.hunted.update(etags)
        known = self.recording.etags(etags)
        changed = [key for key, etag in etags.items() if known.get(key) != etag]
        if not changed:
            return len(etags), True
        heads = self._heads(changed)
        self.news += self.recording.record(heads)
        self._remember_generation(self.recording.generation())
        # Objects may be overwritten or deleted between listing and asking: then the page is looked at again.
        settled = {seen.key: seen.etag for seen in heads} == {key: etags[key] for key in changed}
        return len(etags) - len(changed) + len(heads), settled

    def _heads(self, keys: Collection[str]) -> list[Seen]:
        """The store's newest versions of ``keys``, without those that are gone."""
        if len(keys) == 1:
            return [seen for key in keys if (seen := self._head(key))]
        with ThreadPoolExecutor(HEAD_THREADS) as threads:
            return [seen for seen in threads.map(self._head, keys) if seen]

    def _head(self, key: str) -> Seen | None:
        try:
            head = self.client.head_object(Bucket=self.bucket, Key=key)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return None
            raise
        etag = head["ETag"].strip('"')
        return Seen(key, version_id_of(head), etag, head["ContentLength"], head["LastModified"])

    def _end_pass(self, position: Position) -> Position:
        """Close the pass; the next one hunts if the ledger holds other objects than were met."""
        self.memory.known, self.memory.passing = self.memory.passing, {}
        if self.memory.hunted is not None:
            self._forget_deleted(self.memory.hunted)
            self.memory.hunted = None
            self.memory.vain = (self.memory.count, position.met)
            return Position()
        counts = (self.memory.count, position.met)
        return Position(hunt=counts[0] != counts[1] and counts != self.memory.vain)

    def _forget_deleted(self, met: set[str]) -> None:
        """Mark what the store says it has no more. A listing alone is not trusted with that."""
        missing = sorted(self.recording.keys() - met)[:MAX_GONE]
        there = {seen.key for seen in self._heads(missing)} if missing else set()
        gone = [key for key in missing if key not in there]
        if gone:
            self.recording.forget(gone)
            self.gone += len(gone)
            self._remember_generation(self.recording.generation())
