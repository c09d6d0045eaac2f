"""evaluate(run, checkpoint, ...): numbers about a trained model, after the fact. One Finding per evaluation."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from trainables.data import DataError
from trainables.metrics.evaluations import Evaluation, Finding
from trainables.metrics.evaluations.evidence import Evidence
from trainables.metrics.provenance import Undefined
from trainables.roots import Root
from trainables.run import Run
from trainables.train import reopen


def evaluate(run: Run, saved: Path, evaluations: Iterable[Evaluation], data_root: Root = None) -> Iterator[Finding]:
    """Measure the model of a checkpoint of `run`. What is made for one evaluation is there for the next.

    One that is not defined for this model and these data is a Finding that says why. With several workers each calls
    this; all have the same findings. Raises DataError where the data are not there, and CheckpointError.
    """
    training = reopen(run, data_root, saved).training
    seen = Evidence(training.learner, training.splits, training.device)
    for evaluation in evaluations:
        yield find(evaluation, seen)


def find(evaluation: Evaluation, seen: Evidence) -> Finding:
    """One evaluation's numbers, or why there are none."""
    started = time.perf_counter()
    values, provenance, undefined = {}, None, ""
    try:
        values, provenance = evaluation.compute(seen), evaluation.provenance(seen)
    except (Undefined, DataError) as error:
        undefined = str(error)
    settings = evaluation.model_dump(mode="json")
    return Finding(evaluation.name, settings, values, provenance, undefined, time.perf_counter() - started)
