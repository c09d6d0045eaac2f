"""The verb `ui`: MLflow's page on all sweeps, or on the leaderboard of one."""

from pathlib import Path

import click

from orchestrator.tracking import ui
from orchestrator.tracking.identity import recorded_store
from orchestrator.tracking.store_address import is_server, page_of, store_for_new


def show(name: str | None, out: Path, uri: str | None, port: int) -> int:
    """Print the page's address; if the store is no server, serve it until Ctrl-C. Returns the server's exit code."""
    uri = uri or (recorded_store(out / name) if name else None) or store_for_new(out)
    base = page_of(uri) if is_server(uri) else f"http://{ui.HOST}:{port}"
    page = ui.page(out / name, uri, base) if name else base
    if is_server(uri):
        click.echo(page)
        return 0
    click.echo(f"{page}  (Ctrl-C ends the server)")
    return ui.serve(uri, port)
