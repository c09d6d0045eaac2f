"""Lists all that a spec can name, with one line for each."""

from collections.abc import Iterator

from trainables.common.records import name_of, summary
from trainables.data import DATASETS
from trainables.distributions.likelihoods import LIKELIHOODS
from trainables.evaluations import EVALUATIONS
from trainables.mappings import MAPPINGS
from trainables.methods import METHODS
from trainables.methods.rae import REGULARISERS
from trainables.metrics import METRICS
from trainables.networks import NETWORKS
from trainables.values import value_named

TABLES = {
    "methods": METHODS,
    "mappings (of intel_vae)": MAPPINGS,
    "regularisers (of rae)": REGULARISERS,
    "networks": NETWORKS,
    "likelihoods": LIKELIHOODS,
    "data sets": DATASETS,
    "evaluations of trained models": EVALUATIONS,
}


def catalogue() -> dict[str, list[tuple[str, str, str]]]:
    """Section -> (name, summary, source) of each entry."""
    sections = {
        title: [(name_of(record), summary(record), record.source) for record in table]
        for title, table in TABLES.items()
    }
    metrics = [(f"val/{metric.name}", metric.summary, metric.source) for metric in METRICS]
    return sections | {"values of evaluations": list(_values()), "metrics of every epoch": metrics}


def _values() -> Iterator[tuple[str, str, str]]:
    """The names of the numbers of evaluations; `*` stands for a number, such as one of rows."""
    for record in EVALUATIONS:
        for pattern in record.gives:
            value = value_named(pattern.replace("[1-9]*", "1"))
            told = ", ".join(filter(None, (value.label, value.kind.unit)))
            yield pattern.replace("[1-9]", ""), told, name_of(record)


def as_text() -> str:
    """The catalogue as text, a line for each entry."""
    lines = []
    for title, rows in catalogue().items():
        lines += ["", title] if lines else [title]
        lines += [f"  {name:<18} {what.rstrip('.')}  [{source}]" for name, what, source in rows]
    return "\n".join(lines)
