"""FID's Inception: the network of pytorch-fid, with its published weights loaded from a file."""

# Shapes: B rows, images (B, C, H, W), 2048 features.

from __future__ import annotations

import hashlib
from pathlib import Path
from pickle import UnpicklingError

import torch
import torch.nn.functional as F
from pytorch_fid import inception as published
from torch import Tensor, nn

from trainables.common.errors import DataError
from trainables.data.formats.locate import CURE, sound

FILE = "pt_inception-2015-12-05-6726825d.pth"
PUBLISHED = "6726825d"  # first digits of that file's SHA-256
SIDE = 299  # pixels
CLASSES = 1008
PATCHES = {
    "Mixed_5b": lambda: published.FIDInceptionA(192, pool_features=32),
    "Mixed_5c": lambda: published.FIDInceptionA(256, pool_features=64),
    "Mixed_5d": lambda: published.FIDInceptionA(288, pool_features=64),
    "Mixed_6b": lambda: published.FIDInceptionC(768, channels_7x7=128),
    "Mixed_6c": lambda: published.FIDInceptionC(768, channels_7x7=160),
    "Mixed_6d": lambda: published.FIDInceptionC(768, channels_7x7=160),
    "Mixed_6e": lambda: published.FIDInceptionC(768, channels_7x7=192),
    "Mixed_7b": lambda: published.FIDInceptionE_1(1280),
    "Mixed_7c": lambda: published.FIDInceptionE_2(2048),
}
"""Blocks of FID's Inception whose pooling differs from torchvision's."""


class Inception(nn.Module):
    """Images in [0, 1], grey or RGB, of any size -> features after the last pooling (B, 2048)."""

    def __init__(self):
        super().__init__()
        import torchvision.models  # slow to import

        self.network = torchvision.models.inception_v3(
            weights=None, num_classes=CLASSES, aux_logits=False, init_weights=False
        )
        for name, block in PATCHES.items():
            setattr(self.network, name, block())

    def forward(self, x_BCHW: Tensor) -> Tensor:
        rgb = x_BCHW.to(self.network.Conv2d_1a_3x3.conv.weight).expand(-1, 3, -1, -1)
        return self.network(2 * F.interpolate(rgb, (SIDE, SIDE), mode="bilinear", align_corners=False) - 1)


def find(path: Path | None = None) -> Path:
    """The weights file: `path`, or the one in torch's cache, where pytorch-fid puts it. Raises DataError."""
    place = path or Path(torch.hub.get_dir()) / "checkpoints" / FILE
    if not place.is_file():
        raise DataError(
            f"{place}: no such file, and FID is not defined without its Inception: get {FILE} from the releases of "
            "github.com/mseitzer/pytorch-fid and name it, or take features: classifier or pixels.",
            "weights",
        )
    return place


def checksum(path: Path) -> str:
    """SHA-256 of the file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load(path: Path) -> Inception:
    """The network with these weights, in evaluation mode. Nothing in the file can run code. Raises DataError."""
    inception = Inception()
    with sound(path):
        inception.network.load_state_dict(_plain(path))
    inception.network.fc = nn.Identity()
    return inception.eval()


def _plain(path: Path) -> dict[str, Tensor]:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise DataError(f"{path}: not a file of weights: {CURE}.", "weights") from error
