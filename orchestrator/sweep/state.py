"""The state of a sweep: what its scheduler has decided and what became of its trials. Only events change it.

Every event is applied, written to the journal, and only then acted upon and passed to listeners. So, whenever a kill
comes, the journal holds all that was acted upon, and at most one event that was not. Replayed, it gives the same
scheduler and the same results, and listeners drop the events that they know. A method of SweepState that makes an event
(`begin`, `report`, ...) has a private one that applies it (`_began`, `_epoch`, ...), listed in APPLY.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from orchestrator.errors import UserError
from orchestrator.schedulers.base import CONTINUE, PAUSE
from orchestrator.schedulers.run_all import RunAll
from orchestrator.storage.journal import Journal, JournalError
from orchestrator.storage.metric_lines import history, metrics_of
from orchestrator.sweep.budget import UNLIMITED, BudgetMeter
from orchestrator.sweep.ranking import STOPPED
from orchestrator.sweep.results_file import ENDS, ResultsFile, decision_of, known_numbers

WORST = ("diverged", "failed")  # a trial that ends so takes the last place at its next rung
SLOT, GROUP, MEMORY, NODE = "slot", "group", "memory", "node"  # what failed when a trial is tried again
FORMAT = 1  # of the journal's events
LATER = ("spec", "data")  # facts that the journal of an older version lacks: they are added when its sweep is resumed
TO_THE_END = RunAll()

Event = tuple[Any, ...]  # the name of a listener's method, and its values


class SweepState:
    """The scheduler's `core` and the results file, with the journal from which both can be rebuilt.

    Args:
        core: a `schedulers.base.Scheduler`, which nothing else changes; it identifies trials by their number.
        results_file: to which nothing else adds; its trials have a "number".
        journal: its events are replayed here.
        slot_config: makes the slot config of a trial from plain values; for trials that are found while the sweep runs.
        budget: counts what the sweep has used.

    Raises JournalError if a replayed decision differs from the recorded one.
    """

    def __init__(
        self,
        core,
        results_file: ResultsFile,
        journal: Journal,
        slot_config: Callable[[dict], dict] = dict,
        budget: BudgetMeter = UNLIMITED,
    ):
        self.core, self.results_file, self.journal = core, results_file, journal
        self.slot_config, self.budget = slot_config, budget
        self.names = {known["number"]: trial for trial, known in results_file.trials.items()}
        self.standing: dict[str, bool] = {}  # trials that began and have not ended -> paused? Latest change last.
        self.params: dict[int, dict] = {}  # configuration -> the parameters of its draw; None: none was left to draw
        self.confirming: set[str] | None = None  # the trials that confirm the search, once it is over
        self.unstopped: set[str] = set()  # trials that no scheduler stops: those that confirm, and lengthened ones
        self.cut: set[str] = set()  # trials that the scheduler let go on, but not the budget
        self.retries: Counter[tuple[str, str]] = Counter()  # of each trial, by SLOT, GROUP, MEMORY and NODE
        self.stacking: dict[str, dict[str, Any]] = {}  # kind of trials -> whether they are trained together, and why
        self.said: set[str] = set()  # names of the facts that are in the journal
        self.over = False  # the sweep came to its end
        self.news: list[Event] = []  # not yet passed to listeners
        self.changed: dict[str, None] = {}  # trials that are new, or of which more is known, since they were taken
        self.error: OSError | None = None  # of the journal, or of a trial's folder; no event is written after it
        for number, event in enumerate(journal.events, start=1):
            try:
                self._again(number, event)
            except (LookupError, TypeError, ValueError, AttributeError) as error:
                place = f"{journal.path}:{number}"
                raise JournalError(f"{place}: is no event of this sweep ({error!r}): cut the file off there.") from None

    def start(self, **facts: Any) -> None:
        """The sweep begins, with `facts` that `resume` needs; if it began before, only what is new is recorded."""
        if not self.journal.events:
            self._do("sweep", format=FORMAT, **facts)
            return
        new = {name: facts[name] for name in LATER if name in facts and name not in self.said}
        if new or [facts.get("made_with")] != self.results_file.made_with[-1:]:
            self._do("changed", made_with=facts.get("made_with"), **new)

    def draw(self, configuration: int, params: dict | None, trials: list[dict]) -> None:
        """A configuration of the search is drawn, with its trials; None and no trials if there was none left."""
        self._do("drawn", configuration=configuration, params=params, trials=trials)

    def confirm(self, trials: list[dict]) -> None:
        """The search is over, and these trials confirm it: they train in full, whatever their results are."""
        self._do("confirming", trials=trials)

    def extend(self, **facts: Any) -> None:
        """The finished sweep goes on with more trials, or with longer ones; `extension.py` makes the facts."""
        self._do("extended", **facts)
        self.check()

    def reuse(self, trial: str, source: str, epochs: list[dict[str, float]]) -> None:
        """The trial is one of an earlier sweep, with these metrics after each epoch; its folder has been copied."""
        self._do("reused", trial=trial, source=source, epochs=epochs)

    def begin(self, trial: str) -> bool:
        """The trial has a slot. False if it had one before."""
        if trial in self.results_file.entries:
            return False
        self._do("began", trial=trial)
        return True

    def report(self, trial: str, epoch: int, metrics: dict[str, float], seconds: float = 0.0) -> str:
        """What the trial does after `epoch`, which took `seconds`: CONTINUE, PAUSE or STOP.

        A resumed trial repeats its last epochs. They change nothing: it returns to where it was, running or paused.
        """
        known = self.results_file.entries[trial]["epochs"]
        if epoch > known:
            more = {"price": self.budget.price(seconds)} if self.budget.limits else {}
            if epoch > known + 1:  # the journal that had those between was lost
                lines = _known_lines(Path(self.results_file.trials[trial]["folder"]))
                more["earlier"] = [metrics_of(line) for line in lines[known : epoch - 1]]
            return self._do("epoch", trial=trial, epoch=epoch, metrics=metrics, **more)
        return PAUSE if epoch == known and self.standing.get(trial) else CONTINUE

    def next(self) -> int | None:
        """Promote a paused trial and return its number, or None when there is none to promote."""
        return self._do("promoted") if self.core.due() and not self.budget.empty else None

    def close(self) -> int | None:
        """The same by the scheduler's `close`: for when no new trial is left and `next` has none."""
        return None if self.budget.empty else self._do("closing")

    def retry(self, trial: str, of: str = SLOT) -> None:
        """The trial is tried again: its SLOT failed, its GROUP was restarted, MEMORY was short or its NODE lost."""
        self._do("retried", trial=trial, of=of)

    def decide_stacking(self, kind: str, like: str, stacked: bool, **measured: Any) -> None:
        """Trials of a kind, such as the trial `like`, are trained together in a slot, or never are."""
        self._do("stacking", shape=kind, like=like, stacked=stacked, **measured)

    def end(self, trial: str, status: str, reason: str | None) -> None:
        """The trial has ended."""
        self._do("ended", trial=trial, status=status, reason=reason)

    def finish(self) -> None:
        """The sweep is over, and all listeners were notified. Raises OSError."""
        if not self.over:
            self._do("finished")
        self.check()

    def reason(self, trial: str) -> str | None:
        """Why a paused trial was not promoted."""
        return self.budget.empty if trial in self.cut else self._core(trial).reason(self._number(trial)) or None

    def check(self) -> None:
        """Raises the OSError that kept an earlier event from being written, if there was one."""
        if self.error:
            raise self.error

    def take_news(self) -> list[Event]:
        """The events that are not yet passed to listeners; each is returned once."""
        news, self.news = self.news, []
        return news

    def take_changed(self) -> list[str]:
        """The trials that are new, or of which more is known, since the last call."""
        changed, self.changed = list(self.changed), {}
        return changed

    def _do(self, kind: str, **facts: Any) -> Any:
        answer = APPLY[kind](self, facts)
        if self.error is None and not (kind == "closing" and answer is None):
            try:
                self.journal.append({"event": kind, **facts, "answer": answer} | self._for_readers(kind, facts))
                self.results_file.events += 1
            except OSError as error:  # raised by `check`: here Tune would take it for the trial's failure
                self.error = error
        return answer

    def _for_readers(self, kind: str, facts: dict) -> dict[str, Any]:
        """What an event has for `results_file.up_to_date` alone."""
        if kind in ENDS:
            return {"outcome": self.results_file.outcome(facts["trial"])}
        if kind == "extended":  # all had ended
            entries = self.results_file.entries.items()
            return {"reopened": [trial for trial, entry in entries if entry["status"] is None]}
        return {}

    def _again(self, number: int, event: dict) -> None:
        place = f"{self.journal.path}:{number}"
        event = dict(event)  # the journal's own stays as it is
        kind = event.pop("event")
        strange = "trial" in event and event["trial"] not in self.results_file.trials
        if strange or kind not in APPLY or event.get("format", FORMAT) != FORMAT:
            raise JournalError(f"{place}: is of another version of vaeorch, or of another sweep.")
        if "seconds" in event:  # `Journal` restored the event, without its price
            event["price"] = self.budget.price(event["seconds"])
        found = APPLY[kind](self, event)
        self.results_file.events = number
        if found != event.get("answer", found):
            raise JournalError(
                f"{place}: the journal says {kind} -> {event['answer']}, the spec.yaml beside it leads to {found}."
                " The spec was changed since, or the sweep ran with another version of vaeorch: resume it with that."
            )

    def _sweep(self, facts: dict) -> None:
        """What the sweep is made of from here on: its spec, trials, code, packages and data."""
        self.said |= facts.keys()
        self.results_file.data = facts.get("data", self.results_file.data)
        if [facts.get("made_with")] != self.results_file.made_with[-1:]:
            self.results_file.made_with.append(facts.get("made_with"))

    def _drawn(self, facts: dict) -> None:
        """The searcher drew a configuration: its parameters, and its trials."""
        self.params[facts["configuration"]] = facts["params"]
        self._enter(facts["trials"])

    def _confirming(self, facts: dict) -> None:
        """The search is over; these trials train the best configurations again."""
        self.confirming = set(self._enter(facts["trials"]))
        self.unstopped |= self.confirming

    def _extended(self, facts: dict) -> None:
        """Trials were added or lengthened, after which stopped trials wait again, as they did before the search closed.

        Those that the budget cut go on.
        """
        self.over, self.confirming = False, None
        self.results_file.data = facts.get("data", self.results_file.data)
        self._enter(facts["trials"])
        for trial, entry in self.results_file.entries.items():
            if entry["status"] == STOPPED:
                self.standing[trial] = trial not in self.cut
        for trial, longer in facts["longer"].items():
            self.results_file.lengthen(trial, longer["run"], longer["last_epoch"])
            self.unstopped.add(trial)
            if trial in self.results_file.entries:  # else it is a further seed of such a configuration
                self.standing[trial] = False
        for trial in [trial for trial, paused in self.standing.items() if not paused]:
            self._reopen(trial)
        self.cut.clear()
        self.changed |= dict.fromkeys(self.results_file.entries)

    def _reopen(self, trial: str) -> None:
        """A trial that had ended goes on: what was said of its end holds no more."""
        self.results_file.reopen(trial)
        self.news = [event for event in self.news if event[:2] != ("trial_ended", trial)]
        self.news.append(("trial_started", trial, self.results_file.trials[trial]["parameters"], trial))

    def _enter(self, trials: list[dict]) -> list[str]:
        configs = {config["id"]: config for config in map(self.slot_config, trials)}
        self.results_file.trials |= configs
        self.changed |= dict.fromkeys(configs)
        self.names |= {config["number"]: trial for trial, config in configs.items()}
        return list(configs)

    def _began(self, facts: dict) -> None:
        """A trial has started."""
        trial = facts["trial"]
        self.results_file.begin(trial)
        self.standing[trial] = False
        self.changed[trial] = None
        self.news.append(("trial_started", trial, self.results_file.trials[trial]["parameters"], trial))

    def _reused(self, facts: dict) -> None:
        """A trial was taken from another sweep: where it is from, and its epochs."""
        trial = facts["trial"]
        self._began(facts)
        for epoch, metrics in enumerate(facts["epochs"], start=1):
            self._learn(trial, epoch, metrics)
        self.results_file.entries[trial]["reused_from"] = facts["source"]
        self._ended({"trial": trial, "status": "completed", "reason": f"reused from {facts['source']}"})

    def _epoch(self, facts: dict) -> str:
        """A trial has trained an epoch: its metrics, and whether it goes on, pauses or stops."""
        trial, epoch = facts["trial"], facts["epoch"]
        for number, metrics in enumerate(facts.get("earlier", []), self.results_file.entries[trial]["epochs"] + 1):
            self.results_file.add(trial, number, metrics)  # it is not asked again whether the trial goes on after it
            self.news.append(("epoch", trial, number, metrics))
        answer = self._learn(trial, epoch, facts["metrics"])
        self.budget.pay(facts.get("price", {}))
        if answer == CONTINUE and self._cuts(facts) and epoch < self.results_file.trials[trial]["last_epoch"]:
            self.cut.add(trial)
            answer = PAUSE
        self._stands(trial, paused=answer == PAUSE)
        return answer

    def _cuts(self, facts: dict) -> bool:
        """Whether the budget ends a trial after an epoch; of one in the journal, whether it did, whatever it is now."""
        if "answer" in facts:
            return "price" in facts and facts["answer"] == PAUSE
        return self.budget.empty is not None

    def _learn(self, trial: str, epoch: int, metrics: dict[str, float]) -> str:
        self.results_file.add(trial, epoch, metrics)
        self.news.append(("epoch", trial, epoch, metrics))
        return self._core(trial).report(self._number(trial), epoch, metrics[self.results_file.objective["metric"]])

    def _promoted(self, facts: dict) -> int | None:
        """The best paused trial goes on, by the scheduler's rule; the answer is its number."""
        return self._goes_on(self.core.next())

    def _closing(self, facts: dict) -> int | None:
        """A paused trial goes on since no other can come to its rung; the answer is its number."""
        search = (trial for trial in self.standing if self._core(trial) is self.core)
        return self._goes_on(self.core.close({self._number(trial): self.standing[trial] for trial in search}))

    def _goes_on(self, number: int | None) -> int | None:
        if number is not None:
            trial = self.names[number]
            self._stands(trial, paused=False)
            if self.results_file.entries[trial]["status"]:
                self._reopen(trial)
        return number

    def _retried(self, facts: dict) -> None:
        """A trial failed and goes on from its last checkpoint; `of` says what failed."""
        self.retries[facts["trial"], facts["of"]] += 1
        self.results_file.retry(facts["trial"])

    def _stacking(self, facts: dict) -> None:
        """It was found whether trials of one `shape` are trained together in a slot, and why."""
        decision = decision_of(facts)
        self.stacking[facts["shape"]] = decision
        self.results_file.stacking.append(decision)
        self.news.append(("trial_noticed", facts["like"], stacking_text(decision)))

    def _ended(self, facts: dict) -> None:
        """A trial has ended: its status, and why."""
        trial, status, reason = facts["trial"], facts["status"], facts["reason"]
        if status in WORST:
            self._core(trial).abandon(self._number(trial))
        del self.standing[trial]
        self.changed[trial] = None
        entry = self.results_file.end(trial, status, reason)
        self.news.append(("trial_ended", trial, status, reason, known_numbers(entry["best"])))

    def _finished(self, facts: dict) -> None:
        """The sweep has ended."""
        self.over = True

    def _core(self, trial: str):
        """The scheduler of a trial: some are never stopped early."""
        return TO_THE_END if trial in self.unstopped else self.core

    def _number(self, trial: str) -> int:
        return self.results_file.trials[trial]["number"]

    def _stands(self, trial: str, paused: bool) -> None:
        self.standing.pop(trial)
        self.standing[trial] = paused
        self.changed[trial] = None


def _known_lines(folder: Path) -> list[dict]:
    """What a trial's folder has of its epochs; empty where that cannot be read."""
    with suppress(UserError):
        return history(folder)
    return []


def stacking_text(decision: dict[str, Any]) -> str:
    """Whether trials are trained together, and why, as the user is told."""
    if not decision["stacked"]:
        return f"It and trials like it are trained alone: {decision['why']}."
    same = "with the same numbers" if decision["equal"] else "with numbers that differ in their last digits"
    return f"It and trials like it are trained together, {decision['gain']:.2g} times as quick, {same}."


APPLY = {
    "sweep": SweepState._sweep,
    "changed": SweepState._sweep,
    "drawn": SweepState._drawn,
    "confirming": SweepState._confirming,
    "extended": SweepState._extended,
    "reused": SweepState._reused,
    "began": SweepState._began,
    "epoch": SweepState._epoch,
    "promoted": SweepState._promoted,
    "closing": SweepState._closing,
    "retried": SweepState._retried,
    "stacking": SweepState._stacking,
    "ended": SweepState._ended,
    "finished": SweepState._finished,
}
