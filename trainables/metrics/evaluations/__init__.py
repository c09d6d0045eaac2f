"""The evaluations of trained models: EVALUATIONS is the table, one line each."""

from trainables.metrics.evaluations.base import Evaluation, Finding, Measured
from trainables.metrics.evaluations.downstream import SVM, Attributes, Forest
from trainables.metrics.evaluations.drawing import Traversals
from trainables.metrics.evaluations.generation import PRD, Frechet, FrechetARD, FrechetIntel
from trainables.metrics.evaluations.latent import MMD, DzTime, Rate
from trainables.metrics.evaluations.likelihood import IWAE, Parzen
from trainables.metrics.evaluations.representation import MIG, MSE, Active, FactorVAE, Hoyer
from trainables.metrics.evaluations.zeros_and_ones import Proportion, Uncertainty

EVALUATIONS: tuple[type[Evaluation], ...] = (
    Frechet,
    FrechetIntel,
    FrechetARD,
    PRD,
    Active,
    MSE,
    Hoyer,
    FactorVAE,
    MIG,
    Rate,
    MMD,
    SVM,
    Forest,
    Attributes,
    Uncertainty,
    Proportion,
    Parzen,
    IWAE,
    DzTime,
    Traversals,
)

__all__ = ["EVALUATIONS", "Evaluation", "Finding", "Measured"]
