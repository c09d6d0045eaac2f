"""Shows sweeps to people: progress while one runs, the leaderboard, and evaluations side by side.

These are `console.py`, `leaderboard.py` and `comparison.py`. The last two make their tables with `tables.py`. From a
cluster, `event_log.py` brings the events to the console. `html/` makes one page of all that is known of a sweep.
"""

__all__ = ["comparison", "console", "event_log", "leaderboard"]  # the modules that others import
