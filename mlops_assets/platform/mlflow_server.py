"""MLflow's server in this one process: ``python -m mlops_assets.platform.mlflow_server``.

``mlflow server`` would import MLflow twice, in a parent and its workers, and workers outlive a
killed parent, holding the port. The parent's own work is done here: setting up the database once.
"""

from __future__ import annotations

from mlops_assets.platform import database
from mlops_assets.platform.environment import aws_environment
from mlops_assets.platform.registry import environment
from mlops_assets.settings import add_to_environment, get_settings

_NAMES = {
    "BACKEND_STORE_URI_ENV_VAR": "_MLFLOW_SERVER_FILE_STORE",
    "REGISTRY_STORE_URI_ENV_VAR": "_MLFLOW_SERVER_REGISTRY_STORE",
    "ARTIFACT_ROOT_ENV_VAR": "_MLFLOW_SERVER_ARTIFACT_ROOT",
    "ARTIFACTS_DESTINATION_ENV_VAR": "_MLFLOW_SERVER_ARTIFACT_DESTINATION",
    "SERVE_ARTIFACTS_ENV_VAR": "_MLFLOW_SERVER_SERVE_ARTIFACTS",
}


def main() -> None:
    """Serve until ended."""
    settings = get_settings()
    add_to_environment({**aws_environment(settings), **environment(settings)})  # a container gives none of it
    import uvicorn
    from mlflow.server import constants, fastapi_app  # the slow part, while the database starts
    from mlflow.server.handlers import initialize_backend_stores

    for constant, name in _NAMES.items():
        if getattr(constants, constant, None) != name:
            raise RuntimeError(
                f"This MLflow calls {constant} {getattr(constants, constant, None)!r}, not {name!r}: "
                "registry.py sets a variable that it would not read. Install the locked version."
            )
    url = settings.mlflow_database
    database.wait_for(url)
    initialize_backend_stores(url, url, "mlflow-artifacts:/")
    uvicorn.run(
        fastapi_app.app,
        host=settings.listen_host,
        port=settings.mlflow_port,
        log_level="warning",
        timeout_graceful_shutdown=5,
    )


if __name__ == "__main__":
    main()
