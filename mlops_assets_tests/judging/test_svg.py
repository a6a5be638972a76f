import pytest

from mlops_assets.judging.svg import Plot, ticks


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 0.7, [0, 0.2, 0.4, 0.6]),
        (-0.034, 0.034, [-0.02, 0, 0.02]),
        (0.46, 0.83, [0.5, 0.6, 0.7, 0.8]),
    ],
)
def test_ticks_are_round_and_inside(low: float, high: float, found: list[float]) -> None:
    assert ticks(low, high, 5) == pytest.approx(found)


def test_a_point_of_the_data_has_its_place_in_the_frame() -> None:
    plot = Plot(200, 100, (0, 10), (0, 1), left=50, right=50, top=10, bottom=10, parts=[])
    assert (plot.px(0), plot.px(10)) == (50, 150)
    assert (plot.py(0), plot.py(1)) == (90, 10)


def test_bands_end_at_the_frame_and_words_are_escaped() -> None:
    plot = Plot(200, 100, (0, 10), (0, 1), left=50, right=50, top=10, bottom=10, parts=[])
    plot.band("margin", -5, 5)
    plot.text("a < b", 0, 0, "tick")
    svg = plot.render("x & y")
    assert 'x="50.0" y="10" width="50.0"' in svg
    assert "a &lt; b" in svg
    assert 'aria-label="x &amp; y"' in svg
