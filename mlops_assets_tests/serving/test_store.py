"""The local store: whole copies or none, and what survives a crash."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from mlops_assets_tests.serving import toy
from serving.holder import Holder
from serving.store import KEPT, Copy, RegistryNote, Store

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path)
    made.prepare()
    return made


def copy(version: str, source: str = "models:/m-1#1") -> Copy:
    return Copy(version=version, source=source)


def test_a_copy_is_found_again_and_a_harmed_one_is_not(store: Store) -> None:
    kept = store.add(copy("1"), b"model")
    assert store.find(copy("1")) == kept
    assert store.model(kept).read_bytes() == b"model"
    store.model(kept).write_bytes(b"mode")
    assert store.find(copy("1")) is None
    assert store.find(copy("2")) is None


def test_equal_numbers_of_two_registries_are_two_copies(store: Store) -> None:
    store.add(copy("1"), b"old registry's")
    assert store.find(copy("1", "models:/m-2#1")) is None
    store.add(copy("1", "models:/m-2#1"), b"new registry's")
    assert store.model(copy("1")).read_bytes() == b"old registry's"


def test_a_note_that_a_crash_cut_short_counts_as_missing(store: Store) -> None:
    assert (store.current, store.wanted, store.registry) == (None, None, None)
    store.current = copy("1")
    store.registry = RegistryNote(up=True, at=1.0, champion="1")
    assert store.current == copy("1")
    (store.folder / "current.json").write_bytes(b'{"version": "1", "sou')
    assert store.current is None


def test_what_an_interrupted_download_left_is_cleared_away(store: Store) -> None:
    left = store.folder / "versions" / ".part-x"
    left.mkdir()
    (left / "model.onnx").write_bytes(b"half a mod")
    store.prepare()
    assert not left.exists()


def test_old_copies_go_and_those_in_use_stay(store: Store) -> None:
    copies = [store.add(copy(str(number)), b"model") for number in range(KEPT + 4)]
    for age, made in enumerate(reversed(copies)):
        when = time.time() - age
        os.utime(store.model(made).parent / "meta.json", (when, when))
    store.prune([copies[0], None])
    left = {made.version for made in copies if store.find(made)}
    assert left == {"0"} | {made.version for made in copies[-KEPT:]}


def test_a_refused_version_is_not_tried_again_until_the_alias_moves(store: Store) -> None:
    told: list[int] = []
    holder = Holder(store, toy.TOY, changed=lambda: told.append(1))
    good = store.add(copy("1"), toy.make_bundle(0.5))
    bad = store.add(copy("2"), toy.make_bundle(0.5, expected=[0.0] * 4))
    for wanted in (good, bad, bad):
        store.wanted = wanted
        holder.look()
    assert len(told) == 2  # once for each move, though it looked three times
    assert holder.current is not None
    assert holder.current.loaded.version == "1"
    assert [refusal.version for refusal in holder.status.refused] == ["2"]
    assert store.current == good
    store.wanted = good
    holder.look()
    assert holder.status.refused == []
    store.wanted = bad
    holder.look()
    assert [refusal.version for refusal in holder.status.refused] == ["2"]
    assert holder.current.loaded.version == "1"
