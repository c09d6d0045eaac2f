"""The mappings z = g(y) of Intel-VAE, listed in MAPPINGS. To add one, write a file and add a line here.

`base.py` defines a mapping. The files here have the records that users write; `modules/` has the torch modules.
"""

from trainables.mappings.base import Mapping
from trainables.mappings.hierarchical import Hierarchical
from trainables.mappings.manifolds import Holes, Identity, Sphere
from trainables.mappings.sectors import Sectors
from trainables.mappings.sparse import Sparse

MAPPINGS: tuple[type[Mapping], ...] = (
    Identity,
    Sphere,
    Holes,
    Sectors,
    Sparse,
    Hierarchical,
)

__all__ = ["MAPPINGS", "Mapping"]
