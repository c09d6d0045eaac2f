"""Runs a sweep on Ray.

Start with `run.py`. `tune.py` is what Ray Tune calls in this process. Trials train in `slot.py`; with several workers
each, in the groups of `workers.py`, which get their orders through `mailbox.py`. Where small trials share a slot, they
train in `shared_slot.py`, and `shared_tune.py` is what Tune calls; `called.py` picks between the two. `drawing.py`
draws the best of them when all have ended.
"""

__all__ = ["drawing", "handshake", "oom", "run"]  # the modules that others import
