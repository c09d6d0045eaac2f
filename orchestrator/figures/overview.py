"""The pictures of a whole sweep, or of a run that was trained alone, in its folder: curves.png and parallel.png.

They show what the HTML report shows, of the best trials. `overview_drawing.py` draws them with matplotlib.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.reporting.html.content import SweepData, read_best
from orchestrator.reporting.html.parallel import columns_of
from orchestrator.storage import layout
from orchestrator.sweep.single_run import is_single
from trainables.common.errors import one_line
from trainables.common.files import whole
from trainables.common.lazy import Image, LazyModule

if TYPE_CHECKING:
    from matplotlib.figure import Figure

drawing = LazyModule("orchestrator.figures.drawing")
overview_drawing = LazyModule("orchestrator.figures.overview_drawing")

MOST_TRIALS = 200  # the best; more would not be told apart, and take long to read and to draw
FORMAT = 1  # of the pictures: raise it when they show something else
DIGEST = "Comment"  # the key of PNG's text that says from what a picture was drawn


def draw_overview(folder: Path) -> list[str]:
    """Draw the pictures of the sweep or run in `folder`, unless those that are there show the same numbers.

    Returns a line for the user about what went wrong. It raises nothing: a picture is no reason to fail a sweep.
    """
    try:
        sweep = read_best(folder, MOST_TRIALS)
        digest = digest_of(sweep)
        for name, draw in _pictures(sweep, is_single(folder)).items():
            if _digest_in(folder / name) != digest:
                content = drawing.content(draw(), "png", {DIGEST: digest})
                with whole(folder / name) as file:
                    file.write(content)
    except Exception as error:
        return [f"{folder}: its curves could not be drawn ({one_line(error)})."]
    return []


def _pictures(sweep: SweepData, single: bool) -> dict[str, Callable[[], Figure]]:
    """The name of each picture that there is something to show in, and what draws it."""
    found = {}
    if any(trial.curve(sweep.metric) for trial in sweep.trials):
        found[layout.CURVES] = partial(overview_drawing.curves, sweep)
    if not single and columns_of(sweep):
        found[layout.PARALLEL] = partial(overview_drawing.parallel, sweep)
    return found


def digest_of(sweep: SweepData) -> str:
    """A checksum of all that the pictures show."""
    trials = [(trial.title, trial.config, trial.curve(sweep.metric), sweep.counts(trial)) for trial in sweep.trials]
    shown = [FORMAT, sweep.results["name"], len(sweep.results["trials"]), sweep.metric, sweep.sign, trials]
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()


def _digest_in(file: Path) -> str | None:
    """What a picture says that it was drawn from; None where there is none, or a damaged one."""
    try:
        with Image.open(file) as picture:
            picture.load()
            return picture.info.get(DIGEST)
    except Exception:  # Pillow raises whatever it stumbles over
        return None
