from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from mlops_assets.platform.environment import aws_environment, service_environment
from mlops_assets.settings import Settings, inherited_environment

ROOT = Path(__file__).parents[2]


def test_the_example_lists_every_setting_with_its_default() -> None:
    lines = re.findall(r"^MLOPS_([A-Z0-9_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    defaults = {name.upper(): field.default for name, field in Settings.model_fields.items()}
    assert {name: value or None for name, value in lines} == {
        name: None if value is None else str(value) for name, value in defaults.items()
    }


def test_a_child_process_comes_to_equal_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = Settings(_env_file=None, home=tmp_path, s3_port=1234, endpoint_api_key="a-long-enough-key")
    for name, value in mine.environment().items():
        monkeypatch.setenv(name, value)
    assert Settings(_env_file=None) == mine


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_a_database_is_reached_by_the_driver_that_is_installed(scheme: str) -> None:
    settings = Settings(_env_file=None, database_url=f"{scheme}://me:pw1@host/data")
    assert settings.dagster_database == "postgresql+psycopg2://me:pw1@host/data"


def test_a_placeholder_is_no_secret() -> None:
    with pytest.raises(ValidationError, match="placeholder"):
        Settings(_env_file=None, endpoint_api_key="changeme")


def test_sockets_have_short_paths_wherever_home_is(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 100) / "home"
    settings = Settings(_env_file=None, home=deep)
    assert len(str(settings.postgres_socket / ".s.PGSQL.5432")) < 100
    assert settings.sockets == Settings(_env_file=None, home=deep).sockets
    assert settings.sockets != Settings(_env_file=None, home=deep / "other").sockets


def test_a_users_shell_does_not_bend_the_services(tmp_path: Path) -> None:
    shell = {"PATH": "/bin", "AWS_PROFILE": "work", "MLFLOW_TRACKING_URI": "x", "PYTHONPATH": "y"}
    assert inherited_environment(shell) == {"PATH": "/bin"}
    settings = Settings(_env_file=None, home=tmp_path, database_url="postgresql://me:hidden1@host/data")
    assert "hidden1" not in str(service_environment(settings, "endpoint-x", secrets=False))
    assert "hidden1" in str(service_environment(settings, "daemon"))


def test_an_outside_store_without_keys_is_reached_as_the_caller_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "work")
    outside = Settings(_env_file=None, s3_endpoint_url="https://s3.example.org")
    assert aws_environment(outside)["AWS_PROFILE"] == "work"
    with_keys = outside.model_copy(update={"s3_access_key_id": "a", "s3_secret_access_key": None})
    assert "AWS_ACCESS_KEY_ID" not in aws_environment(with_keys)


def test_an_endpoint_elsewhere_is_found_by_its_projects_name() -> None:
    elsewhere = Settings(_env_file=None, endpoint_address="http://endpoint-{project}:8000")
    assert elsewhere.endpoint_url(3, "flight_delays") == "http://endpoint-flight-delays:8000"
    assert Settings(_env_file=None).endpoint_url(3, "flight_delays") == "http://127.0.0.1:8003"
