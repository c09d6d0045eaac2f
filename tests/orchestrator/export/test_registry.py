"""A model in MLflow: a pyfunc that needs nothing but its own folder, and a registered version, linked to its run."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from orchestrator.export import loading
from orchestrator.export.formats import made_with
from orchestrator.export.registry import described
from orchestrator.tracking.client import connect
from tests.support.figures import a_sweep
from tests.support.small_runs import a_run
from tests.support.specs import RUN

USE = """
import sys, mlflow, numpy as np
model = mlflow.pyfunc.load_model(sys.argv[1])
x = np.load("x.npy")
ops = {op: model.predict(x, params={"op": op}) for op in ("encode", "represent", "reconstruct")}
ops["decode"] = model.predict(ops["represent"], params={"op": "decode"})
ops["sample"] = model.predict(x[:1], params={"op": "sample", "n": 5, "seed": 3})
import vaeorch
np.savez("found.npz", code=np.array(vaeorch.__file__), **ops)
try:
    model.predict(x, params={"op": "dream"})
except Exception as error:
    print(error)
"""


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    """A run that was trained and sent to the store beside it."""
    out = tmp_path_factory.mktemp("out")
    (out / "tiny.yaml").write_text(RUN)
    words = ["-m", "orchestrator", "train", out / "tiny.yaml", "--out", out]
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and "unsent" not in done.stdout, (done.stdout, done.stderr)
    return out


def test_a_model_is_registered_with_its_run_and_is_used_from_the_registry(vaeorch, out, tmp_path):
    code, said, told = vaeorch("export", "tiny", "--out", out, "--register", "tiny-vae")
    assert (code, told) == (0, "") and said == "registered   tiny-vae, version 1\n"
    client = connect(f"sqlite:///{out / 'mlflow.db'}")
    [version] = client.search_model_versions("name = 'tiny-vae'")
    run = client.get_run(version.run_id)
    assert run.info.status == "FINISHED" and run.data.tags["sweep"] == "tiny"
    assert vaeorch("export", "tiny", "--out", out, "--register", "tiny-vae")[1].endswith("version 2\n")


def test_an_mlflow_model_holds_all_that_it_needs(vaeorch, out, tmp_path):
    code, said, told = vaeorch("export", "tiny", "--out", out, "--format", "mlflow", "--to", tmp_path / "m")
    assert (code, said, told) == (0, f"{tmp_path}/m\n", "")
    shutil.move(tmp_path / "m", tmp_path / "moved")
    model = loading.load("tiny", out=out)
    np.save(tmp_path / "x.npy", model.sample(4))
    words = [sys.executable, "-c", USE, str(tmp_path / "moved")]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ran = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "op: 'dream' is unknown" in ran.stdout
    found, x = np.load(tmp_path / "found.npz"), np.load(tmp_path / "x.npy")
    assert str(found["code"]).startswith(str(tmp_path / "moved" / "code"))
    assert np.allclose(found["encode"], np.stack(model.encode(x), axis=1), atol=1e-6)
    assert np.allclose(found["reconstruct"], model.reconstruct(x), atol=1e-6)
    assert np.allclose(found["decode"], model.reconstruct(x), atol=1e-6)
    assert np.array_equal(found["sample"], model.sample(5, seed=3))


def test_the_example_of_a_model_whose_samples_leave_the_range_can_be_encoded(tmp_path):
    a_sweep(tmp_path, "loud", [({}, a_run("vae", likelihood={"name": "gaussian"}))])
    model = loading.load("loud", out=tmp_path)
    assert model.sample(100).max() > model.range[1]
    with described(model, {"made_with": made_with()}) as known:
        example, params = known["input_example"]
        assert params["op"] == "encode" and model.encode(example).mean.shape == (len(example), model.latent_dim)


@pytest.mark.parametrize("name", ["", " ", "a/b", "a:b"])
def test_a_name_that_the_registry_refuses_is_told_before_anything_is_logged(vaeorch, out, name):
    code, said, told = vaeorch("export", "tiny", "--out", out, "--register", name)
    assert (code, said) == (2, "") and "Choose another" in told


def test_a_registration_that_fails_leaves_the_run_as_it_was(vaeorch, out, monkeypatch):
    client = connect(f"sqlite:///{out / 'mlflow.db'}")
    before = [(run.info.status, run.info.end_time) for run in runs_of(client)]
    monkeypatch.setattr("mlflow.pyfunc.log_model", lambda **values: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        vaeorch("export", "tiny", "--out", out, "--register", "other")
    assert [(run.info.status, run.info.end_time) for run in runs_of(client)] == before


SHELLS = "sqlite:////tmp/of-the-shell.db"


@pytest.fixture(params=[None, "sqlite:////tmp/of-the-notebook.db"])
def own_store(request, monkeypatch) -> Iterator[str]:
    """The store that MLflow's own functions use: the shell's, or that of a notebook."""
    import mlflow  # not before `set_environment` has made it quiet

    monkeypatch.setenv("MLFLOW_TRACKING_URI", SHELLS)
    mlflow.set_tracking_uri(request.param)
    os.environ["MLFLOW_TRACKING_URI"] = SHELLS
    yield request.param or SHELLS
    mlflow.set_tracking_uri(None)


def test_a_registration_leaves_the_address_that_a_notebook_uses(vaeorch, out, own_store):
    import mlflow

    assert vaeorch("export", "tiny", "--out", out, "--register", "kept")[0] == 0
    assert os.environ["MLFLOW_TRACKING_URI"] == SHELLS and mlflow.get_tracking_uri() == own_store


def runs_of(client):
    return client.search_runs([client.get_experiment_by_name("tiny").experiment_id])


def test_what_was_never_recorded_cannot_be_registered(vaeorch, out, tmp_path):
    shutil.copytree(out / "tiny", tmp_path / "tiny", ignore=shutil.ignore_patterns("spool"))
    code, _, told = vaeorch("export", "tiny", "--out", tmp_path, "--register", "x")
    assert code == 2 and "was not recorded in MLflow" in told and told.count("\n") == 1
