"""Formats values, configurations and sizes for people. `reporting/tables.py` makes tables."""

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

MIB = 1 << 20
KIB = 1 << 10


def mebibytes(size: int) -> str:
    return f"{size / MIB:,.1f} MiB"


def on_disk(size: int) -> str:
    """A size as `du -h` has it: `812 B`, `3.4 MiB`."""
    if size < KIB:
        return f"{size} B"
    exponent = min(4, int(math.log(size, KIB)))
    return f"{size / KIB**exponent:.1f} {'KMGT'[exponent - 1]}iB"


def duration(seconds: float) -> str:
    """A time in its largest unit: `40 s`, `12 min`, `3 h`, `5 d`."""
    for unit, length in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def counted(number: float, noun: str) -> str:
    """Such as `1 node` and `3 nodes`."""
    return f"{number:g} {noun}" if number == 1 else f"{number:g} {noun}s"


def with_reason(status: str, reason: str | None) -> str:
    """Such as `stopped (asha@9)`."""
    return f"{status} ({reason})" if reason else status


def show(value: Any) -> str:
    """A value as a cell of a table: four significant digits, `-` for nan, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.4g}"
    return str(value)


def cut(text: str, most: int) -> str:
    """A text of at most so many characters; what is left out is marked."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def short_names(paths: Iterable[str]) -> dict[str, str]:
    """Each path, and the shortest name of it that is unambiguous among them: its last key, or the whole path."""
    shorts = {path: path.removesuffix(".name").rpartition(".")[2] for path in paths}
    unique = Counter(shorts.values())
    return {path: short if unique[short] == 1 else path for path, short in shorts.items()}


def listed(config: dict[str, Any]) -> str:
    """A configuration in one line, its paths as short as is unambiguous: `method=ard_vae beta=0.15 latent_dim=4`."""
    shorts = short_names(config)
    return " ".join(f"{shorts[path]}={show(value)}" for path, value in config.items())


def label_of(trial: dict[str, Any], several_seeds: bool) -> str:
    """The name of a trial of results.json in tables. With several seeds it is that of the trial's configuration."""
    name = f"#{trial['configuration']}" if several_seeds else trial["id"]
    return f"{name} {listed(trial['config'])}".strip()
