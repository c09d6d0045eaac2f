"""The search space: turns the domains of a spec into the configurations and trials of a sweep.

`plan.py` is the result that other packages use; `candidates.py` states the rules by which a space is walked through.
"""

__all__ = [
    "assembly",
    "candidates",
    "entries",
    "plan",
    "probing",
    "stackable",
    "tpe",
    "trials",
]  # the modules that others import
