"""The verb `draw`: the pictures of trained models, which a sweep draws at its end of its best trials alone."""

from orchestrator import output, terminal
from orchestrator.clusters.resources import cpus
from orchestrator.commands.evaluate import recorder
from orchestrator.commands.site import HERE
from orchestrator.errors import UserError
from orchestrator.evaluation.models import TrainedModel, trained_models
from orchestrator.execution.drawing import Drawing
from orchestrator.execution.drawing import draw as drawn
from orchestrator.storage import locks
from orchestrator.storage.blobs import here
from orchestrator.storage.disk import TRY_AGAIN, disk_errors_reported
from orchestrator.storage.sweep_folder import recorded_root
from orchestrator.storage.workspace import Workspace
from orchestrator.sweep.changes import check_data, datasets, recorded_origin
from orchestrator.terminal import say
from orchestrator.tracking.spool import PARENT
from trainables.common.errors import CheckpointError, DataError
from trainables.common.lazy import LazyModule
from trainables.common.roots import recorded
from trainables.data.access import DataAccess

checkpoint = LazyModule("trainables.checkpoint")


def draw(target: str, workspace: Workspace, trials: str | None) -> None:
    """Draw trained models of the sweep, trial or run `target`, each as it was after its best epoch.

    Pictures that are there are not drawn again. Where the target is recorded in MLflow, they are sent there. `trials`
    is as `evaluate` takes it. Raises UserError and TrackingError.
    """
    console = terminal.console()
    folder, models = trained_models(workspace.out, target, trials)
    output.log_to(folder)
    with disk_errors_reported(folder, TRY_AGAIN), locks.driver(folder, locks.EVALUATES):
        root = workspace.data_root or recorded_root(folder)
        check_data(recorded_origin(folder), datasets(model.run for model in models), DataAccess(root))
        with recorder(folder, workspace, console, HERE) as tracker:
            for model in models:
                drawing = draw_model(model, recorded(root))
                if tracker:
                    uid = PARENT if model.folder == folder else model.id
                    tracker.pictures(uid, drawing.epoch, sorted(drawing.place.glob("*.png")))
                say(console, f"{model.id:<12} {drawing.place}")


def draw_model(model: TrainedModel, data_root: str | None) -> Drawing:
    """Draw a model, unless its pictures are there. Raises UserError and OSError."""
    try:
        drawing = Drawing(model.id, model.folder, checkpoint.epoch_of(here(model.checkpoint)))
        if not drawing.place.exists():
            drawing.keep(drawn(drawing.job(model.run, data_root, cpus())))
    except (CheckpointError, DataError) as error:
        raise UserError(f"{model.id}: {error}") from None
    return drawing
