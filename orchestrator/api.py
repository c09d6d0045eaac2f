"""What `vaeorch` offers to Python programs and notebooks: the verbs `sweep`, `train` and `results` as functions."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import UserError
from orchestrator.export.loading import USUAL_OUT, load
from orchestrator.spec.shipped import find_spec
from orchestrator.storage import layout
from orchestrator.storage.workspace import Workspace
from trainables.common.roots import Root, root_of
from trainables.inference.model import Model
from trainables.run import Run

if TYPE_CHECKING:
    import pandas as pd

Spec = str | Path | Mapping[str, Any]
"""A spec: its file, the name of one that comes with vaeorch, or what such a file holds."""


def sweep(
    spec: Spec, out: str | Path = USUAL_OUT, data_root: Root = None, reuse: bool = False, **settings: Any
) -> pd.DataFrame:
    """Run a sweep here, with a live board, and return its results, a row per trial, as `results` does.

    Args:
        spec: as `vaeorch sweep` takes it, or a dict.
        settings: other values of the spec, such as `trials=20` or `run__epochs=2` for `run.epochs`; `name` among them.

    An interrupted one goes on by `vaeorch resume`. Raises UserError for mistakes, NoResult where no trial came to
    anything, and KeyboardInterrupt.
    """
    from orchestrator.commands.spec_file import read
    from orchestrator.commands.sweep import sweep as run

    workspace = workspace_of(out, data_root)
    with file_of(spec) as file:
        plan = read(file, None, written(settings), workspace.data)
        stop = run(plan, workspace, file, False, reuse)
    if stop:
        raise stop
    return results(workspace.out / plan.spec.name)


def train(
    run: Run | Spec, name: str | None = None, out: str | Path = USUAL_OUT, data_root: Root = None, **settings: Any
) -> Model:
    """Train one run here, without Ray, a line per epoch, into OUT/NAME; return the model of its best epoch.

    Args:
        run: a `Run`; or a spec, whose `run` is trained.
        name: of the folder, in place of the spec's.
        settings: other values of the spec, as in `sweep`.

    The same call goes on where an interrupted one stopped. Raises UserError for mistakes, and
    NoResult where the run diverges.
    """
    from orchestrator.commands.spec_file import read
    from orchestrator.commands.train import train as train_run

    workspace = workspace_of(out, data_root)
    spec = {"name": name or "run", "run": run.model_dump(mode="json")} if isinstance(run, Run) else run
    with file_of(spec) as file:
        read_spec = read(file, name, written(settings), workspace.data).spec
        train_run(read_spec, workspace, str(file))
    return load(workspace.out / read_spec.name, data_root)


def results(name: str | Path, out: str | Path = USUAL_OUT) -> pd.DataFrame:
    """The trials of a sweep, or a run that was trained alone, the best first: a frame with a row for each, by id.

    `name` is that of a sweep or run in `out`, or its folder. Columns: status, epochs that were trained, the values that
    were searched (the spec's epochs as `run.epochs`), and the metrics of the best epoch. Raises UserError.
    """
    import pandas as pd

    from orchestrator.sweep.ranking import ranked
    from orchestrator.sweep.results import read_results
    from orchestrator.text import columns_of

    place = Path(name).expanduser()
    is_one = any((place / file).exists() for file in (layout.JOURNAL, layout.RESULTS, layout.CONFIG))
    where = (place.absolute().parent, place.name) if is_one else (Path(out).expanduser(), str(place))
    trials = ranked(read_results(*where))
    columns = columns_of((path for trial in trials for path in trial["config"]), ("id", "status", "epochs"))
    facts = [
        {"id": trial["id"], "status": trial["status"], "epochs": trial["epochs"]}
        | {columns[path]: value for path, value in trial["config"].items()}
        | (trial["best"] or {})
        for trial in trials
    ]
    return pd.DataFrame(facts, columns=None if facts else ["id", "status", "epochs"]).set_index("id")


def workspace_of(out: str | Path, data_root: Root) -> Workspace:
    """The places that a program names; `~` is the home folder."""
    return Workspace(Path(out).expanduser(), root_of(data_root))


def written(settings: dict[str, Any]) -> tuple[str, ...]:
    """Settings as the command line's --set has them."""
    return tuple(f"{path.replace('__', '.')}={as_json(value)}" for path, value in settings.items())


@contextmanager
def file_of(spec: Spec) -> Iterator[Path]:
    """The file of a spec; for a dict one that is removed afterwards. Raises UserError."""
    if isinstance(spec, str | Path):
        yield find_spec(Path(spec).expanduser())
        return
    if not isinstance(spec, Mapping):
        raise UserError(f"{spec!r}: is neither a spec's file nor what one holds.")
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / layout.SPEC
        file.write_text(as_json(spec), encoding="utf-8")
        try:
            yield file
        except UserError as error:  # a place in a file that nobody has written helps nobody
            raise UserError(*(line.removeprefix(f"{file}:1: ") for line in error.lines)) from None


def as_json(value: Any) -> str:
    """A value of a spec as JSON, with numpy's numbers and paths as plain ones. Raises UserError for others."""

    def plain(other: Any) -> Any:
        if isinstance(other, Path):
            return str(other)
        if hasattr(other, "tolist"):
            return other.tolist()
        raise UserError(f"{other!r}: a spec holds text, numbers, lists and dicts.")

    return json.dumps(value, default=plain)
