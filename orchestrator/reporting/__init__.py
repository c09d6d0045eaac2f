"""Shows sweeps to people: progress while one runs, the leaderboard, and evaluations side by side.

These are `console.py`, `leaderboard.py` and `comparison.py`. The last two make their tables with `tables.py`. From a
cluster, `event_log.py` brings the events to the console. `paper_tables.py` sets a sweep beside what a paper prints,
`sweeps_side_by_side.py` two sweeps beside each other; `verdicts.py` judges both. `html/`
makes one page of all that is known of a sweep.
"""

__all__ = [  # the modules that others import
    "comparison",
    "console",
    "event_log",
    "html.axes",
    "html.charts",
    "html.content",
    "html.page",
    "html.parallel",
    "journal_view",
    "leaderboard",
    "paper_formats",
    "paper_tables",
    "sweeps_side_by_side",
    "tables",
    "trial_sheet",
]
