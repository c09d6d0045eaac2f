"""The mappings z = g(y) of Intel-VAE, one line each. A new mapping is a file of its own and a line here.

`base.py` says what a mapping is. The files here are the records that users write; `modules/` has the torch modules.
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
