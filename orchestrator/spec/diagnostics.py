"""Reports the user's mistakes in plain words, all at once: `FILE:LINE: PATH: what is wrong. Cure.`"""

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, get_args

from pydantic import ValidationError

from orchestrator.errors import UserError
from trainables.common.records import Record, name_of

KeyPath = tuple[str | int, ...]
"""The keys and list positions that lead to a value: ("search", "method", "choice", 1)."""

LONGEST_VALUE = 60  # characters of a value that a message quotes


class Location(NamedTuple):
    """Where a value was written, as shown to the user. Messages are sorted by `order`."""

    order: int
    text: str


class Problem(NamedTuple):
    """One mistake: where it was written, which value it concerns, what is wrong and how to mend it."""

    place: Location
    path: KeyPath
    text: str

    def __str__(self) -> str:
        line = ": ".join(part for part in (self.place.text, show_path(self.path), self.text) if part)
        return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line)  # a key may hold anything


class SpecError(UserError):
    """All mistakes that were found, as `lines`: in the order of the file, each once."""

    def __init__(self, problems: Iterable[Problem]):
        self.problems = sorted(problems, key=lambda problem: problem.place)
        super().__init__(*dict.fromkeys(map(str, self.problems)))


class Finding(NamedTuple):
    """What is wrong with the value at `path`, or, where `of_key`, with the last key of `path` itself."""

    path: KeyPath
    text: str
    of_key: bool = False


def show_path(path: KeyPath) -> str:
    """("search", "method", "choice", 1, "beta") -> "search.method.choice[1].beta"."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def read_path(text: str) -> KeyPath:
    """The inverse of `show_path`, where no key holds a dot."""
    return tuple(int(index) if index else key for index, key in re.findall(r"\[(\d+)\]|([^.\[\]]+)", text))


def show_value(value: Any) -> str:
    """A value as written in YAML, cut to a readable length."""
    text = repr(value) if isinstance(value, str) else _flow(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 3] + "..."


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "nothing" if value is None else str(value)


def near(word: str, words: Iterable[str]) -> str | None:
    """The one of `words` that `word` was probably meant to be."""
    return next(iter(difflib.get_close_matches(word.lower(), list(words), n=1)), None)


def cure(word: Any, words: Iterable[str]) -> str:
    """How to mend a word that is none of `words`: suggests the nearest, if any, and lists all."""
    words = list(words)
    meant = near(str(word), words)
    return (f"Did you mean '{meant}'? " if meant else "") + f"Known: {', '.join(words)}."


SENTENCES = {
    "int_type": "must be a whole number, not {value}.",
    "float_type": "must be a number, not {value}.",
    "finite_number": "must be a finite number, not {value}.",
    "bool_type": "must be true or false, not {value}.",
    "string_type": "must be text (in quotes, where it looks like a number), not {value}.",
    "tuple_type": "must be a list, not {value}.",
    "greater_than": "must be above {gt:g}, not {value}.",
    "greater_than_equal": "must be at least {ge:g}, not {value}.",
    "less_than": "must be below {lt:g}, not {value}.",
    "less_than_equal": "must be at most {le:g}, not {value}.",
    "too_short": "has {actual_length} entries, but needs at least {min_length}.",
    "too_long": "has {actual_length} entries, but may have at most {max_length}.",
    "missing": "is missing.",
    "value_error": "{error}",
}
"""Pydantic's error type -> the message. `value` is what the user wrote, the rest comes from the error's context."""


def findings(error: ValidationError, kind: Any, values: Any) -> Iterator[Finding]:
    """Pydantic's errors about `values`, in the user's words and with the user's paths.

    `kind` is what they were read as: a record, or the `choice` of one.
    """
    records = tuple(_records_in(kind))
    for detail in error.errors(include_url=False):
        if not _is_echo(detail):
            yield SPECIAL.get(detail["type"], _sentence)(_walk(detail["loc"], records, values), detail)


def _is_echo(detail: dict) -> bool:
    """Whether an error only follows from others: pydantic drops invalid entries of a list, then finds it too short."""
    return detail["type"] == "too_short" and len(detail["input"]) != detail["ctx"]["actual_length"]


class _Walk(NamedTuple):
    """Where pydantic's error location leads, without its labels of alternatives."""

    path: KeyPath
    parents: tuple[type[Record], ...]  # the records that the mapping around the value can be
    records: tuple[type[Record], ...]  # the records that the value itself can be


def _walk(location: KeyPath, records: tuple[type[Record], ...], value: Any) -> _Walk:
    path, parents = (), ()
    for step in location:
        if len(records) > 1 and _named(records) and step in map(name_of, records):
            records = tuple(option for option in records if name_of(option) == step)
        elif not _is_label(step, value):
            path, parents = (*path, step), records
            records, value = _below(records, step), _at(value, step)
    return _Walk(path, parents, records)


def _is_label(step: str | int, value: Any) -> bool:
    """Whether a step is a label, not a key: <choice> names a member of a union, [key] marks a bad key."""
    if isinstance(value, dict):
        return step not in value and str(step).startswith(("<", "["))
    return isinstance(step, str)


def _named(records: tuple[type[Record], ...]) -> bool:
    return bool(records) and all(record.chosen_by in record.model_fields for record in records)


def _below(records: tuple[type[Record], ...], step: str | int) -> tuple[type[Record], ...]:
    """The records that a field can hold; those of a list or a dict are the same at each position."""
    fields = [record.model_fields[step] for record in records if step in record.model_fields]
    return tuple(below for field in fields for below in _records_in(field.annotation)) if fields else records


def _records_in(annotation: Any) -> Iterator[type[Record]]:
    if isinstance(annotation, type) and issubclass(annotation, Record):
        yield annotation
    for argument in get_args(annotation):
        yield from _records_in(argument)


def _at(value: Any, step: str | int) -> Any:
    if isinstance(value, dict):
        return value.get(step)
    return value[step] if isinstance(value, list) and isinstance(step, int) and step < len(value) else None


def _sentence(walk: _Walk, detail: dict) -> Finding:
    words = {"value": show_value(detail["input"]), **(detail.get("ctx") or {})}
    known = SENTENCES.get(detail["type"])
    return Finding(walk.path, known.format(**words) if known else f"{detail['msg']}, not {words['value']}.")


def _unknown_key(walk: _Walk, detail: dict) -> Finding:
    known = dict.fromkeys(key for record in walk.parents for key in record.model_fields)
    return Finding(walk.path, f"unknown key. {cure(walk.path[-1], known)}", of_key=True)


def _unknown_name(walk: _Walk, detail: dict) -> Finding:
    key = walk.records[0].chosen_by
    word = _at(detail["input"], key)
    mended = cure(word, map(name_of, walk.records))
    return Finding((*walk.path, key), f"unknown {key} {show_value(word)}. {mended}")


def _no_name(walk: _Walk, detail: dict) -> Finding:
    return Finding(walk.path, f"has no '{walk.records[0].chosen_by}'. Known: {', '.join(map(name_of, walk.records))}.")


def _no_mapping(walk: _Walk, detail: dict) -> Finding:
    """For text it suggests a name: a user who writes `method: ard_vae` means {name: ard_vae}."""
    value, meant = detail["input"], ""
    if isinstance(value, str) and _named(walk.records):
        meant = f" Write {{{walk.records[0].chosen_by}: {value}}}."
    return Finding(walk.path, f"must be a mapping, not {show_value(value)}.{meant}")


def _unknown_word(walk: _Walk, detail: dict) -> Finding:
    words = [word.strip("'") for word in re.split(", | or ", detail["ctx"]["expected"])]
    return Finding(walk.path, f"unknown word {show_value(detail['input'])}. {cure(detail['input'], words)}")


def domain_word(value: dict) -> str | None:
    """The key of a mapping that may be a domain: the only one besides `when`."""
    words = [key for key in value if key != "when"]
    return words[0] if len(words) == 1 else None


def _no_domain(walk: _Walk, detail: dict) -> Finding:
    value, known = detail["input"], detail["ctx"]["known"].split(", ")
    word = domain_word(value) if isinstance(value, dict) else None
    if word:
        return Finding((*walk.path, word), f"unknown domain. {cure(word, known)}", of_key=True)
    what = "must be a domain, a mapping with one key such as {choice: [1, 2]}"
    return Finding(walk.path, f"{what}, not {show_value(value)}. Known: {', '.join(known)}.")


SPECIAL = {
    "domain": _no_domain,
    "extra_forbidden": _unknown_key,
    "union_tag_invalid": _unknown_name,
    "union_tag_not_found": _no_name,
    "dict_type": _no_mapping,
    "model_type": _no_mapping,
    "model_attributes_type": _no_mapping,
    "literal_error": _unknown_word,
}
"""Pydantic's types of error whose message needs more than the error itself."""
