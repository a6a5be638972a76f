"""Two nodes train as one process does; the loss of one is told from an error of the code."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mlops_assets.families import NodeLostError, Nodes
from mlops_assets_tests.families.checkpoints import Kept
from mlops_assets_tests.families.data import encoded
from mlops_assets_tests.families.nodes import SECOND, kill, two_nodes
from mlops_assets_tests.families.test_network_processes import EXACTLY, ONE, curve

if TYPE_CHECKING:
    from collections.abc import Mapping

FIVE = replace(ONE, max_epochs=5, patience=5)


def test_two_nodes_give_the_loss_curve_of_one_process_though_one_is_killed_midway() -> None:
    examples, _ = encoded()
    kept = Kept()
    told: list[int] = []
    with two_nodes() as (nodes, second):

        def progress(epoch: int, _: Mapping[str, float]) -> None:
            told.append(epoch)
            if epoch == 2:
                kill(second)

        with pytest.raises(NodeLostError, match=f"lost node {SECOND} while training"):
            FIVE.fit(examples, progress, kept, nodes)
    with two_nodes() as (nodes, second):
        fitted = FIVE.fit(examples, lambda epoch, _: told.append(epoch), kept, nodes)
        assert second.wait(30) == 0
    assert fitted.summary["nodes"] == fitted.summary["processes"] == 2
    assert fitted.summary["resumed_at_epoch"] >= 1
    assert set(told) == {1, 2, 3, 4, 5}
    np.testing.assert_allclose(curve(fitted), curve(FIVE.fit(examples, lambda *_: None)), rtol=EXACTLY)


def test_an_error_of_the_code_is_one_on_several_nodes_too() -> None:
    examples, _ = encoded()
    x = examples.x.copy()
    x[:, 0] = np.inf
    with (
        two_nodes() as (nodes, second),
        np.errstate(invalid="ignore"),
        pytest.raises(RuntimeError, match="no epoch gave a finite validation loss") as raised,
    ):
        replace(ONE, max_epochs=1).fit(replace(examples, x=x), lambda *_: None, nodes=nodes)
    assert not isinstance(raised.value, NodeLostError)
    assert f"node {SECOND} said:" in str(raised.value)
    assert second.returncode == 0


def test_a_node_that_does_not_come_is_waited_for_only_so_long() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nodes = Nodes(2, listener.fileno(), patience=0.2)
        with pytest.raises(NodeLostError, match="1 of 2 nodes are here"):
            ONE.fit(encoded()[0], lambda *_: None, nodes=nodes)
