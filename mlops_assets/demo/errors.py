"""What a showing stops with."""


class DemoError(RuntimeError):
    """Something that the demo promises did not happen; the message says what, and where to look."""
