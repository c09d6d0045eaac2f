"""Feature networks, in whose features images are compared. FEATURES is the table."""

# Shapes: B rows, N rows of a split, X data dimensions (C, H, W or one), F features.

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trainables.common.errors import Undefined
from trainables.common.lazy import LazyModule, torch
from trainables.data.base import digest
from trainables.metrics.images import seen

if TYPE_CHECKING:
    from torch import Tensor, nn

    from trainables.cache import Keep
    from trainables.data.base import Range, Rows

convnet = LazyModule("trainables.metrics.convnet")
inception = LazyModule("trainables.metrics.inception")


@dataclass(frozen=True)
class Extractor:
    """A function from images in [0, 1] to features, with the name and the checksum that identify it."""

    name: str
    sha256: str
    """SHA-256 of its weights, in hex; empty where it has none."""
    of: Callable[[Tensor], Tensor]
    """(B, *X) in [0, 1] -> (B, F)."""
    published: bool = False
    """Whether these are the published weights of FID."""


@dataclass(frozen=True)
class Source:
    """What a feature network is built from."""

    train: Rows
    weights: Path | None = None  # of Inception; None: the file in torch's cache
    seed: int = 0
    device: torch.device | str = "cpu"  # where features are computed
    keep: Keep = lambda name, make: make()  # the cache of a trained network's state; by default none


def extract(
    extractor: Extractor, batches: Iterable[Tensor], data_range: Range | None, mapping: str = "rounded"
) -> Iterator[Tensor]:
    """The features (B, F) of each batch of values in the data's range, which `mapping` turns into images.

    Unbounded data are not mapped.
    """
    with torch.no_grad():
        for x_BX in batches:
            yield extractor.of(seen(x_BX, data_range, mapping))


def sha256_of_weights(network: nn.Module) -> str:
    """SHA-256 of the names and the values of a network's state, in hex."""
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        digest.update(name.encode())
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _pixels(source: Source) -> Extractor:
    return Extractor("pixels", "", lambda x_BX: x_BX.flatten(1))


def _classifier(source: Source) -> Extractor:
    train = source.train
    known = convnet.targets(train) if len(train.shape) == 3 else None
    if known is None:
        raise Undefined("features: classifier needs images with labels, attributes or factors: take another.")
    if (known == known[:1]).all():
        raise Undefined("features: classifier cannot tell training rows apart that are all alike: use more rows.")
    name = f"classifier-{digest(train, source.seed, convnet.STEPS, convnet.FORMAT)}"
    state = source.keep(name, lambda: dict(convnet.trained(train, source.seed, convnet.STEPS).state_dict()))
    network = convnet.restored(state)
    return Extractor("classifier", sha256_of_weights(network), network.to(source.device).features)


def _inception(source: Source) -> Extractor:
    if len(source.train.shape) != 3:
        raise Undefined("features: inception needs images: take pixels.")
    if source.train.shape[0] not in (1, 3):
        raise Undefined("features: inception needs images of 1 or 3 channels: take classifier or pixels.")
    path = inception.find(source.weights)
    sha256 = inception.checksum(path)
    network = inception.load(path).to(source.device)
    return Extractor("inception", sha256, network, sha256.startswith(inception.PUBLISHED))


FEATURES: dict[str, Callable[[Source], Extractor]] = {
    "inception": _inception,
    "classifier": _classifier,
    "pixels": _pixels,
}
"""Name -> builder, which raises Undefined where the data lack what it needs, and DataError where a file is missing."""
