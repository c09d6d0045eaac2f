"""The search space: from domains to the configurations and trials of a sweep.

`plan.py` is what others hold in their hands; `candidates.py` states the rules by which a space is walked through.
"""

__all__ = ["assembly", "candidates", "entries", "plan", "probing", "tpe", "trials"]  # the modules that others import
