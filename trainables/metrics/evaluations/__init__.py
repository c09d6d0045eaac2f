"""The evaluations of trained models: EVALUATIONS is the table, one line each."""

from trainables.metrics.evaluations.base import Evaluation, Finding
from trainables.metrics.evaluations.representation import MIG

EVALUATIONS: tuple[type[Evaluation], ...] = (MIG,)

__all__ = ["EVALUATIONS", "Evaluation", "Finding"]
