"""The numbers that a paper prints for configurations of a sweep, kept in the spec that trains these again."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, NonNegativeFloat

from orchestrator.spec.domains import path_in_run
from trainables.common.records import Record

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
    """Path relative to `run` -> its value in the configurations that the number describes."""
    metric: Measure
    """What was measured."""
    condition: str = ""
    """The condition, where a paper measures under several: a number of labels, noise, all axes."""
    mean: float
    """Mean over the paper's trainings, or the value of its only one."""
    std: NonNegativeFloat | None = None
    """Standard deviation over the paper's trainings; None where it prints none."""
    table: str
    """Where it is printed; S13 is Table 13 of a supplement."""
