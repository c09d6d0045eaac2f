"""Verbs that manage sweeps and runs: one thin function for each, and `commands/` does the work.

Each function itself imports what is slow to import, so that `--help` is fast.
"""

import click

from orchestrator.cli.options import out_option


@click.command(name="list")
@out_option
@click.option("--json", "as_json", is_flag=True, help="Print all facts as JSON.")
def list_(out, as_json) -> None:
    """List sweeps and runs, the newest first."""
    from orchestrator.commands.listing import print_list

    print_list(out, as_json)


VERBS = (list_,)
