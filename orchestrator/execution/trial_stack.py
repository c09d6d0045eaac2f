"""Trains several trials together, each in its own folder. It uses no Ray.

Trials that `stackable.kind_of` counts as of one kind are tried together first: `comparison.compare` tells what that
gains, and whether their numbers stay the same. What is decided of a kind then holds for the sweep.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.storage import trial_folder
from orchestrator.storage.trial_folder import TrialFolder
from orchestrator.storage.within_epoch import Pace
from trainables.common.errors import Diverged
from trainables.common.roots import root_of
from trainables.run import Run
from trainables.stacked.comparison import CLOSE, Comparison, compare, why_not
from trainables.stacked.numbers import CannotStack
from trainables.stacked.stack import Stack
from trainables.train import Epoch, Training, take_steps

WORTH = 1.2  # times as quick, from which on it pays to train trials together


@dataclass
class Member:
    """A trial of the stack."""

    config: dict[str, Any]
    folder: TrialFolder
    training: Training | None = None
    checkpoint: Path | None = None

    @property
    def name(self) -> str:
        return self.config["id"]


class Refused(Exception):
    """The trials are not trained together. One line that says why."""


class TrialStack:
    """The trials of a slot. Each has a result as those of `trial_folder.results`, with its `id`.

    Args:
        folder_of: makes the folder of a trial from its config.
    """

    def __init__(self, folder_of: Callable[[dict[str, Any]], TrialFolder]):
        self.folder_of = folder_of
        self.members: list[Member] = []
        self.new: list[Member] = []  # not opened yet
        self.stack: Stack | None = None
        self.tried: dict[tuple, Comparison] = {}  # kind, number of trials, in what they differ -> what was measured

    def change(self, configs: list[dict[str, Any]]) -> None:
        """Train these trials from now on. Those that stay keep their state, the others are opened at the next step."""
        known = {member.name: member for member in self.members if member not in self.new}
        stay = {each["id"] for each in configs}
        for member in [member for name, member in known.items() if name not in stay]:
            member.folder.leave()
        self.members = [known.get(each["id"]) or Member(each, self.folder_of(each)) for each in configs]
        self.new = [member for member in self.members if member.name not in known]
        self.stack = None

    def step(self, bits: bool, decided: bool) -> dict[str, Any]:
        """Train each trial for an epoch: {"results": one of each}.

        Before that, where some were resumed, first their results of the epoch of their checkpoints, or that they have
        diverged after it. And where several are new to each other, first whether they are trained together:
        {"refused": why} or {"accepted": measured}.

        Args:
            bits: several are trained together only where this changes no bit; else also where numbers differ by CLOSE.
            decided: that it pays is known.
        """
        if self.new:
            self._open()
            if repeated := list(self._repeated()):
                return {"results": repeated}
        if len(self.members) < 2:
            return {"results": [self._alone(member) for member in self.members]}
        if self.stack is None:
            try:
                measured = self._checked(bits, decided)
            except (Refused, CannotStack, Diverged) as error:
                return {"refused": str(error)}
            return {"accepted": measured}
        return {"results": list(map(self._result, self.members, self.stack.train_epoch(self._pace())))}

    def settle(self) -> None:
        """Bring what the trials have so far to where a later process looks for it."""
        for member in self.members:
            member.folder.settle()

    def _open(self) -> None:
        """Open the folders of new trials. They read the data once, also for those that come later."""
        opened = [member.training for member in self.members if member.training]
        splits = opened[0].splits if opened else None
        for member in self.new:
            member.checkpoint = trial_folder.begin(member.config, member.folder)
            data_root = root_of(member.config["data_root"])
            member.training = Training(Run.model_validate(member.config["run"]), data_root, splits)
            splits = member.training.splits
            if member.checkpoint:
                member.training.restore(member.checkpoint)

    def _repeated(self) -> Iterator[dict[str, Any]]:
        new, self.new = self.new, []
        for member in new:
            if how := member.folder.divergence():  # together with the others, as before this process was lost
                yield {"id": member.name} | trial_folder.diverged(member.folder, how)
            elif member.checkpoint:
                yield {"id": member.name} | trial_folder.repeated(member.config, member.folder)

    def _checked(self, bits: bool, decided: bool) -> dict[str, Any]:
        """Stack the trials; returns what was measured of such. Raises Refused, CannotStack, and Diverged of trying."""
        if reason := why_not(self.members[0].training):
            raise Refused(reason)
        stack = Stack([member.training for member in self.members])
        found = self._compared(stack.differing)
        if bits and not found.equal:
            raise Refused("together, sums are rounded otherwise")
        if bits and not decided and found.gain < WORTH:
            raise Refused(f"together, they are {found.gain:.2g} times as quick")
        if found.difference > CLOSE:
            raise Refused(f"together, their weights differ by {found.difference:.1g} after a step")
        stack.validates, self.stack = found.validates, stack
        return {"gain": round(found.gain, 2), "equal": found.equal}

    def _compared(self, differing: tuple[str, ...]) -> Comparison:
        kind = self.members[0].config["kind"], len(self.members), differing
        if kind not in self.tried:
            runs = [member.training.run for member in self.members]
            self.tried[kind] = compare(runs, self.members[0].training.splits)
        return self.tried[kind]

    def _alone(self, member: Member) -> dict[str, Any]:
        epoch = Epoch(member.training)
        try:
            take_steps(epoch, member.training.learner, Pace(member.folder.note))
            return self._result(member, epoch.report())
        except Diverged as error:
            return self._result(member, error)

    def _result(self, member: Member, report) -> dict[str, Any]:
        if isinstance(report, Diverged):
            told = trial_folder.diverged(member.folder, str(report))
        else:
            told = trial_folder.kept(member.config, member.folder, report)
        return {"id": member.name} | told

    def _pace(self) -> Pace:
        return Pace(lambda share, seconds: [member.folder.note(share, seconds) for member in self.members])
