"""A console that is read back, and the results of one trial to show on it."""

import io
import math

from orchestrator.terminal import PlainConsole


def screen(width=400, **options):
    """A console and what is read from it."""
    written = io.StringIO()
    return PlainConsole(file=written, width=width, **options), written.getvalue


def of_trial(config, reason):
    trial = {"id": "0001", "configuration": 1, "config": config, "seed": 0, "status": "failed", "epochs": 1}
    trial |= {"reason": reason, "best": {"epoch": 1, "val/elbo": -1.0}, "last": {"val/elbo": math.nan}}
    objective = {"metric": "val/elbo", "mode": "max"}
    return {"name": "a", "objective": objective, "trials": [trial | {"checkpoint": None, "stage": "search"}]}
