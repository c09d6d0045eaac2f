"""Makes every console that users see, so that no text from a user is taken for markup.

Brackets, links, `:smile:` and escape sequences in names, values and reasons are shown as written.
"""

from typing import Any
from unicodedata import category

from rich.console import Console
from rich.progress import TextColumn
from rich.text import Text


class PlainConsole(Console):
    """Prints text literally: without markup, emoji codes and highlighting."""

    def __init__(self, **options: Any):
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(visible(text), **options)


def console(stderr: bool = False) -> Console:
    """A console on standard output, or on standard error."""
    return PlainConsole(stderr=stderr)


def say(to: Console, line: str) -> None:
    """Print a line in full: a terminal wraps it, a pipe gets it unbroken."""
    to.print(line, soft_wrap=True)


def cut(line: str) -> Text:
    """A line of a panel, cut off with an ellipsis where it does not fit."""
    return Text(visible(line), overflow="ellipsis")


def description_column() -> TextColumn:
    """The column with the description of a progress bar."""
    return TextColumn("{task.description}", markup=False)


def visible(text: str) -> str:
    """The text with its control characters, which a terminal would obey, and lone surrogates escaped."""
    return "".join(ascii(char)[1:-1] if char != "\n" and category(char) in ("Cc", "Cs") else char for char in text)
