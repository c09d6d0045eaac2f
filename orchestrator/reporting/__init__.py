"""What people see of sweeps: the board while one runs, the leaderboard, evaluations side by side.

`console.py`, `leaderboard.py` and `comparison.py`; all of them make their tables in `tables.py`.
"""

__all__ = ["comparison", "console", "leaderboard"]  # the modules that others import
