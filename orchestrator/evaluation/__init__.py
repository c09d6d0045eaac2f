"""Measures trained models after the fact.

`selection.py` reads which evaluations are asked for, `models.py` finds the models, `orders.py` holds what each model
lacks and has, `jobs.py` measures, on Ray if there are several models.
"""

__all__ = ["jobs", "models", "orders", "selection"]  # the modules that others import
