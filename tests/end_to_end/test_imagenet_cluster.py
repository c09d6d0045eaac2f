"""ImageNet at 32x32 as it is trained on a cluster: pushed into a bucket, fetched by each host, trials on four workers.

The published batches hold 1.3 million images; these are of the same format, and hold a few.
"""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from orchestrator.storage import layout
from tests.support import ROOT
from tests.support.image_sets import imagenet
from tests.support.lab import Lab, unavailable
from tests.support.ssh_clusters import ENDED_S, Laptop, metrics_of, results_of
from tests.support.waiting import until
from tests.support.worker_groups import workers_of

pytestmark = [
    pytest.mark.slow_lab,
    pytest.mark.skipif(unavailable() is not None, reason=str(unavailable())),
]

ROUNDING = 2e-3  # relative: one process whose initial weights were moved by one unit in the last place differs by 7e-4
TRAIN, TEST, VAL = 96, 16, 32
PORT = 5000
DISK_MIB = 2500  # of weights and Adam's state, 260 MiB, the head holds two states of a trial and the one that comes
BUCKET = {"AWS_ENDPOINT_URL": f"http://10.77.0.1:{PORT}", "AWS_DEFAULT_REGION": "us-east-1"}
KEYS = "[default]\naws_access_key_id = of-the-lab\naws_secret_access_key = of-the-lab-too\n"
CLUSTER = f"""\
kind: ssh
head: gpu1
workers: [gpu2]
python: {sys.executable}
cpus: 2
gpus: 0
checkpoint_minutes: 0.01
credentials: keys
"""
SMALL = (
    *("--set", "search={network.latent_dim: {grid: [16, 24]}}", "--set", "seeds=1", "--set", "run.epochs=3"),
    *("--set", "run.batch_size=32", "--set", "run.method.dz_size=64", "--set", f"run.data.val_from_train={VAL}"),
    *("--set", "run.optimizer.eps=1.0"),  # Adam magnifies rounding by up to 1/eps, as of a bias before batch norm
)
SPEC = ROOT / "search_spaces" / "ardvae_imagenet32.yaml"
FEWER = f"""
import sys
from collections import Counter
from trainables.data.sets.imagenet32 import ImageNet32
ImageNet32.images = ({TRAIN + VAL}, {TEST})
from orchestrator.cli.main import main
sys.exit(main())
"""


@pytest.fixture(scope="module")
def laptop(tmp_path_factory):
    """A laptop with the published files, and a bucket that all machines reach."""
    with Lab(tmp_path_factory.mktemp("lab")) as lab:
        server = [sys.executable, "-m", "moto.server", "--host", "10.77.0.1", "--port", str(PORT)]
        with lab.popen(server, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as bucket:
            for name in ("gpu1", "gpu2"):
                lab.host(name, disk_mib=DISK_MIB, settings=BUCKET)
            laptop = Laptop(lab, tmp_path_factory.mktemp("laptop"))
            laptop.write("cluster.yaml", CLUSTER)
            laptop.write("keys", KEYS)
            publish(laptop.folder / "data" / "imagenet32")
            yield laptop
            bucket.kill()


def publish(folder: Path) -> None:
    """Write ten training batches and one of validation images, as they are published."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    sizes = [len(part) for part in np.array_split(np.arange(TRAIN + VAL), len(imagenet.FILES) - 1)]
    for name, rows in zip(imagenet.FILES, [*sizes, TEST], strict=True):
        shades = rng.integers(0, 256, (rows, 3, 8, 8)).repeat(4, axis=2).repeat(4, axis=3).astype(np.uint8)
        imagenet.batch(folder / name, None, shades.reshape(rows, -1), rng.integers(1, 1_001, rows))


@pytest.fixture(scope="module")
def pushed(laptop):
    """The set in the bucket. What a user types, but for the number of images."""
    make = "import boto3; boto3.client('s3').create_bucket(Bucket='sets')"
    settings = BUCKET | {"AWS_SHARED_CREDENTIALS_FILE": str(laptop.folder / "keys")}
    how = {"env": settings, "cwd": laptop.folder}
    until(lambda: laptop.lab.run([sys.executable, "-c", make], **how).returncode == 0, ENDED_S)
    val = ("--set", f"val_from_train={VAL}", "--data-root", "data")
    for words in (("data", "prepare", "imagenet32", *val), ("data", "push", "imagenet32", "s3://sets/vae", *val)):
        done = laptop.lab.run([sys.executable, "-c", FEWER, *words], cwd=laptop.folder, env=settings)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def alone(laptop, pushed):
    """The same sweep on the laptop alone, each trial in one process."""
    laptop.does("sweep", SPEC, *SMALL, "--data-root", laptop.folder / "data", "--out", "alone")
    return laptop.folder / "alone" / "ardvae_imagenet32"


@pytest.fixture(scope="module")
def swept(laptop, pushed):
    """The sweep on the cluster, each trial on two workers of each host, one of which is killed once."""
    workers = ("--set", "resources.workers=4", "--set", "resources.placement=SPREAD")
    where = ("--cluster", "cluster.yaml", "--data-root", "s3://sets/vae", "--out", "out")
    begun = laptop.start("sweep", SPEC, *SMALL, *workers, *where)
    until(lambda: laptop.events("ardvae_imagenet32", "epoch") or begun.process.poll() is not None, ENDED_S)
    assert begun.process.poll() is None, begun.said()
    laptop.lab.hosts["gpu2"].run("pkill --signal KILL --newest --full 'ray::.*TrainWorker'")
    assert begun.code() == 0, begun.said()
    return begun.said(), laptop.folder / "out" / "ardvae_imagenet32"


def test_a_worker_was_killed_and_its_trial_went_on(swept):
    retried = [json.loads(line) for line in (swept[1] / layout.JOURNAL).read_text().splitlines()]
    assert [event["event"] for event in retried].count("retried") == 1


def test_each_trial_trained_on_two_workers_of_each_host(swept):
    for trial in ("0001", "0002"):
        for group in workers_of(layout.trial_folder(swept[1], trial)):
            assert sorted(Counter(worker["host"] for worker in group).values()) == [2, 2]


def test_four_workers_on_two_hosts_give_the_numbers_of_one(swept, alone):
    known, found = metrics_of(alone), metrics_of(swept[1])
    assert sorted(found) == ["0001", "0002"] and all(len(lines) == 3 for lines in found.values())
    for trial, lines in found.items():
        for line, other in zip(lines, known[trial], strict=True):
            assert line == pytest.approx(other, rel=ROUNDING, abs=1e-6, nan_ok=True)


def test_the_same_trial_is_best(swept, alone):
    ranked = [results_of(folder)["trials"] for folder in (swept[1], alone)]
    best = [max(trials, key=lambda trial: trial["best"]["val/elbo"])["id"] for trials in ranked]
    assert best[0] == best[1]
