"""What every scheduler has: a record that a user writes in the spec, and the core that it builds, which decides.

`run_all.py`, `asha.py` and `hyperband.py` are the schedulers, `table.py` lists them. `sweep/state.py` calls the core.
Nothing here uses Ray or a clock.
"""

from abc import abstractmethod
from typing import ClassVar, Protocol, Self

from trainables.common.records import Record

CONTINUE = "continue"  # train the next epoch
PAUSE = "pause"  # keep the checkpoint and free the slot; `next` or `close` may promote the trial
STOP = "stop"  # the trial has trained for as long as any trial may


class Scheduler(Protocol):
    """Decides which trials go on. Trials are identified by their number, from 1.

    Only `report`, `abandon`, `next` and `close` change it, and its answers follow from the calls before. So the list of
    those calls, which the journal keeps, is its whole state.
    """

    def report(self, trial: int, epoch: int, value: float) -> str:
        """What a trial does after `epoch` epochs with this objective value: CONTINUE, PAUSE or STOP."""

    def abandon(self, trial: int) -> None:
        """The trial diverged or failed."""

    def next(self) -> int | None:
        """Promote a paused trial and return its number; None where none is due."""

    def due(self) -> bool:
        """Whether `next` would promote any."""

    def close(self, standing: dict[int, bool]) -> int | None:
        """Promote a paused trial when no new one can come; None where none is to go on, or not yet.

        `standing` are the trials that began and have not ended: number -> whether it is paused.
        """

    def reason(self, trial: int) -> str:
        """Why a paused trial was never promoted."""

    def rungs_of(self, trial: int) -> list[int]:
        """The epochs at which the trial is compared with others: those of its bracket."""


class SchedulerRecord(Record):
    """What a spec says of its scheduler. With the defaults here every trial trains to its end."""

    decides_epochs: ClassVar[bool] = False  # whether it decides how long trials train: a search may not vary it then

    name: str

    @abstractmethod
    def build(self, mode: str) -> Scheduler:
        """The core, for an objective whose `mode` is "max" or "min"."""

    def resolved(self, epochs: int) -> Self:
        """This record, its defaults that depend on run.epochs replaced by numbers."""
        return self

    def most_epochs(self, epochs: int) -> int:
        """The most epochs that a trial may train whose run has `epochs`."""
        return epochs

    def first_decision(self, epochs: int) -> int:
        """The first epoch after which a trial may be stopped whose run has `epochs`."""
        return epochs

    def expected_epochs(self, epochs: list[int]) -> float:
        """The epochs that all trials are expected to train together; `epochs` are those of each trial's run."""
        return sum(map(self.most_epochs, epochs))

    def notes(self, trials: int) -> list[str]:
        """What a user should know of a search with this many trials."""
        return []
