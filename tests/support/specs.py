"""A small sweep and a small run for tests, as a user writes them."""

from pathlib import Path

import pytest

from orchestrator.checks.read import read_spec
from orchestrator.spec.diagnostics import SpecError
from orchestrator.spec.records import SweepSpec

TINY = """\
name: tiny
run:
  method: {name: ard_vae, beta: 0.5}
  network: {name: mlp, hidden: [8], latent_dim: 4}
  data: {name: digits, train_rows: 300, val_rows: 90}
  optimizer: {lr: 1e-3}
  epochs: 6
search:
  method:
    choice:
      - {name: ard_vae}
      - {name: intel_vae, mapping: {name: sectors, clusters: {choice: [2, 5]}}}
  method.beta: {loguniform: [0.05, 5]}
  network.latent_dim: {choice: [2, 4]}
trials: 4
"""

RUN = """\
name: tiny
run:
  method: {name: beta_vae, beta: 0.5}
  network: {name: mlp, hidden: [16], latent_dim: 2}
  data: {name: digits, train_rows: 200, val_rows: 50}
  epochs: 3
"""


def changed(old: str, new: str) -> str:
    """TINY with another text in one place."""
    assert TINY.count(old) == 1
    return TINY.replace(old, new)


def with_search(search: str) -> str:
    """TINY with another search and all that follows it."""
    return TINY.partition("search:")[0] + search


def spec_of(folder: Path, text: str = TINY, *settings: str) -> SweepSpec:
    """The spec in `text`, read from a file as any other."""
    file = folder / "spec.yaml"
    file.write_text(text)
    return read_spec(file, settings)


def refused(folder: Path, text: str | bytes, *settings: str) -> list[str]:
    """The lines of the error that a spec meets, files being named relative to their folder."""
    (folder / "spec.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SpecError) as error:
        read_spec(folder / "spec.yaml", settings)
    assert str(error.value) == "\n".join(error.value.lines)
    return [line.replace(f"{folder}/", "") for line in error.value.lines]
