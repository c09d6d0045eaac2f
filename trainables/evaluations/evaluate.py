"""evaluate(run, checkpoint, ...): numbers about a trained model, after the fact. One Finding per evaluation."""

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from trainables.common.errors import CheckpointError, DataError, Undefined
from trainables.common.roots import Root
from trainables.data import Dataset
from trainables.evaluations import Evaluation, Finding, Measured
from trainables.evaluations.context import Evidence, together
from trainables.run import Run
from trainables.sums import from_all
from trainables.train import reopen


def evaluate(
    run: Run,
    saved: Path,
    evaluations: Iterable[Evaluation],
    data_root: Root = None,
    kept: Path | None = None,
) -> Iterator[Finding]:
    """Measure the model of a checkpoint of `run`. What is made for one evaluation is there for the next.

    One that is not defined for this model and these data is a Finding that says why. With several workers each calls
    this; all have the same findings, but for what of its own makes one fail. Raises DataError where the data are not
    there, and CheckpointError.

    Args:
        kept: a folder for what many checkpoints share, as a classifier of the data, so that all are judged by the same
            one; processes may use it at the same time. None: all is made anew.
    """
    report = together(lambda: reopen(run, data_root, saved), errors=(DataError, CheckpointError))
    seen = Evidence(report.training, kept, data_root)
    for evaluation in evaluations:
        yield find(evaluation, seen)


def find(evaluation: Evaluation, seen: Evidence) -> Finding:
    """One evaluation's numbers, or why there are none."""
    started = time.perf_counter()
    measured, undefined, lasting = Measured({}, None), "", True
    try:
        seen.check_weights()
        measured = checked(evaluation.measure(seen))
    except Undefined as error:
        undefined = str(error)
    except DataError as error:
        undefined, lasting = str(error), False
    (seconds, *_) = from_all(time.perf_counter() - started)
    return Finding(
        metric=evaluation.name,
        settings=evaluation.model_dump(mode="json"),
        values=measured.values,
        provenance=measured.provenance and replace(measured.provenance, data=described(seen.run.data)),
        undefined=undefined,
        lasting=lasting,
        epoch=seen.epoch,
        seconds=seconds,
        pictures=measured.pictures,
    )


def described(data: Dataset) -> str:
    """A data set as provenances name it, as `celeba crop=148`."""
    own = data.model_dump(mode="json", exclude_defaults=True, exclude={"name", "train_rows", "val_rows"})
    return " ".join([data.name, *(f"{name}={value}" for name, value in own.items())])


def checked(measured: Measured) -> Measured:
    """What was measured. Raises Undefined where a number is not finite."""
    bad = [name for name, value in measured.values.items() if not math.isfinite(value)]
    if bad:
        raise Undefined(f"{', '.join(bad)}: not finite: look at the model's loss.")
    return measured
