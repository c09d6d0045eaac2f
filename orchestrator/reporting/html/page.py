"""Collects the sections of the HTML report into one file that needs no network.

Scripts, styles and pictures stand in the page. Its security policy allows nothing else: no request, and no script but
`script.js`, by its digest.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Iterable
from importlib.resources import files
from pathlib import Path

from orchestrator.reporting.html import (
    curves,
    evaluations,
    importance,
    leaderboard,
    parallel,
    pictures,
    rungs,
    settings,
    summary,
    trials,
)
from orchestrator.reporting.html.content import SweepData, read_sweep
from orchestrator.reporting.html.markup import Markup, Section, element

SECTIONS: tuple[Callable[[SweepData], Section | None], ...] = (
    curves.section,
    parallel.section,
    importance.section,
    rungs.section,
    pictures.section,
    evaluations.section,
    trials.section,
    settings.section,
)
"""After the leaderboard and what others add, in this order."""


def as_html(folder: Path, extra: Iterable[tuple[str, str]] = ()) -> str:
    """The report on the sweep or run in `folder`, which may be running, as one HTML page.

    Args:
        extra: further sections, after the leaderboard: title (plain text) and body (HTML, which is trusted).

    Raises UserError where there is no sweep, or its files are damaged.
    """
    sweep = read_sweep(folder)
    own = [found for section in SECTIONS if (found := section(sweep))]
    given = [Section(title, body) for title, body in extra]
    return _page(sweep, [leaderboard.section(sweep), *given, *own])


def _page(sweep: SweepData, sections: list[Section]) -> str:
    ids = _ids(section.title for section in sections)
    links = [
        element("li", element("a", section.title, href=f"#{id}")) for id, section in zip(ids, sections, strict=True)
    ]
    parts = [
        element("section", element("h2", section.title, id=f"{id}-title"), Markup(section.body), id=id,
                aria_labelledby=f"{id}-title")
        for id, section in zip(ids, sections, strict=True)
    ]  # fmt: skip
    body = element(
        "body",
        element("header", summary.head(sweep)),
        element("nav", element("ul", *links), aria_label="Sections"),
        element("main", *parts),
    )
    return f"<!DOCTYPE html>\n{element('html', _head(sweep), body, lang='en')}\n"


def _head(sweep: SweepData) -> Markup:
    style, script = (files(__package__).joinpath(name).read_text("utf-8") for name in ("style.css", "script.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"{sweep.results['name']} · vaeorch"),
        element("style", Markup(style)),
        element("script", Markup(script)),
    )


def _ids(titles: Iterable[str]) -> list[str]:
    """A different id for each title."""
    known: list[str] = []
    for title in titles:
        plain = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "section"
        known.append(plain if plain not in known else f"{plain}-{len(known)}")
    return known
