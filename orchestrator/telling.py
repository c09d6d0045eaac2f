"""Who hears of a sweep's news: the tracker, which keeps them, and the console, which shows them. In plain values."""

from collections.abc import Iterable
from pathlib import Path

from orchestrator.files import pictures_folder
from orchestrator.ledger import Ledger
from orchestrator.progress import Progress, Telling

TRACKERS = ("trial_started", "epoch", "trial_ended")  # the console hears of these, and of all the rest


class Audience:
    """Tells tracker and console what happened, each thing once.

    Both have `trial_started(id, params, name)`, `epoch(id, epoch, metrics)` and `trial_ended(id, status, reason,
    best)`; the tracker also `pictures(id, epoch, paths)` and `ended(id)`, the console `trial_paused(id)`,
    `trial_resumed(id)`, `trial_noticed(id, text)` and `recall(news, paused)`.
    """

    def __init__(self, ledger: Ledger, tracker, console):
        self.ledger, self.tracker, self.console = ledger, tracker, console

    def tell(self, news: Iterable[Telling]) -> None:
        """Tell of `news` and bring results.json up to date. Raises OSError."""
        for name, *values in news:
            getattr(self.console, name)(*values)
            self._record(name, *values)
            if name == "trial_ended":
                self.ledger.write()

    def recall(self, progress: Progress) -> None:
        """Tell of what earlier processes did: a kill may have come between a thing and its telling.

        The tracker drops what it knows, and the console shows it without a word.
        """
        news = progress.take_news()
        if news:
            self.console.recall(news, [trial for trial, paused in progress.standing.items() if paused])
        begun = {trial for _, trial, *_ in news}
        known = {trial for trial in begun if self.ledger.entries[trial]["status"] and self.tracker.ended(trial)}
        for name, trial, *values in news:
            if trial not in known:  # or it would begin anew
                self._record(name, trial, *values)

    def _record(self, name: str, trial: str, *values) -> None:
        if name in TRACKERS:
            getattr(self.tracker, name)(trial, *values)
        if name in ("epoch", "trial_paused"):
            epoch = self.ledger.entries[trial]["epochs"] if name == "trial_paused" else values[0]
            folder = pictures_folder(Path(self.ledger.trials[trial]["folder"]), epoch)
            if paths := sorted(folder.glob("*.png")):
                self.tracker.pictures(trial, epoch, paths)
