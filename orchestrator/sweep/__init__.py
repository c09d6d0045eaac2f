"""A sweep's state, without Ray: its trials, what became of them, and the listeners that are notified.

`state.py` is replayed from the journal; `trial_queue.py` finds the next trial, `open.py` puts all of it together.
"""

__all__ = [
    "changes",
    "events",
    "extension",
    "folder",
    "inventory",
    "open",
    "ranking",
    "results",
    "results_file",
    "reuse",
    "shared_slots",
    "single_run",
    "state",
    "trial_queue",
]  # the modules that others import
