"""A notebook that trains, sweeps and uses models by `import vaeorch`, run by a real kernel."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

from tests.support import ROOT

CELLS = (
    "import vaeorch",
    """spec = {
    "name": "pair",
    "run": {
        "method": {"name": "ard_vae"}, "network": {"name": "mlp", "hidden": [16], "latent_dim": 4},
        "data": {"name": "digits", "train_rows": 300, "val_rows": 90}, "epochs": 2,
    },
    "search": {"method.beta": {"grid": [0.5, 2.0]}},
}
frame = vaeorch.sweep(spec)
assert list(frame.status) == ["completed", "completed"] and set(frame["method.beta"]) == {0.5, 2.0}
assert frame.equals(vaeorch.results("pair"))""",
    """model = vaeorch.load("runs/pair")
assert model.run.method.beta == frame["method.beta"].iloc[0]
x = model.sample(3)
assert model.reconstruct(x).shape == x.shape == (3, 1, 8, 8)
model""",
    """alone = vaeorch.train(model.run, name="alone")
import numpy as np
assert np.array_equal(alone.sample(3), x)  # the same run, the same numbers
assert len(alone.metrics) == 2""",
    """try:
    vaeorch.train(spec | {"name": "wrong", "run": spec["run"] | {"epoch": 3}})
except vaeorch.UserError as error:
    told = str(error)
assert "run.epoch: unknown key. Did you mean 'epochs'?" in told""",
)


def text_of(output) -> str:
    """What a cell shows, as text."""
    return output.text if output.output_type == "stream" else output.data.get("text/plain", "")


def test_a_notebook_trains_sweeps_and_uses_models(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    said = ["".join(map(text_of, cell.outputs)) for cell in notebook.cells]
    assert "pair: 2 trials by val/elbo" in said[1] and "0001 started" in said[1]
    assert "epoch 2/2" in said[3]
    assert said[2].startswith("<Model pair: ard_vae, 4 latent axes, rows (1, 8, 8) in [0, 1], epoch ")
    assert {path.name for path in Path(tmp_path, "runs").iterdir()} >= {"pair", "alone", "mlflow.db"}
