"""What every scheduler is: a record that a user writes, and the core that it builds, which decides trial by trial.

`run_all.py`, `asha.py` and `hyperband.py` are the schedulers, `table.py` lists them. Nothing here knows Ray or a clock.
"""

from typing import ClassVar, Protocol, Self

from trainables.common.records import Record

CONTINUE = "continue"  # train the next epoch
PAUSE = "pause"  # keep the checkpoint and give up the slot; `next` may call the trial back
STOP = "stop"  # the trial has trained for as long as any trial may


class Scheduler(Protocol):
    """Decides which trials go on. Trials are known by their number, from 1.

    It changes only through `report`, `abandon`, `next` and `close`, and its answers follow from the calls before: so
    the list of those calls, as a journal keeps it, is all of its state.
    """

    def report(self, trial: int, epoch: int, value: float) -> str:
        """What a trial does after `epoch` epochs with this objective value: CONTINUE, PAUSE or STOP."""

    def abandon(self, trial: int) -> None:
        """The trial diverged or failed."""

    def next(self) -> int | None:
        """Promote a paused trial and give its number; None where none is due."""

    def due(self) -> bool:
        """Whether `next` would promote any."""

    def close(self, standing: dict[int, bool]) -> int | None:
        """Promote a paused trial when no new one can come; None where none is to go on, or not yet.

        `standing` are the trials that began and have not ended: number -> does it pause?
        """

    def reason(self, trial: int) -> str:
        """Why a paused trial was never called back."""


class SchedulerRecord(Record):
    """What a spec says of its scheduler. As it stands here, every trial trains to its end."""

    decides_epochs: ClassVar[bool] = False  # how long a trial trains: then a search may not vary the epochs

    name: str

    def build(self, mode: str) -> Scheduler:
        """The core, for an objective of which `max` or `min` is better."""
        raise NotImplementedError

    def resolved(self, epochs: int) -> Self:
        """The same with numbers in place of defaults that depend on the epochs of the spec's run."""
        return self

    def most_epochs(self, epochs: int) -> int:
        """The epochs that a trial may train whose run has so many."""
        return epochs

    def first_decision(self, epochs: int) -> int:
        """The first epoch after which a trial may be stopped, of a run with so many."""
        return epochs

    def expected_epochs(self, epochs: list[int]) -> float:
        """The epochs that trials take together, in the mean, whose runs have so many each."""
        return sum(map(self.most_epochs, epochs))

    def notes(self, trials: int) -> list[str]:
        """What a user should know of a search with so many trials."""
        return []
