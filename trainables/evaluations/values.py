"""The numbers that evaluations measure: names, labels, units, and which values are better.

Tables, reports and the printed numbers of papers use these names; `vaeorch list` shows them.
"""

import difflib
from dataclasses import dataclass
from fnmatch import fnmatchcase

from trainables.metrics import Direction

FEATURES = ("classifier", "pixels")  # that a name ends with where they are compared in place of Inception's
AXES = ("relevant", "all")  # that a name ends with where samples move other axes than the method's own
SHARE, PERCENT, NATS = "share", "per cent", "nats"


@dataclass(frozen=True)
class Value:
    """A number of an evaluation."""

    name: str
    """Its name. A `*` in it stands for a number, such as one of rows."""
    evaluation: str
    """The name of the evaluation that measures it."""
    label: str
    """What it is called in tables."""
    better: Direction | None = None
    """Which values are better; None where neither is as such."""
    unit: str = ""
    axes: str | None = None
    """The setting `axes` of the evaluation."""
    stand_ins: tuple[str, ...] = ()
    """Values measured in its place where Inception's weights are missing; they do not compare with it."""


def _by_axes(name: str, evaluation: str, label: str, **more) -> tuple[Value, ...]:
    """A number of generated data, and the same of data for which other axes were moved."""
    ends = {None: ("", ""), **{axes: (f"_{axes}", f", {axes} axes") for axes in AXES}}
    stand_ins = more.pop("stand_ins", ())
    return tuple(
        Value(
            f"{name}{end}",
            evaluation,
            f"{label}{words}",
            axes=axes,
            stand_ins=tuple(f"{other}{end}" for other in stand_ins),
            **more,
        )
        for axes, (end, words) in ends.items()
    )


def _in_features(
    name: str, other: str, evaluation: str, label: str, better: Direction, unit: str = ""
) -> tuple[Value, ...]:
    """A number in Inception's features, and the same in other features, whose name `other` has a place for."""
    names = tuple(other.format(features) for features in FEATURES)
    published = _by_axes(name, evaluation, label, better=better, unit=unit, stand_ins=names)
    others = zip(FEATURES, names, strict=True)
    return published + tuple(
        value
        for features, known in others
        for value in _by_axes(known, evaluation, f"{label} ({features})", better=better, unit=unit)
    )


VALUES: tuple[Value, ...] = (
    *_in_features("fid", "frechet_{}", "frechet", "FID", "min"),
    *_in_features("fid_intel", "frechet_{}_intel", "frechet_intel", "FID, Intel-VAE's", "min"),
    *_in_features("fid_ard", "frechet_{}_ard", "frechet_ard", "FID, ARD-VAE's", "min"),
    *_in_features("precision", "precision_{}", "prd", "Precision", "max", SHARE),
    *_in_features("recall", "recall_{}", "prd", "Recall", "max", SHARE),
    Value("active_*", "active", "Active"),
    Value("active_own", "active", "Active"),
    Value("active_eq19_*", "active", "Active (equation 19)"),
    Value("active_w_*", "active", "Active by weight"),
    Value("active_w_eq19_*", "active", "Active by weight (equation 19)"),
    Value("mse", "mse", "MSE", "min"),
    Value("mse_pruned", "mse", "MSE, relevant axes", "min"),
    Value("mse_pruned_code", "mse", "MSE, relevant axes of the code", "min"),
    Value("hoyer", "hoyer", "Hoyer sparsity", unit=SHARE),
    Value("factor_vae", "factor_vae", "FactorVAE", "max", PERCENT),
    Value("factor_vae_axes", "factor_vae", "Axes of FactorVAE's score"),
    Value("mig", "mig", "MIG", "max", SHARE),
    Value("rate", "rate", "Rate", unit=NATS),
    Value("surrogate_rate", "rate", "Rate (surrogate)", unit=NATS),
    Value("mmd_*", "mmd", "MMD", "min"),
    Value("svm_clean", "svm", "SVM, clean", "max", SHARE),
    Value("svm_gaussian_*", "svm", "SVM, Gaussian noise", "max", SHARE),
    Value("svm_mask_*", "svm", "SVM, masked", "max", SHARE),
    Value("self_trained_*", "svm", "Self-trained SVM", "max", SHARE),
    Value("forest_*", "forest", "Random forest", "max", SHARE),
    Value("forest_published_*", "forest", "Random forest, published protocol", "max", SHARE),
    Value("attributes_*", "attributes", "Attributes", "max", SHARE),
    Value("attributes_neural_*", "attributes", "Attributes, small network", "max", SHARE),
    Value("attributes_majority", "attributes", "Attributes, majority", unit=SHARE),
    *_by_axes("uncertainty", "uncertainty", "Uncertainty", better="min", unit=PERCENT),
    *_by_axes("proportion_of_ones", "uncertainty", "Ones", unit=PERCENT),
    Value("uncertainty_data", "uncertainty", "Uncertainty of the data", unit=PERCENT),
    Value("proportion_of_ones_data", "uncertainty", "Ones in the data", unit=PERCENT),
    Value("proportion_of_zeros", "proportion", "Learned proportion", unit=SHARE),
    Value("least_proportion", "proportion", "Least proportion", unit=SHARE),
    *_by_axes("parzen_nll", "parzen", "Parzen NLL", better="min", unit=NATS),
    *_by_axes("parzen_width", "parzen", "Parzen width"),
    *_by_axes("parzen_reversed_nll", "parzen", "Parzen NLL, reversed", better="min", unit=NATS),
    Value("iwae_nll", "iwae", "NLL", "min", NATS),
    Value("dz_seconds", "dz_time", "Seconds of D_z", "min", "s"),
    Value("dz_seconds_min", "dz_time", "Fewest seconds of D_z", "min", "s"),
    Value("dz_rows", "dz_time", "Rows of D_z"),
)
"""All values, the more particular pattern after the more general one."""


def value_named(name: str) -> Value | None:
    """The value of this name; None if no evaluation measures it."""
    return next((value for value in reversed(VALUES) if fnmatchcase(name, value.name)), None)


def unknown_value(name: str) -> str:
    """What is wrong with the name of a value, and its cure; empty if an evaluation measures it."""
    if value_named(name):
        return ""
    near = difflib.get_close_matches(name, [value.name for value in VALUES], n=1)
    cure = f"Did you mean '{near[0]}'?" if near else "`vaeorch list` names all."
    return f"no evaluation measures '{name}'. {cure}"
