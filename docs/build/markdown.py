"""Markdown by small functions: headings, tables and text that comes from docstrings."""

import inspect
import re
from collections.abc import Iterable, Sequence

OWN = "<!-- Made from the code by docs/build. -->"


def page(title: str, *parts: str) -> str:
    """A generated page."""
    return "\n\n".join((OWN, f"# {title}", *filter(None, parts))) + "\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; empty where it has no rows."""
    lines = ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
    head = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join(head + lines) if lines else ""


def code(text: object) -> str:
    """Text as inline code, which may be in a table."""
    return f"`{text}`" if str(text) else ""


def fenced(text: str, language: str = "text") -> str:
    """A block of code."""
    return f"```{language}\n{text.rstrip()}\n```"


def prose(docstring: str | None) -> str:
    """A docstring as text: HTML's own characters are shown as they are, except in inline code."""
    pieces = re.split(r"(`[^`]*`)", inspect.cleandoc(docstring or ""))
    return "".join(piece if piece.startswith("`") else _plain(piece) for piece in pieces)


def anchor(name: str) -> str:
    """The anchor of a heading that has this name."""
    return re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-")


def heading(name: str, level: int = 2) -> str:
    """A heading with an anchor of its own, so that links to it are stable."""
    return f"{'#' * level} {code(name)} {{#{anchor(name)}}}"


def _plain(text: str) -> str:
    for mark in "*_|":
        text = text.replace(mark, f"\\{mark}")
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _cell(value: object) -> str:
    return re.sub(r"(?<!\\)\|", r"\\|", " ".join(str(value).split()))
