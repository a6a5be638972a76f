"""A trace as a tree for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text
from rich.tree import Tree

if TYPE_CHECKING:
    import datetime as dt

    from mlops_assets.trace.parts import FeaturePart, Link, ModelPart, PromotionPart, Trace, TrainingSetPart

MOST_ROWS = 5


def tree(trace: Trace, *, brief: bool = False) -> Tree:
    """The answer first, the raw object versions last. ``brief``: one row, and the last partition."""
    root = Tree(Text.assemble("request ", (trace.request_id, "bold"), f" to {trace.project}"))
    root.add(_answer(trace, 1 if brief else MOST_ROWS))
    for model in trace.models:
        root.add(_model(model, brief=brief))
    return root


def _answer(trace: Trace, most: int) -> Tree:
    first = trace.predictions[0]
    branch = Tree(Text.assemble(("answer", "bold cyan"), f" of {first['time']}, found in {trace.found_in}"))
    for row in trace.predictions[:most]:
        unknown = f", never seen before: {', '.join(row['unknown'])}" if row.get("unknown") else ""
        said = f"row {row['row']}: label {str(row['label']).lower()}, probability {row['probability']:.4f}"
        took = f"{row['latency_seconds'] * 1000:.1f} ms"
        leaf = branch.add(Text(f"{said}, version {row['version']}, {took}{unknown}"))
        leaf.add(Text(f"received {_fields(row['received'])}", "dim"))
        leaf.add(Text(f"used     {_fields(row['used'])}", "dim"))
    if len(trace.predictions) > most:
        branch.add(Text(f"and {len(trace.predictions) - most} rows more (--json has them)", "dim"))
    return branch


def _model(model: ModelPart, *, brief: bool) -> Tree:
    now = "the champion" if model.is_champion else "not the champion any more"
    branch = Tree(
        Text.assemble(("model", "bold cyan"), f" version {model.version}, {model.family}, now {now}")
    )
    scores = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in model.scores.items())
    branch.add(Text(f"on {model.held_out}, held out: {scores}"))
    branch.add(Text(f"registry {model.registry}"))
    branch.add(Text(f"MLflow   {model.mlflow_run}"))
    branch.add(_link("fitted", model.made_by))
    branch.add(_link("judged", model.judged_by))
    for promotion in model.promotions:
        branch.add(_promotion(promotion))
    branch.add(_training_set(model.training_set, brief=brief))
    return branch


def _promotion(promotion: PromotionPart) -> Tree:
    replaced = f"replaced version {promotion.replaced}" if promotion.replaced else "the first champion"
    branch = Tree(Text.assemble((promotion.kind, "bold cyan"), f" {_clock(promotion.at)}, {replaced}"))
    if promotion.cause:
        branch.add(Text.assemble("cause ", (promotion.cause, "bold"), f": {promotion.why}"))
    branch.add(_link("promoted", promotion.made_by))
    return branch


def _training_set(training_set: TrainingSetPart, *, brief: bool) -> Tree:
    branch = Tree(
        Text.assemble(("training set", "bold cyan"), f" {training_set.id}, {training_set.rows:,} rows")
    )
    branch.add(Text(f"rows     {training_set.address}"))
    branch.add(Text(f"manifest {training_set.manifest}"))
    branch.add(_link("frozen", training_set.made_by))
    hidden = len(training_set.features) - 1 if brief else 0
    if hidden:
        names = ", ".join(features.partition for features in training_set.features[:hidden])
        branch.add(Text(f"features of {names}: likewise (mlops trace shows all)", "dim"))
    for features in training_set.features[hidden:]:
        branch.add(_features(features))
    return branch


def _features(features: FeaturePart) -> Tree:
    role = ", held out: no training saw it" if features.held_out else ""
    branch = Tree(Text.assemble(("features", "bold cyan"), f" {features.partition}{role}"))
    branch.add(Text(f"rows {features.address}"))
    branch.add(_link("built", features.made_by))
    for one in features.objects:
        leaf = branch.add(Text.assemble((f"raw/{one.source}", "bold cyan"), f" {one.address}"))
        leaf.add(Text(f"ETag {one.etag}"))
        leaf.add(_link("read", one.read_by))
    return branch


def _link(what: str, link: Link) -> Text:
    at = f" {_clock(link.at)}" if link.at else ""
    code = f", code {link.code_version}" if link.code_version else ""
    return Text(f"{what}{at}{code}, {f'run {link.url}' if link.url else 'by no run'}")


def _fields(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {_short(value)}" for name, value in values.items() if value is not None)


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _clock(at: dt.datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}"
