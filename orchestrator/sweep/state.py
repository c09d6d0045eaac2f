"""Where a sweep stands: what its scheduler has decided and what became of its trials, changed by events alone.

Every event is applied, written to the journal, and only then acted upon and told. So a kill at any point leaves a
journal that is behind what was done by nothing, and ahead of it by one event at most: played again, the journal gives
the same scheduler and the same ledger, and whoever is told of events drops those that are known.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

from orchestrator.schedulers.base import CONTINUE, PAUSE
from orchestrator.schedulers.run_all import RunAll
from orchestrator.storage.journal import Journal, JournalError
from orchestrator.sweep.budget import UNLIMITED, BudgetMeter
from orchestrator.sweep.results_file import ResultsFile, known_numbers

WORST = ("diverged", "failed")  # a trial that ends so takes the last place at the rung ahead of it
SLOT, GROUP, MEMORY = "slot", "group", "memory"  # what fails when a trial is tried again
FORMAT = 1  # of the journal's events
LATER = ("spec", "data")  # facts that the journal of an older version lacks: they are noted when it goes on
TO_THE_END = RunAll()

Event = tuple[Any, ...]  # the name of a listener's method, and its values


class SweepState:
    """The scheduler's `core` and the ledger, with the journal that both can be made from.

    Args:
        core: asha.Asha or asha.RunAll, that nobody else changes; it knows trials by their number.
        ledger: that nobody else adds to; its trials have a "number".
        journal: whose events are played again, here and now.
        slot_config: makes of a trial in plain values what the ledger holds of it; for trials found while it runs.
        account: what is left of the budget.

    Raises JournalError if a decision comes out otherwise than it was written down.
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
        self.standing: dict[str, bool] = {}  # trials that began and have not ended -> are they paused? Latest last.
        self.params: dict[int, dict] = {}  # of each configuration drawn, what it was drawn as; None: there was none
        self.confirming: set[str] | None = None  # the trials that confirm the search, once it is over
        self.cut: set[str] = set()  # trials that would have gone on, had the budget not been used up
        self.retries: Counter[tuple[str, str]] = Counter()  # of each trial, of SLOT and of GROUP
        self.said: set[str] = set()  # names of the facts that are in the journal
        self.over = False  # the sweep came to its end
        self.news: list[Event] = []  # not yet told
        self.error: OSError | None = None  # of the journal, or of a trial's folder; nothing is written after it
        for number, event in enumerate(journal.events, start=1):
            try:
                self._again(number, event)
            except (LookupError, TypeError, ValueError, AttributeError) as error:
                place = f"{journal.path}:{number}"
                raise JournalError(f"{place}: is no event of this sweep ({error!r}): cut the file off there.") from None

    def start(self, **facts: Any) -> None:
        """The sweep begins; `facts` are for whoever resumes it. If it began before, what is new of LATER is noted."""
        if not self.journal.events:
            self._do("sweep", format=FORMAT, **facts)
            return
        new = {name: facts[name] for name in LATER if name in facts and name not in self.said}
        if new or [facts.get("made_with")] != self.results_file.made_with[-1:]:
            self._do("changed", made_with=facts.get("made_with"), **new)

    def draw(self, configuration: int, params: dict | None, trials: list[dict]) -> None:
        """A configuration of the search is found, with its trials; or there is none left for that number."""
        self._do("drawn", configuration=configuration, params=params, trials=trials)

    def confirm(self, trials: list[dict]) -> None:
        """The search is over, and these are trained in full, whatever their results are."""
        self._do("confirming", trials=trials)

    def reuse(self, trial: str, source: str, epochs: list[dict[str, float]]) -> None:
        """The trial need not run: an earlier sweep's has these metrics after each epoch, and its folder is copied."""
        self._do("reused", trial=trial, source=source, epochs=epochs)

    def begin(self, trial: str) -> bool:
        """The trial has a slot. False if it had one before."""
        if trial in self.results_file.entries:
            return False
        self._do("began", trial=trial)
        return True

    def report(self, trial: str, epoch: int, metrics: dict[str, float], seconds: float = 0.0) -> str:
        """What the trial does after `epoch`, which took `seconds`: asha.CONTINUE, PAUSE or STOP.

        A trial that is taken up again repeats its last epochs. They change nothing: it is to go where it stood.
        """
        known = self.results_file.entries[trial]["epochs"]
        if epoch > known:
            price = {"price": self.budget.price(seconds)} if self.budget.limits else {}
            return self._do("epoch", trial=trial, epoch=epoch, metrics=metrics, **price)
        return PAUSE if epoch == known and self.standing.get(trial) else CONTINUE

    def next(self) -> int | None:
        """Promote a paused trial and give its number, or None when there is none to promote."""
        return self._do("promoted") if self.core.due() and not self.budget.empty else None

    def close(self) -> int | None:
        """The same when no new trial is left and `next` has none: the best of a rung go on, if they are to."""
        return None if self.budget.empty else self._do("closing")

    def retry(self, trial: str, of: str = SLOT) -> None:
        """The trial is tried again: its SLOT failed, its worker GROUP was started anew, or MEMORY was short."""
        self._do("retried", trial=trial, of=of)

    def end(self, trial: str, status: str, reason: str | None) -> None:
        """The trial is over."""
        self._do("ended", trial=trial, status=status, reason=reason)

    def finish(self) -> None:
        """The sweep is over, and everybody has been told. Raises OSError."""
        if not self.over:
            self._do("finished")
        self.check()

    def reason(self, trial: str) -> str | None:
        """Why a paused trial was not called back."""
        return self.budget.empty if trial in self.cut else self._core(trial).reason(self._number(trial)) or None

    def check(self) -> None:
        """Raises the OSError that an earlier event could not be written for."""
        if self.error:
            raise self.error

    def take_news(self) -> list[Event]:
        """What is to be told, once."""
        news, self.news = self.news, []
        return news

    def _do(self, kind: str, **facts: Any) -> Any:
        answer = APPLY[kind](self, facts)
        if self.error is None and not (kind == "closing" and answer is None):
            try:
                self.journal.append({"event": kind, **facts, "answer": answer})
            except OSError as error:  # to be raised where Tune does not take it for the trial's
                self.error = error
        return answer

    def _again(self, number: int, event: dict) -> None:
        place = f"{self.journal.path}:{number}"
        kind = event.pop("event")
        strange = "trial" in event and event["trial"] not in self.results_file.trials
        if strange or kind not in APPLY or event.get("format", FORMAT) != FORMAT:
            raise JournalError(f"{place}: is of another version of vaeorch, or of another sweep.")
        if "seconds" in event:  # `Journal` restored it
            event["price"] = self.budget.price(event["seconds"])
        found = APPLY[kind](self, event)
        if found != event.get("answer", found):
            raise JournalError(
                f"{place}: the journal says {kind} -> {event['answer']}, the spec.yaml beside it leads to {found}."
                " The spec was changed since, or the sweep ran with another version of vaeorch: resume it with that."
            )

    def _sweep(self, facts: dict) -> None:
        self.said |= facts.keys()
        self.results_file.data = facts.get("data", self.results_file.data)
        if [facts.get("made_with")] != self.results_file.made_with[-1:]:
            self.results_file.made_with.append(facts.get("made_with"))

    def _drawn(self, facts: dict) -> None:
        self.params[facts["configuration"]] = facts["params"]
        self._enter(facts["trials"])

    def _confirming(self, facts: dict) -> None:
        self.confirming = set(self._enter(facts["trials"]))

    def _enter(self, trials: list[dict]) -> list[str]:
        configs = {config["id"]: config for config in map(self.slot_config, trials)}
        self.results_file.trials |= configs
        self.names |= {config["number"]: trial for trial, config in configs.items()}
        return list(configs)

    def _began(self, facts: dict) -> None:
        trial = facts["trial"]
        self.results_file.begin(trial)
        self.standing[trial] = False
        self.news.append(("trial_started", trial, self.results_file.trials[trial]["parameters"], trial))

    def _reused(self, facts: dict) -> None:
        trial = facts["trial"]
        self._began(facts)
        for epoch, metrics in enumerate(facts["epochs"], start=1):
            self._learn(trial, epoch, metrics)
        self.results_file.entries[trial]["reused_from"] = facts["source"]
        self._ended({"trial": trial, "status": "completed", "reason": f"reused from {facts['source']}"})

    def _epoch(self, facts: dict) -> str:
        trial, epoch = facts["trial"], facts["epoch"]
        answer = self._learn(trial, epoch, facts["metrics"])
        self.budget.pay(facts.get("price", {}))
        if answer == CONTINUE and self.budget.empty and epoch < self.results_file.trials[trial]["last_epoch"]:
            self.cut.add(trial)
            answer = PAUSE
        self._stands(trial, paused=answer == PAUSE)
        return answer

    def _learn(self, trial: str, epoch: int, metrics: dict[str, float]) -> str:
        self.results_file.add(trial, epoch, metrics)
        self.news.append(("epoch", trial, epoch, metrics))
        return self._core(trial).report(self._number(trial), epoch, metrics[self.results_file.objective["metric"]])

    def _promoted(self, facts: dict) -> int | None:
        return self._goes_on(self.core.next())

    def _closing(self, facts: dict) -> int | None:
        search = (trial for trial in self.standing if self._core(trial) is self.core)
        return self._goes_on(self.core.close({self._number(trial): self.standing[trial] for trial in search}))

    def _goes_on(self, number: int | None) -> int | None:
        if number is not None:
            self._stands(self.names[number], paused=False)
        return number

    def _retried(self, facts: dict) -> None:
        self.retries[facts["trial"], facts["of"]] += 1
        self.results_file.retry(facts["trial"])

    def _ended(self, facts: dict) -> None:
        trial, status, reason = facts["trial"], facts["status"], facts["reason"]
        if status in WORST:
            self._core(trial).abandon(self._number(trial))
        del self.standing[trial]
        entry = self.results_file.end(trial, status, reason)
        self.news.append(("trial_ended", trial, status, reason, known_numbers(entry["best"])))

    def _finished(self, facts: dict) -> None:
        self.over = True

    def _core(self, trial: str):
        """Who decides for a trial."""
        return TO_THE_END if trial in (self.confirming or ()) else self.core

    def _number(self, trial: str) -> int:
        return self.results_file.trials[trial]["number"]

    def _stands(self, trial: str, paused: bool) -> None:
        self.standing.pop(trial)
        self.standing[trial] = paused


APPLY = {
    "sweep": SweepState._sweep,
    "changed": SweepState._sweep,
    "drawn": SweepState._drawn,
    "confirming": SweepState._confirming,
    "reused": SweepState._reused,
    "began": SweepState._began,
    "epoch": SweepState._epoch,
    "promoted": SweepState._promoted,
    "closing": SweepState._closing,
    "retried": SweepState._retried,
    "ended": SweepState._ended,
    "finished": SweepState._finished,
}
