"""A story as a showing would bring it, in small: noticed in April, repaired in May, calm in June."""

from __future__ import annotations

from mlops_assets.demo.story import (
    AlertSpan,
    Estimate,
    Month,
    Promotion,
    Real,
    Seen,
    Sent,
    Story,
    Training,
    Verdict,
)

BEGAN = 1_800_000_000.0
MONTH = 30.0
SWAP = BEGAN + 50
DRIFT = "check/flight_delays/drift:feature_drift"


def verdict(after: float, *, passed: bool, champion: str, check: str = "feature_drift") -> Verdict:
    return Verdict(BEGAN + after, check, passed, champion, "5 of 19 columns", "3 of 19 columns")


def story() -> Story:
    months = [Month(f"2013-0{4 + n}", BEGAN + n * MONTH, BEGAN + (n + 1) * MONTH) for n in range(3)]
    return Story(
        months=months,
        labels={"2013-04": BEGAN + MONTH, "2013-05": BEGAN + 2 * MONTH},
        sent=[Sent(int(BEGAN) + s, "1" if BEGAN + s < SWAP else "2", 900) for s in range(int(3 * MONTH))],
        requests=5000,
        seen=Seen(
            verdicts=[
                verdict(12, passed=False, champion="1"),
                verdict(22, passed=False, champion="1"),
                verdict(55, passed=True, champion="2"),
            ],
            alerts=[AlertSpan(1, "drift", "warning", BEGAN + 12, DRIFT, "5 of 19", BEGAN + 57)],
            trainings=[Training(BEGAN + 35, "drift", "it drifts", "run-1", BEGAN + 52, "version 2 is it")],
            promotions=[
                Promotion(BEGAN - 10, "1", "promotion", None, "2013-03", 0.705, 0.67, 0.74),
                Promotion(SWAP - 1, "2", "promotion", "1", "2013-04", 0.654, 0.62, 0.69),
            ],
            estimates=[Estimate(BEGAN + 12, "1", 0.69), Estimate(BEGAN + 55, "2", 0.68)],
            real=[Real("2013-04", "1", 27000, 0.64, 0.62, 0.66, 0.705, 0.69)],
        ),
    )
