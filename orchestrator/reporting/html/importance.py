"""The section with the importance of hyper-parameters: fANOVA, as Optuna computes it.

Source: Hutter, Hoos & Leyton-Brown 2014, "An efficient approach for assessing hyperparameter importance".
"""

import json
import math
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.reporting.html.axes import Numbers, axis_of
from orchestrator.reporting.html.content import SweepData, TrialData
from orchestrator.reporting.html.markup import Markup, Section, element, joined, paragraph
from orchestrator.reporting.html.parallel import varying
from orchestrator.reporting.html.tables import number, table

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

FEWEST = 10  # configurations: of fewer, a forest learns chance
TREES, SEED = 64, 0
TITLE = "Importance of hyper-parameters"


class Compared(NamedTuple):
    """Trials that compare, as all of them have trained as long."""

    epoch: int
    values: dict[str, float]
    """Of trials by id, the best objective up to that epoch."""


def section(sweep: SweepData) -> Section | None:
    """None where nothing varies; a sentence where there are too few trials to say anything."""
    known = compared(sweep)
    trials = [trial for trial in sweep.trials if trial.id in known.values]
    paths = [path for path in sweep.paths if varying(trials or sweep.trials, path)]
    if not paths:
        return None
    everywhere = [path for path in paths if all(path in trial.config for trial in trials)]
    if why := _why_not(trials, everywhere, known):
        return Section(TITLE, paragraph(why))
    shares = fanova(trials, everywhere, [known.values[trial.id] for trial in trials])
    return Section(TITLE, joined(_lead(sweep, known, len(trials)), _bars(shares), _left_out(paths, everywhere)))


def compared(sweep: SweepData) -> Compared:
    """The best objective up to one epoch: the latest that at least half of the trials with an objective have reached.

    Where a scheduler stops trials early, what they have reached in the end says how long they trained.
    """
    trials = [trial for trial in sweep.trials if sweep.counts(trial)]
    epochs = sorted((trial.entry["epochs"] for trial in trials), reverse=True)
    if not epochs:
        return Compared(0, {})
    last = epochs[(len(epochs) - 1) // 2]
    values = {trial.id: _best_up_to(sweep, trial, last) for trial in trials if trial.entry["epochs"] >= last}
    return Compared(last, {id: value for id, value in values.items() if math.isfinite(value)})


def _best_up_to(sweep: SweepData, trial: TrialData, epoch: int) -> float:
    own = [value for at, value in trial.curve(sweep.metric) if at <= epoch and math.isfinite(value)]
    if not own and trial.entry["best"].get("epoch", math.inf) <= epoch:  # its metrics.jsonl is lost
        return sweep.value(trial)
    return sweep.sign * max((sweep.sign * value for value in own), default=math.nan)


def _why_not(trials: list[TrialData], paths: list[str], known: Compared) -> str:
    """Why nothing can be said; empty if it can."""
    different = len({json.dumps(trial.config, sort_keys=True, default=str) for trial in trials})
    if different < FEWEST:
        several = "configuration compares" if different == 1 else "configurations compare"
        return f"{different} {several}, at epoch {known.epoch}: below {FEWEST} an importance would be chance."
    if len(paths) < 2:
        return "A single hyper-parameter varies in all trials, so there is nothing to compare it with."
    if len(set(known.values.values())) == 1:
        return "All trials have the same objective."
    return ""


def fanova(trials: list[TrialData], paths: list[str], values: list[float]) -> dict[str, float]:
    """The share of the variance of a random forest's predictions that each path explains by itself, largest first.

    What is left to 1 are interactions. Every trial has all `paths`.
    """
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    columns = {path: _numbers([trial.config[path] for trial in trials]) for path in paths}
    spaces = {path: _distribution(column) for path, column in columns.items()}
    study = optuna.create_study()
    for place, value in enumerate(values):
        params = {path: column[place] for path, column in columns.items()}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=spaces, value=value))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = FanovaImportanceEvaluator(n_trees=TREES, seed=SEED)
        found = get_param_importances(study, evaluator=evaluator, params=paths, normalize=False)
    return {path: float(share) for path, share in found.items()}


def _numbers(values: list[Any]) -> list[float] | list[str]:
    """The values as floats, logarithms where the axis has them (Optuna would take every range as uniform), or text."""
    axis = axis_of(values)
    if isinstance(axis, Numbers):
        return [math.log(value) if axis.log else float(value) for value in values]
    return list(map(_written, values))


def _distribution(column: list[float] | list[str]) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if isinstance(column[0], float):
        return FloatDistribution(min(column), max(column))
    return CategoricalDistribution(tuple(dict.fromkeys(column)))


def _written(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _lead(sweep: SweepData, known: Compared, trials: int) -> Markup:
    return paragraph(
        f"The share of the variance of {sweep.metric}, as a random forest predicts it, that each explains by itself"
        f" (fANOVA); the rest is what they do together. From the best value up to epoch {known.epoch} of the {trials}"
        " trials that have come so far."
    )


def _bars(shares: dict[str, float]) -> Markup:
    rows = []
    rest = max(0.0, 1 - sum(shares.values()))
    for path, share in (*shares.items(), ("together", rest)):
        bar = element("td", element("span", class_="bar", style=f"width:{100 * share:.1f}%"), class_="bars")
        rows.append([path, number(share, f"{100 * share:.1f} %"), bar])
    return table(TITLE, ["hyper-parameter", "share", ""], rows)


def _left_out(paths: list[str], everywhere: list[str]) -> Markup | None:
    missing = [path for path in paths if path not in everywhere]
    return paragraph(f"Left out, as only some trials have them: {', '.join(missing)}.") if missing else None
