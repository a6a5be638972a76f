"""The code location: projects, resources and automation, merged; nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
from dagster_aws.s3 import S3PickleIOManager

from mlops_assets.alerts.sensor import build_alert_assets, build_alert_sensor
from mlops_assets.automation.endpoint_sensor import build_endpoint_sensor
from mlops_assets.automation.names import build_object_names_checks
from mlops_assets.automation.s3_sensor import build_s3_sensor
from mlops_assets.automation.watch import build_watch_sensor
from mlops_assets.catalog import PROJECTS
from mlops_assets.execution.pods import fitted
from mlops_assets.lifecycle.project_assets import build_assets
from mlops_assets.lifecycle.serving_check import build_serving_check
from mlops_assets.lifecycle.tracking import build_run_closer
from mlops_assets.resources.lake import Lake
from mlops_assets.resources.mlflow import mlflow_resource
from mlops_assets.resources.registry import Registry
from mlops_assets.resources.s3 import SharedS3Resource
from mlops_assets.resources.tables import Tables
from mlops_assets.retraining.check import build_retraining_check
from mlops_assets.settings import Settings, get_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_assets.automation.plan import Limits
    from mlops_assets.automation.watch_plan import WatchLimits
    from mlops_assets.project import Project

EXECUTORS = {"in_process": dg.in_process_executor, "multiprocess": dg.multiprocess_executor}


def build_executor(settings: Settings) -> dg.ExecutorDefinition:
    """The executor of every run: on the code location, since automation's runs know no other."""
    if settings.executor == "kubernetes":
        from mlops_assets.execution.kubernetes import build_kubernetes_executor

        return build_kubernetes_executor(settings)
    return EXECUTORS[settings.executor]


def build_definitions(
    settings: Settings,
    limits: Limits | None = None,
    projects: Sequence[Project] = PROJECTS,
    watch_limits: WatchLimits | None = None,
) -> dg.Definitions:
    """All definitions of ``projects`` under ``settings``; the limits bound the sensors' ticks.

    Contacts nothing.
    """
    projects = [fitted(project, settings) for project in projects]
    registry = Registry(settings.mlflow_url)
    access_key, secret_key = settings.s3_credentials
    s3 = SharedS3Resource(
        endpoint_url=settings.s3_url,
        region_name=settings.s3_region,
        aws_access_key_id=access_key or None,  # none: boto3's own chain, an instance role say
        aws_secret_access_key=secret_key or None,
    )
    url_of = {
        project.name: settings.endpoint_url(project.endpoint.port_offset, project.name)
        for project in projects
    }
    return dg.Definitions(
        assets=[
            asset
            for project in projects
            for asset in build_assets(
                project,
                registry,
                settings.raw_bucket,
                url_of[project.name],
                settings.dagster_database,
            )
        ]
        + build_alert_assets(),
        asset_checks=[check for project in projects for check in build_object_names_checks(project)]
        + [build_retraining_check(project, settings.dagster_database) for project in projects]
        + [build_serving_check(project, url_of[project.name]) for project in projects],
        sensors=[
            *(build_s3_sensor(project, settings.raw_bucket, limits) for project in projects),
            *(build_watch_sensor(project, settings, watch_limits) for project in projects),
            *(build_endpoint_sensor(project, url_of[project.name]) for project in projects),
            build_run_closer(registry),
            build_alert_sensor(settings, projects),
            dg.AutomationConditionSensorDefinition(
                "automation",
                target=dg.AssetSelection.all(),
                use_user_code_server=True,
                minimum_interval_seconds=settings.automation_interval_seconds,
                default_status=dg.DefaultSensorStatus.RUNNING,
            ),
        ],
        resources={
            "s3": s3,
            "lake": Lake(s3=s3, bucket=settings.lake_bucket),
            "tables": Tables(url=settings.dagster_database),
            "mlflow": mlflow_resource(settings.mlflow_url, "mlops"),
            "io_manager": S3PickleIOManager(
                s3_resource=s3, s3_bucket=settings.lake_bucket, s3_prefix="dagster"
            ),
        },
        executor=build_executor(settings),
    )


defs = build_definitions(get_settings())
