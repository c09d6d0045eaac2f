"""The pages of a run's files and of exit codes."""

import inspect
import io
import tokenize
from collections.abc import Iterator

from docs.build.markdown import code, page, prose, table
from orchestrator.errors import EXIT_CODES
from orchestrator.storage import layout
from orchestrator.sweep.state import APPLY

EXTRA = """
`OUT` is the folder of `--out` (default: `runs`). Lines of JSON are appended, and flushed before what they say counts;
other files are written beside and then renamed, so that a reader sees the old one or the new one. Pictures are PNG.
Tensors are in torch's format, read without executing anything (`weights_only`), and each checkpoint holds checksums
that are verified when it is loaded. Names that no sweep may have: {taken}.
"""

JOURNAL = """
Each line is a JSON object with `event`, the event's own facts, and `answer`, what the sweep decided. `trial` is an id
such as `0003`. The state of a sweep is what these lines make of it, in their order.
"""


def run_folder_page() -> str:
    """The files of OUT, of a sweep and of a trial, from `orchestrator/storage/layout.py`."""
    parts = []
    for title, rows in sections():
        parts += [f"## {title}", table(("name", "what it is"), [(code(name), prose(text)) for name, text in rows])]
    events = [(code(event), prose((apply.__doc__ or "").partition("\n")[0])) for event, apply in APPLY.items()]
    parts += ["## Lines of journal.jsonl", JOURNAL.strip(), table(("event", "what it says"), events)]
    taken = ", ".join(code(name) for name in sorted(layout.TAKEN))
    return page("Files of a run", EXTRA.format(taken=taken).strip(), *parts)


def exit_codes_page() -> str:
    """The exit codes of the command line."""
    rows = [(code(number), prose(text)) for number, text in EXIT_CODES.items()]
    told = "Lines about what went wrong go to standard error; what a command was asked for goes to standard output."
    return page("Exit codes", table(("code", "meaning"), rows), told)


def sections() -> list[tuple[str, list[tuple[str, str]]]]:
    """Section -> (name of a file, what it is): the layout's constants, each with the comment beside it."""
    found: list[tuple[str, list[tuple[str, str]]]] = []
    constants = {name: value for name, value in vars(layout).items() if name.isupper() and isinstance(value, str)}
    for line, comment in _comments(inspect.getsource(layout)):
        name = line.partition(" = ")[0]
        if line.startswith("#"):
            found.append((comment.rstrip("."), []))
        elif name in constants:
            found[-1][1].append((constants[name], comment))
    return found


def _comments(source: str) -> Iterator[tuple[str, str]]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.line.strip(), token.string.removeprefix("#").strip()
