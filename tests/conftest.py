"""What more than one test file needs."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: small tensors, and processes that share the cores

BESIDE = Path(__file__).parents[1].parent / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The data root with the published MNIST and Fashion-MNIST files; skips where there is none."""
    root = Path(os.environ.get("VAEORCH_DATA") or BESIDE)
    absent = [name for name in ("MNIST", "FashionMNIST") if not any((root / name / "raw").glob("*-ubyte*"))]
    if absent:
        pytest.skip(f"no {' nor '.join(absent)} in {root}: name a folder that has them by VAEORCH_DATA")
    return root
