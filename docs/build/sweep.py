"""Runs the commands of pages in a folder, and keeps what they print.

    python -m docs.build.sweep FOLDER

The commands are those in the pages' ```bash blocks, the files those in blocks with a title, as the reader has them.
What a folder has already is not run again.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parents[1]
START, GALLERY = DOCS / "start.md", DOCS / "gallery.md"
OUTPUTS = "outputs.json"
BLOCK = re.compile(
    r"(?P<mark><!-- not run[^\n]*-->\n+)?"
    r"^(?P<indent> *)```(?P<language>\w+)(?P<more>[^\n]*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
COLUMNS = "90"


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    text: str
    title: str
    """The name of the file that it is; empty where it is none."""
    run: bool
    """Whether its commands can be run on a machine without a network, a browser or a cluster."""
    line: int

    def commands(self) -> list[list[str]]:
        """The words of each command; comments and continued lines are taken as a shell takes them."""
        whole = self.text.replace("\\\n", " ")
        return [words for line in whole.splitlines() if (words := shlex.split(line, comments=True))]


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of a page."""
    for found in BLOCK.finditer(page):
        title = re.search(r'title="([^"]*)"', found["more"])
        indent, line = len(found["indent"]), page.count("\n", 0, found.start("indent")) + 1
        text = "".join(row[indent:] or "\n" for row in found["text"].splitlines(keepends=True))
        yield Block(found["language"], text, title[1] if title else "", not found["mark"], line)


def run_page(page: Path, folder: Path, call: Callable[[list[str], Path], str]) -> dict[str, str]:
    """Write the files of a page into `folder`, and run its commands there: command -> what it printed."""
    outputs = {}
    for block in blocks(page.read_text()):
        if block.title:
            (folder / block.title).write_text(block.text)
        for words in block.commands() if block.language == "bash" and block.run else ():
            if words[0] == "vaeorch":
                outputs[shlex.join(words)] = call(words[1:], folder)
    return outputs


def in_a_process(words: list[str], folder: Path) -> str:
    """Run `vaeorch` with these words in `folder`; what it printed. Raises RuntimeError where it fails."""
    root = str(DOCS.parent)
    paths = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"PYTHONPATH": paths, "COLUMNS": COLUMNS, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "orchestrator", *words]
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        raise RuntimeError(f"vaeorch {shlex.join(words)} ends with {done.returncode}:\n{done.stdout}")
    return done.stdout.replace(f"{folder.resolve()}/", "").replace(f"{root}/", "")


def made(folder: Path) -> dict[str, str]:
    """What the commands of Start and gallery print, run in `folder` unless they were."""
    kept = folder / OUTPUTS
    if not kept.exists():
        folder.mkdir(parents=True, exist_ok=True)
        outputs = {}
        for page in (START, GALLERY):
            outputs |= run_page(page, folder, _told)
        kept.write_text(json.dumps(outputs, indent=1))
    return json.loads(kept.read_text())


def _told(words: list[str], folder: Path) -> str:
    print(f"vaeorch {shlex.join(words)}", file=sys.stderr, flush=True)
    return in_a_process(words, folder)


if __name__ == "__main__":
    made(Path(sys.argv[1]))
