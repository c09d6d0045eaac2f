"""The pages of methods, mappings, networks and likelihoods."""

import inspect
import math
import re
import textwrap
from collections.abc import Iterator

import torch
from torch import nn

from docs.build.markdown import code, fenced, heading, page, prose, table
from docs.build.records import fields
from trainables.common.records import Record, name_of, summary
from trainables.distributions.likelihoods import LIKELIHOODS
from trainables.mappings import MAPPINGS
from trainables.methods import METHODS
from trainables.methods.base import Method
from trainables.methods.rae import REGULARISERS
from trainables.networks import NETWORKS, Network

LOSS = "Loss: "
LOSS_WIDTH = 84
OF_CODE = re.compile(
    r"(\w's|[Oo]fficial|authors'|released|\b[Ii]ts|\b[Tt]hat|\bThe|\bthe) code\b(?! [yz]\b)"
    r"|\bcode's\b|\bscript\b|\bnotebooks\b|\bnot followed\b|\bport of\b"
)
"""What a sentence has that tells of a paper's code."""
LATENT = 16
GREY = (1, 28, 28)


def methods_page() -> str:
    """Every method: its loss, fields, units, sources, and where paper and code differ."""
    parts = [
        "`method: {name: ...}` in a spec. `nll` is the likelihood's negative log likelihood of a row, in nats, summed "
        "over data values; KL terms are in nats per row. A KL's weight rises from 0 where the run has a KL warm-up. "
        "[Your own method](../guides/your-own-method.md) says how one is added.",
        table(
            ("method", "what it is"),
            [(f"[{code(name_of(one))}](#{name_of(one)})", prose(summary(one))) for one in METHODS],
        ),
    ]
    return page("Methods", *parts, *(_method(one) for one in METHODS))


def loss(method: type[Method]) -> str:
    """The formula that a method's docstring gives. Raises ValueError where it has none."""
    text = inspect.cleandoc(method.__doc__ or "")
    found = re.search(rf"^{LOSS}(.*?)(\n\n|\Z)", text, re.MULTILINE | re.DOTALL)
    if not found:
        raise ValueError(f"{method.__name__}: its docstring has no line '{LOSS}...'.")
    return " ".join(found[1].split())


def mappings_page() -> str:
    """The mappings of intel_vae and the regularisers of rae."""
    mappings = [_entry(one, 3) for one in MAPPINGS]
    regularisers = [_entry(one, 3) for one in REGULARISERS]
    return page(
        "Mappings and regularisers",
        "## Mappings of intel_vae",
        "`method: {name: intel_vae, mapping: {name: ...}}`: z = g(y), between the Gaussian code y and the decoder.",
        *mappings,
        "## Regularisers of rae",
        "`method: {name: rae, regulariser: {name: ...}}`.",
        *regularisers,
    )


def networks_page() -> str:
    """Every network: its layers and numbers of parameters, for the images that it was made for."""
    parts = [
        f"`network: {{name: ..., latent_dim: ...}}`. Layers and parameters are those for latent_dim {LATENT}, a "
        "Gaussian posterior (mean and log variance) and the images that the paper has; they differ for "
        "other images and latent sizes."
    ]
    return page("Networks", *parts, *(_network(one) for one in NETWORKS))


def likelihoods_page() -> str:
    """Every likelihood."""
    intro = "`likelihood: {name: ...}`: what the decoder's output means. The default is `squared_error`."
    return page("Likelihoods", intro, *(_entry(one, 2) for one in LIKELIHOODS))


def differences(record: type[Record]) -> list[str]:
    """The sentences of a record's docstrings that tell of a paper's code, each with the field it is of."""
    told = [("", _without_loss(record))]
    told += [(f"{code(name)}: ", field.description or "") for name, field in record.model_fields.items()]
    sentences = [
        (name, one) for name, text in told for one in re.split(r"(?<=\.)\s+(?=[A-Z`])", " ".join(text.split()))
    ]
    return [name + prose(one) for name, one in sentences if OF_CODE.search(one)]


def _without_loss(record: type[Record]) -> str:
    body = inspect.cleandoc(record.__doc__ or "")
    return re.sub(rf"^{LOSS}.*?(\n\n|\Z)", "", body, flags=re.MULTILINE | re.DOTALL)


def _method(record: type[Method]) -> str:
    differ = "\n".join(f"- {one}" for one in differences(record))
    terms = ", ".join(code(term) for term in record.term_names)
    parts = [
        heading(name_of(record)),
        prose(_without_loss(record)),
        fenced(textwrap.fill(f"loss = {loss(record)}".replace("`", ""), LOSS_WIDTH)),
    ]
    parts += [fields(record), f"*Terms in each report*: {terms}."]
    if record.own_metrics:
        parts.append("*Metrics of its own*: " + ", ".join(code(f"val/{one}") for one in record.own_metrics) + ".")
    if not record.distinct_axes:
        parts.append("*Axes*: the flow mixes them, so none is counted and nothing can be pruned.")
    if differ:
        parts.append(f"*Papers and their code*:\n\n{differ}")
    parts.append(f"*Source*: {prose(record.source)}.")
    return "\n\n".join(filter(None, parts))


def _entry(record: type[Record], level: int) -> str:
    parts = (heading(name_of(record), level), prose(record.__doc__), fields(record))
    return "\n\n".join(filter(None, (*parts, f"*Source*: {prose(record.source)}.")))


def _network(record: type[Network]) -> str:
    network, shape = record(latent_dim=LATENT), getattr(record, "made_for", GREY)
    with torch.device("meta"):
        halves = {
            "encoder": (network.encoder(shape, 2 * LATENT), shape),
            "decoder": (network.decoder(shape, LATENT, 1), (LATENT,)),
        }
        rows = [(half, *row) for half, (module, into) in halves.items() for row in _layers(module, into)]
    counts = ", ".join(
        f"{half} {sum(one.numel() for one in module.parameters()):,}" for half, (module, _) in halves.items()
    )
    made = " x ".join(map(str, shape))
    return "\n\n".join(
        filter(
            None,
            (
                _entry(record, 2),
                f"*For {made} (channels x height x width)*: parameters of the {counts}."
                + (" It has batch norm." if record.normalised else ""),
                f'??? note "Layers"\n\n{_indented(table(("half", "layer", "output", "parameters"), rows))}',
            ),
        )
    )


def _layers(module: nn.Module, shape: tuple[int, ...]) -> list[tuple[str, str, str]]:
    """Each layer without children, in the order of a forward pass: what it is, its output's shape, its parameters."""
    rows = []

    def note(layer: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        count = sum(one.numel() for one in layer.parameters())
        made = " x ".join(map(str, output.shape[1:]))
        rows.append((code(_name(layer)), made, f"{count:,}" if count else ""))

    for layer in _leaves(module):
        layer.register_forward_hook(note)
    module(torch.empty(2, *shape))
    return rows


def _name(layer: nn.Module) -> str:
    """The layer's class and its kernel, stride or slope."""
    kernel, stride = (getattr(layer, word, None) for word in ("kernel_size", "stride"))
    more = [f"{math.prod(kernel[:1])}x{kernel[-1]}"] if isinstance(kernel, tuple) else []
    more += [f"stride {stride[0]}"] if isinstance(stride, tuple) else []
    return " ".join((type(layer).__name__, *more))


def _leaves(module: nn.Module) -> Iterator[nn.Module]:
    return (layer for layer in module.modules() if not any(True for _ in layer.children()))


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
