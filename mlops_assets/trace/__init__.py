"""From an answer back to the rows, code and runs that it came from: ``mlops trace``."""

from mlops_assets.trace.answer import TraceError
from mlops_assets.trace.gather import follow
from mlops_assets.trace.parts import Trace, as_json_text
from mlops_assets.trace.show import tree

__all__ = ["Trace", "TraceError", "as_json_text", "follow", "tree"]
