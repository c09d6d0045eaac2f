"""How far a trial is within an epoch that takes long: noted in its folder, read by whoever shows it."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.storage import layout

NOTE_S = 5.0  # between notes; an epoch that is shorter leaves none
TELL_S, TELL_SHARE = 30.0, 0.1  # at least these lie between two lines

Hear = Callable[[float, float], None]
"""Is told the share of the epoch that is done, and the seconds since it began."""


class Pace:
    """Hears of every step, as `trainables.train.train` tells of them, and passes it on every NOTE_S."""

    def __init__(self, hear: Hear, clock: Callable[[], float] = time.monotonic):
        self.hear, self.clock = hear, clock

    def __call__(self, done: int, of: int) -> None:
        now = self.clock()
        if not done:
            self.began = self.noted = now
        elif now - self.noted >= NOTE_S:
            self.noted = now
            self.hear(done / of, now - self.began)


@dataclass
class Lines:
    """Which of the notes of one trial after the other are worth a line."""

    told: dict[str, tuple[int, float, float]] = field(default_factory=dict)  # trial -> epoch, share, seconds

    def due(self, trial: str, epoch: int, share: float, seconds: float) -> bool:
        """Whether it is told now that so much of this epoch is done."""
        known, before, then = self.told.get(trial, (epoch, 0.0, 0.0))
        if known != epoch:
            before = then = 0.0
        due = seconds - then >= TELL_S and share - before >= TELL_SHARE
        self.told[trial] = (epoch, share, seconds) if due else (epoch, before, then)
        return due


def told(epoch: int, share: float, seconds: float) -> str:
    """The share of an epoch for people."""
    return f"epoch {epoch}: {share:.0%} after {seconds:.0f} s"


def note(folder: Path, epoch: int, share: float, seconds: float) -> None:
    """Note in a trial's folder how far it is. It is for looking at alone: a disk that is full does no harm."""
    with suppress(OSError):
        _file(folder).write_text(json.dumps([epoch, share, seconds]), encoding="utf-8")


def read(folder: Path) -> tuple[int, float, float] | None:
    """Epoch, share and seconds as noted last; None where there is no note, or it is just being written."""
    try:
        epoch, share, seconds = json.loads(_file(folder).read_text(encoding="utf-8"))
        return int(epoch), float(share), float(seconds)
    except (OSError, ValueError, TypeError):
        return None


def forget(folder: Path) -> None:
    """The epoch is over, or is begun anew."""
    with suppress(OSError):
        _file(folder).unlink(missing_ok=True)


def _file(folder: Path) -> Path:
    return folder / layout.WITHIN_EPOCH
