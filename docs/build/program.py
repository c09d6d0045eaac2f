"""The pages of the command line, from click, and of the Python interface, from its docstrings."""

import inspect
import re
from collections.abc import Iterator

import click

import vaeorch
from docs.build.markdown import anchor, code, fenced, page, prose, table
from orchestrator.cli.main import cli


def commands_page() -> str:
    """Every command, its arguments and options."""
    parts = [
        "`vaeorch COMMAND --help` says the same. NAME is a sweep or run in `--out`; TARGET also a trial of a sweep, "
        "`SWEEP/0003`, or `SWEEP/0003@last` for its last epoch where a model is meant. "
        "[Exit codes](exit-codes.md) are the same for all."
    ]
    return page("Commands", *parts, *(_command(name, command) for name, command in commands()))


def commands(group: click.Group = cli, before: str = "vaeorch") -> Iterator[tuple[str, click.Command]]:
    """The whole name of each command that is shown in help, and the command."""
    for name, command in sorted(group.commands.items()):
        whole = f"{before} {name}"
        if isinstance(command, click.Group):
            yield from commands(command, whole)
        elif not command.hidden:
            yield whole, command


def python_page() -> str:
    """What `import vaeorch` offers."""
    names = [name for name in vaeorch.__all__ if inspect.isfunction(getattr(vaeorch, name))]
    classes = [name for name in vaeorch.__all__ if name not in names]
    parts = [fenced(inspect.getdoc(vaeorch) or "")]
    for name in (*names, *classes):
        parts += _documented(f"vaeorch.{name}", getattr(vaeorch, name))
        if name == "Model":
            parts += [
                piece for method in _public(vaeorch.Model) for piece in _documented(f"Model.{method[0]}", method[1])
            ]
    return page("Python", *parts)


def _command(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=name)
    usage = " ".join((name, *command.collect_usage_pieces(context)))
    options = [
        (", ".join(code(one) for one in option.opts), _takes(option, context), prose(_help(option)))
        for option in command.params
        if isinstance(option, click.Option) and not option.hidden
    ]
    parts = (f"## {code(name)} {{#{anchor(name)}}}", fenced(usage), prose(command.help))
    return "\n\n".join(filter(None, (*parts, table(("option", "value", "meaning"), options))))


def _takes(option: click.Option, context: click.Context) -> str:
    return "" if option.is_flag else code(option.make_metavar(context))


def _help(option: click.Option) -> str:
    default = option.default if option.show_default else None
    return f"{option.help or ''}{f'  [default: {default}]' if default is not None else ''}"


def _public(kind: type) -> list[tuple[str, object]]:
    """The methods and properties that a class itself defines and documents."""
    return [(name, one) for name, one in vars(kind).items() if not name.startswith("_") and inspect.getdoc(one)]


def _documented(name: str, one: object) -> list[str]:
    signature = f"{name}{_signature(one)}" if inspect.isfunction(one) else name
    return [f"## {code(name)} {{#{anchor(name)}}}", fenced(signature, "python"), fenced(inspect.getdoc(one) or "")]


def _signature(function: object) -> str:
    """A signature as its source has it: annotations without quotes, paths as text."""
    text = re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(inspect.signature(function)))
    return re.sub(r"PosixPath\(('[^']*')\)", r"\1", text)
