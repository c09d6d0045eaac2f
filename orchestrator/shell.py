"""Commands that a user may type next, quoted for the shell."""

import shlex
from pathlib import Path


def command(verb: str, name: str, out: Path) -> str:
    """The command that applies a verb, such as `ui` or `cluster attach`, to a sweep, a trial or a run in OUT."""
    return shlex.join(["vaeorch", *verb.split(), name, "--out", str(out)])


def command_for(verb: str, folder: Path) -> str:
    """The same for the sweep or run in `folder` (OUT/NAME)."""
    return command(verb, folder.name, folder.parent)
