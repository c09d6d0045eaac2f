"""An HTML page, parsed: whether it is well formed and needs no network, and the cells of its tables."""

import re
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "link", "input", "hr"}
ADDRESSES = {"src", "href", "srcset", "action", "data", "poster", "xlink:href", "background"}


class Page(HTMLParser):
    """A page. Raises AssertionError where an element is not closed in order, or an id stands twice."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.elements: list[tuple[str, dict]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.sections: dict[str, str] = {}  # id -> its text
        self.styles = ""
        self.region, self.section = "", ""
        self.feed(text)
        self.close()
        assert self.open == []
        assert len(self.ids) == len(set(self.ids))

    def handle_starttag(self, tag, attrs):
        own = dict(attrs)
        assert len(own) == len(attrs), f"{tag}: an attribute stands twice"
        self.elements.append((tag, own))
        self.ids += [own["id"]] if "id" in own else []
        if tag not in VOID:
            self.open.append(tag)
        if tag == "section":
            self.section = own["id"]
            self.sections[self.section] = ""
        if own.get("role") == "region":
            self.region = own["aria-label"]
        if tag == "table":
            self.tables[self.region] = []
        if tag == "tr":
            self.tables[self.region].append([])
        if tag in ("td", "th"):
            self.tables[self.region][-1].append("")

    def handle_startendtag(self, tag, attrs):
        raise AssertionError(f"<{tag}/>: is no HTML")

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}>"

    def handle_data(self, data):
        if "style" in self.open:
            self.styles += data
        elif "td" in self.open or "th" in self.open:
            self.tables[self.region][-1][-1] += data
        if self.section and "script" not in self.open:
            self.sections[self.section] += f" {data}"

    def of(self, tag: str) -> list[dict]:
        """The attributes of all elements with this tag."""
        return [attributes for name, attributes in self.elements if name == tag]


def checked(text: str) -> Page:
    """The page, if it is well formed and refers to nothing but itself and the data in it."""
    assert text.startswith("<!DOCTYPE html>\n<html")
    text.encode("utf-8")
    page = Page(text.removeprefix("<!DOCTYPE html>\n"))
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
        assert not [name for name in attributes if name.startswith("on")], "a script in an attribute"
        for name in ADDRESSES & set(attributes):
            assert re.match("#|data:image/png;base64,", attributes[name]), attributes[name]
        assert "url(" not in attributes.get("style", "")
    assert not re.search(r"url\(|@import|https?:|//", page.styles)
    assert len(page.of("script")) == 1
    for image in page.of("img"):
        assert image["alt"]
    for drawing in page.of("svg"):
        assert drawing["aria-label"] and drawing["role"] == "img"
    for rows in page.tables.values():
        assert len({len(row) for row in rows}) == 1, rows[:2]
    assert {link["href"].removeprefix("#") for link in page.of("a")} <= set(page.ids)
    assert "NaN" not in "".join(attributes.get("d", "") for attributes in page.of("path"))
    return page
