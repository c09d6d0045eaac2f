"""The verbs `draw`, `export`, `encode` and `sample` of the command line."""

from pathlib import Path

import click

from orchestrator import output
from orchestrator.cli.options import data_option, out_option, target_argument, tracking_option
from orchestrator.storage.workspace import Workspace

FORMATS = ("safetensors", "torch", "onnx", "mlflow")
SAMPLES = 64


@click.command()
@target_argument
@out_option
@click.option("--trials", help="all, best:N, or ids with commas between.  [default: best:5]")
@data_option
@tracking_option
def draw(target, out, trials, data_root, tracking_uri) -> None:
    """Draw the pictures of TARGET: a sweep, a trial (SWEEP/ID), or a run, each model as it was after its best epoch.

    A sweep draws those of its best trials by itself. They go to pictures/EPOCH/ of the trial, and to MLflow.
    """
    output.outlive()
    from orchestrator.commands.draw import draw as verb

    verb(target, Workspace(out, data_root, tracking_uri), trials)


@click.command()
@target_argument
@out_option
@click.option("--to", type=click.Path(path_type=Path), help="A new folder for the files.")
@click.option("--format", "form", type=click.Choice(FORMATS), default=FORMATS[0], show_default=True)
@click.option("--prune", is_flag=True, help="Cut out the latent axes that the method does not use.")
@click.option("--register", metavar="NAME", help="Log the model to its run in MLflow, and register it by this name.")
@data_option
@tracking_option
def export(target, out, to, form, prune, register, data_root, tracking_uri) -> None:
    """Write the model TARGET for use elsewhere.

    TARGET is a sweep (its best model), a trial (SWEEP/ID, or SWEEP/ID@last for its last epoch), or a run.

    safetensors: weights, config and model card, which `vaeorch.load` reads. torch, onnx: graphs of encoder and decoder
    for any number of rows, checked against the model. mlflow: a pyfunc with encode, decode and sample.
    """
    from orchestrator.commands import models

    models.export(target, Workspace(out, data_root, tracking_uri), models.Export(to, form, prune, register))


@click.command()
@target_argument
@click.argument("file", type=click.Path(path_type=Path))
@out_option
@click.option("-o", "to", type=click.Path(path_type=Path), default=Path("z.npz"), show_default=True)
@data_option
def encode(target, file, out, to, data_root) -> None:
    """Encode the rows of FILE by the model TARGET.

    FILE is a .npy, .npz (key x) or .parquet file, or a folder of pictures. The .npz that is written has mean and
    variance (N, D) of q(y|x), representation (N, L), and y where the file has labels.
    """
    from orchestrator.commands import models

    models.encode(target, file, Workspace(out, data_root), to)


@click.command()
@target_argument
@out_option
@click.option("-n", "count", type=click.IntRange(1), default=SAMPLES, show_default=True, help="How many rows.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("-o", "to", type=click.Path(path_type=Path), default=Path("samples.png"), show_default=True)
@data_option
def sample(target, out, count, seed, to, data_root) -> None:
    """Generate rows by the model TARGET.

    They are written as a grid of images (.png) or as arrays (.npz, key x).
    """
    from orchestrator.commands import models

    models.sample(target, count, seed, Workspace(out, data_root), to)
