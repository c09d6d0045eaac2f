"""Evaluations of trained models, listed in EVALUATIONS. To add one, write a class and add a line here.

`evaluate.py` runs them on a checkpoint. `base.py` defines an evaluation and its result; `context.py` computes what
several need (codes, features, generated data) once. metrics/ computes the numbers.
"""

from trainables.evaluations.base import Evaluation, EvaluationResult, Measurement
from trainables.evaluations.downstream import SVM, Attributes, Forest
from trainables.evaluations.drawing import Traversals
from trainables.evaluations.generation import PRD, Frechet, FrechetARD, FrechetIntel, Nearest
from trainables.evaluations.latent import MMD, DzTime, Information, Rate
from trainables.evaluations.likelihood import IWAE, Parzen
from trainables.evaluations.representation import MIG, MSE, Active, FactorVAE, Hoyer, Magnitudes
from trainables.evaluations.zeros_and_ones import Proportion, Uncertainty

EVALUATIONS: tuple[type[Evaluation], ...] = (
    Frechet,
    FrechetIntel,
    FrechetARD,
    PRD,
    Nearest,
    Active,
    MSE,
    Hoyer,
    Magnitudes,
    FactorVAE,
    MIG,
    Rate,
    Information,
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
