"""A model as computation graphs: torch.export (`.pt2`) and ONNX, with any number of rows, checked before they count."""

# Shapes: B rows, X data dimensions, D dimensions of the code y, L latent dimensions of z.

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from orchestrator.errors import UserError
from orchestrator.export.quiet import quiet
from trainables.common.errors import one_line
from trainables.inference.model import Model

ROWS = (2, 1, 7)  # numbers of rows that a graph is tried with; the first is that of the example
TOLERANCE = 1e-4  # of a graph's results, relative to values above 1: other kernels add in another order
OPSET = 20
LONGEST_REASON = 200  # characters

Check = Callable[[Path, Tensor], list[Tensor]]
"""Computes the outputs of the graph in a file."""


class Encoder(nn.Module):
    """x (B, *X) -> mean and variance of q(y|x), (B, D), and the representation z, (B, L)."""

    title, input, outputs = "encoder", "x", ("mean", "variance", "representation")

    def __init__(self, model: Model):
        super().__init__()
        self.vae = model.module.vae

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        q = self.vae.encode(x)
        found = (q.mean_BD, q.variance_BD, self.vae.mapping(q.mean_BD))
        return tuple(value for value in found if value is not None)


class Decoder(nn.Module):
    """z (B, L) -> the decoded mean, (B, *X), in the data's range."""

    title, input, outputs = "decoder", "z", ("decoded",)

    def __init__(self, model: Model):
        super().__init__()
        self.vae = model.module.vae

    def forward(self, z: Tensor) -> tuple[Tensor, ...]:
        return (self.vae.decode(z).mean_BX,)


Part = Encoder | Decoder
Save = Callable[[Part, Tensor, Path], None]
"""Writes the graph of a part, traced with an example, to a file."""


def examples(model: Model, rows: int) -> tuple[Tensor, Tensor]:
    """Rows of data, uniform in their range, and latents, from N(0, 1): the same at each call."""
    generator = torch.Generator().manual_seed(rows)
    low, high = model.range or (-1.0, 1.0)
    x_BX = low + (high - low) * torch.rand(rows, *model.shape, generator=generator)
    return x_BX, torch.randn(rows, model.latent_dim, generator=generator)


def write_torch(model: Model, to: Path) -> list[Path]:
    """Write encoder.pt2 and decoder.pt2. Raises UserError where a graph cannot be made or computes something else."""

    def save(part: Part, example: Tensor, file: Path) -> None:
        torch.export.save(traced(part, example), file)

    def compute(file: Path, value: Tensor) -> list[Tensor]:
        return list(torch.export.load(file).module()(value))

    return written(model, to, "pt2", save, compute)


def write_onnx(model: Model, to: Path) -> list[Path]:
    """Write encoder.onnx and decoder.onnx, checked by onnxruntime. Raises UserError, see `write_torch`."""
    try:
        import onnxruntime
        from onnxscript import opset20 as onnx
    except ImportError as error:
        raise UserError(f"--format onnx needs the package {error.name}: pip install 'vaeorch[onnx]'") from None

    lacking = {torch.ops.prims.hypot.default: lambda a, b: onnx.Sqrt(a * a + b * b)}  # of torch's own translations

    def save(part: Part, example: Tensor, file: Path) -> None:
        names = {"input_names": [part.input], "output_names": outputs_of(part, example)}
        graph = traced(part, example)
        torch.onnx.export(
            graph,
            (example,),
            file,
            opset_version=OPSET,
            external_data=False,
            verbose=False,
            custom_translation_table=lacking,
            **names,
        )

    def compute(file: Path, value: Tensor) -> list[Tensor]:
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        return [torch.from_numpy(found) for found in session.run(None, {session.get_inputs()[0].name: value.numpy()})]

    return written(model, to, "onnx", save, compute)


def written(
    model: Model, to: Path, suffix: str, save: Callable[[Part, Tensor, Path], None], compute: Check
) -> list[Path]:
    """Write both graphs, and compare what they compute with the model. Returns the files."""
    model, files = model.to("cpu"), []
    model.module.vae.precision = "fp32"
    for number, part in enumerate((Encoder(model).eval(), Decoder(model).eval())):
        file = to / f"{part.title}.{suffix}"
        try:
            with quiet("torch.onnx", "torch.export", "onnxscript", "onnx_ir"):
                save(part, examples(model, ROWS[0])[number], file)
                off = max(difference(part, compute, file, examples(model, rows)[number]) for rows in ROWS)
        except Exception as error:  # an exporter raises anything
            what = f"{model.origin.name}: the {part.title} of {model.run.method.name} cannot be written as {suffix}"
            raise UserError(f"{what}: {reason(error)}") from None
        if not off <= TOLERANCE:
            raise UserError(f"{file}: computes something else than the model (difference {off:.1e}): do not use it.")
        files.append(file)
    return files


@torch.no_grad()
def difference(part: Part, compute: Check, file: Path, value: Tensor) -> float:
    """The largest difference between a graph's outputs and the model's, relative to values above 1."""
    expected, found = part(value), compute(file, value)
    pairs = zip(found, expected, strict=True)
    return max(((mine - theirs).abs() / theirs.abs().clamp_min(1)).max().item() for mine, theirs in pairs)


def traced(part: Part, example: Tensor) -> torch.export.ExportedProgram:
    """The graph of a part, for any number of rows."""
    with torch.no_grad():
        return torch.export.export(part, (example,), dynamic_shapes=({0: torch.export.Dim("rows", min=1)},))


def reason(error: Exception) -> str:
    """What an exporter's error says in one line: of errors that led to others, the first."""
    while error.__cause__:
        error = error.__cause__
    return one_line(error)[:LONGEST_REASON]


@torch.no_grad()
def outputs_of(part: Part, example: Tensor) -> list[str]:
    """The names of a part's outputs; a flow's encoder gives no variance."""
    there = len(part(example))
    return list(part.outputs) if there == len(part.outputs) else [part.outputs[0], *part.outputs[1 - there :]]
