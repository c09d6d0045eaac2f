"""Modules that are imported at first use, because they load torch or another large library.

Reading and checking a specification needs records only and must not wait seconds for torch. So a file with records
takes these names from here, has `from __future__ import annotations`, and uses them inside functions only. A module of
this project that loads torch is declared where it is used, such as `sums = LazyModule("trainables.sums")`, always under
the same name.
"""

from importlib import import_module
from types import ModuleType
from typing import Any


class LazyModule(ModuleType):
    """A proxy of a module, which imports it at the first access to one of its attributes."""

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
