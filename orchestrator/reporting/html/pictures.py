"""The section with the pictures of the best trials, embedded as they are."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.reporting.html.content import SweepData, TrialData
from orchestrator.reporting.html.markup import Markup, Section, element, joined, paragraph
from orchestrator.storage import layout
from orchestrator.text import MIB, mebibytes

TITLE = "Pictures of the best trials"
BEST = 3  # trials whose pictures are shown
MOST_BYTES = 6 * MIB  # of all pictures together
WIDE = 600  # pixels: a wider picture, of several plots in a row, has a line of the page to itself
SIGNATURE = b"\x89PNG\r\n\x1a\n"
SHOWS = {
    "reconstructions": "originals and their reconstructions",
    "samples": "generated from the prior",
    "samples_pruned": "generated from the relevant axes alone",
    "traversals": "one latent axis after the other, the most relevant first",
    "variances": "variances of the prior over the epochs",
    "latents": "two-dimensional codes of validation rows",
}


@dataclass(frozen=True)
class Picture:
    """A picture that is there, by its file."""

    file: Path
    title: str
    shows: str
    """What it shows, for those who do not see it."""


class Room:
    """The bytes that may still be embedded."""

    def __init__(self, most: int):
        self.left, self.refused = most, 0

    def take(self, size: int) -> bool:
        """Whether a picture of so many bytes fits; one that does not is counted."""
        fits = size <= self.left
        self.left -= size if fits else 0
        self.refused += not fits
        return fits


def section(sweep: SweepData) -> Section | None:
    """None where no trial with an objective has pictures."""
    room, parts = Room(MOST_BYTES), []
    for trial in [trial for trial in sweep.trials if sweep.counts(trial)][:BEST]:
        if figures := [figure for picture in _pictures_of(trial) if (figure := _figure(picture, room))]:
            title = element("h3", trial.title)
            parts.append(joined(title, element("div", *figures, class_="pictures")))
    if not parts and not room.refused:
        return None
    most = f"{room.refused} pictures are left out: together they have more than {mebibytes(MOST_BYTES)}."
    return Section(TITLE, joined(parts, paragraph(f"{most} They lie in {sweep.folder}.") if room.refused else None))


def _pictures_of(trial: TrialData) -> Iterator[Picture]:
    """The pictures of the last epoch that has some, then those of evaluations."""
    epochs = sorted((folder for folder in (trial.folder / layout.PICTURES).glob("[0-9]*")), key=lambda path: path.name)
    if epochs:
        for file in sorted(epochs[-1].glob("*.png")):
            shows = SHOWS.get(file.stem, "a picture of the model")
            yield Picture(file, f"{file.stem.replace('_', ' ')}, epoch {int(epochs[-1].name)}", shows)
    for finding in trial.entry.get("evaluations", ()):
        for path in finding["pictures"]:
            metric = finding["metric"]
            yield Picture(trial.folder / path, f"{metric}: {Path(path).stem}", f"made by the evaluation {metric}")


def _figure(picture: Picture, room: Room) -> Markup | None:
    """None for a picture that cannot be read, is no PNG, or has no room."""
    try:
        content = picture.file.read_bytes()
    except OSError:
        return None
    if not content.startswith(SIGNATURE) or len(content) < 24 or not room.take(len(content)):
        return None
    width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
    source = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    alt = f"{picture.title}: {picture.shows}"
    image = element("img", src=source, alt=alt, width=width, height=height)
    wide = "wide" if width > max(2 * height, WIDE) else None
    return element("figure", image, element("figcaption", picture.title), class_=wide)
