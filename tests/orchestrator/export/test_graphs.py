"""Graphs of encoder and decoder, for every kind of model, compute what the model does, for any number of rows."""

import copy

import numpy as np
import onnxruntime
import pytest
import torch

from orchestrator.errors import UserError
from orchestrator.export import graphs
from tests.support.small_runs import METHODS, a_run
from trainables.inference.building import blank
from trainables.inference.model import Model, Origin
from trainables.networks import NETWORKS
from trainables.run import Run


def kinds(module: torch.nn.Module) -> tuple[str, ...]:
    """The kinds of layers in a module."""
    return tuple(sorted({type(layer).__name__ for layer in module.modules()}))


def model_of(run: Run, shape: tuple[int, ...], name: str) -> Model:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Model(blank(run, (shape, (0.0, 1.0))), run, lambda: None, Origin(name, 0))


def by_kind() -> list[str]:
    """A method for each kind of graph: those of equal posteriors and layers are one."""
    known = {}
    for name in METHODS:
        method = a_run(name).method
        head = method.posterior()
        head = head.__name__ if isinstance(head, type) else type(head).__name__
        spectral = getattr(getattr(method, "regulariser", None), "name", "") == "sn"
        with torch.device("meta"):
            known.setdefault((head, spectral, kinds(method.map(6))), name)
    return list(known.values())


USUAL = ("vae", "intel_vae sectors", "intel_vae sparse", "rae sn", "geco_l0_arm_vae", "sylvester_vae")
"""Of the kinds, those whose operations differ most: the others are for `make thorough-tests`."""


@pytest.mark.parametrize(
    "name", [name if name in USUAL else pytest.param(name, marks=pytest.mark.thorough) for name in by_kind()]
)
def test_both_graphs_of_every_kind_of_model_compute_what_it_does(name, tmp_path):
    model = model_of(a_run(name), (1, 8, 8), name)
    graphs.write_torch(model, tmp_path), graphs.write_onnx(model, tmp_path)
    x, z = (part.numpy() for part in graphs.examples(model, 5))
    encoder, decoder = (onnxruntime.InferenceSession(tmp_path / f"{part}.onnx") for part in ("encoder", "decoder"))
    outputs = [output.name for output in encoder.get_outputs()]
    found = dict(zip(outputs, encoder.run(None, {"x": x}), strict=True))
    code = model.encode(x)
    assert np.allclose(found["mean"], code.mean, atol=1e-4)
    assert np.allclose(found["representation"], model.represent(x), atol=1e-4)
    assert outputs == [name for name in graphs.Encoder.outputs if name != "variance" or code.variance is not None]
    assert code.variance is None or np.allclose(found["variance"], code.variance, atol=1e-4)
    assert np.allclose(decoder.run(None, {"z": z})[0], model.decode(z), atol=1e-4)
    program = torch.export.load(tmp_path / "decoder.pt2").module()
    assert np.allclose(program(torch.from_numpy(z))[0].numpy(), model.decode(z), atol=1e-4)


def networks() -> list[str]:
    """A network for each set of kinds of layers, the first of the table."""
    known = {}
    for network in NETWORKS:
        built = network(latent_dim=2)
        shape = getattr(network, "made_for", (1, 8, 8))
        with torch.device("meta"):
            known.setdefault((kinds(built.encoder(shape, 4)), kinds(built.decoder(shape, 2, 1))), built.name)
    return list(known.values())


@pytest.mark.parametrize("network", networks())
def test_the_layers_of_every_network_can_be_exported(network, tmp_path, monkeypatch):
    values = {"method": {"name": "vae"}, "network": {"name": network, "latent_dim": 2}, "epochs": 1}
    run = Run.model_validate(values | {"data": {"name": "digits"}})
    monkeypatch.setattr(graphs, "ROWS", (2, 1))
    made_for = getattr(type(run.network), "made_for", (1, 8, 8))
    assert graphs.write_onnx(model_of(run, made_for, network), tmp_path)


def nudged(part: torch.nn.Module) -> torch.nn.Module:
    """The same part with other weights."""
    other = copy.deepcopy(part)
    with torch.no_grad():
        for value in other.parameters():
            value.add_(0.01)
    return other


@pytest.fixture
def vae() -> Model:
    return model_of(a_run("vae"), (1, 8, 8), "vae")


def test_a_graph_that_computes_something_else_is_refused(vae, tmp_path, monkeypatch):
    trace = graphs.traced
    monkeypatch.setattr(graphs, "traced", lambda part, example: trace(nudged(part), example))
    with pytest.raises(UserError, match="encoder.pt2: computes something else than the model"):
        graphs.write_torch(vae, tmp_path)


def test_what_an_exporter_cannot_do_is_told_in_one_line_with_its_reason(vae, tmp_path, monkeypatch):
    class Sorted(torch.nn.Module):
        def forward(self, z):
            return z[z.sum(1).abs().argsort().tolist()]  # values decide the graph

    vae.module.vae.mapping = Sorted()
    with pytest.raises(UserError, match="vae: the encoder of vae cannot be written as onnx: ") as told:
        graphs.write_onnx(vae, tmp_path)
    assert len(told.value.lines) == 1 and "\n" not in told.value.lines[0]


def test_without_the_packages_for_onnx_the_cure_is_told(vae, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"pip install 'vaeorch\[onnx\]'"):
        graphs.write_onnx(vae, tmp_path)
