"""Gradient-boosted trees (scikit-learn), stored as ONNX."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from mlops_assets.bundle import INPUT, OUTPUT
from mlops_assets.families import Examples, Fitted, Progress
from mlops_assets.families.encoding import forget_some, split_in_time

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

_REPORT_EVERY = 10


@dataclass(frozen=True)
class Boosting:
    """Histogram gradient boosting that stops when the last rows in time get no better.

    ``max_features``: share of the columns tried at each split, which makes trees differ and keeps
    the season from ruling them. ``unknown_share``: of codes hidden in training (``forget_some``).
    ``threads``: more than one make OpenMP's threads spin while they wait for each other; where other
    processes want the same cores, as on the embedded platform, that is slower, and by far.
    """

    name: str = "boosting"
    learning_rate: float = 0.05
    max_stages: int = 150
    max_leaves: int = 31
    min_leaf_rows: int = 200
    l2: float = 5.0
    max_features: float = 0.3
    patience: int = 20
    validation_share: float = 0.1
    unknown_share: float = 0.01
    seed: int = 0
    threads: int = 1

    kinds: ClassVar[frozenset[str]] = frozenset({"scikitlearn"})

    def fit(self, examples: Examples, progress: Progress) -> Fitted:
        """Fit on all but the last ``validation_share`` of the rows; stop early by those."""
        from threadpoolctl import threadpool_limits

        started = time.monotonic()
        x = forget_some(examples, self.unknown_share, self.seed)
        split = split_in_time(len(x), self.validation_share)
        model = self._model()
        with threadpool_limits(self.threads, user_api="openmp"):
            model.fit(x[:split], examples.y[:split], X_val=examples.x[split:], y_val=examples.y[split:])
        history = _history(model)
        for stage in range(_REPORT_EVERY, len(history) + 1, _REPORT_EVERY):
            progress(stage, history[stage - 1])
        summary = {
            "stages": int(model.n_iter_),
            "validation_loss": history[-1]["validation_loss"],
            "seconds": round(time.monotonic() - started, 3),
            "device": "cpu",
        }
        return Fitted(to_onnx(model, x.shape[1]), asdict(self), history, summary)

    def _model(self) -> HistGradientBoostingClassifier:
        from sklearn.ensemble import HistGradientBoostingClassifier

        return HistGradientBoostingClassifier(
            learning_rate=self.learning_rate,
            max_iter=self.max_stages,
            max_leaf_nodes=self.max_leaves,
            min_samples_leaf=self.min_leaf_rows,
            l2_regularization=self.l2,
            max_features=self.max_features,
            early_stopping=True,
            scoring="loss",
            n_iter_no_change=self.patience,
            tol=0.0,
            random_state=self.seed,
        )


def _history(model: HistGradientBoostingClassifier) -> tuple[dict[str, float], ...]:
    scores = zip(model.train_score_[1:], model.validation_score_[1:], strict=True)
    return tuple({"train_loss": -float(train), "validation_loss": -float(held)} for train, held in scores)


def to_onnx(model: Any, width: int) -> bytes:
    """A fitted classifier of ``width`` columns as a graph from ``X`` to ``probability`` of label 1."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from skl2onnx import to_onnx as convert

    sample = np.zeros((1, width), dtype=np.float32)
    graph_model = convert(model, sample, options={"zipmap": False})
    graph = graph_model.graph
    given, both = graph.input[0].name, graph.output[1].name
    if given != INPUT:
        raise ValueError(f"skl2onnx names the graph's input {given!r}, not {INPUT!r}: pin another version")
    graph.initializer.append(numpy_helper.from_array(np.array(1, dtype=np.int64), "late_column"))
    graph.node.append(helper.make_node("Gather", [both, "late_column"], [OUTPUT], axis=1))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None]))
    onnx.checker.check_model(graph_model)
    return bytes(graph_model.SerializeToString())
