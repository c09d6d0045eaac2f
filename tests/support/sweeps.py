"""Small sweeps for real Ray: their specs and trials, and a recorder in the place of their tracker and console."""

import json

from orchestrator.space.trials import Trial
from orchestrator.spec.records import SweepSpec
from tests.support.small_runs import a_run

EPOCHS = 4
GOOD, BAD, BEST = {"optimizer": {"lr": 3e-3}}, {"optimizer": {"lr": 1e-4}}, {"optimizer": {"lr": 1e-2}}


class Recorder:
    """Stands for tracker and console: keeps what it is told."""

    def __init__(self):
        self.told = []

    def __getattr__(self, event):
        return lambda *values: self.told.append((event, *values))


def trials_of(*changes: dict, epochs: int = EPOCHS) -> list[Trial]:
    runs = [a_run(epochs=epochs, **change).model_dump(mode="json") for change in changes]
    pairs = enumerate(zip(changes, runs, strict=True), start=1)
    return [Trial(number, number, dict(change), run, run["seed"]) for number, (change, run) in pairs]


def spec_of(name: str, epochs: int = EPOCHS, **changes) -> SweepSpec:
    known = {"name": name, "run": a_run(epochs=epochs).model_dump(mode="json")}
    return SweepSpec.model_validate_json(json.dumps(known | changes))
