"""Formats values, configurations and sizes for people. `reporting/tables.py` makes tables."""

import json
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

MIB = 1 << 20
KIB = 1 << 10
FEW_DIGITS = 10  # characters of a number that is not shortened

Configuration = dict[str, Any]
"""What varies in a sweep: path -> value."""


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


def setting(value: Any) -> str:
    """A value of a configuration: as `show`, but with all digits of a number that has few, such as 0.99999."""
    if isinstance(value, float) and float(short := f"{value:.4g}") != value:
        return repr(value) if len(repr(value)) <= FEW_DIGITS else short
    return show(value)


def listed(config: Configuration, form: Callable[[Any], str] = setting) -> str:
    """A configuration in one line, its paths as short as is unambiguous: `method=ard_vae beta=0.15 latent_dim=4`."""
    shorts = short_names(config)
    return " ".join(f"{shorts[path]}={form(value)}" for path, value in config.items())


def told_apart(configs: Sequence[Configuration], line: Callable[..., str] = listed) -> list[str]:
    """A line for each configuration, with all digits of those that would look like another one."""
    lines = [line(config) for config in configs]
    alike = Counter(dict(zip(map(identity, configs), lines, strict=True)).values())
    return [line(config, str) if alike[text] > 1 else text for config, text in zip(configs, lines, strict=True)]


def identity(config: Configuration) -> str:
    """Equal for configurations that have the same values, in whichever order."""
    return json.dumps(config, sort_keys=True, default=str)


def columns_of(paths: Iterable[str], others: Collection[str]) -> dict[str, str]:
    """Each path that is searched, and the name of its column: itself, or `run.epochs` where `others` has `epochs`."""
    return {path: f"run.{path}" if path in others else path for path in paths}


def label_of(trial: dict[str, Any], averaged: bool) -> str:
    """The name of a trial of results.json in tables; of one that is averaged with other seeds its configuration's."""
    name = f"#{trial['configuration']}" if averaged else trial["id"]
    return f"{name} {listed(trial['config'])}".strip()


def label_at(label: str, epoch: str) -> str:
    """The label of a model of a trial's `best` epoch, which is its trial's, or of its `last`: `0003@last lr=0.1`."""
    name, *config = label.split(" ")
    return label if epoch == "best" else " ".join([f"{name}@{epoch}", *config])
