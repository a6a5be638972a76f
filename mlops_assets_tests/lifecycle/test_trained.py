"""What a training leaves behind, stage by stage: one run on real data, on real services."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlops_assets.judging.gate import CHECKS
from mlops_assets.lifecycle.describe import asset_key
from mlops_assets.resources.registry import Registry

if TYPE_CHECKING:
    from mlops_assets_tests.lifecycle.conftest import Trained

FAMILIES = ("boosting", "network")


@pytest.fixture(scope="session")
def trained_registry(trained: Trained) -> Registry:
    return Registry(trained.world.settings.mlflow_url)


def test_all_of_it_is_made(trained: Trained) -> None:
    failures = [
        (e.step_key, str(e.event_specific_data)[:2000]) for e in trained.result.all_events if e.is_failure
    ]
    assert failures == []
    assert trained.result.success
    made = {e.asset_key.path[1] for e in trained.result.get_asset_materialization_events() if e.asset_key}
    assert made == {"training_set", "candidates", "evaluation", "champion"}


def test_the_lineage_names_the_raw_object_versions(trained: Trained) -> None:
    lineage = trained.made("features", partition="2013-02")["lineage"]
    said = {name: entry["version_id"] for name, entry in lineage.items()}
    assert said == {
        "flights": trained.versions["flights/2013-02.csv"],
        "weather": trained.versions["weather/2013-02.csv"],
        "planes": trained.versions["planes/planes.csv"],
    }


def test_the_training_set_is_all_months_but_the_latest(trained: Trained) -> None:
    made = trained.made("training_set")
    manifest = made["manifest"]
    assert [entry["partition"] for entry in manifest["partitions"]] == ["2013-01", "2013-02"]
    assert manifest["held_out"]["partition"] == made["held out"] == "2013-03"
    first = manifest["partitions"][0]["objects"]["flights"]
    assert first["version_id"] == trained.versions["flights/2013-01.csv"]
    rows = [trained.made("features", partition=p)["dagster/row_count"] for p in ("2013-01", "2013-02")]
    assert made["dagster/row_count"] == manifest["rows"] == sum(rows)
    assert manifest["lake_key"].split("/")[2] == manifest["id"] == made["id"]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_candidates_mlflow_run_says_all_of_it(
    trained: Trained, trained_registry: Registry, family: str
) -> None:
    made = trained.made("candidates", family)
    training_set = trained.made("training_set")
    run = trained_registry.client.get_run(made["mlflow_run"])
    assert run.info.status == "FINISHED"
    assert run.data.params["training_set"] == training_set["id"]
    assert run.data.params["held_out"] == "2013-03"
    assert run.data.params["partitions"] == "2013-01, 2013-02"
    assert int(run.data.params["rows"]) == training_set["dagster/row_count"]
    assert run.inputs is not None
    (data,) = run.inputs.dataset_inputs
    assert data.dataset.digest == training_set["id"]
    assert data.dataset.name == f"{trained.world.project.name}/training_set"
    assert training_set["lake_key"] in data.dataset.source
    assert len(run.data.tags["code_version"]) == 12
    files = {f.path for f in trained_registry.client.list_artifacts(run.info.run_id)}
    assert "loss_curve.png" in files


def test_metrics_are_kept_by_epoch(trained: Trained, trained_registry: Registry) -> None:
    run = trained.made("candidates", "network")["mlflow_run"]
    names = set(trained_registry.client.get_run(run).data.metrics) - {"seconds_to_fit"}
    assert names
    for name in names:
        steps = [m.step for m in trained_registry.client.get_metric_history(run, name)]
        assert steps == list(range(1, len(steps) + 1))
        assert len(steps) > 1


@pytest.mark.parametrize("family", FAMILIES)
def test_the_stored_model_says_what_it_needs_and_holds_no_pickle(
    trained: Trained, trained_registry: Registry, family: str, tmp_path: Any
) -> None:
    from mlflow.artifacts import download_artifacts

    uri = trained.made("candidates", family)["model_uri"]
    logged = trained_registry.client.get_logged_model(uri.rpartition("/")[2])
    download_artifacts(
        artifact_uri=logged.artifact_location, dst_path=str(tmp_path), tracking_uri=trained_registry.uri
    )
    files = {path.name: path for path in tmp_path.rglob("*") if path.is_file()}
    assert "model.onnx" in files
    assert [name for name in files if name.endswith((".pkl", ".pickle", ".joblib", ".pt", ".pth"))] == []
    assert [name for name, path in files.items() if path.read_bytes()[:1] == b"\x80"] == []
    needed = dict(line.split("==") for line in files["requirements.txt"].read_text().split())
    assert {"onnxruntime", "numpy", "msgspec"} <= set(needed)
    assert "torch" not in needed


@pytest.mark.parametrize("family", FAMILIES)
def test_the_stored_model_loads_proves_itself_and_names_its_training_set(
    trained: Trained, trained_registry: Registry, family: str
) -> None:
    from serving.predictor import Predictor

    data = trained_registry.model_bytes(trained.made("candidates", family)["model_uri"])
    predictor = Predictor.load(data, trained.world.project)
    predictor.prove()
    assert predictor.bundle.training_set == trained.made("training_set")["id"]
    assert predictor.bundle.family == family
    assert len(predictor.bundle.examples) == 32


def test_the_evaluation_scores_all_on_the_same_held_out_rows(trained: Trained) -> None:
    made = trained.made("evaluation")
    assert made["held out"] == "2013-03"
    assert made["rows"] == trained.made("features", partition="2013-03")["dagster/row_count"]
    scores = made["evidence"]["scores"]
    assert set(scores) == {"baseline", *FAMILIES}
    assert scores["baseline"]["roc_auc"] == pytest.approx(0.5)
    best = made["challenger"]
    assert scores[best]["roc_auc"] > 0.6
    assert made["model_uri"] == trained.made("candidates", best)["model_uri"]


def test_the_scores_are_those_of_the_stored_model_on_the_stored_rows(
    trained: Trained, trained_registry: Registry
) -> None:
    """Worked out again by scikit-learn, from what the lake and the registry hold."""
    from sklearn.metrics import log_loss, roc_auc_score

    from serving.predictor import Predictor

    made = trained.made("evaluation")
    lake = (trained.world.defs.resources or {})["lake"]
    held_out = lake.get_frame(trained.made("training_set")["manifest"]["held_out"]["lake_key"])
    predictor = Predictor.load(trained_registry.model_bytes(made["model_uri"]), trained.world.project)
    probability = predictor.predict_frame(held_out).probability
    labels = held_out[trained.world.project.features.label].to_numpy()
    scores = made["evidence"]["scores"][made["challenger"]]
    np.testing.assert_allclose(scores["roc_auc"], roc_auc_score(labels, probability), atol=1e-5)
    np.testing.assert_allclose(scores["log_loss"], log_loss(labels, probability), atol=1e-5)


def test_the_report_is_logged_and_linked(trained: Trained, trained_registry: Registry) -> None:
    from mlflow.artifacts import load_text

    link = trained.made("evaluation")["report"]
    assert link.startswith(f"{trained_registry.uri}/#/experiments/")
    run_id = link.split("/runs/")[1].split("/")[0]
    assert link.endswith("/artifacts/report.html")
    artifact = f"{trained_registry.client.get_run(run_id).info.artifact_uri}/report.html"
    report = load_text(artifact)
    assert trained.world.project.title in report
    address = trained.made("evaluation")["report address"]
    lake = (trained.world.defs.resources or {})["lake"]
    assert lake.get(address.split("/", 3)[3]).decode() == report


def test_the_gate_is_five_checks_that_block(trained: Trained) -> None:
    evaluation = asset_key(trained.world.project, "evaluation")
    checks = [e for e in trained.result.get_asset_check_evaluations() if e.asset_key == evaluation]
    assert {c.check_name for c in checks} == set(CHECKS)
    assert all(c.passed and c.severity.value == "ERROR" for c in checks)
    assert all({"observed", "allowed"} <= set(c.metadata) and c.description for c in checks)
    specs = trained.world.repository.asset_graph.get(evaluation).check_keys
    graph = trained.world.repository.asset_graph
    assert {key.name for key in specs} == set(CHECKS)
    assert all(graph.get_check_spec(key).blocking for key in specs)


def test_the_champion_is_registered_tagged_and_logged(trained: Trained, trained_registry: Registry) -> None:
    made, name = trained.made("champion"), trained.world.project.name
    version = trained_registry.version(name, made["version"])
    evaluation = trained.made("evaluation")
    assert version.model_uri == evaluation["model_uri"]
    assert {name: version.tags[name] for name in ("training_set", "dagster_run", "held_out", "family")} == {
        "training_set": trained.made("training_set")["id"],
        "dagster_run": trained.result.run_id,
        "held_out": "2013-03",
        "family": evaluation["challenger"],
    }
    entry = list(trained.world.promotions())[-1]
    assert (entry.version, entry.replaced, entry.kind) == (made["version"], None, "promotion")
    assert entry.dagster_run == trained.result.run_id
    assert entry.evidence == json.loads(json.dumps(evaluation["evidence"]))


def test_all_mlflow_runs_of_it_have_ended(trained: Trained, trained_registry: Registry) -> None:
    client = trained_registry.client
    experiments = [e.experiment_id for e in client.search_experiments()]
    runs = [
        run
        for run in client.search_runs(experiments)
        if trained.result.run_id
        in (run.data.tags.get("dagster_run_id"), run.data.tags.get("mlops.dagster_run_id"))
    ]
    assert len(runs) >= 3
    assert {run.info.status for run in runs} == {"FINISHED"}
