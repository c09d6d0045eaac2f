"""Modules that load torch, imported at their first use and not before.

Reading and checking a specification needs records alone: it must not wait seconds for torch. So a file that holds
records takes these names from here, says `from __future__ import annotations`, and uses them inside functions only.
"""

from importlib import import_module
from types import ModuleType
from typing import Any


class Late(ModuleType):
    """A module's name, which becomes the module when one of its attributes is asked for."""

    def __getattr__(self, name: str) -> Any:
        value = getattr(import_module(self.__name__), name)
        setattr(self, name, value)
        return value


torch = Late("torch")
nn = Late("torch.nn")
F = Late("torch.nn.functional")
np = Late("numpy")
h5py = Late("h5py")
Image = Late("PIL.Image")
ImageOps = Late("PIL.ImageOps")
parquet = Late("pyarrow.parquet")
blocks = Late("trainables.networks.blocks")
prepared = Late("trainables.data.prepared.index")
mapped = Late("trainables.data.prepared.mapped")
bounds = Late("trainables.data.bounds")
bucket = Late("trainables.data.remote.fetch")
