"""The verb `examples`: lists the specs and cluster files that come with vaeorch, and copies one.

`spec/shipped.py` finds them.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from orchestrator.checks.read import read_plan
from orchestrator.clusters.read import read_cluster
from orchestrator.errors import UserError
from orchestrator.reporting.tables import with_texts
from orchestrator.space.plan import Plan
from orchestrator.spec.shipped import CLUSTERS, SPECS, shipped
from orchestrator.sweep.changes import datasets
from orchestrator.terminal import console, say
from trainables.data import Dataset

NO_FILES, DOWNLOADED, BY_HAND = "no files", "downloaded", "by hand"
NEEDED, ADVISED, NO = "needed", "advised", "no"
WITH_GPUS = "# With GPUs: "  # in the comments of a spec that takes long without
WIDEST = 100  # columns of the list
HEADER = ("name", "trials x epochs", "GPU", "what it is  [its data]")
KINDS = ("name", "kind", "what it is")
LEGEND = (
    f"{NO_FILES:<10}  nothing to download: the data come with packages, or are drawn",
    f"{DOWNLOADED:<10}  before the first training, where they are absent",
    f"{BY_HAND:<10}  `vaeorch data info NAME` says which files, and where to get them",
    "run one     vaeorch sweep NAME; on a cluster: vaeorch sweep SPEC --cluster NAME",
    "edit one    vaeorch examples NAME copies it to NAME.yaml",
)


def print_examples(as_json: bool) -> None:
    """Print all specs, and all cluster files, with what they need."""
    specs, clusters = list(_specs()), list(_clusters())
    if as_json:
        click.echo(json.dumps({"specs": specs, "clusters": clusters}, indent=2))
        return
    to = console()
    width = min(to.width, WIDEST)
    for line in (*_table_of_specs(specs, width), "", *_table_of_clusters(clusters, width), "", *LEGEND):
        say(to, line)


def copy(name: str, to: Path | None) -> None:
    """Copy the shipped file of a name to `to`, or into the current folder. Raises UserError; nothing is overwritten."""
    file, target = shipped(name), to or Path(f"{name}.yaml")
    try:
        with target.open("xb") as opened:
            opened.write(file.read_bytes())
    except FileExistsError:
        raise UserError(f"{target}: is there already. Choose another file by --to.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{target}: cannot be written: {reason}. Choose another file by --to.") from None
    click.echo(str(target))


def _specs() -> Iterator[dict[str, Any]]:
    for name, file in SPECS.files().items():
        plan = read_plan(file)
        sets = datasets(trial.run for trial in plan.examples)
        epochs = sorted({trial.run["epochs"] for trial in plan.examples})
        yield {
            "name": name,
            "what": plan.spec.description,
            "trials": len(plan),
            "epochs": epochs,
            "gpu": _gpu(plan, file),
            "data": {each.name: _files(each) for each in sets},
            "file": str(file),
        }


def _clusters() -> Iterator[dict[str, Any]]:
    """What each cluster file is says its first line."""
    for name, file in CLUSTERS.files().items():
        first = file.read_text(encoding="utf-8").partition("\n")[0]
        yield {"name": name, "kind": read_cluster(file).kind, "what": first.lstrip("# "), "file": str(file)}


def _gpu(plan: Plan, file: Path) -> str:
    if plan.spec.resources.gpus_per_worker:
        return NEEDED
    return ADVISED if WITH_GPUS in file.read_text(encoding="utf-8") else NO


def _files(dataset: Dataset) -> str:
    if dataset.is_downloaded:
        return DOWNLOADED
    return BY_HAND if dataset.home else NO_FILES


def _table_of_specs(specs: list[dict[str, Any]], width: int) -> list[str]:
    rows = [(spec["name"], _work(spec), spec["gpu"]) for spec in specs]
    return with_texts(HEADER, rows, [f"{spec['what']}  [{_data(spec)}]" for spec in specs], width, left=1)


def _table_of_clusters(clusters: list[dict[str, Any]], width: int) -> list[str]:
    rows = [(cluster["name"], cluster["kind"]) for cluster in clusters]
    return with_texts(KINDS, rows, [cluster["what"] for cluster in clusters], width, left=1)


def _work(spec: dict[str, Any]) -> str:
    """The most that is trained: `16 x 27`, and `70 x 50 to 100` where runs differ."""
    first, last = spec["epochs"][0], spec["epochs"][-1]
    return f"{spec['trials']} x {first}" + (f" to {last}" if last > first else "")


def _data(spec: dict[str, Any]) -> str:
    """Data sets, grouped by how one gets their files: `mnist (downloaded), celeba (by hand)`."""
    names = {}
    for name, files in spec["data"].items():
        names.setdefault(files, []).append(name)
    return ", ".join(f"{', '.join(some)} ({files})" for files, some in names.items())
