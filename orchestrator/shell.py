"""What a user may type into a shell next, quoted as a shell needs it."""

import shlex
from pathlib import Path


def command(verb: str, name: str, out: Path) -> str:
    """What to type to do something with a sweep, a trial or a run in OUT."""
    return shlex.join(["vaeorch", verb, name, "--out", str(out)])


def command_for(verb: str, folder: Path) -> str:
    """The same for the sweep or run in `folder` (OUT/NAME)."""
    return command(verb, folder.name, folder.parent)
