"""Logs sweeps and runs to MLflow.

`tracker.py` takes events and appends them to a spool (`spool.py`), from which `sending.py` sends them to the store of
`mlflow_store.py`, which `client.py` opens.
"""

__all__ = [
    "client",
    "identity",
    "managing",
    "spool",
    "start",
    "store_address",
    "tracker",
    "ui",
]  # the modules that others import
