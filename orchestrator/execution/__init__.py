"""Runs a sweep on Ray.

`run.py` is the way in; `tune.py` is what Ray Tune calls, `slot.py` where trials train, `workers.py` their groups.
"""

__all__ = ["oom", "run"]  # the modules that others import
