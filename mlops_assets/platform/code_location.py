"""Dagster's code location with warm runs: ``python -m mlops_assets.platform.code_location MODULE``.

Dagster starts each run in a fresh interpreter, which imports everything again: seconds for each of
the loop's many short runs. Here runs are forked from one server that has imported it all, once.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import sys
import threading
from multiprocessing import forkserver
from typing import Any

from mlops_assets.platform import database
from mlops_assets.platform.ports import HOST
from mlops_assets.settings import get_settings


def main(module: str) -> None:
    """Serve the definitions of ``module`` until ended."""
    from dagster._cli.api import api_cli
    from dagster._grpc import server

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mlops_assets.platform.warm"])

    class WarmServer(server.DagsterApiServer):
        """Dagster's, but its runs are forked."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            if not hasattr(self, "_mp_ctx"):
                raise RuntimeError("This Dagster starts runs in another way: install the locked version.")
            self._mp_ctx = context  # type: ignore[assignment]  # as Process, Queue and Event go, the same
            # Once the definitions are loaded: imports only now do not delay them.
            threading.Thread(target=forkserver.ensure_running, daemon=True).start()

    server.DagsterApiServer = WarmServer  # type: ignore[misc]
    settings = get_settings()
    settings.warm_file.unlink(missing_ok=True)
    with contextlib.suppress(Exception):  # the server imports it again, and shows what is wrong with it
        importlib.import_module(module)  # the slow part, while the database starts
    database.wait_for(settings.dagster_database)
    port = str(settings.code_location_port)
    # fmt: off
    sys.argv = [
        "dagster-api", "grpc", "--host", HOST, "--port", port, "--module-name", module,
        "--location-name", "mlops_assets", "--use-python-environment-entry-point",
        "--lazy-load-user-code",  # definitions that do not load are shown in the UI, with their error
    ]
    # fmt: on
    api_cli()


if __name__ == "__main__":
    main(sys.argv[1])
