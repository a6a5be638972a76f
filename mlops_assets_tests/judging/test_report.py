from __future__ import annotations

import re
import shutil
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlops_assets.judging.evaluation import evaluate
from mlops_assets.judging.gate import judge
from mlops_assets.judging.report import render_report
from mlops_assets_tests.judging.data import GATE, World

if TYPE_CHECKING:
    from pathlib import Path

WORLD = World()
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking",
             "--disable-component-update", "--disable-sync"]  # fmt: skip


def page(proof: str | None = None, *, champion: bool = True, title: str = "Late arrivals") -> str:
    predictions = {
        "baseline": np.full(WORLD.labels.size, 0.25),
        "network": WORLD.noisy(0.5),
        "boosting": WORLD.noisy(0.3),
        **({"champion": WORLD.noisy(0.6)} if champion else {}),
    }
    slices = {"carrier": WORLD.carrier, "<origin>": np.where(np.arange(8000) % 3, "<JFK>", "EWR")}
    evaluation = evaluate(WORLD.labels, predictions, slices, GATE, holdout="2013-04")
    verdicts = judge(evaluation, GATE, proof)
    return render_report(
        evaluation,
        verdicts,
        WORLD.labels,
        predictions,
        title=title,
        facts={"Training set": "a1b2"},
    )


def test_the_page_shows_what_was_evaluated() -> None:
    html = page()
    evaluation_rows = f"{WORLD.labels.size:,}"
    for words in (
        "Late arrivals",
        evaluation_rows,
        "2013-04",
        "a1b2",
        "not worse than champion",
        "By carrier",
    ):
        assert words in html
    assert html.count("✓ passed") + html.count("✗ failed") == 5
    assert html.count("<svg") == 6  # difference, ROC, reliability, histogram, two slice columns


def test_the_banner_says_passed_or_refused_and_why() -> None:
    assert "Passed: boosting satisfies all 5 rules; it may replace the champion" in page()
    assert "it may become the first champion" in page(champion=False)
    refused = page(proof="example 3 gave 0.4")
    assert "Refused: boosting" in refused
    assert "example 3 gave 0.4" in refused


def test_without_a_champion_there_is_nothing_to_differ_from() -> None:
    assert "Challenger against champion" in page()
    assert "Challenger against champion" not in page(champion=False)


def test_the_page_needs_nothing_else_and_is_small() -> None:
    html = page()
    assert not re.findall(r"(?:src|href)=\"(?!data:)", html)
    assert "http" not in html
    assert len(html.encode()) < 300_000


def test_text_is_escaped() -> None:
    html = page(title="<script>alert(1)</script> $title")
    assert "<script>" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; $title" in html
    assert "By &lt;origin&gt;" in html


def test_the_pictures_are_well_formed_and_stay_inside_their_frame() -> None:
    for picture in re.findall(r"<svg.*?</svg>", page(), re.DOTALL):
        svg = ET.fromstring(picture)  # noqa: S314 -- our own
        width, height = (float(n) for n in svg.attrib["viewBox"].split()[2:])
        for dot in svg.iter("circle"):
            assert 0 <= float(dot.attrib["cx"]) <= width
            assert 0 <= float(dot.attrib["cy"]) <= height
        for text in svg.iter("text"):
            assert 0 <= float(text.get("x", 0)) <= width


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: the page is not opened")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
def test_the_page_opens_in_a_browser(tmp_path: Path, scheme: Any, width: int) -> None:
    from playwright.sync_api import sync_playwright

    file = tmp_path / "report.html"
    file.write_text(page(), "utf-8")
    said: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.goto(file.as_uri())
        drawn = tab.locator("svg").count()
        overflow = tab.evaluate("document.documentElement.scrollWidth")
        ink, paper = (
            tab.evaluate(f"getComputedStyle(document.body).{style}") for style in ("color", "backgroundColor")
        )
        browser.close()
    assert said == []
    assert drawn == 6
    assert overflow <= width
    brightness = [sum(int(n) for n in re.findall(r"\d+", colour)[:3]) for colour in (ink, paper)]
    assert (brightness[0] > brightness[1]) == (scheme == "dark")
