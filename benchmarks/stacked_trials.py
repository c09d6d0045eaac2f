"""Images per CPU-second of many small trainings in a stack, against each trained alone: both train the same numbers.

    python benchmarks/stacked_trials.py [--trainings K ...] [--repeats N]

Both are timed alternately in one process, in CPU-seconds of one thread, so that other work on the machine matters less.
The ratio is per pair; the median is printed, of gradient steps alone and of whole epochs with their validation.
Trainings alone are timed on four of the K, and scaled.
"""

import argparse
import statistics
import time

import torch

from trainables.run import Run
from trainables.stacked.stack import Stack
from trainables.terms import loss_of, sums_of
from trainables.train import Epoch, Training

CASES = {
    "circle, MLP 10-10-10, batch 100": (
        {"name": "circle", "train_rows": 10_000, "val_rows": 2_000},
        [10, 10, 10],
        2,
        100,
    ),
    "circle, MLP 10-10-10, batch 10": ({"name": "circle", "train_rows": 1_000, "val_rows": 2_000}, [10, 10, 10], 2, 10),
    "digits, MLP 64, batch 100": ({"name": "digits"}, [64], 8, 100),
}
ALONE = 4


def runs_of(case: str, trainings: int) -> list[Run]:
    """Runs of a case that differ in seed and learning rate."""
    data, hidden, latent_dim, batch_size = CASES[case]
    shared = {"method": {"name": "vae"}, "data": data, "batch_size": batch_size, "epochs": 1000}
    shared |= {"network": {"name": "mlp", "hidden": hidden, "latent_dim": latent_dim}}
    lrs = [10 ** -(2 + k / trainings) for k in range(trainings)]
    return [Run.model_validate(shared | {"seed": k, "optimizer": {"lr": lr}}) for k, lr in enumerate(lrs)]


def steps_alone(training: Training) -> Epoch:
    """The steps of an epoch, as `train` takes them."""
    epoch = Epoch(training)
    for x_BX, noise, rows in epoch.batches():
        terms = training.learner(x_BX, noise, training.kl_scale(), epoch.phase().name)
        with torch.no_grad():
            sums = sums_of(terms, len(x_BX))
        training.backward(loss_of(terms, rows))
        epoch.step(epoch.phase(), terms, sums, len(x_BX), rows)
    return epoch


def seconds_alone(trainings: list[Training]) -> tuple[float, float]:
    """CPU-seconds of an epoch of all: of the steps, and with validation."""
    started, steps = time.process_time(), 0.0
    for training in trainings:
        began = time.process_time()
        epoch = steps_alone(training)
        steps += time.process_time() - began
        epoch.report()
    return steps, time.process_time() - started


def seconds_stacked(stack: Stack) -> tuple[float, float]:
    """The same of a stack."""
    steps, take_steps = 0.0, stack.take_steps

    def timed(*values) -> dict:
        nonlocal steps
        began = time.process_time()
        diverged = take_steps(*values)
        steps = time.process_time() - began
        return diverged

    stack.take_steps, started = timed, time.process_time()
    stack.train_epoch()
    del stack.take_steps
    return steps, time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainings", type=int, nargs="+", default=[8, 64])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| case | trainings | steps: stacked / alone, images per CPU-s | ratio | with validation: ratio |")
    print("|---|---:|---|---:|---:|")
    for case in CASES:
        for count in options.trainings:
            few = [Training(run) for run in runs_of(case, count)[:ALONE]]
            stack = Stack([Training(run) for run in runs_of(case, count)], validates=True)
            seconds_alone(few), seconds_stacked(stack)  # the first epoch is slower
            pairs = [(seconds_alone(few), seconds_stacked(stack)) for _ in range(options.repeats)]
            rows, scale = len(few[0].splits.train) * count, count / len(few)
            of_steps, of_all = ([scale * alone[part] / stacked[part] for alone, stacked in pairs] for part in (0, 1))
            alone_s, stacked_s = (statistics.median(one[0] for one in column) for column in zip(*pairs, strict=True))
            rates = f"{rows / stacked_s:,.0f} / {rows / alone_s / scale:,.0f}"
            ratios = (statistics.median(some) for some in (of_steps, of_all))
            print(
                f"| {case} | {count} | {rates} | " + " | ".join(f"{ratio:.1f}" for ratio in ratios) + " |", flush=True
            )


if __name__ == "__main__":
    main()
