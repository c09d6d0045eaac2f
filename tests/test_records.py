"""Every field that a user can write says what it is: `vaeorch schema` shows it."""

import typing
from collections.abc import Iterator

import pytest

from orchestrator.clusters.table import CLUSTERS
from trainables.common.records import Record
from trainables.data import DATASETS
from trainables.distributions.likelihoods import LIKELIHOODS
from trainables.evaluations import EVALUATIONS
from trainables.mappings import MAPPINGS
from trainables.methods import METHODS
from trainables.methods.rae import REGULARISERS
from trainables.networks import NETWORKS
from trainables.run import Optimizer, Plateau, Run

TABLES = {
    "methods": METHODS,
    "mappings": MAPPINGS,
    "regularisers": REGULARISERS,
    "networks": NETWORKS,
    "data sets": DATASETS,
    "likelihoods": LIKELIHOODS,
    "optimizers": (Optimizer, Plateau),
    "runs": (Run,),
    "evaluations": EVALUATIONS,
    "clusters": CLUSTERS,
}


def records_in(annotation: typing.Any) -> Iterator[type[Record]]:
    """The records that a field of this type may hold."""
    if isinstance(annotation, type) and issubclass(annotation, Record):
        yield annotation
    for part in typing.get_args(annotation):
        yield from records_in(part)


def reached(records: Iterator[type[Record]], seen: dict[type[Record], None]) -> dict[type[Record], None]:
    """These records, and all that their fields may hold."""
    for record in records:
        if record not in seen:
            seen[record] = None
            for field in record.model_fields.values():
                reached(records_in(field.annotation), seen)
    return seen


RECORDS = tuple(reached(iter((Run, *EVALUATIONS, *CLUSTERS)), {}))


@pytest.mark.parametrize("table", TABLES)
def test_every_record_of_the_tables_is_looked_at(table):
    assert set(TABLES[table]) <= set(RECORDS)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_every_field_has_a_description(record):
    """But for `name`, the word by which a record is chosen: what that means is the record's own docstring."""
    assert record.__doc__
    bare = [name for name, field in record.model_fields.items() if not (field.description or "").strip()]
    assert bare in ([], ["name"])
