"""What MLflow is told, and how it gets there.

`tracker.py` takes events and keeps them in a spool (`spool.py`), from which `sending.py` carries them to the store of
`mlflow_store.py`.
"""

__all__ = [
    "identity",
    "mlflow_store",
    "spool",
    "start",
    "store_address",
    "tracker",
    "ui",
]  # the modules that others import
