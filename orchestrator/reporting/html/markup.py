"""HTML elements from values. Text is escaped unless it is Markup: nothing that a user wrote becomes an element."""

import html
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

VOID = {"br", "img", "meta"}  # elements that have no content, and no end tag
UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")  # not allowed in HTML, or not in UTF-8
REPLACEMENT = "\ufffd"


class Markup(str):
    """Text that is HTML already."""


Child = str | None | Iterable["Child"]
"""What an element may contain: text, Markup, nothing, or several of them."""


class Section(NamedTuple):
    """A part of the page."""

    title: str
    """Plain text."""
    body: str
    """HTML."""


def escaped(text: str) -> Markup:
    """Text as HTML that shows it. Control characters, which HTML forbids, become U+FFFD."""
    return Markup(html.escape(UNFIT.sub(REPLACEMENT, text)))


def joined(*children: Child) -> Markup:
    """Children one after the other."""
    return Markup("".join(map(_child, children)))


def _child(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, str):
        return child if isinstance(child, Markup) else escaped(child)
    return joined(*child)


def element(name: str, /, *children: Child, **attributes: Any) -> Markup:
    """An element. In attributes `class_` is class, `a_b` is a-b; None and False leave one out, True writes its name."""
    words = [name, *(_attribute(key, value) for key, value in attributes.items() if value not in (None, False))]
    start = f"<{' '.join(words)}>"
    return Markup(start if name in VOID else f"{start}{joined(*children)}</{name}>")


def _attribute(key: str, value: Any) -> str:
    key = key.rstrip("_").replace("_", "-")
    return key if value is True else f'{key}="{escaped(_plain(value))}"'


def _plain(value: Any) -> str:
    """Coordinates have one decimal: a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)


def paragraph(*children: Child, **attributes: Any) -> Markup:
    return element("p", *children, **attributes)


def details(summary: str, *children: Child) -> Markup:
    """A part that is folded away until its summary is clicked."""
    return element("details", element("summary", summary), *children)


def bullets(lines: Iterable[str]) -> Markup | None:
    """A list; None for no lines."""
    items = [element("li", line) for line in lines]
    return element("ul", *items, class_="notes") if items else None


def scrolled(name: str, *children: Child) -> Markup:
    """A region that scrolls sideways where it does not fit, also by the keyboard."""
    return element("div", *children, class_="scroll", role="region", tabindex=0, aria_label=name)
