"""Only one piece of code moves the alias, atomically, and the log says who was replaced."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from mlops_assets.lifecycle.champion import RollbackError, promote, retire, rollback

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_assets.resources.promotions import PromotionLog
    from mlops_assets.resources.registry import Registry, Version

    Register = Callable[[str], Version]

EVIDENCE = {"scores": {"network": {"roc_auc": 0.7}}}


def test_a_promotion_moves_the_alias_and_is_logged(
    promotion_log: PromotionLog, registry: Registry, register: Register, project_name: str
) -> None:
    first, second = register(project_name), register(project_name)
    assert registry.champion(project_name) is None
    assert promote(promotion_log, registry, first, "promotion", EVIDENCE, "run-1") is None
    assert promote(promotion_log, registry, second, "promotion", EVIDENCE, "run-2") == "1"
    champion = registry.champion(project_name)
    assert champion is not None
    assert champion.number == "2"
    newest, oldest = promotion_log.entries(project_name)
    assert (newest.version, newest.replaced, newest.kind, newest.dagster_run) == (
        "2", "1", "promotion", "run-2",
    )  # fmt: skip
    assert (oldest.version, oldest.replaced, oldest.evidence) == ("1", None, EVIDENCE)


def test_promoting_the_champion_again_changes_nothing(
    promotion_log: PromotionLog, registry: Registry, register: Register, project_name: str
) -> None:
    version = register(project_name)
    for _ in range(3):
        promote(promotion_log, registry, version, "promotion", EVIDENCE, "run")
    assert len(list(promotion_log.entries(project_name))) == 1


def test_rollback_goes_back_one_each_time_and_then_says_that_it_cannot(
    promotion_log: PromotionLog, registry: Registry, register: Register, project_name: str
) -> None:
    for _ in range(3):
        promote(promotion_log, registry, register(project_name), "promotion", EVIDENCE, "run")
    assert rollback(promotion_log, registry, project_name).version == "2"
    assert rollback(promotion_log, registry, project_name).version == "1"
    with pytest.raises(RollbackError, match="no former champion"):
        rollback(promotion_log, registry, project_name)
    champion = registry.champion(project_name)
    assert champion is not None
    assert champion.number == "1"


def test_rollback_without_a_champion_says_so(
    promotion_log: PromotionLog, registry: Registry, project_name: str
) -> None:
    with pytest.raises(RollbackError, match="no champion yet"):
        rollback(promotion_log, registry, project_name)


def test_a_retired_champion_is_none_and_no_rollback_returns_to_it(
    promotion_log: PromotionLog, registry: Registry, register: Register, project_name: str
) -> None:
    with pytest.raises(RollbackError, match="nothing to retire"):
        retire(promotion_log, registry, project_name)
    promote(promotion_log, registry, register(project_name), "promotion", EVIDENCE, "run-1")
    entry = retire(promotion_log, registry, project_name)
    assert (entry.kind, entry.version) == ("retirement", "1")
    assert registry.champion(project_name) is None
    assert promote(promotion_log, registry, register(project_name), "promotion", EVIDENCE, "run-2") is None
    with pytest.raises(RollbackError, match="no former champion"):
        rollback(promotion_log, registry, project_name)


def test_an_alias_moved_without_a_row_is_put_into_the_log(
    promotion_log: PromotionLog, registry: Registry, register: Register, project_name: str
) -> None:
    """As after a death between the alias's move and the row's commit."""
    first, second, third = register(project_name), register(project_name), register(project_name)
    promote(promotion_log, registry, first, "promotion", EVIDENCE, "run-1")
    registry.point_champion(project_name, second.number)
    promote(promotion_log, registry, third, "promotion", EVIDENCE, "run-3")
    assert [(e.version, e.replaced, e.kind) for e in promotion_log.entries(project_name)] == [
        ("3", "2", "promotion"),
        ("2", "1", "repair"),
        ("1", None, "promotion"),
    ]


def test_a_failed_move_leaves_no_row(
    promotion_log: PromotionLog, registry: Registry, register: Register, project_name: str
) -> None:
    from dataclasses import replace

    from mlflow.exceptions import MlflowException

    absent = replace(register(project_name), number="99")
    with pytest.raises(MlflowException):
        promote(promotion_log, registry, absent, "promotion", EVIDENCE, "run")
    assert list(promotion_log.entries(project_name)) == []


def test_promotions_at_once_are_one_after_another(
    promotion_log: PromotionLog, registry: Registry, register: Register, project_name: str
) -> None:
    versions = [register(project_name) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda v: promote(promotion_log, registry, v, "promotion", EVIDENCE, None), versions))
    entries = list(promotion_log.entries(project_name))
    champion = registry.champion(project_name)
    assert champion is not None
    assert champion.number == entries[0].version
    assert [e.replaced for e in entries] == [*(e.version for e in entries[1:]), None]


def test_the_same_model_is_registered_once(registry: Registry, register: Register, project_name: str) -> None:
    version = register(project_name)
    again = registry.register(project_name, version.model_uri, "", {})
    assert again.number == version.number
