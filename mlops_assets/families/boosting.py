"""Gradient-boosted trees (scikit-learn), stored as ONNX."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from mlops_assets.bundle import INPUT, OUTPUT
from mlops_assets.families import (
    NO_CHECKPOINTS,
    ONE_NODE,
    Checkpoints,
    Examples,
    Fitted,
    Nodes,
    Progress,
)
from mlops_assets.families.encoding import forget_some

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

_REPORT_EVERY = 10


@dataclass(frozen=True)
class Boosting:
    """Histogram gradient boosting, of a fixed number of stages on all rows.

    It does not stop early: stopping by the last rows in time, one week or two of weather, stops too
    early, and costs those rows, the ones most like what comes next (flight delays: mean AUC on the
    next month .706 instead of .711).

    ``max_features``: share of the columns tried at each split, which makes the trees differ.
    ``unknown_share``: of codes hidden in training (``forget_some``). ``threads``: more than one make
    OpenMP's threads spin while they wait for each other; where other processes want the same cores,
    as on the embedded platform, that was seen to be slower by 20 times.
    """

    name: str = "boosting"
    learning_rate: float = 0.05
    stages: int = 150
    max_leaves: int = 31
    min_leaf_rows: int = 200
    l2: float = 5.0
    max_features: float = 0.3
    unknown_share: float = 0.01
    seed: int = 0
    threads: int = 1

    kinds: ClassVar[frozenset[str]] = frozenset({"scikitlearn"})
    over_nodes: ClassVar[bool] = False

    def fit(
        self,
        examples: Examples,
        progress: Progress,
        checkpoints: Checkpoints = NO_CHECKPOINTS,
        nodes: Nodes = ONE_NODE,
    ) -> Fitted:
        """Fit on all rows. ``checkpoints`` and ``nodes`` are not used: starting over costs a few seconds."""
        del checkpoints, nodes
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        started = time.monotonic()
        x = forget_some(examples, self.unknown_share, self.seed)
        model = self._model()
        with threadpool_limits(self.threads, user_api="openmp"):
            model.fit(x, examples.y)
        history = tuple({"train_loss": -float(score)} for score in model.train_score_[1:])
        for stage in range(_REPORT_EVERY, len(history) + 1, _REPORT_EVERY):
            progress(stage, history[stage - 1])
        summary = {
            "stages": len(history),
            "train_loss": history[-1]["train_loss"],
            "seconds": round(time.monotonic() - started, 3),
            "device": "cpu",
        }
        return Fitted(to_onnx(model, x.shape[1]), asdict(self), history, summary)

    def _model(self) -> HistGradientBoostingClassifier:
        from sklearn.ensemble import HistGradientBoostingClassifier

        return HistGradientBoostingClassifier(
            learning_rate=self.learning_rate,
            max_iter=self.stages,
            max_leaf_nodes=self.max_leaves,
            min_samples_leaf=self.min_leaf_rows,
            l2_regularization=self.l2,
            max_features=self.max_features,
            # Early stopping on the training loss with more patience than stages never stops: it is
            # switched on because the loss of each stage is only recorded then.
            early_stopping=True,
            scoring="loss",
            validation_fraction=None,
            n_iter_no_change=self.stages + 1,
            random_state=self.seed,
        )


def to_onnx(model: Any, width: int) -> bytes:
    """A fitted classifier of ``width`` columns as a graph from ``X`` to ``probability`` of label 1."""
    import warnings

    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from skl2onnx import to_onnx as convert

    sample = np.zeros((1, width), dtype=np.float32)
    with warnings.catch_warnings():
        # skl2onnx hands booleans to onnx where integers are meant; onnx says so at each tree.
        warnings.simplefilter("ignore", DeprecationWarning)
        graph_model = convert(model, sample, options={"zipmap": False})
    graph = graph_model.graph
    given, both = graph.input[0].name, graph.output[1].name
    if given != INPUT:
        raise ValueError(f"skl2onnx names the graph's input {given!r}, not {INPUT!r}: pin another version")
    graph.initializer.append(numpy_helper.from_array(np.array(1, dtype=np.int64), "label_one"))
    graph.node.append(helper.make_node("Gather", [both, "label_one"], [OUTPUT], axis=1))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None]))
    onnx.checker.check_model(graph_model)
    return bytes(graph_model.SerializeToString())
