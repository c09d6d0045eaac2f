"""What is told of a pruned model."""

from orchestrator.export import loading, pruning
from tests.support.figures import a_sweep
from tests.support.small_runs import a_run


def test_without_the_data_the_time_is_known_also_where_samples_leave_the_range(tmp_path, monkeypatch):
    a_sweep(tmp_path, "loud", [({}, a_run("vae", likelihood={"name": "gaussian"}))])
    model = loading.load("loud", out=tmp_path)
    monkeypatch.setattr(pruning, "validation_rows", lambda model, root: None)
    told = pruning.report(model, model, None)
    assert "squared error" not in told
    assert all(time > 0 for time in told["milliseconds for 1000 rows"])
