"""``python -m serving --project NAME``: serve the champion of one project."""

from __future__ import annotations

import logging
import os
import sys


def main() -> int:
    """Serve until told to stop; the process's exit status."""
    # Inside, since the model's process imports this module as well, and needs none of it.
    from serving.config import ConfigError, parse

    try:
        config = parse()
        from serving.serve import serve

        return serve(config)
    except ConfigError as error:
        print(f"python -m serving: {error}", file=sys.stderr)  # noqa: T201 - a command's own words
        return 2
    except Exception:
        logging.getLogger("serving").exception("the endpoint cannot be started")
        return 1


if __name__ == "__main__":
    status = main()
    logging.shutdown()
    sys.stderr.flush()
    # Not sys.exit: that would first wait for whatever child is left; all of them die with this process.
    os._exit(status)
