"""Omniglot: handwritten characters of 50 alphabets, 20 drawings of each."""

# Shapes: N drawings of an archive, K images requested. An image's number is 4 x its drawing's number + its turn.

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from trainables.common.errors import Unfit
from trainables.common.lazy import np, torch
from trainables.data.base import UNIT, Dataset, Facts, Rows, Splits, Stored, shuffled
from trainables.data.formats.archives import Archive, open_archive
from trainables.data.formats.decoding import Album, of_size
from trainables.data.formats.locate import find_all, sound

SHAPE = (1, 28, 28)
DRAWERS = 20
SIDE = 105  # pixels of a drawing
FOLDER = "omniglot-py"
TURNS = 4
BACKGROUND = {
    "official": (("images_background",), 964),
    "small": (("images_background_small1", "images_background_small2"), 242),
    "small1": (("images_background_small1",), 136),
    "small2": (("images_background_small2",), 156),
}
"""files -> the archives and the number of their characters, those in more than one counted once."""
EVALUATION = ("images_evaluation", 659)


class Omniglot(Dataset):
    """Handwritten characters of 50 alphabets, 28x28 grey, white ink: 69,408 / 7,712 / 52,720 images.

    The 964 characters of 30 background alphabets train and validate; the 659 of the other 20 alphabets test. Each
    drawing is scaled from 105x105 by averaging areas (VIMAE does not state how) and included in four rotations of the
    same class: 80 images of a character. The 20 drawings of a character are by 20 people; those of the last people
    validate (VIMAE trains on all and has no validation images). Labels number the characters by the names of alphabet
    and character, those to test after the others.

    Files: omniglot-py/images_background.zip and images_evaluation.zip, or unpacked. `files: small1`, `small2` and
    `small` (both, 242 characters) use images_background_small1.zip and 2, the authors' smaller sets, without test
    images.
    """

    name: Literal["omniglot"] = "omniglot"
    files: Literal["official", "small", "small1", "small2"] = "official"
    """Which archives: the official ones, or the authors' smaller sets, without test images."""
    rotations: bool = True
    """Add the drawings turned by 90, 180 and 270 degrees."""
    val_drawers: int = Field(2, gt=0, lt=DRAWERS)
    """Number of drawings for validation, the last of each background character's 20."""

    source: ClassVar[str] = "Lake et al. 2015, Human-level concept learning through probabilistic program induction"
    licence: ClassVar[str] = "MIT"
    citation: ClassVar[str] = (
        "Lake, Salakhutdinov, Tenenbaum: Human-level concept learning through probabilistic program induction, "
        "Science 350(6266), 2015"
    )
    home: ClassVar[str] = "github.com/brendenlake/omniglot"

    def wanted(self) -> tuple[tuple[str, ...], ...]:
        names = BACKGROUND[self.files][0] + (EVALUATION[:1] if self.files == "official" else ())
        return tuple((f"{FOLDER}/{name}.zip", f"{FOLDER}/{name}") for name in names)

    def known_facts(self) -> Facts:
        each = BACKGROUND[self.files][1] * self._turns
        return Facts(SHAPE, UNIT, each * (DRAWERS - self.val_drawers), each * self.val_drawers)

    @property
    def _turns(self) -> int:
        return TURNS if self.rotations else 1

    @property
    def classes(self) -> int:
        """The number of characters."""
        return BACKGROUND[self.files][1] + (EVALUATION[1] if self.files == "official" else 0)

    def from_files(self, root: Path) -> Splits:
        places, (names, characters) = find_all(self, root), BACKGROUND[self.files]
        known = self._drawings(places[: len(names)], characters, first_label=0)
        drawer_N = known.order // TURNS % DRAWERS
        to_train = drawer_N < DRAWERS - self.val_drawers
        test = None
        if self.files == "official":
            test = shuffled(self._drawings(places[len(names) :], EVALUATION[1], first_label=characters))
        return Splits(shuffled(known.take(to_train)), shuffled(known.take(~to_train)), test)

    def _drawings(self, places: list[Path], characters: int, first_label: int) -> Stored:
        pictures = _joined([open_archive(place) for place in places], characters)

        def fetch(index_K: np.ndarray) -> Rows:
            y_K = first_label + index_K // (TURNS * DRAWERS)
            return Rows(torch.from_numpy(_turned(pictures, index_K)), torch.from_numpy(y_K), UNIT)

        order = torch.arange(characters * DRAWERS).repeat_interleave(self._turns) * TURNS
        return Stored(order + torch.arange(self._turns).repeat(characters * DRAWERS), fetch, SHAPE, UNIT)


def _joined(archives: list[Archive], characters: int) -> Album:
    """The pictures ARCHIVE/ALPHABET/CHARACTER/DRAWING.png of all archives; those in two archives count once."""
    found = {
        name.partition("/")[2]: (archive, name)
        for archive in archives
        for name in archive.names
        if name.endswith(".png")
    }
    names = sorted(found)
    with sound(archives[0].path):
        _check(names, characters)

    def content(row: int) -> bytes:
        archive, name = found[names[row]]
        return archive.content(name)

    return Album(archives[0].path, content, lambda row: names[row], SHAPE, of_size(SIDE, SIDE), _scaled)


def _scaled(picture) -> np.ndarray:
    """The picture scaled to 28 x 28 pixels by area averages; a source pixel on a border is split between them."""
    pixels = np.asarray(picture, float)
    edges, pixel = np.linspace(0, SIDE, SHAPE[1] + 1), np.arange(SIDE)
    share = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    weight = np.clip(share, 0, 1) * SHAPE[1] / SIDE
    return np.rint(weight @ pixels @ weight.T)


def _check(names: list[str], characters: int) -> None:
    counts: dict[str, int] = {}
    for name in names:
        character = name.rpartition("/")[0]
        counts[character] = counts.get(character, 0) + 1
    wrong = next((character for character in counts if counts[character] != DRAWERS), None)
    if wrong is not None:
        raise Unfit(f"{counts[wrong]} drawings of {wrong}, {DRAWERS} expected")
    if len(counts) != characters:
        raise Unfit(f"{len(counts)} characters, {characters} expected")


def _turned(pictures: Album, index_K: np.ndarray) -> np.ndarray:
    """The images, white ink on black, turned; each drawing is decoded once for all its rotations."""
    drawings, place_K = np.unique(index_K // TURNS, return_inverse=True)
    x_KCHW = (255 - pictures.pixels(drawings))[place_K]
    for turn in range(1, TURNS):
        some_K = index_K % TURNS == turn
        x_KCHW[some_K] = np.rot90(x_KCHW[some_K], turn, axes=(2, 3))
    return x_KCHW
