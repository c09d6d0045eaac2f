"""What a shell completes: names of sweeps, runs and trials in --out, of data sets, of metrics, of kinds of
figures, and of the files that come with vaeorch.

Each function takes what click gives it, and imports what is slow to import when it is asked. Nothing it meets is an
error: then there is nothing to complete.
"""

from pathlib import Path

import click
from click.shell_completion import CompletionItem

from orchestrator.storage import layout


def names(context: click.Context, option: click.Parameter, incomplete: str) -> list[str]:
    """The sweeps and runs in --out."""
    from orchestrator.sweep.inventory import names_in

    return _beginning(names_in(_out(context)), incomplete)


def targets(context: click.Context, option: click.Parameter, incomplete: str) -> list[str]:
    """The sweeps and runs in --out; once a sweep is named, its trials, as SWEEP/ID."""
    sweep, slash, _ = incomplete.partition("/")
    if not slash:
        return names(context, option, incomplete)
    trials = (_out(context) / sweep / layout.TRIALS).glob("*/")
    return _beginning(sorted(f"{sweep}/{trial.name}" for trial in trials), incomplete)


def sent(context: click.Context, option: click.Parameter, incomplete: str) -> list[str]:
    """The sweeps and runs in --out that were sent to a cluster."""
    return _beginning(sorted(file.stem for file in (_out(context) / layout.SENT).glob("*.json")), incomplete)


def data_sets(context: click.Context, option: click.Parameter, incomplete: str) -> list[str]:
    """The data sets."""
    from trainables.common.records import name_of
    from trainables.data import DATASETS

    return _beginning(map(name_of, DATASETS), incomplete)


def specs(context: click.Context, option: click.Parameter, incomplete: str) -> list:
    """The specs that come with vaeorch, once a letter of one is written; else files."""
    from orchestrator.spec.shipped import SPECS

    return _shipped_or_files(SPECS, incomplete)


def clusters(context: click.Context, option: click.Parameter, incomplete: str) -> list:
    """The cluster files that come with vaeorch, once a letter of one is written; else files."""
    from orchestrator.spec.shipped import CLUSTERS

    return _shipped_or_files(CLUSTERS, incomplete)


def examples(context: click.Context, option: click.Parameter, incomplete: str) -> list[str]:
    """All specs and cluster files that come with vaeorch."""
    from orchestrator.spec.shipped import KINDS

    return _beginning([name for kind in KINDS for name in kind.files()], incomplete)


def metrics(context: click.Context, option: click.Parameter, incomplete: str) -> list[str]:
    """The metrics of trained models, after those that are written before the last comma."""
    from trainables.common.records import name_of
    from trainables.evaluations import EVALUATIONS

    before, comma, last = incomplete.rpartition(",")
    known = [name for name in map(name_of, EVALUATIONS) if name not in before.split(",")]
    return [f"{before}{comma}{name}" for name in _beginning(known if comma else ["all", *known], last)]


def figures(context: click.Context, option: click.Parameter, incomplete: str) -> list[str]:
    """The kinds of figures."""
    from orchestrator.figures.table import FIGURES

    return _beginning(FIGURES, incomplete)


def _out(context: click.Context) -> Path:
    return context.params.get("out") or Path("runs")


def _shipped_or_files(kind, incomplete: str) -> list:
    names = _beginning(kind.files(), incomplete) if incomplete else []
    return names or [CompletionItem(incomplete, type="file")]


def _beginning(known, incomplete: str) -> list[str]:
    return [name for name in known if name.startswith(incomplete)]
