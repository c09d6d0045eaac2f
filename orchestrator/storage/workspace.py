"""Where a command reads and writes: the values of its options --out, --data-root and --tracking-uri."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trainables.common.roots import Root

if TYPE_CHECKING:
    from trainables.data.access import DataAccess


@dataclass(frozen=True)
class Workspace:
    """The places that most commands need."""

    out: Path
    """The folder of all sweeps and runs, each in a folder of its own."""
    data_root: Root = None
    """Where the data sets are: a folder or s3://bucket/prefix; None: as recorded, or the default place."""
    tracking_uri: str | None = None
    """MLflow's store; None: as recorded, or the default one of `out`."""

    @property
    def data(self) -> DataAccess:
        """The data sets, on this machine."""
        from trainables.data.access import DataAccess  # slow to import

        return DataAccess(self.data_root)

    def folder(self, name: str) -> Path:
        """The absolute folder of the sweep or run `name`."""
        return (self.out / name).resolve()
