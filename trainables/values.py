"""The numbers that evaluations measure: what tables call them, their units, and which of them are better.

An evaluation says which names it gives (`Evaluation.gives`). Tables, reports and the printed numbers of papers use
these names.
"""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from trainables.evaluations import EVALUATIONS
from trainables.evaluations.base import AXES
from trainables.evaluations.generation import OTHER_FEATURES
from trainables.metrics import Direction

SHARE, PERCENT, NATS, DATA_UNITS = "share", "per cent", "nats", "squared units of the data"


@dataclass(frozen=True)
class Kind:
    """What is known of a number, whatever features or axes it is of."""

    label: str
    better: Direction | None = None
    unit: str = ""


KINDS: dict[str, Kind] = {
    "fid": Kind("FID", "min"),
    "fid_intel": Kind("FID, Intel-VAE's", "min"),
    "fid_ard": Kind("FID, ARD-VAE's", "min"),
    "precision": Kind("Precision", "max", SHARE),
    "recall": Kind("Recall", "max", SHARE),
    "active_own": Kind("Active"),
    "active_per_class": Kind("Active per class", unit=PERCENT),
    "active_eq19_*": Kind("Active, equation 19"),
    "active_w_eq19_*": Kind("Active by weight, equation 19"),
    "active_w_*": Kind("Active by weight"),
    "active_*": Kind("Active"),
    "mse": Kind("MSE of values in [0, 1]", "min"),
    "mse_pruned": Kind("MSE of values in [0, 1], relevant axes", "min"),
    "mse_pruned_code": Kind("MSE of values in [0, 1], the code's relevant axes", "min"),
    "mse_data_units": Kind("MSE", "min", DATA_UNITS),
    "mse_pruned_data_units": Kind("MSE of relevant axes", "min", DATA_UNITS),
    "mse_pruned_code_data_units": Kind("MSE of the code's relevant axes", "min", DATA_UNITS),
    "hoyer": Kind("Hoyer sparsity", unit=SHARE),
    "factor_vae": Kind("FactorVAE", "max", PERCENT),
    "factor_vae_axes": Kind("Axes of FactorVAE's score"),
    "mig": Kind("MIG", "max", SHARE),
    "rate": Kind("Rate", unit=NATS),
    "surrogate_rate": Kind("Surrogate rate", unit=NATS),
    "mmd_*": Kind("MMD", "min"),
    "entropy": Kind("Entropy of codes", unit=NATS),
    "entropy_gaussian": Kind("Entropy of codes, Gaussian bound", unit=NATS),
    "mutual_information": Kind("Mutual information", unit=NATS),
    "mutual_information_gaussian": Kind("Mutual information, Gaussian bound", unit=NATS),
    "kl_marginal": Kind("KL of codes from the prior", "min", NATS),
    "kl_marginal_gaussian": Kind("KL of codes from the prior, Gaussian bound", "min", NATS),
    "svm_*": Kind("SVM", "max", SHARE),
    "self_trained_*": Kind("Self-trained SVM", "max", SHARE),
    "forest_published_*": Kind("Random forest, published protocol", "max", SHARE),
    "forest_*": Kind("Random forest", "max", SHARE),
    "attributes_majority": Kind("Attributes, majority", unit=SHARE),
    "attributes_neural_*": Kind("Attributes, small network", "max", SHARE),
    "attributes_*": Kind("Attributes", "max", SHARE),
    "uncertainty": Kind("Uncertainty", "min", PERCENT),
    "uncertainty_data": Kind("Uncertainty of the data", unit=PERCENT),
    "proportion_of_ones": Kind("Ones", unit=PERCENT),
    "proportion_of_ones_data": Kind("Ones in the data", unit=PERCENT),
    "proportion_of_zeros": Kind("Learned proportion", unit=SHARE),
    "least_proportion": Kind("Least proportion", unit=SHARE),
    "nearest_real": Kind("Distance to the data", "min"),
    "nearest_generated": Kind("Distance from the data", "min"),
    "parzen_nll": Kind("Parzen NLL", "min", NATS),
    "parzen_width": Kind("Parzen width"),
    "parzen_reversed_nll": Kind("Parzen NLL, reversed", "min", NATS),
    "iwae_nll": Kind("NLL", "min", NATS),
    "dz_seconds": Kind("Seconds of D_z", "min", "s"),
    "dz_seconds_min": Kind("Fewest seconds of D_z", "min", "s"),
    "dz_rows": Kind("Rows of D_z"),
}
"""Name without features and axes, or a pattern of `fnmatch` -> what is known of it. The first that fits counts."""


@dataclass(frozen=True)
class Value:
    """A number that an evaluation measures."""

    name: str
    evaluation: str
    """The name of the evaluation."""
    kind: Kind
    features: str | None
    """What is compared in place of Inception's features."""
    axes: str | None
    """The axes that samples move; None: those that the method moves itself."""

    @property
    def label(self) -> str:
        """What tables call it."""
        more = (self.features, f"{self.axes} axes" if self.axes else None)
        return ", ".join([self.kind.label, *filter(None, more)])

    def stand_ins(self) -> Iterator[str]:
        """The same in other features, which can be had without Inception's weights, but does not compare with it."""
        end = f"_{self.axes}" if self.axes else ""
        base = self.name.removesuffix(end)
        for features in () if self.features else OTHER_FEATURES:
            name = _in_features(base, features) + end
            if _evaluation_of(name):
                yield name


def _in_features(base: str, features: str) -> str:
    return f"frechet_{features}{base.removeprefix('fid')}" if base.startswith("fid") else f"{base}_{features}"


def _evaluation_of(name: str) -> str | None:
    return next((record.model_fields["name"].default for record in EVALUATIONS if record.can_give(name)), None)


def value_named(name: str) -> Value | None:
    """The value of this name; None if no evaluation gives it."""
    if not (evaluation := _evaluation_of(name)):
        return None
    axes = next((axes for axes in AXES if name.endswith(f"_{axes}")), None)
    base = name.removesuffix(f"_{axes}")
    features = next((features for features in OTHER_FEATURES if f"_{features}" in base), None)
    if features:
        base = re.sub("^frechet", "fid", base).replace(f"_{features}", "")
    kind = next((kind for pattern, kind in KINDS.items() if fnmatchcase(base, pattern)), Kind(name))
    return Value(name, evaluation, kind, features, axes)


def unknown_value(name: str) -> str:
    """What is wrong with the name of a value, and its cure; empty if an evaluation gives it."""
    if _evaluation_of(name):
        return ""
    known = [pattern.replace("[1-9]", "") for record in EVALUATIONS for pattern in record.gives]
    near = difflib.get_close_matches(name, known, n=1)
    cure = f"Did you mean '{near[0]}'?" if near else "`vaeorch methods` names all."
    return f"no evaluation measures '{name}'. {cure}"
