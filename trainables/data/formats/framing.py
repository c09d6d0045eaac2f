"""Crops and resizes images, in the same way whether they are pictures in files or numbers of an array."""

# Shapes: N images, C channels, H rows, W columns.

from __future__ import annotations

from dataclasses import dataclass

from trainables.common.errors import Unfit
from trainables.common.lazy import Image, np
from trainables.data.base import progress
from trainables.data.base.bounds import TooMuch, check_memory

Size = tuple[int, int]
"""Height and width in pixels."""
AT_ONCE = 1_024  # images between two reports of progress


class Unframable(Unfit):
    """Images, or data that are none, cannot be cropped or resized as asked. `field` is the setting that asks for it."""

    def __init__(self, text: str, field: str):
        super().__init__(text)
        self.field = field


@dataclass(frozen=True)
class Framing:
    """The middle `crop` of an image, resized to `resize`; None leaves out the step.

    Above and left of the crop lie (H - h) // 2 rows and (W - w) // 2 columns. Resizing is Pillow's BILINEAR, which
    averages over the pixels that fall into one (antialiasing): bytes give bytes, all other numbers float32.
    """

    crop: Size | None = None
    resize: Size | None = None

    @property
    def asked(self) -> str:
        """The setting that asks for images; empty where there is none."""
        return "resize" if self.resize else "crop" if self.crop else ""

    def size(self, whole: Size) -> Size:
        """What becomes of the size of an image. Raises Unframable."""
        if self.crop and (self.crop[0] > whole[0] or self.crop[1] > whole[1]):
            text = f"{shown(whole)} pixels, height x width, are less than the crop {shown(self.crop)}: crop less."
            raise Unframable(text, "crop")
        return self.resize or self.crop or whole

    def stretches(self, whole: Size) -> bool:
        """Whether resizing changes the proportions of an image of this size."""
        height, width = self.crop or whole
        return self.resize is not None and height * self.resize[1] != width * self.resize[0]

    def of_picture(self, picture):
        """A picture of Pillow, grey or RGB, cropped and resized."""
        (width, height), (new_height, new_width) = picture.size, self.size(picture.size[::-1])
        if self.crop:
            top, left = _corner((height, width), self.crop)
            picture = picture.crop((left, top, left + self.crop[1], top + self.crop[0]))
        return picture.resize((new_width, new_height), Image.Resampling.BILINEAR) if self.resize else picture

    def of_array(self, x_NCHW: np.ndarray) -> np.ndarray:
        """Images cropped and resized, each channel by itself. Raises Unframable, and Unfit for lack of memory."""
        size = self.size(x_NCHW.shape[2:])
        if self.crop:
            top, left = _corner(x_NCHW.shape[2:], self.crop)
            x_NCHW = x_NCHW[:, :, top : top + self.crop[0], left : left + self.crop[1]]
        return _resized(x_NCHW, size) if self.resize else x_NCHW


def shown(size: Size) -> str:
    """Height x width."""
    return f"{size[0]}x{size[1]}"


def _corner(whole: Size, crop: Size) -> Size:
    return (whole[0] - crop[0]) // 2, (whole[1] - crop[1]) // 2


def _resized(x_NCHW: np.ndarray, size: Size) -> np.ndarray:
    """Images as bytes, or else float32, of another size. A number beyond float32 becomes infinite."""
    kind, shape = np.dtype(np.uint8 if x_NCHW.dtype == np.uint8 else np.float32), (*x_NCHW.shape[:2], *size)
    try:
        check_memory(kind.itemsize * int(np.prod(shape, dtype=object)))
    except TooMuch as error:
        raise Unframable(f"resized to {shown(size)}, x {error}.", "resize") from error
    out_NCHW = np.empty(shape, kind)
    for row, channels in enumerate(x_NCHW):
        for channel, plane_HW in enumerate(channels):
            with np.errstate(over="ignore"):
                picture = Image.fromarray(np.ascontiguousarray(plane_HW, kind))
            out_NCHW[row, channel] = picture.resize(size[::-1], Image.Resampling.BILINEAR)
        if (row + 1) % AT_ONCE == 0:
            progress.report(row + 1, len(x_NCHW))
    return out_NCHW
