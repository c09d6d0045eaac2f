"""The section with a sweep's settings: what varies, the whole spec as YAML, and the versions it was made with."""

import io
import json
from typing import Any

from ruamel.yaml import YAML

from orchestrator.reporting.html.content import SweepData
from orchestrator.reporting.html.markup import Child, Markup, Section, bullets, details, element, joined, paragraph
from orchestrator.reporting.html.tables import table
from orchestrator.text import mebibytes

DIGITS = 12  # of a digest
NAMES = {"code": "code of trainables", "orchestrator": "code of orchestrator", "data_root": "data root"}


def section(sweep: SweepData) -> Section:
    return Section("Settings", joined(_search(sweep.spec), _whole(sweep.spec), _versions(sweep), _data(sweep)))


def _search(spec: dict[str, Any]) -> Markup | None:
    """What varies, and between which values."""
    rows = [[path, _flow(domain)] for path, domain in (spec.get("search") or {}).items()]
    if not rows:
        return None
    cells = [
        [element("td", element("code", path)), element("td", element("code", domain), class_="words")]
        for path, domain in rows
    ]
    return joined(element("h3", "What varies"), table("What varies", ["path", "domain"], cells))


def _flow(value: Any) -> str:
    """A value in one line, as YAML."""
    return _yaml(value, flow=True).strip().removesuffix("...").strip()


def _yaml(value: Any, flow: bool | None = None) -> str:
    text, yaml = io.StringIO(), YAML(typ="safe", pure=True)
    yaml.default_flow_style, yaml.width, yaml.allow_unicode = flow, 100 if flow is None else 10**6, True
    yaml.dump(value, text)
    return text.getvalue()


def _whole(spec: dict[str, Any]) -> Markup | None:
    if not spec:
        return paragraph("There is no spec.")
    return details("The whole spec, with every default", element("pre", element("code", _yaml(spec))))


def _versions(sweep: SweepData) -> Markup:
    """A column for each time that the sweep began or went on with something else than before."""
    made = [event["made_with"] for event in sweep.events if event.get("made_with")]
    made = made or [known for known in [sweep.results.get("made_with")] if known]
    if not made:
        return joined(element("h3", "Versions"), paragraph("What it was made with was not recorded."))
    flat = [_flat(known) for known in made]
    names = dict.fromkeys(name for known in flat for name in known)
    rows = [[NAMES.get(name, name), *(_short(known.get(name)) for known in flat)] for name in names]
    header = ["", "made with"] if len(flat) == 1 else ["", "at first", *["then"] * (len(flat) - 1)]
    return joined(element("h3", "Versions"), table("Versions", header, rows))


def _flat(made_with: dict[str, Any]) -> dict[str, Any]:
    """Packages beside everything else, device and Python first."""
    packages = made_with.get("packages") or {}
    own = {name: value for name, value in made_with.items() if name != "packages"}
    order = ("python", "device", "threads", "workers")
    return {name: own[name] for name in order if name in own} | packages | own


def _short(value: Any) -> Child:
    text = "" if value is None else str(value)
    return element("td", element("code", text[:DIGITS], title=text)) if len(text) == 64 else element("td", text)


def _data(sweep: SweepData) -> Markup | None:
    """The data files, as they were when training began."""
    files = sweep.results.get("data")
    if not files:
        return None
    lines = [f"{name}: {_of_file(known)}" for name, known in files.items()]
    return details("Data files", bullets(lines))


def _of_file(known: Any) -> str:
    if isinstance(known, dict) and isinstance(known.get("size"), int):
        rest = {key: value for key, value in known.items() if key != "size" and value is not None}
        return f"{mebibytes(known['size'])}, {_flow(rest)}" if rest else mebibytes(known["size"])
    return json.dumps(known, default=str)
