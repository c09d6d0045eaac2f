"""Draws of the searcher `optuna`, one after the other."""

import json
import math

from orchestrator.space import tpe
from orchestrator.space.candidates import places
from orchestrator.spec.records import SweepSpec
from tests.support.small_runs import a_run

OPTUNA = {"name": "optuna", "startup_trials": 5}
METHODS = [
    {"name": "vae"},
    {"name": "intel_vae", "mapping": {"name": "sectors", "clusters": {"choice": [2, 5]}}},
]
SEARCH = {
    "method": {"choice": METHODS},
    "optimizer.lr": {"loguniform": [1e-4, 1e-1]},
    "network.latent_dim, batch_size": {"zip": [[2, 20], [4, 40]]},
    "kl_warmup_epochs": {"uniform": [0, 2], "when": {"method.name": "vae"}},
}


def spec_of(search: dict = SEARCH, **changes) -> SweepSpec:
    known = {"name": "a", "run": a_run().model_dump(mode="json"), "search": search, "trials": 40, "searcher": OPTUNA}
    return SweepSpec.model_validate_json(json.dumps(known | changes))


def history(spec: SweepSpec, known: list[tpe.Known]) -> tpe.History:
    """These trials, told one after the other."""
    told = tpe.History(spec)
    for number, one in enumerate(known):
        told.tell((number,), one)
    return told


def searched(spec: SweepSpec, draws: int, score, state: str = tpe.DONE) -> list[dict]:
    """One draw after the other at the first point of the grids, each told before the next."""
    point, known, configs = places(spec)[0], tpe.History(spec), []
    for number in range(draws):
        drawn = tpe.draw(spec, point, known, [spec.search_seed, number])
        configs.append(drawn.found.config)
        known.tell((number,), tpe.Known(drawn.params, state, 3, score(drawn.found.config)))
    return configs


def by_rate(config: dict) -> float:
    """Best at a learning rate of 1e-2."""
    return -abs(math.log10(config["optimizer.lr"]) + 2)
