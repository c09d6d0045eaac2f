"""What a paper prints for configurations of a sweep: its numbers, kept beside the spec that trains them again."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, NonNegativeFloat

from orchestrator.space.candidates import examples, trials
from orchestrator.space.entries import ABSENT, value_at
from orchestrator.spec.diagnostics import Path, cure, near, read_path, show_value
from orchestrator.spec.domains import path_in_run
from trainables.common.records import Record

if TYPE_CHECKING:
    from orchestrator.spec.records import SweepSpec

Measure = Literal[
    "fid",  # Frechet distance of generated images' Inception features
    "precision",  # of generated images, 0 to 1
    "recall",  # of generated images, 0 to 1
    "active",  # axes in use
    "mse",  # squared error per data value of a reconstruction
    "hoyer",  # sparsity of the latents, 0 to 1
    "factor_vae",  # FactorVAE's disentanglement score, per cent
    "mig",  # mutual information gap, 0 to 1
    "accuracy",  # of a classifier on the latents: a share in Intel-VAE, per cent in VIMAE
    "uncertainty",  # generated images that a classifier is less than 80 % sure of, per cent
    "ones",  # generated images that a classifier takes for a 1, per cent
    "proportion",  # prior mass of the cluster that became the 0s, 0 to 1
    "nll",  # of generated images, nats per image
]
"""What the papers measure, in the units in which they print it."""


class Printed(Record):
    """A number that a paper prints for one row of a table."""

    row: Annotated[dict[Annotated[str, AfterValidator(path_in_run)], Any], Field(min_length=1)]
    """Path relative to `run` -> its value in the configurations that the number is of."""
    metric: Measure
    """What was measured."""
    condition: str = ""
    """How, where a paper measures it in several ways: with so many labels, under noise, with all axes."""
    mean: float
    """Over the paper's trainings, or of its only one."""
    std: NonNegativeFloat | None = None
    """Standard deviation over the paper's trainings; None where it prints none."""
    table: str
    """Where it is printed; S13 is Table 13 of a supplement."""


def mistakes(spec: "SweepSpec") -> Iterator[tuple[Path, str]]:
    """Rows of no configuration, in an otherwise sound spec: (place in the spec, what is wrong and its cure)."""
    runs = [trial.run for trial in examples(spec, trials(spec))] if spec.paper else []
    for index, printed in enumerate(spec.paper):
        found = list(_unknown(printed.row, runs))
        if not found and not selected(printed.row, runs):
            found = [((), "no configuration has all of these together. Remove one, or mend the search.")]
        yield from ((("paper", index, "row", *below), text) for below, text in found)


def selected(row: dict[str, Any], runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The runs, in plain values, that have all values of a row."""
    return [run for run in runs if all(value_at(run, read_path(path)) == value for path, value in row.items())]


def _unknown(row: dict[str, Any], runs: list[dict[str, Any]]) -> Iterator[tuple[Path, str]]:
    """Paths that no configuration has, and values that none has at a path."""
    for path, value in row.items():
        there = [value_at(run, read_path(path)) for run in runs]
        known = [one for one in there if one is not ABSENT]
        if not known:
            yield (path,), f"no configuration has this path.{_meant(path, runs)}"
        elif value not in known:
            words = dict.fromkeys(map(_word, known))
            yield (path,), f"no configuration has {show_value(value)} here. {cure(_word(value), words)}"


def _word(value: Any) -> str:
    return value if isinstance(value, str) else show_value(value)


def _meant(path: str, runs: list[dict[str, Any]]) -> str:
    meant = near(path, dict.fromkeys(known for run in runs for known in _paths(run)))
    return f" Did you mean '{meant}'?" if meant else " Write one such as network.latent_dim."


def _paths(tree: Any, above: str = "") -> Iterator[str]:
    """All paths into a tree of mappings."""
    for key, below in tree.items() if isinstance(tree, dict) else ():
        yield f"{above}{key}"
        yield from _paths(below, f"{above}{key}.")
