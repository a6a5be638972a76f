"""``mlops demo``: real flights become a served model, and the loop repairs it under live traffic."""

from mlops_assets.demo.director import run_demo
from mlops_assets.demo.errors import DemoError

__all__ = ["DemoError", "run_demo"]
