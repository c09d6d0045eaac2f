"""Modules that are imported at their first use and not before, because they load torch or another large library.

Reading and checking a specification needs records alone: it must not wait seconds for torch. So a file that holds
records takes these names from here, says `from __future__ import annotations`, and uses them inside functions only.
Modules of this project that load torch are declared where they are used, as `sums = LazyModule("trainables.sums")`,
always by the same name.
"""

from importlib import import_module
from types import ModuleType
from typing import Any


class LazyModule(ModuleType):
    """A module's name, which becomes the module when one of its attributes is asked for."""

    def __getattr__(self, name: str) -> Any:
        value = getattr(import_module(self.__name__), name)
        setattr(self, name, value)
        return value


torch = LazyModule("torch")
nn = LazyModule("torch.nn")
F = LazyModule("torch.nn.functional")
np = LazyModule("numpy")
h5py = LazyModule("h5py")
Image = LazyModule("PIL.Image")
ImageOps = LazyModule("PIL.ImageOps")
parquet = LazyModule("pyarrow.parquet")
