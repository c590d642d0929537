"""MLflow's own client reads the curves of a run from a local database."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eef_framework.errors import ConfigError
from eef_framework.models import libraries
from eef_framework.testing.conformance import check_tracker
from eef_framework.tracking import MlflowTracker
from eef_framework.tracking.mlflow_runs import mlflow_name

pytest.importorskip("mlflow")
pytest.importorskip("alembic")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


@pytest.fixture(autouse=True)
def _local(monkeypatch):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.mark.slow
def test_mlflow_holds_the_curves_of_a_run_its_settings_and_its_report(tracked, figures_of, tmp_path):
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    folder = tracked(MlflowTracker(tracking_uri=uri, experiment="mine"))
    folder = tracked(MlflowTracker(tracking_uri=uri, experiment="mine"))
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("mine").experiment_id
    (found,) = client.search_runs([experiment])  # repeated, it is still one
    assert (found.info.run_name, found.info.status, found.data.tags["group"]) == ("seed-0", "FINISHED", "seeds")
    shown = {
        (metric.key, metric.step): metric.value
        for name in found.data.metrics
        for metric in client.get_metric_history(found.info.run_id, name)
    }
    assert shown == {(mlflow_name(name), step): value for (name, step), value in figures_of(folder).items()}
    assert found.data.params["evaluate.tasks.split"] == "test"
    files = {each.path for each in client.list_artifacts(found.info.run_id)}
    assert files == {"config.yaml", "report.html", "metrics.json"}


@pytest.mark.slow
def test_mlflow_keeps_the_contract(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_tracker(MlflowTracker())
    assert (tmp_path / "mlflow.db").exists()


@given(st.text(st.characters(categories=["L", "Nd"], include_characters="_ .+=-/"), min_size=1, max_size=30))
def test_names_of_figures_become_names_that_mlflow_takes(name):
    from mlflow.utils.validation import _validate_metric_name

    if all(part.strip(".") for part in name.split("/")):  # as all names of figures
        _validate_metric_name(mlflow_name(name))


@pytest.mark.parametrize("missing", ["mlflow", "sqlalchemy", "alembic"])
def test_a_missing_library_is_found_before_anything_starts(monkeypatch, missing):
    monkeypatch.setattr(libraries, "installed", lambda module: module != missing)
    with pytest.raises(ConfigError) as caught:
        MlflowTracker().preflight()
    assert (caught.value.code, caught.value.fix) == ("missing-extra", "pip install 'eef-framework[mlflow]'")


def test_a_server_needs_no_database_here(monkeypatch):
    monkeypatch.setattr(libraries, "installed", lambda module: module == "mlflow")
    MlflowTracker(tracking_uri="http://localhost:5000").preflight()
