"""What a pass takes, and that the metrics made of derivatives stay within their bound."""

import subprocess
import sys

import pytest
import torch

from trainables.footprint import bytes_of
from trainables.metrics import rate
from trainables.relevance import JACOBIAN_BYTES

WIDE = """
import resource, sys
import torch
from torch import nn
from types import SimpleNamespace
from trainables import relevance
from trainables.metrics import rate
from trainables.distributions.posteriors import Point

wide = nn.Sequential(nn.Conv2d(4, 512, 1), nn.ReLU(), nn.Conv2d(512, 4, 1))  # 4 MiB of activations a row
vae = SimpleNamespace(
    shape=(4, 32, 32),
    decode=lambda z, precision=None: SimpleNamespace(mean_BX=wide(z[:, :4, None, None].expand(-1, 4, 32, 32))),
    encode=lambda x: Point(wide(x).mean((2, 3))[:, :2]),
)

def kilobytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

x = torch.ones(120, 4, 32, 32)
with torch.no_grad():
    vae.encode(x)
before = kilobytes()
if sys.argv[1] == "relevance":
    relevance.sensitivity(vae, torch.ones(20, 8))
else:
    rate.linearised(vae, x)
print(kilobytes() - before)
"""


@pytest.mark.parametrize(("what", "allowed"), [("relevance", JACOBIAN_BYTES), ("rate", rate.JACOBIAN_BYTES)])
def test_derivatives_of_a_wide_network_take_no_more_memory_than_allowed(what, allowed):
    """Beyond what the codes of 120 rows took, which every metric needs."""
    done = subprocess.run([sys.executable, "-c", WIDE, what], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) << 10 < allowed


def test_every_tensor_that_is_made_counts_and_views_do_not():
    a = torch.ones(10, 10)

    def work():
        made = (a @ a).relu().double()
        made.view(100).add_(1.0)

    assert bytes_of(work) == 100 * (4 + 4 + 8)
    assert bytes_of(lambda: (a.T, a[:5], a)) == 0
