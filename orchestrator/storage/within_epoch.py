"""How far a trial is within a long epoch: written to its folder, and read to be shown on the console."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.storage import layout

NOTE_S = 5.0  # between notes; a shorter epoch leaves none
REPORT_S, REPORT_SHARE = 30.0, 0.1  # at least so much time, and of the epoch, between two lines on the console

ReportShare = Callable[[float, float], None]
"""Receives the share of the epoch that is done, and the seconds since it began."""


class Pace:
    """Called by `trainables.train.train` at every step; calls `hear` every NOTE_S."""

    def __init__(self, report_share: ReportShare, clock: Callable[[], float] = time.monotonic):
        self.report_share, self.clock = report_share, clock

    def __call__(self, done: int, of: int) -> None:
        now = self.clock()
        if not done:
            self.began = self.noted = now
        elif now - self.noted >= NOTE_S:
            self.noted = now
            self.report_share(done / of, now - self.began)


@dataclass
class Lines:
    """Decides which notes of trials are worth a line on the console."""

    told: dict[str, tuple[int, float, float]] = field(default_factory=dict)  # trial -> epoch, share, seconds last shown

    def due(self, trial: str, epoch: int, share: float, seconds: float) -> bool:
        """Whether to show now that this share of the epoch is done."""
        known, before, then = self.told.get(trial, (epoch, 0.0, 0.0))
        if known != epoch:
            before = then = 0.0
        due = seconds - then >= REPORT_S and share - before >= REPORT_SHARE
        self.told[trial] = (epoch, share, seconds) if due else (epoch, before, then)
        return due


def share_text(epoch: int, share: float, seconds: float) -> str:
    """The share of an epoch, as shown to the user."""
    return f"epoch {epoch}: {share:.0%} after {seconds:.0f} s"


def note(folder: Path, epoch: int, share: float, seconds: float) -> None:
    """Write to a trial's folder how far it is. This is only shown, so a full disk is ignored."""
    with suppress(OSError):
        _file(folder).write_text(json.dumps([epoch, share, seconds]), encoding="utf-8")


def read(folder: Path) -> tuple[int, float, float] | None:
    """Epoch, share and seconds of the last note; None if there is none, or it is just being written."""
    try:
        epoch, share, seconds = json.loads(_file(folder).read_text(encoding="utf-8"))
        return int(epoch), float(share), float(seconds)
    except (OSError, ValueError, TypeError):
        return None


def forget(folder: Path) -> None:
    """Remove the note: the epoch is over, or starts again."""
    with suppress(OSError):
        _file(folder).unlink(missing_ok=True)


def _file(folder: Path) -> Path:
    return folder / layout.WITHIN_EPOCH
