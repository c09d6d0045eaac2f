"""Programs of systems that cannot be had here, such as `kubectl`: scripts that come first on PATH.

Each call is noted. What one says, and with which exit code, is what a test last told: by the words that it begins with.
"""

import json
import os
import stat
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace

PROGRAM = """\
#!{python} -IS
import json, os, sys
from pathlib import Path
folder, name = Path({folder!r}), Path(sys.argv[0]).name
words = [name, *sys.argv[1:]]
given = "" if sys.stdin.isatty() else sys.stdin.read()
with (folder / "calls").open("a") as calls:
    calls.write(json.dumps({{"words": words, "given": given, "environment": dict(os.environ)}}) + "\\n")
answers = json.loads((folder / "answers").read_text())
for begin, (code, said, errors) in reversed(answers):
    if words[: len(begin)] == begin or begin[1:] and begin[0] == name and set(begin[1:]) <= set(words):
        print(said, end="")
        print(errors, end="", file=sys.stderr)
        sys.exit(code)
sys.exit(f"{{name}}: no test has told what to say to {{words}}")
"""


@dataclass(frozen=True)
class Call:
    """What a program was given."""

    words: list[str]
    given: str
    environment: dict[str, str]


class FakePrograms:
    """Programs in a folder that is to come first on PATH."""

    def __init__(self, folder: Path, *names: str):
        self.folder = folder
        folder.mkdir()
        (folder / "answers").write_text("[]")
        for name in names:
            file = folder / name
            file.write_text(PROGRAM.format(python=sys.executable, folder=str(folder)))
            file.chmod(file.stat().st_mode | stat.S_IXUSR)

    def path(self) -> str:
        return f"{self.folder}:{os.defpath}"

    def says(self, begin: str, said: str = "", errors: str = "", code: int = 0) -> None:
        """From now on a program says this where its words begin so, or where it has all these words."""
        answers = json.loads((self.folder / "answers").read_text())
        (self.folder / "answers").write_text(json.dumps([*answers, (begin.split(), (code, said, errors))]))

    def calls(self, begin: str = "") -> list[Call]:
        """What they were given, in order; the calls that begin so, or have all these words."""
        file, words = self.folder / "calls", begin.split()
        lines = file.read_text().splitlines() if file.exists() else []
        found = [Call(**json.loads(line)) for line in lines]
        return [
            call
            for call in found
            if call.words[: len(words)] == words or (words[:1] == call.words[:1] and set(words) <= set(call.words))
        ]


def in_pauses(monkeypatch, module: ModuleType, happens: Callable[[], None]) -> None:
    """Where a module pauses, this happens instead."""
    clock = SimpleNamespace(**vars(time) | {"sleep": lambda seconds: happens()})
    monkeypatch.setattr(module, "time", clock)
