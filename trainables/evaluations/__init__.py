"""Evaluations of trained models: EVALUATIONS is the table, one line each. A new one is a class and a line here.

`evaluate.py` runs them on a checkpoint. `base.py` says what an evaluation is and what it results in; `context.py` makes
what several need (codes, features, generated data) once. The numbers themselves are computed in metrics/.
"""

from trainables.evaluations.base import Evaluation, EvaluationResult, Measurement
from trainables.evaluations.downstream import SVM, Attributes, Forest
from trainables.evaluations.drawing import Traversals
from trainables.evaluations.generation import PRD, Frechet, FrechetARD, FrechetIntel
from trainables.evaluations.latent import MMD, DzTime, Rate
from trainables.evaluations.likelihood import IWAE, Parzen
from trainables.evaluations.representation import MIG, MSE, Active, FactorVAE, Hoyer
from trainables.evaluations.zeros_and_ones import Proportion, Uncertainty

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

__all__ = ["EVALUATIONS", "Evaluation", "EvaluationResult", "Measurement"]
