"""Samples of each method for the page of methods, where MNIST's files are at hand at build time.

`VAEORCH_DATA` names the folder with `MNIST/raw`. Every method of `search_spaces/all_methods.yaml` is trained for a few
epochs on 2,000 images: enough to see that it learns, and no comparison.
"""

import json
import os
import re
from pathlib import Path

from docs.build.sweep import DOCS, in_a_process
from trainables.common.records import name_of
from trainables.methods import METHODS

NAME = "mnist_methods"
CHANGES = (
    'search.data.name={"grid": ["mnist"]}',
    "run.data.train_rows=2000",
    "run.data.val_rows=500",
    "run.epochs=10",
    'objective={"metric": "val/mse"}',
    "pictures.top=all",
)
ABSENT = "MNIST's files were not at hand when this page was built, so it has no pictures of samples."
TOLD = (
    "The samples are of models that were trained for 10 epochs on 2,000 images of MNIST, on one network with 16 latent "
    "dimensions: enough to see that a method learns, and no comparison of methods."
)


def pictures(folder: Path) -> dict[str, Path]:
    """Page of the site -> picture of samples, one for each method; trains the models where there are none."""
    root = os.environ.get("VAEORCH_DATA", "")
    if not (folder / "runs" / NAME / "results.json").exists():
        if not any((Path(root) / "MNIST" / "raw").glob("*-ubyte*")):
            return {}
        changes = [word for change in CHANGES for word in ("--set", change)]
        spec = DOCS.parent / "search_spaces" / "all_methods.yaml"
        in_a_process(["sweep", str(spec), "--name", NAME, "--data-root", root, *changes], folder)
    return {f"made/samples/{method}.png": picture for method, picture in _samples(folder).items()}


def with_samples(markdown: str, folder: Path) -> str:
    """The page of methods with a picture for each, or with the line that says why there is none."""
    samples = _samples(folder)
    for name in map(name_of, METHODS) if samples else ():
        if name in samples:
            picture = f"![Samples of {name}](../made/samples/{name}.png){{ width=260 }}"
            markdown = re.sub(rf"^(## `{name}` .*)$", rf"\1\n\n{picture}", markdown, flags=re.MULTILINE)
    return markdown.replace("| method | what it is |", f"{TOLD if samples else ABSENT}\n\n| method | what it is |", 1)


def _trials(folder: Path) -> list[Path]:
    return sorted((folder / "runs" / NAME / "trials").glob("*/config.json"))


def _samples(folder: Path) -> dict[str, Path]:
    """Method -> the picture of the first trial that has it."""
    found: dict[str, Path] = {}
    for config in _trials(folder):
        method = json.loads(config.read_text())["run"]["method"]["name"]
        drawn = sorted(config.parent.glob("pictures/*/samples.png"))
        if drawn:
            found.setdefault(method, drawn[-1])
    return found
