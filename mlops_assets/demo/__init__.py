"""``mlops demo``: real flights become a served model, and the loop repairs it under live traffic."""

from mlops_assets.demo.director import DemoError, run_demo

__all__ = ["DemoError", "run_demo"]
