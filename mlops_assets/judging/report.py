"""The evaluation report: one HTML page that needs nothing else, for light and dark screens and print."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

from mlops_assets.judging.charts import (
    difference_chart,
    reliability_chart,
    roc_chart,
    role,
    slices_chart,
)
from mlops_assets.judging.evaluation import BASELINE, CHAMPION
from mlops_assets.judging.plots import loss_curve_png, render_plots
from mlops_assets.judging.resampling import Estimate
from mlops_assets.judging.statistics import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import ArrayLike

    from mlops_assets.judging.evaluation import Evaluation
    from mlops_assets.judging.gate import Verdict
    from mlops_assets.judging.metrics import Score

__all__ = ["loss_curve_png", "render_plots", "render_report"]

_NAMES = dict(zip(METRICS, ("ROC AUC", "Log loss", "Brier score", "Calibration error"), strict=True))


def render_report(  # noqa: PLR0913 -- what the page shows
    evaluation: Evaluation,
    verdicts: Sequence[Verdict],
    labels: ArrayLike,
    predictions: Mapping[str, ArrayLike],
    *,
    title: str,
    facts: Mapping[str, str] | None = None,
) -> str:
    """The page: verdict, scores, challenger against champion, ROC, reliability, slices.

    ``verdicts`` are the gate's on ``evaluation``, ``labels`` and ``predictions`` those that were
    evaluated; ``facts`` are shown below the title. All text is escaped.
    """
    sections = [
        _banner(evaluation, verdicts),
        _gate_table(verdicts),
        _scores(evaluation),
        _difference(evaluation, verdicts),
        _curves(evaluation, labels, predictions),
        _slices(evaluation),
    ]
    page = Template(files("mlops_assets.judging").joinpath("report.html").read_text("utf-8"))
    return page.substitute(
        title=escape(title),
        facts=_facts(evaluation, facts or {}),
        sections="\n".join(part for part in sections if part),
    )


def _facts(evaluation: Evaluation, more: Mapping[str, str]) -> str:
    facts = {
        "Held-out rows": f"{evaluation.rows:,}",
        "Positive": f"{evaluation.positives / evaluation.rows:.1%}",
        **({"Held out": evaluation.holdout} if evaluation.holdout else {}),
        "Intervals": f"{evaluation.resampling.confidence:.0%}, {evaluation.resampling.rounds} resamples "
        f"of {evaluation.resampled}",
        **more,
    }
    return "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in facts.items())


def _banner(evaluation: Evaluation, verdicts: Sequence[Verdict]) -> str:
    failed = [v for v in verdicts if not v.passed]
    if not verdicts or failed:
        count = f"{len(failed)} of {len(verdicts)} rules refused it" if verdicts else "no rule was applied"
        why = " ".join(v.explanation for v in failed)
        return (
            f'<section class="banner refused">Refused: {escape(evaluation.challenger)}, the best candidate, '
            f"stays a candidate ({count})<small>{escape(why)}</small></section>"
        )
    against = "it may replace the champion" if evaluation.incumbent else "it may become the first champion"
    auc = evaluation.score.roc_auc
    return (
        f'<section class="banner">Passed: {escape(evaluation.challenger)} satisfies all {len(verdicts)} rules'
        f"; {against}<small>ROC AUC {auc.value:.3f} [{auc.low:.3f}, {auc.high:.3f}] on rows it has not seen"
        "</small></section>"
    )


def _gate_table(verdicts: Sequence[Verdict]) -> str:
    rows = "".join(
        f'<tr><td><span class="mark {"yes" if v.passed else "no"}">{"✓ passed" if v.passed else "✗ failed"}'
        f'</span></td><td class="rule">{escape(v.name.replace("_", " "))}</td><td>{escape(v.observed)}</td>'
        f"<td>{escape(v.allowed)}</td><td>{escape(v.explanation)}</td></tr>"
        for v in verdicts
    )
    return (
        '<section><h2>Gate</h2><div class="scroll"><table class="gate"><thead><tr><th></th><th>Rule</th>'
        f"<th>Seen</th><th>Allowed</th><th>In words</th></tr></thead><tbody>{rows}</tbody></table></div>"
        "</section>"
    )


def _scores(evaluation: Evaluation) -> str:
    head = "".join(f"<th>{name}</th>" for name in _NAMES.values())
    order = sorted(
        evaluation.scores, key=lambda n: (n == BASELINE, n == CHAMPION, n != evaluation.challenger)
    )
    body = "".join(_score_row(evaluation, name, evaluation.scores[name]) for name in order)
    unscored = "".join(
        f'<p class="note"><b>{escape(name)}</b> has no score: {escape(why)}</p>'
        for name, why in evaluation.unscored.items()
    )
    return (
        f'<section><h2>Scores</h2><div class="scroll"><table><thead><tr><th>Model</th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>{unscored}"
        '<p class="note">Higher is better for ROC AUC, lower for the others; the best figure of each column '
        "is bold. The baseline answers every row with the positive rate of the training set. The challenger "
        "is the candidate with the lowest log loss.</p></section>"
    )


def _score_row(evaluation: Evaluation, name: str, score: Score) -> str:
    cells = []
    for metric in METRICS:
        one: Estimate = getattr(score, metric)
        values = [getattr(s, metric).value for s in evaluation.scores.values()]
        best = one.value == (max(values) if metric == "roc_auc" else min(values))
        cells.append(
            f'<td class="number"><span class="{"best" if best else ""}">{one.value:.4f}</span>'
            f"<small>{one.low:.4f} to {one.high:.4f}</small></td>"
        )
    return f"<tr><td>{_key(evaluation, name)}</td>{''.join(cells)}</tr>"


def _difference(evaluation: Evaluation, verdicts: Sequence[Verdict]) -> str:
    difference = evaluation.versus_champion
    limits = next((v.figures for v in verdicts if v.name == "not_worse_than_champion"), None)
    if difference is None or limits is None:
        return ""
    rows = [
        ("ROC AUC", difference.roc_auc),
        ("Log loss", _turned(difference.log_loss)),
        ("Brier score", _turned(difference.brier)),
    ]
    chart = difference_chart(rows, limits["noise_margin"], limits["max_possible_loss"])
    return (
        f'<section><h2>Challenger against champion</h2><div class="scroll">{chart}</div>'
        '<p class="note">Paired differences on the same resamples, turned so that right is better. Refused '
        "when an interval lies wholly left of the grey band (worse beyond the noise) or reaches left of the "
        "red line (too uncertain). ROC AUC and log loss decide.</p></section>"
    )


def _turned(one: Estimate) -> Estimate:
    return Estimate(-one.value, -one.high, -one.low)


def _curves(evaluation: Evaluation, labels: ArrayLike, predictions: Mapping[str, ArrayLike]) -> str:
    legend = _legend(evaluation, evaluation.scores)
    return (
        f"<section><h2>Ranking and calibration</h2>{legend}"
        f'<div class="two"><div><h3>ROC curve</h3>{roc_chart(evaluation, labels, predictions)}</div>'
        f"<div><h3>Reliability: is 30% seen 30% of the time?</h3>"
        f"{reliability_chart(evaluation, labels, predictions)}</div></div></section>"
    )


def _slices(evaluation: Evaluation) -> str:
    if not evaluation.slice_columns:
        return ""
    present = {s.column for s in evaluation.slices}
    charts = "".join(
        f"<div><h3>By {escape(column)}</h3>{slices_chart(evaluation, column)}</div>"
        for column in evaluation.slice_columns
        if column in present
    )
    skipped = "; ".join(f"{s.column} {s.value} ({s.reason})" for s in evaluation.skipped)
    note = f'<p class="note">Not judged: {escape(skipped)}.</p>' if skipped else ""
    shown = [evaluation.challenger, *([CHAMPION] if evaluation.versus_champion else [])]
    return (
        f'<section><h2>Slices</h2>{_legend(evaluation, shown)}<div class="two">{charts}</div>'
        '<p class="note">ROC AUC within each slice, with the number of its rows. Dashed: chance; solid: the '
        f"challenger on all rows.</p>{note}</section>"
    )


def _legend(evaluation: Evaluation, names: Iterable[str]) -> str:
    return f'<div class="legend">{"".join(f"<span>{_key(evaluation, name)}</span>" for name in names)}</div>'


def _key(evaluation: Evaluation, name: str) -> str:
    note = ' <span class="soft">challenger</span>' if name == evaluation.challenger else ""
    return f'<span class="key {role(evaluation, name)}"></span>{escape(name)}{note}'
