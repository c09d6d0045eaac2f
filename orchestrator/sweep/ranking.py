"""Ranks the content of a results.json: trials by their best value, and configurations by the mean of their seeds.

A configuration that was confirmed is judged by its trials of that stage alone: the search chose it by the others, so
their values are biased. It ranks above those that were not confirmed.
"""

import math
import statistics
from collections import Counter
from typing import Any

from orchestrator.space.trials import CONFIRM

UNSOUND = ("diverged", "failed")
STOPPED = "stopped"  # the status of a trial that did not go on to its last epoch
RANKED = ("completed", STOPPED)  # a trial that diverged or failed ranks below all others, whatever it had reached

Results = dict[str, Any]
Trial = dict[str, Any]


def best_value(trial: Trial, metric: str) -> float:
    """The best objective value of a trial; NaN if it never had a finite one."""
    value = trial["best"].get(metric)
    return math.nan if value is None else value


def replicated(results: Results) -> bool:
    """Whether a configuration was trained with several seeds."""
    return any(len(trials) > 1 for trials in _replicas(results["trials"]).values())


def ranked(results: Results) -> list[Trial]:
    """The trials from best to worst by their best value, equal ones by id; replicas stay together."""
    trials = sorted(results["trials"], key=lambda trial: _place(trial, results["objective"]))
    if not replicated(results):
        return trials
    by_id = {trial["id"]: trial for trial in trials}
    return [by_id[name] for standing in configurations(results) for name in standing["trials"]]


def configurations(results: Results) -> list[dict[str, Any]]:
    """The configurations from best to worst by the mean of their trials' best values.

    Each is a dict: `configuration`, `config`, `trials` (ids, best first, those that it is judged by before others),
    `n`, `mean`, `std`, `epochs` (of all trials), `statuses` {status: how many}, `confirmed`. `std` is that of the
    population (divided by n, as ARD-VAE's tables have it) and None for a single value. A trial that diverged or failed
    is not in the mean, and its configuration ranks below all that have no such trial: leaving out bad seeds must not
    improve a rank.
    """
    objective = results["objective"]
    trials = sorted(results["trials"], key=lambda trial: _place(trial, objective))
    standings = [_standing(number, own, objective["metric"]) for number, own in _replicas(trials).items()]
    sign = _sign(objective)

    def place(standing: dict[str, Any]) -> tuple:
        unsound = any(status not in RANKED for status in standing["statuses"])
        unconfirmed = not (standing["confirmed"] and standing["n"])
        return unconfirmed, unsound, standing["n"] == 0, sign * (standing["mean"] or 0.0), standing["configuration"]

    return sorted(standings, key=place)


def averaged(results: Results) -> set[str]:
    """The trials whose numbers are one mean with those of their configuration's other seeds.

    None without several seeds. Not those of the search where others confirm the configuration: it was chosen by them.
    Not one that diverged or failed.
    """
    if not replicated(results):
        return set()
    judged = (trial for own in _replicas(results["trials"]).values() for trial in _judged(own))
    return {trial["id"] for trial in judged if trial["status"] in RANKED}


def chosen_by(results: Results) -> set[str]:
    """The trials of the search by which configurations were chosen that other trials confirm: they are biased."""
    own = _replicas(results["trials"]).values()
    return {trial["id"] for trials in own for trial in trials if trial not in _judged(trials)}


def best_summary(results: Results) -> tuple[dict[str, float], dict[str, str]]:
    """The result of a sweep: the metrics of its best trial at its best epoch, and tags that name the trial.

    With several seeds: the means over the best configuration's trials, and the objective's `_std` and `_n`. Metrics and
    tags are empty if no trial has a finite objective by which it may be judged.
    """
    metric = results["objective"]["metric"]
    counted = [trial for trial in ranked(results) if _counts(trial, metric)]
    if not counted:
        return {}, {}
    if not replicated(results):
        return _known(counted[0]["best"]), {"best_trial": counted[0]["id"]}
    best = next((standing for standing in configurations(results) if standing["n"]), None)
    if best is None:  # of those that were to confirm a configuration none has a value
        return {}, {}
    of_best = [trial for trial in counted if trial["configuration"] == best["configuration"]]
    own = [_known(trial["best"]) for trial in _judged(of_best)]
    means = {key: statistics.fmean(one[key] for one in own) for key in own[0] if all(key in one for one in own)}
    spread = {f"{metric}_n": float(best["n"])} | ({} if best["std"] is None else {f"{metric}_std": best["std"]})
    return means | spread, {"best_configuration": str(best["configuration"]), "best_trial": best["trials"][0]}


def _standing(number: int, trials: list[Trial], metric: str) -> dict[str, Any]:
    judged = _judged(trials)
    values = [best_value(trial, metric) for trial in judged if _counts(trial, metric)]
    others = [trial for trial in trials if trial not in judged]
    return {
        "configuration": number,
        "config": trials[0]["config"],
        "trials": [trial["id"] for trial in (*judged, *others)],
        "n": len(values),
        "mean": statistics.fmean(values) if values else None,
        "std": statistics.pstdev(values) if len(values) > 1 else None,
        "epochs": sum(trial["epochs"] for trial in trials),
        "statuses": dict(Counter(trial["status"] for trial in judged)),
        "confirmed": bool(others),
    }


def _judged(trials: list[Trial]) -> list[Trial]:
    """The trials of a configuration by which it is judged."""
    return [trial for trial in trials if trial.get("stage") == CONFIRM] or trials


def _replicas(trials: list[Trial]) -> dict[int, list[Trial]]:
    """Configuration -> its trials. In results without configurations each trial is one of its own."""
    replicas: dict[int, list[Trial]] = {}
    for number, trial in enumerate(trials, start=1):
        replicas.setdefault(trial.get("configuration", number), []).append(trial)
    return replicas


def _counts(trial: Trial, metric: str) -> bool:
    """Whether a trial has a value that may be ranked."""
    return trial["status"] in RANKED and not math.isnan(best_value(trial, metric))


def _place(trial: Trial, objective: dict[str, str]) -> tuple:
    value = best_value(trial, objective["metric"])
    known = 0.0 if math.isnan(value) else _sign(objective) * value
    return trial["status"] not in RANKED, math.isnan(value), known, trial["id"]


def _sign(objective: dict[str, str]) -> float:
    return {"max": -1.0, "min": 1.0}[objective["mode"]]


def _known(metrics: dict[str, float | None]) -> dict[str, float]:
    return {key: value for key, value in metrics.items() if value is not None}
