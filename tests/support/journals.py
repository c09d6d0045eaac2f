"""Journals of sweeps: one that is read, and one whose driver can be killed between any two things that it does."""

import json
import math
from pathlib import Path

from orchestrator.schedulers.asha import PromotionAsha
from orchestrator.storage.journal import Journal
from orchestrator.sweep.results_file import ResultsFile
from orchestrator.sweep.state import SweepState

TRIALS, EPOCHS, GRACE, ETA = 7, 4, 1, 2


def journal_of(folder: Path) -> list[dict]:
    """The events of the sweep in this folder."""
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


class Killed(Exception):
    pass


class World:
    """What outlives a kill: the sweep's folder, the trials' checkpoints, and what a tracker was told."""

    def __init__(self, folder, table):
        self.folder, self.table = folder, table
        self.checkpoints = [0] * len(table)
        self.trained, self.drawn, self.told, self.ends, self.open = [], set(), {}, {}, set()
        self.left = math.inf  # things until the kill

    def step(self):
        """Between two things that the driver does."""
        self.left -= 1
        if self.left < 0:
            raise Killed


class FragileJournal(Journal):
    """Its process can be killed before a line, in the middle of it, and after it."""

    def __init__(self, world):
        super().__init__(world.folder)
        self.world = world

    def append(self, event):
        self.world.step()
        try:
            self.world.step()
        except Killed:
            with self.path.open("a") as file:
                file.write(json.dumps(event)[: len(str(event)) // 2])
            raise
        super().append(event)
        self.world.step()


def numbered(trial: int) -> str:
    return f"{trial:04d}"


def opened(world) -> tuple[SweepState, ResultsFile]:
    configs = {
        numbered(number): {
            **{"number": number, "configuration": number, "config": {"row": number}, "parameters": {"row": number}},
            **{"seed": 0, "stage": "search", "folder": str(world.folder / numbered(number))},
        }
        for number in range(len(world.table))
    }
    results_file = ResultsFile(world.folder, "sim", {"metric": "m", "mode": "max"}, configs)
    state = SweepState(PromotionAsha("max", EPOCHS, GRACE, ETA), results_file, FragileJournal(world))
    state.start(trials=len(world.table))
    return state, results_file


def sample(folder) -> SweepState:
    """Three trials: one promoted and running, one paused, one retried and then failed."""
    world = World(folder, [[1.0] * EPOCHS] * 3)
    state, _ = opened(world)
    for trial, value in (("0000", 1.0), ("0001", 2.0)):
        state.begin(trial)
        state.report(trial, 1, {"m": value})
    state.begin("0002")
    state.retry("0002")
    state.end("0002", "failed", "why")
    return state
