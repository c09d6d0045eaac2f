"""Reads YAML 1.2 as plain values, with the place of each. It never constructs objects: a file is only data."""

import copy
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from orchestrator.spec.diagnostics import KeyPath, Location, Problem, SpecError, read_path, show_value

MOST_VALUES = 100_000  # in one file; aliases count with all their copies
MOST_BYTES = 2 << 20  # of a file, and of the text in its values, copies counted
MOST_DEEP = 100  # mappings and lists within each other
MOST_BITS = 1024  # of a whole number: no float is larger
AFTER_ALL_LINES = 10**9  # the order of what was given on the command line

TOO_LARGE = f"holds more than {MOST_BYTES >> 20} MiB"
TOO_MANY = f"holds more than {MOST_VALUES:,} values."
TOO_DEEP = "is nested too deeply, or holds an alias of itself."

OTHER_VERSION = "is not YAML 1.2: remove the line that begins with %YAML."
NO_CHARACTER = r"is not YAML: an escape such as \U00110000 names no character."

TAG = "tag:yaml.org,2002:"
SCALARS: dict[str, Callable[[Any, ScalarNode], Any]] = {
    TAG + "null": lambda constructor, node: None,
    TAG + "bool": lambda constructor, node: constructor.construct_yaml_bool(node),
    TAG + "int": lambda constructor, node: constructor.construct_yaml_int(node),
    TAG + "float": lambda constructor, node: constructor.construct_yaml_float(node),
    TAG + "str": lambda constructor, node: _text_of(node),
    TAG + "timestamp": lambda constructor, node: node.value,  # no type of YAML 1.2's core schema: text
    TAG + "value": lambda constructor, node: node.value,
}
"""The tags of plain values: all others would construct something."""

Locate = Callable[[int], Location]
"""From a line, counted from 1, to where the user finds it."""


@dataclass(frozen=True)
class Document:
    """A mapping that a user wrote, and where each of its values was written."""

    values: dict[str, Any]
    places: dict[KeyPath, Location]

    def place(self, path: KeyPath) -> Location:
        """Where the value at `path` was written or, if it was not, the nearest value around it."""
        while path not in self.places:
            path = path[:-1]
        return self.places[path]


def read_yaml(file: str | Path, start: str = "'name: ...' and 'run: ...'") -> Document:
    """The mapping in `file`. Raises SpecError if it cannot be read, or is not plain YAML with a mapping.

    `start` is how to begin such a file, for the message that it is empty.
    """
    values, places = _parse(_text(file), lambda line: Location(line, f"{file}:{line}"))
    if not isinstance(values, dict):
        what = "is empty" if values is None else f"must hold a mapping, not {show_value(values)}"
        raise SpecError([Problem(places[()], (), f"{what}. Write {start}.")])
    return Document(values, places)


def override(document: Document, settings: Iterable[str]) -> Document:
    """The document after each `PATH=VALUE` of `--set`, VALUE being YAML. Raises SpecError."""
    values, places = copy.deepcopy(document.values), dict(document.places)
    problems = []
    for number, setting in enumerate(settings):
        place = Location(AFTER_ALL_LINES + number, f"--set {setting}")
        try:
            path, value, below = _setting(setting, place)
        except SpecError as error:
            problems += error.problems
            continue
        made = put(values, path, value)
        places = {known: at for known, at in places.items() if known[: len(path)] != path}
        places |= dict.fromkeys([*made, *((*path, *inner) for inner in below)], place)
    if problems:
        raise SpecError(problems)
    return Document(values, places)


def put(values: dict, path: KeyPath, value: Any) -> list[KeyPath]:
    """Sets the value at `path`. Returns the paths on the way where there was no mapping, so that one was made."""
    made = []
    for depth, step in enumerate(path[:-1], start=1):
        if not isinstance(values.get(step), dict):
            values[step] = {}
            made.append(path[:depth])
        values = values[step]
    values[path[-1]] = value
    return made


def _setting(setting: str, place: Location) -> tuple[KeyPath, Any, Iterable[KeyPath]]:
    """Parse PATH=VALUE into the path, the value, and the paths within the value.

    The path below `search` is one key, dots included: --set search.network.latent_dim='{choice: [2, 4]}'.
    """
    path, equals, text = setting.partition("=")
    steps = read_path(path)
    if not equals or not steps or not all(isinstance(step, str) for step in steps) or ".".join(steps) != path:
        raise SpecError([Problem(place, (), "must be PATH=VALUE, such as run.epochs=2 (a list is set as a whole).")])
    if len(steps) > MOST_DEEP:
        raise SpecError([Problem(place, (), f"leads deeper than {MOST_DEEP} keys. Shorten the path.")])
    if steps[0] == "search" and len(steps) > 1:
        steps = ("search", ".".join(steps[1:]))
    value, below = _parse(text, lambda line: place)
    return steps, value, below


def _text(file: str | Path) -> str:
    place = Location(0, str(file))
    try:
        raw = _bounded(Path(file))
    except OSError as error:
        raise SpecError([Problem(place, (), f"cannot be read: {error.strerror}.")]) from error
    except ValueError as error:
        raise SpecError([Problem(place, (), str(error))]) from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        problem = Problem(Location(line, f"{file}:{line}"), (), "is not text in UTF-8. Save the file in that encoding.")
        raise SpecError([problem]) from error


def _bounded(file: Path) -> bytes:
    """The content of a file. Raises OSError, and ValueError for what is no file or too large."""
    if not stat.S_ISREG(file.stat().st_mode):  # to read a device may never end, and a pipe may block
        raise ValueError("is no file, but a folder, a pipe or a device. Name a file of YAML.")
    with file.open("rb") as opened:
        raw = opened.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise ValueError(f"{TOO_LARGE}. Write a range, or several files.")
    return raw


def _parse(text: str, locate: Locate) -> tuple[Any, dict[KeyPath, Location]]:
    """The plain values in `text`, and the place of each.

    Raises SpecError for the first syntax error, or for everything in the YAML that is not plain data.
    """
    root = _composed(text, locate)
    reader = _Reader(locate)
    values = reader.value(root, ()) if root else None
    if reader.problems:
        raise SpecError(reader.problems)
    return values, {(): locate(1)} | reader.places


def _composed(text: str, locate: Locate) -> Node | None:
    """The nodes of `text`; None if it is empty. Raises SpecError for the first syntax error."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _Composer
    try:
        return yaml.compose(text)
    except _Refused as error:
        raise SpecError([Problem(locate(error.line), (), error.why)]) from error
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = ", ".join(filter(None, [error.context, error.problem]))
        raise SpecError([Problem(locate(mark.line + 1), (), f"is not YAML: {what}.")]) from error
    except ReaderError as error:
        line = text[: error.position].count("\n") + 1
        text = f"is not YAML: the character {error.character:#x} is not allowed."
        raise SpecError([Problem(locate(line), (), text)]) from error
    except RecursionError as error:
        raise SpecError([Problem(locate(1), (), TOO_DEEP)]) from error
    except (AssertionError, LookupError) as error:  # of a version that ruamel does not know
        line = text.partition("%YAML")[0].count("\n") + 1
        raise SpecError([Problem(locate(line), (), OTHER_VERSION)]) from error


def _text_of(node: ScalarNode) -> str:
    """The text of a scalar, in which a character that JSON writes as two escapes is one.

    Raises UnicodeDecodeError for half of one.
    """
    return node.value.encode("utf-16", "surrogatepass").decode("utf-16")


class _Refused(Exception):
    """The nodes are not composed any further, as the text is wrong at `line`, counted from 1."""

    def __init__(self, line: int, why: str):
        super().__init__(line, why)
        self.line, self.why = line, why


class _Composer(Composer):
    """Counts the nodes while it makes them, so that a text with too many, or too deep ones, is refused early."""

    made = depth = 0

    def get_single_node(self) -> Any:
        try:
            return super().get_single_node()
        except (ValueError, OverflowError) as error:  # of `chr`
            raise _Refused(self.loader.reader.line + 1, NO_CHARACTER) from error

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.made += not isinstance(parent, MappingNode) or index is not None  # else it is a key
        if self.made > MOST_VALUES:
            raise _Refused(self.loader.parser.peek_event().start_mark.line + 1, TOO_MANY)
        self.depth += 1
        if self.depth > MOST_DEEP:
            raise RecursionError
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Reader:
    """Turns nodes into plain values and notes the place of each; collects a problem for each that is not plain data."""

    def __init__(self, locate: Locate):
        self.constructor = YAML(typ="safe", pure=True).constructor
        self.locate = locate
        self.places: dict[KeyPath, Location] = {}
        self.problems: list[Problem] = []
        self.size = 0  # of the text of all scalars

    def value(self, node: Node, path: KeyPath) -> Any:
        if len(self.places) > MOST_VALUES:
            raise SpecError([Problem(self._place(node), (), TOO_MANY)])
        if len(path) > MOST_DEEP:
            raise SpecError([Problem(self._place(node), (), TOO_DEEP)])
        if isinstance(node, MappingNode) and node.tag == TAG + "map":
            return self._mapping(node, path)
        if isinstance(node, SequenceNode) and node.tag == TAG + "seq":
            return [self._item(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, ScalarNode) and node.tag in SCALARS:
            return self._scalar(node, path)
        tag = node.tag.replace(TAG, "!!")
        return self._refuse(node, path, f"the tag {tag} is not read here, as only plain values are. Remove it.")

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Any]:
        mapping = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode) or key.tag != TAG + "str":
                self._refuse(key, path, "a key must be text (numbers in quotes; '<<' is not YAML 1.2).")
                continue
            name = self._scalar(key, path)
            if name is None:
                continue  # it has been refused
            if name in mapping:
                first = self.places[(*path, name)].text
                self._refuse(key, (*path, name), f"is written twice, first at {first}. Remove one.")
            else:
                self.places[(*path, name)] = self._place(key)
                mapping[name] = self.value(value, (*path, name))
        return mapping

    def _item(self, node: Node, path: KeyPath) -> Any:
        self.places[path] = self._place(node)
        return self.value(node, path)

    def _scalar(self, node: ScalarNode, path: KeyPath) -> Any:
        self.size += len(node.value)
        if self.size > MOST_BYTES:
            raise SpecError([Problem(self._place(node), (), f"{TOO_LARGE}, aliases with all their copies.")])
        try:
            value = SCALARS[node.tag](self.constructor, node)
            if isinstance(value, int) and value.bit_length() > MOST_BITS:
                raise ValueError
            return value
        except UnicodeDecodeError:
            half = next(letter for letter in node.value if "\ud800" <= letter <= "\udfff")
            return self._refuse(node, path, f"holds {half!r}, half of a character. Write the character itself.")
        except (ValueError, LookupError):
            kind = node.tag.removeprefix(TAG)
            return self._refuse(node, path, f"{show_value(node.value)} cannot be read as {kind}.")

    def _place(self, node: Node) -> Location:
        return self.locate(node.start_mark.line + 1)

    def _refuse(self, node: Node, path: KeyPath, text: str) -> None:
        self.problems.append(Problem(self._place(node), path, text))
