"""evaluate(run, checkpoint, ...) measures a trained model and yields one EvaluationResult per evaluation."""

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from trainables.common.errors import CheckpointError, DataError, Undefined
from trainables.common.roots import Root
from trainables.data import Dataset
from trainables.evaluations.base import Evaluation, EvaluationResult, Measurement
from trainables.evaluations.context import EvaluationContext, together
from trainables.run import Run
from trainables.sums import from_all
from trainables.train import reopen


def evaluate(
    run: Run,
    saved: Path,
    evaluations: Iterable[Evaluation],
    data_root: Root = None,
    cache_folder: Path | None = None,
) -> Iterator[EvaluationResult]:
    """Measure the model of a checkpoint of `run`. Evaluations share intermediate results.

    An evaluation that is undefined for this model or these data yields a result that says why. With several workers,
    each calls this function and gets the same results. Raises DataError where data are missing, and CheckpointError.

    Args:
        cache_folder: a folder for what many checkpoints share, such as a classifier of the data, so that all are
            measured with the same one; processes may use it at the same time. None: no cache.
    """
    report = together(lambda: reopen(run, data_root, saved), errors=(DataError, CheckpointError))
    seen = EvaluationContext(report.training, cache_folder, data_root)
    for evaluation in evaluations:
        yield find(evaluation, seen)


def find(evaluation: Evaluation, seen: EvaluationContext) -> EvaluationResult:
    """One evaluation's numbers, or why there are none."""
    started = time.perf_counter()
    measured, undefined, lasting = Measurement({}, None), "", True
    try:
        seen.check_weights()
        measured = checked(evaluation.measure(seen))
    except Undefined as error:
        undefined = str(error)
    except DataError as error:
        undefined, lasting = str(error), False
    (seconds, *_) = from_all(time.perf_counter() - started)
    return EvaluationResult(
        metric=evaluation.name,
        settings=evaluation.model_dump(mode="json"),
        values=measured.values,
        provenance=measured.provenance and replace(measured.provenance, data=described(seen.run.data)),
        undefined=undefined,
        lasting=lasting,
        epoch=seen.epoch,
        seconds=seconds,
        pictures=measured.pictures,
        lacking=measured.lacking,
        version=evaluation.version,
        tables=measured.tables,
    )


def described(data: Dataset) -> str:
    """A data set's description in a provenance, such as `celeba crop=148`."""
    own = data.model_dump(mode="json", exclude_defaults=True, exclude={"name", "train_rows", "val_rows"})
    return " ".join([data.name, *(f"{name}={value}" for name, value in own.items())])


def checked(measured: Measurement) -> Measurement:
    """Returns `measured`. Raises Undefined where a number is not finite."""
    bad = [name for name, value in measured.values.items() if not math.isfinite(value)]
    if bad:
        raise Undefined(f"{', '.join(bad)}: not finite: look at the model's loss.")
    return measured
