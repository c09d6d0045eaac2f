"""The schedulers that a spec can name: each is one file, and one line here."""

from orchestrator.schedulers.asha import Asha
from orchestrator.schedulers.base import SchedulerRecord
from orchestrator.schedulers.hyperband import Hyperband
from orchestrator.schedulers.run_all import NoScheduler

SCHEDULERS: tuple[type[SchedulerRecord], ...] = (
    Asha,
    Hyperband,
    NoScheduler,
)
