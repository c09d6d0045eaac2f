"""Our promotion ASHA and Hyperband against Ray's ASHA and no early stopping, on the same learning curves.

    python benchmarks/asha.py [--trials 60] [--shuffles 100] [--slots 1 4 16] [--curves FILE] [--set ...]

The curves are real: configurations of search_spaces/quickstart.yaml, each trained for 27 epochs on `digits`. With
--curves they are saved to FILE, or loaded from it if it exists. Then each scheduler is simulated on them, in `shuffles`
orders of the configurations, without training: a slot needs one unit of time per epoch. For Ray it is the original
AsyncHyperBandScheduler object, which needs no cluster: the only attribute of a trial that it reads is `trial_id`.
"""

import argparse
import json
import math
import random
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

from orchestrator.schedulers.asha import PromotionAsha
from orchestrator.schedulers.base import CONTINUE, STOP
from orchestrator.schedulers.hyperband import HyperbandBrackets
from orchestrator.schedulers.run_all import RunAll

ROOT = Path(__file__).parents[1]
TOP = 3  # configurations that count as good
GRACE, ETA = 3, 3
BUDGETS = (0.1, 0.2, 0.3, 0.5)  # fractions of the epochs of all trials trained in full

Curves = list[list[float]]
"""The objective (higher is better) of each configuration (row) after each epoch."""


def record(settings: list[str]) -> Curves:
    """Train the configurations and print a line for each; `settings` change the spec as --set does."""
    from orchestrator.checks.read import read_spec
    from orchestrator.space.trials import list_trials as listed
    from trainables.common.errors import Diverged
    from trainables.run import Run
    from trainables.train import train

    spec = read_spec(ROOT / "search_spaces" / "quickstart.yaml", settings)
    curves, trials = [], listed(spec)
    for trial in trials:
        run, curve = Run.model_validate(trial.run), []
        try:
            curve += [report.metrics[spec.objective.metric] for report in train(run)]
        except Diverged:
            curve += [math.nan] * (run.epochs - len(curve))
        curves.append(curve)
        print(f"{trial.number}/{len(trials)}: {curve[-1]:.2f}", flush=True)
    return curves


class RayAsha:
    """Ray's scheduler with the interface of ours. It never resumes a stopped trial."""

    def __init__(self, epochs: int):
        from ray.tune.schedulers import AsyncHyperBandScheduler

        self.scheduler = AsyncHyperBandScheduler(
            time_attr="epoch", metric="value", mode="max", max_t=epochs, grace_period=GRACE, reduction_factor=ETA
        )
        self.trials: dict[int, SimpleNamespace] = {}

    def report(self, trial: int, epoch: int, value: float) -> str:
        if trial not in self.trials:
            self.trials[trial] = SimpleNamespace(trial_id=str(trial))
            self.scheduler.on_trial_add(None, self.trials[trial])
        answer = self.scheduler.on_trial_result(None, self.trials[trial], {"epoch": epoch, "value": value})
        return {"CONTINUE": CONTINUE, "STOP": STOP}[answer]

    def next(self) -> None:
        return None


SCHEDULERS: dict[str, Callable] = {
    "no early stopping": lambda epochs: RunAll(),
    "Ray's ASHA": RayAsha,
    "our ASHA": lambda epochs: PromotionAsha("max", epochs, GRACE, ETA),
    "our Hyperband": lambda epochs: HyperbandBrackets("max", epochs, GRACE, ETA),
}


@dataclass
class Course:
    """The course of one sweep: the leading configuration, by latest values, after each epoch that any slot trained."""

    latest: dict[int, float] = field(default_factory=dict)  # configuration -> value
    leaders: list[tuple[int, float]] = field(default_factory=list)  # (configuration, value)
    full: dict[int, int] = field(default_factory=dict)  # configuration -> epochs of the sweep until it was finished

    def epoch(self, configuration: int, value: float) -> None:
        self.latest[configuration] = value if math.isfinite(value) else -math.inf
        leader = self.leaders[-1][0] if self.leaders else configuration
        if leader == configuration:
            leader = max(self.latest, key=self.latest.get)
        leader = max(leader, configuration, key=self.latest.get)
        self.leaders.append((leader, self.latest[leader]))

    def found(self, good: set[int]) -> float:
        """Epochs of the sweep until the first of the good configurations was trained in full; inf if none was."""
        return min((self.full[each] for each in good & self.full.keys()), default=math.inf)

    def identified(self, best: int) -> float:
        """Epochs of the sweep after which the best configuration leads until the end; inf if it does not."""
        others = [spent for spent, (leader, _) in enumerate(self.leaders, start=1) if leader != best]
        last = max(others, default=0)
        return last + 1 if last < len(self.leaders) else math.inf

    def value(self, budget: float) -> float:
        """The leader's value after so many epochs, or at the end of a shorter sweep."""
        return self.leaders[int(min(budget, len(self.leaders))) - 1][1]


def play(curves: Curves, order: list[int], core, slots: int, rng: random.Random) -> Course:
    """Simulate a sweep over `curves` in this order; trial number n is configuration order[n - 1]."""
    epochs, course = len(curves[0]), Course()
    new, busy, done = list(range(1, len(order) + 1)), [], [0] * (len(order) + 1)
    while True:
        while len(busy) < slots:
            trial = core.next()
            if trial is None and not new:
                break
            busy.append(new.pop(0) if trial is None else trial)
        if not busy:
            return course
        for trial in rng.sample(busy, len(busy)):  # slots of equal speed report in random order
            configuration = order[trial - 1]
            value = curves[configuration][done[trial]]
            done[trial] += 1
            course.epoch(configuration, value)
            if done[trial] == epochs:
                course.full[configuration] = len(course.leaders)
            if core.report(trial, done[trial], value) != CONTINUE or done[trial] == epochs:
                busy.remove(trial)


def row(name: str, curves: Curves, slots: int, shuffles: int) -> list[str]:
    """A row of the table: means over the orders, medians where a value may be infinite."""
    epochs = len(curves[0])
    finals = [curve[-1] if math.isfinite(curve[-1]) else -math.inf for curve in curves]
    best, *others = sorted(range(len(curves)), key=finals.__getitem__, reverse=True)[:TOP]
    courses = []
    for shuffle in range(shuffles):
        rng = random.Random(shuffle)  # the same orders for every scheduler
        order = rng.sample(range(len(curves)), len(curves))
        courses.append(play(curves, order, SCHEDULERS[name](epochs), slots, rng))
    cells = [f"{statistics.fmean(len(course.leaders) for course in courses):.0f}"]
    for good in ({best}, {best, *others}):
        found = [course.found(good) for course in courses]
        cells += [f"{sum(map(math.isfinite, found)) / shuffles:.0%}", _median(found)]
    cells.append(_median([course.identified(best) for course in courses]))
    for budget in (*(share * len(curves) * epochs for share in BUDGETS), math.inf):
        cells.append(f"{statistics.fmean(finals[best] - course.value(budget) for course in courses):.3f}")
    return [str(slots), name, *cells]


def _median(values: list[float]) -> str:
    """The high median as text: at least half of the sweeps took no longer."""
    middle = statistics.median_high(values)
    return f"{middle:.0f}" if math.isfinite(middle) else "never"


def table(curves: Curves, slots: list[int], shuffles: int) -> str:
    all_epochs = len(curves) * len(curves[0])
    header = ["slots", "scheduler", "epochs", "best found", "after", f"one of the best {TOP}", "after", "leads after"]
    header += [f"regret at {share * all_epochs:.0f}" for share in BUDGETS] + ["at the end"]
    rows = [row(name, curves, count, shuffles) for count in slots for name in SCHEDULERS]
    lines = [header, ["---:" if column != 1 else "---" for column in range(len(header))], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--shuffles", type=int, default=100)
    parser.add_argument("--slots", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--curves", type=Path)
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="PATH=VALUE")
    words = parser.parse_args()
    if words.curves and words.curves.exists():
        curves = json.loads(words.curves.read_text())
    else:
        curves = record([f"trials={words.trials}", *words.settings])
        if words.curves:
            words.curves.write_text(json.dumps(curves))
    print(f"{len(curves)} configurations, {len(curves[0])} epochs each, {words.shuffles} orders\n")
    print(table(curves, words.slots, words.shuffles))


if __name__ == "__main__":
    main()
