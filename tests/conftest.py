"""What more than one test file needs."""

import logging
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import BESIDE, ROOT

# Before torch: small tensors, and processes that share the cores, where threads that wait are to sleep and not to spin.
THREADS = int(os.environ.setdefault("OMP_NUM_THREADS", "1"))
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "VAEORCH_GPU_TESTS" not in os.environ:  # the numbers of all but test_gpu.py are those of the CPU
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in what a script starts with `&`; our children inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

END_TO_END = ROOT / "tests" / "end_to_end"
LONGEST = ("test_kill_chain.py",)
"""It takes minutes: of two processes none is to end with it."""
LAST = ("test_sweeps_over_nodes.py", "test_worker_groups.py")
"""They start a Ray of several nodes in the tests' own process. Where its client is left behind it ends the process."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts whole sweeps on real Ray last, as they take minutes; see LONGEST and LAST. The others keep their order."""
    ranks = dict.fromkeys(LONGEST, 1) | dict.fromkeys(LAST, 3)
    items.sort(key=lambda item: ranks.get(item.path.name, 2) if END_TO_END in item.path.parents else 0)


@pytest.fixture(autouse=True)
def same_store() -> Iterator[None]:
    """No test leaves the address of its MLflow store to those after it."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    yield
    left = os.environ.get("MLFLOW_TRACKING_URI")
    assert left == before, f"MLFLOW_TRACKING_URI is {left} after this test"


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    """No test leaves torch more threads to those after it: on shared cores a training then takes ten times as long."""
    yield
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(THREADS)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The data root with the published MNIST and Fashion-MNIST files; skips where there is none."""
    root = Path(os.environ.get("VAEORCH_DATA") or BESIDE)
    absent = [name for name in ("MNIST", "FashionMNIST") if not any((root / name / "raw").glob("*-ubyte*"))]
    if absent:
        pytest.skip(f"no {' nor '.join(absent)} in {root}: name a folder that has them by VAEORCH_DATA")
    return root


@pytest.fixture(scope="session")
def a_store(tmp_path_factory) -> Path:
    """The file of an MLflow store with its tables: making one takes seconds, copying it none."""
    from orchestrator.tracking.client import prepare_store

    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    prepare_store(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def shared_store(a_store, tmp_path_factory) -> Path:
    """A copy of that file which many trainings write to: the other stays empty."""
    return shutil.copy(a_store, tmp_path_factory.mktemp("shared") / "mlflow.db")


@pytest.fixture
def vaeorch(monkeypatch, capsys, request):
    """Runs the command line in this process: (exit code, stdout, stderr). `train` shares one store."""
    from orchestrator.cli import main as cli

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def run(*words):
        if words and words[0] == "train" and "--tracking-uri" not in words:
            words = (*words, "--tracking-uri", f"sqlite:///{request.getfixturevalue('shared_store')}")
        monkeypatch.setattr(sys, "argv", ["vaeorch", *map(str, words)])
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def spec(tmp_path) -> Path:
    """The file of a run, as a user writes it."""
    from tests.support.specs import RUN

    file = tmp_path / "tiny.yaml"
    file.write_text(RUN)
    return file


@pytest.fixture
def float64() -> Iterator[None]:
    """Tensors are made in double precision."""
    import torch

    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def fast_disk(monkeypatch) -> None:
    """Losses of power are not what is tested."""
    monkeypatch.setattr(os, "fsync", lambda file: None)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[int]:
    """A real S3 server on loopback: its port."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


@pytest.fixture
def bucket(s3_server, monkeypatch, tmp_path) -> Iterator:
    """An empty bucket that can be told to misbehave, to which all AWS_ settings lead; and an empty cache."""
    from tests.support.bucket_faults import Proxy, create_loader
    from trainables.data.remote import s3

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    with Proxy(s3_server) as bucket:
        for name, value in (bucket.environment() | {"VAEORCH_CACHE": str(tmp_path / "cache")}).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(s3, "PAUSE_S", 0.01)
        monkeypatch.setattr("botocore.session.create_loader", create_loader)
        bucket.direct.create_bucket(Bucket=bucket.name)
        yield bucket
