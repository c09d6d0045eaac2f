"""Logs sweeps and runs to MLflow.

`tracker.py` takes events and appends them to a spool (`spool.py`), from which `sending.py` sends them to the store of
`mlflow_store.py`.
"""

__all__ = [
    "identity",
    "managing",
    "mlflow_store",
    "spool",
    "start",
    "store_address",
    "tracker",
    "ui",
]  # the modules that others import
