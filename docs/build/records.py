"""The records of a spec and of a cluster file as tables of their fields, from their JSON Schema."""

import json
from collections.abc import Callable
from typing import Any

from docs.build.markdown import anchor, code, heading, page, prose, table
from orchestrator.checks.read import schema
from orchestrator.clusters.read import cluster_schema
from orchestrator.clusters.table import CLUSTERS
from orchestrator.schedulers.table import SCHEDULERS
from orchestrator.spec.domains import Domain
from orchestrator.spec.records import SEARCHERS
from trainables.common.records import Record, name_of
from trainables.data import DATASETS
from trainables.distributions.likelihoods import LIKELIHOODS
from trainables.evaluations import EVALUATIONS
from trainables.mappings import MAPPINGS
from trainables.methods import METHODS
from trainables.methods.rae import REGULARISERS
from trainables.networks import NETWORKS

Schema = dict[str, Any]

TABLES: dict[str, tuple[type[Record], ...]] = {
    "methods.md": METHODS,
    "mappings.md": (*MAPPINGS, *REGULARISERS),
    "networks.md": NETWORKS,
    "likelihoods.md": LIKELIHOODS,
    "data-sets.md": DATASETS,
    "evaluations.md": EVALUATIONS,
}
"""Page -> the records that it describes."""

WHEN = "Each may have a key `when`, as in `{uniform: [0, 1], when: {method.name: intel_vae}}`: " + " ".join(
    (Domain.model_fields["when"].description or "").split()
)

LIMITS = {"minimum": "≥ {}", "exclusiveMinimum": "> {}", "maximum": "≤ {}", "exclusiveMaximum": "< {}"}
ORDER = ("Run", "Optimizer", "Plateau", "Objective", "Resources", "Confirm", "Budget", "Pictures", "Evaluate")


def fields(record: type[Record], without: tuple[str, ...] = ("name",)) -> str:
    """The table of a record's fields."""
    own = record.model_json_schema()
    return _fields(own, own.get("$defs", {}), without)


def spec_page() -> str:
    """The page of the spec: every record that has no page of its own, as `vaeorch schema` has it."""
    whole = schema()
    known = {record.__name__ for table_of in TABLES.values() for record in table_of}
    domains = [name for name in whole["$defs"] if name in _domains(whole)]
    chosen = {record.__name__ for record in (*SEARCHERS, *SCHEDULERS)}
    rest = [name for name in whole["$defs"] if name not in known | set(domains) | set(ORDER) | chosen]
    rest = [name for name in rest if not name.startswith("trainables__") and name != "Option"]
    described = [(_key(whole["$defs"][name]), prose(whole["$defs"][name]["description"])) for name in domains]
    parts = ["The keys of a spec, as `vaeorch schema` prints them for editors. A key with no default must be given."]
    parts += ["## The spec", prose(whole["description"]), _fields(whole, whole["$defs"], ())]
    for title, names in {
        "Parts of a spec": [name for name in ORDER if name in whole["$defs"]],
        "Searchers and schedulers": [record.__name__ for record in (*SEARCHERS, *SCHEDULERS)],
        "Printed tables": rest,
    }.items():
        parts.append(f"## {title}")
        parts += [_definition(name, whole["$defs"]) for name in names]
    parts += ["## Domains of a search", WHEN, table(("domain", "values"), described)]
    return page("The spec", *parts)


def cluster_page() -> str:
    """The page of the cluster file, as `vaeorch schema --cluster` has it."""
    whole = cluster_schema()["$defs"]
    kinds = [record.__name__ for record in CLUSTERS]
    parts = ["The keys of a cluster file, by its `kind`. `clusters/` has an example of each kind."]
    for record in CLUSTERS:
        own = whole[record.__name__]
        title = heading(f"kind: {name_of(record)}")
        parts += [title, prose(own.get("description")), _fields(own, whole, (record.chosen_by,))]
    parts += ["## Parts", *(_definition(name, whole) for name in whole if name not in kinds)]
    return page("The cluster file", *parts)


def _domains(whole: Schema) -> set[str]:
    return {
        option["$ref"].rpartition("/")[2] for option in whole["properties"]["search"]["additionalProperties"]["oneOf"]
    }


def _key(domain: Schema) -> str:
    """How a domain is written."""
    name = next(name for name in domain["properties"] if name != "when")
    return code(f"{{{name}: [...]}}")


def _definition(name: str, known: Schema) -> str:
    own = known[name]
    chosen = ("name",) if _title(name, known) != name else ()
    parts = (heading(_title(name, known), 3), prose(own.get("description")), _fields(own, known, chosen))
    return "\n\n".join(filter(None, parts))


def _fields(own: Schema, known: Schema, without: tuple[str, ...]) -> str:
    shown = ((name, field) for name, field in own.get("properties", {}).items() if name not in without)
    return table(("field", "values", "default", "meaning"), [_row(name, field, own, known) for name, field in shown])


def _row(name: str, field: Schema, own: Schema, known: Schema) -> tuple[str, ...]:
    required = name in own.get("required", ())
    default = "" if required or "default" not in field else _default(field["default"])
    meaning = field.get("description") or _summary(field, known)
    return code(name), _type(field, known), default, prose(meaning)


def _default(value: Any) -> str:
    """A default; of a record the word that chooses it, or that its fields have their own."""
    if isinstance(value, dict) and value:
        return code(value["name"]) if "name" in value else "its own"
    return code(_value(value))


def _value(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def _type(field: Schema, known: Schema) -> str:
    """What a field takes, in words."""
    return next(say(field, known) for key, say in KINDS.items() if key in field)


def _title(name: str, known: Schema) -> str:
    """The word that chooses a definition, or its name."""
    return known.get(name, {}).get("properties", {}).get("name", {}).get("const", name)


def _either(field: Schema, known: Schema) -> str:
    options = field.get("anyOf") or field.get("oneOf") or []
    if pages := set(filter(None, map(_page_of, _references(field)))):
        return " or ".join(f"[{page.removesuffix('.md')}]({page})" for page in sorted(pages))
    return " or ".join(dict.fromkeys(_type(option, known) for option in options))


def _references(field: Any) -> list[str]:
    """The names of all definitions that a field refers to."""
    below = field.values() if isinstance(field, dict) else field if isinstance(field, list) else ()
    own = [field["$ref"].rpartition("/")[2]] if isinstance(field, dict) and "$ref" in field else []
    return own + [name for value in below for name in _references(value)]


def _reference(field: Schema, known: Schema) -> str:
    name = field["$ref"].rpartition("/")[2]
    if elsewhere := _page_of(name):
        return f"[{name}]({elsewhere})"
    title = _title(name, known)
    return code(title) if name == "Option" else f"[{code(title)}](#{anchor(title)})"


def _page_of(name: str) -> str | None:
    """The page of the record that a definition is of. Of two records of one name the definition has its module, too."""
    for page_name, records in TABLES.items():
        if any(name in (one.__name__, f"{one.__module__}.{one.__name__}".replace(".", "__")) for one in records):
            return page_name
    return None


def _plain(field: Schema, known: Schema) -> str:
    limits = [text.format(f"{field[key]:,}") for key, text in LIMITS.items() if key in field]
    kind = field["type"]
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind == "array":
        items = field.get("items") or {}
        return f"list of {_type(items, known)}" if items else "list"
    return {"object": "mapping", "string": "text", "boolean": "true or false", "null": "null"}.get(
        kind, " ".join((kind, ", ".join(limits))).strip()
    )


def _summary(field: Schema, known: Schema) -> str:
    """The first line of what the only record says that a field can hold."""
    names = _references(field)
    return known.get(names[0], {}).get("description", "").partition("\n")[0] if len(names) == 1 else ""


KINDS: dict[str, Callable[[Schema, Schema], str]] = {
    "$ref": _reference,
    "enum": lambda field, known: ", ".join(code(_value(value)) for value in field["enum"]),
    "const": lambda field, known: code(_value(field["const"])),
    "anyOf": _either,
    "oneOf": _either,
    "type": _plain,
    "description": lambda field, known: "any value",
    "title": lambda field, known: "any value",
}
"""Key of a field's schema -> what says in words which values it takes. The first that is there counts."""
