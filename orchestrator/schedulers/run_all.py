"""No early stopping."""

from typing import Literal

from orchestrator.schedulers.base import CONTINUE, SchedulerRecord


class NoScheduler(SchedulerRecord):
    """Trains every trial to its end."""

    name: Literal["none"] = "none"

    def build(self, mode: str) -> "RunAll":
        return RunAll()


class RunAll:
    """No early stopping: every trial trains to its end, in order."""

    def report(self, trial: int, epoch: int, value: float) -> str:
        return CONTINUE

    def abandon(self, trial: int) -> None:
        pass

    def next(self) -> int | None:
        return None

    def due(self) -> bool:
        return False

    def close(self, standing: dict[int, bool]) -> int | None:
        return None

    def reason(self, trial: int) -> str:
        return ""

    def rungs_of(self, trial: int) -> list[int]:
        return []
