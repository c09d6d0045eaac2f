"""Measures trained models after the fact.

`selection.py` says which evaluations, `models.py` of which models, `jobs.py` runs them on Ray, `orders.py` keeps count.
"""

__all__ = ["jobs", "models", "orders", "selection"]  # the modules that others import
