"""A model for MLflow: a pyfunc that holds the exported folder and this code, and its place in MLflow's registry."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from importlib.metadata import version
from pathlib import Path
from typing import Any

from orchestrator.clusters.local import inherited
from orchestrator.errors import UserError
from orchestrator.export import folder as exported
from orchestrator.export.graphs import examples
from orchestrator.export.quiet import quiet
from orchestrator.shell import command_for
from orchestrator.storage import layout
from orchestrator.tracking.client import connect, prepare_store, set_environment
from orchestrator.tracking.identity import filter_of, is_recorded, recorded_store
from orchestrator.tracking.spool import PARENT
from orchestrator.tracking.store_address import ENVIRONMENT_VARIABLE, check_store, first_line
from trainables.inference.model import Model

HOUSE = Path(__file__).parents[2]
CODE = ("orchestrator", "trainables", "vaeorch.py")
NEEDED = (
    "mlflow",
    "torch",
    "torchvision",
    "numpy",
    "pandas",
    "pydantic",
    "safetensors",
    "click",
    "rich",
    "ruamel.yaml",
)
BARS = "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"
EXAMPLES = 2  # rows of the input example


def write_mlflow(model: Model, to: Path, facts: dict[str, Any]) -> list[Path]:
    """Write a pyfunc with signature and input example into an empty folder. Raises OSError."""
    set_environment()
    import mlflow

    with silent(), described(model, facts) as known:
        mlflow.pyfunc.save_model(path=str(to), **known)
    return [to]


def register(model: Model, name: str, facts: dict[str, Any], run_folder: Path, uri: str | None) -> str:
    """Log the model to the MLflow run of its trial, and register it. Returns `NAME, version N`.

    `run_folder` is the folder of the trial, or of the run that was trained alone; `uri` an address in place of the one
    it was sent to. Raises UserError.
    """
    set_environment()
    import mlflow

    sweep = run_folder.parents[1] if run_folder.parent.name == layout.TRIALS else run_folder
    uri = uri or recorded_store(sweep)
    if uri is None or not is_recorded(sweep):
        raise UserError(f"{sweep}: was not recorded in MLflow: send it first, or export without --register.")
    check_store(uri)
    prepare_store(uri)
    client = connect(uri)
    info = run_of(client, sweep, PARENT if sweep == run_folder else run_folder.name, uri).info
    try:
        with silent(), described(model, facts) as known, current(uri), mlflow.start_run(run_id=info.run_id):
            made = mlflow.pyfunc.log_model(name="model", registered_model_name=name, **known)
    except mlflow.exceptions.MlflowException as error:
        raise UserError(f"--register {name}: MLflow refused it: {first_line(error, uri)}") from None
    except OSError as error:
        raise UserError(f"--register {name}: {error.strerror or error}.") from None
    finally:  # the run is as it was: `start_run` ends it anew
        client.set_terminated(info.run_id, status=info.status, end_time=info.end_time)
    return f"{name}, version {made.registered_model_version}"


def check_name(name: str) -> None:
    """Raises UserError for a name that MLflow's registry does not take."""
    if not name.strip() or {"/", ":"} & set(name):
        raise UserError(f"--register {name!r}: a model's name is not empty, and has neither / nor :. Choose another.")


def run_of(client: Any, sweep: Path, uid: str, uri: str) -> Any:
    """The MLflow run of a trial of a sweep, or of a run that was trained alone."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    found = client.search_runs(experiments, filter_string=filter_of(sweep, uid))
    if not found:
        raise UserError(f"{uri}: has no run of {sweep.name}/{uid}: send it first: {command_for('sync', sweep)}")
    return found[0]


@contextmanager
def current(uri: str) -> Iterator[None]:
    """MLflow's own functions use this store; afterwards those of before, in this process and in what it starts."""
    from mlflow.tracking._tracking_service.utils import _use_tracking_uri

    with inherited({ENVIRONMENT_VARIABLE: uri}), _use_tracking_uri(uri):
        yield


@contextmanager
def silent() -> Iterator[None]:
    """Without MLflow's bars, warnings and greetings."""
    with quiet("mlflow"), inherited({BARS: "false"}), redirect_stderr(io.StringIO()):
        yield


@contextmanager
def described(model: Model, facts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What MLflow saves of a model: the exported folder, our code, signature, example and requirements."""
    from mlflow.models import ModelSignature
    from mlflow.types import ParamSchema, ParamSpec

    with tempfile.TemporaryDirectory() as scratch:
        folder, code = Path(scratch) / "model", Path(scratch) / "code"
        folder.mkdir(), code.mkdir()
        exported.write(model, folder, facts)
        example = examples(model, EXAMPLES)[0].numpy()
        params = [ParamSpec("op", "string", "encode"), ParamSpec("n", "long", 1), ParamSpec("seed", "long", 0)]
        yield {
            "python_model": str(Path(__file__).with_name("pyfunc.py")),
            "artifacts": {"model": str(folder)},
            "code_paths": [str(copied(HOUSE / part, code)) for part in CODE],
            "signature": ModelSignature(params=ParamSchema(params)),  # rows or latents: the shape depends on `op`
            "input_example": (example, {"op": "encode", "n": 1, "seed": 0}),
            "pip_requirements": [f"{name}=={version(name)}" for name in NEEDED],
        }


def copied(source: Path, to: Path) -> Path:
    """A copy of a file, or of a package without its compiled modules."""
    target = to / source.name
    if source.is_dir():
        return Path(shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__")))
    return Path(shutil.copy(source, target))
