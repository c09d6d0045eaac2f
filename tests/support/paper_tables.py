"""The tables of the three papers: how each is printed, what rows and columns mean, and its numbers out of the text."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

Number = tuple[float, float | None]
"""Mean and standard deviation."""

Cell = dict[str, Any]
"""What a row or a column says of its cells: paths of a run, and `metric`. A tuple has a value for each row."""


@dataclass(frozen=True)
class Table:
    """How a table is printed: its header's words in their order, what its rows say by their labels, and its columns.

    A column is None where it holds no number of a training. Rows are a tuple where the text has lost their labels.
    """

    head: str
    rows: dict[str, Cell] | tuple[Cell, ...]
    columns: tuple[Cell | None, ...]
    label_cells: int = 1


def crossed(*factors: list[Cell]) -> tuple[Cell, ...]:
    """Columns under columns: {} | {} for each combination."""
    return tuple({key: value for part in parts for key, value in part.items()} for parts in product(*factors))


def of(path: str, *values: Any) -> list[Cell]:
    return [{path: value} for value in values]


def named(*names: str) -> list[Cell]:
    return of("method.name", *names)


def measured(*metrics: str) -> list[Cell]:
    return of("metric", *metrics)


def on(name: str, latent_dim: int | None = None) -> Cell:
    return {"data.name": name} | ({"network.latent_dim": latent_dim} if latent_dim else {})


SIZED = measured("active_own", "fid_ard")
GENERATED = measured("active_own", "fid_ard", "precision", "recall")
DISENTANGLED = measured("factor_vae", "mig", "active_own")
GATES = {"method.mapping.floor": 0.2}
DATA = {"method.name": "vae", "metric": ("uncertainty_data", "proportion_of_ones_data")}
INTEL = {
    "1": Table(
        "Method FID",
        dict(
            zip(
                ("VAE", "GM-VAE", "MoG-VAE", "Vamp-VAE", "VAEwithSylvesterNF", "IntelL-VAE"),
                [
                    *named("vae", "gm_vae", "mog_vae", "vamp_vae", "sylvester_vae"),
                    {"method.name": "intel_vae", "method.mapping.clusters": [5, 2]},
                ],
                strict=True,
            )
        ),
        tuple(measured("fid_intel")),
    ),
    "2": Table(
        "Method Data VAE GM-VAE MoG-VAE Vamp-VAE Flow IntelL-VAE",
        {"Uncertainty(%)": {"metric": "uncertainty"}, "'1'proportion(%)": {"metric": "proportion_of_ones"}},
        (DATA, *named("vae", "gm_vae", "mog_vae", "vamp_vae", "sylvester_vae", "intel_vae")),
    ),
    "3": Table(
        "True Learned",
        {
            share: {"data.zeros": zeros, "data.ones": ones}
            for share, zeros, ones in [("0.5", 1, 1), ("0.4", 2, 3), ("0.25", 1, 3), ("0.2", 1, 4), ("0", 0, 1)]
        },
        tuple(measured("proportion_of_zeros")),
    ),
    "4": Table(
        "Method FID Sparsity",
        {
            "VAE": {"method.name": "vae"},
            "Vamp-VAE": {"method.name": "vamp_vae"},
            "VAEwithSylvesterNF": {"method.name": "sylvester_vae"},
            "Sparse-VAE(alpha=0.01)": {"method.alpha": 0.01},
            "Sparse-VAE(alpha=0.2)": {"method.alpha": 0.2},
            "IntelL-VAE(gamma=30)": {"method.mapping.gamma": 30, **GATES},
            "IntelL-VAE(gamma=70)": {"method.mapping.gamma": 70, **GATES},
        },
        tuple(measured("fid_intel", "hoyer")),
    ),
    "B.1": Table(
        "Model Latent Data 50 100 500 1000 5000 10000",
        {
            label: {"method.name": "vae", "network.latent_dim": int(label.removeprefix("VAE"))}
            for label in ("VAE8", "16", "32", "64", "128")
        }
        | {"InteL-VAE64": {"method.name": "intel_vae", "method.mapping.groups": [16, 16, 32]}},
        tuple(measured(*(f"attributes_{size}" for size in (50, 100, 500, 1000, 5000, 10000)))),
        label_cells=2,
    ),
}
METHODS = {
    "VAE": {"method.name": "vae"},
    "beta-TCVAE": {"method.name": "tc_vae"},
    "RAE": {"method.name": "rae"},
    "WAE": {"method.name": "wae_mmd"},
    "GECO-L_0-ARM-VAE": {"method.name": "geco_l0_arm_vae"},
    "MaskAAE": {"method.name": "mask_aae"},
    "ARD-VAE": {"method.name": "ard_vae"},
}
RELEVANT = (("active_w_99", "active_own"), ("fid_ard_relevant", "fid_ard"))
SIXTEEN_TO_64, HUNDREDS = (16, 32, 64), (128, 256, 512)
ARD = {
    "1": Table(
        "METHOD DSprites Shapes FACTORVAE MIG ACTIVE FACTORVAE MIG ACTIVE",
        {
            "VAE(L=6)": {"method.name": "vae"},
            "beta-TCVAE(L=6)": {"method.name": "tc_vae", "network.latent_dim": 6},
            "DIP-VAE-I(L=6)": {"method.form": "I"},
            "DIP-VAE-II(L=6)": {"method.form": "II"},
            "RAE(L=6)": {"method.name": "rae"},
            "ARD-VAE(L=10)": {"method.name": "ard_vae", "network.latent_dim": 10},
        },
        crossed([on("dsprites"), on("shapes3d")], DISENTANGLED),
    ),
    "2": Table(
        "MNIST CIFAR10 ACTIVE FID PRECISION RECALL ACTIVE FID PRECISION RECALL",
        METHODS,
        crossed([on("mnist32", 16), on("cifar10", 128)], GENERATED),
    ),
    "3": Table(
        "2L 4L ACTIVE FID ACTIVE FID",
        {"MNIST(L=16)": on("mnist32"), "CIFAR10(L=128)": on("cifar10")},
        crossed(named("ard_vae"), of("network.latent_dim", (32, 256), (64, 512)), SIZED),
    ),
    "4": Table(
        "MaskAAE ARD-VAE ACTIVE FID ACTIVE FID",
        {"MNIST(L=16)": on("mnist", 16), "MNIST(L=32)": on("mnist", 32), "CIFAR(L=256)": on("cifar10", 256)},
        crossed(named("mask_aae", "ard_vae"), SIZED),
    ),
    "5": Table(
        "GECO ARD-VAE ACTIVE FID ACTIVE FID",
        {"MNIST(L=16)": on("mnist32", 16), "MNIST(L=32)": on("mnist32", 32)},
        crossed(named("geco_l0_arm_vae", "ard_vae"), SIZED),
    ),
    "S1": Table(
        "2K 5K 10K 20K ACTIVE FID ACTIVE FID ACTIVE FID ACTIVE FID",
        {"MNIST(L=32)": on("mnist32", 32), "CIFAR10(L=256)": on("cifar10", 256)},
        crossed(of("method.dz_size", 2_000, 5_000, 10_000, 20_000), SIZED),
    ),
    "S2": Table(
        "ACTIVE FID PRECISION RECALL MSE",
        {"10K": {"method.dz_size": 10_000}, "20K": {"method.dz_size": 20_000}},
        crossed([on("imagenet32")], [*GENERATED, {"metric": "mse_data_units"}]),
    ),
    "S3": Table(
        "Dataset L (secs) 2L 4L",
        {"MNIST(L=16)": on("mnist32"), "CIFAR10(L=128)": on("cifar10")},
        crossed(named("ard_vae"), of("network.latent_dim", (16, 128), (32, 256), (64, 512)), measured("dz_seconds")),
    ),
    "S7": Table(
        "DSprites Shapes INITIAL ACTIVE GT INITIAL ACTIVE GT",
        {str(size): {"network.latent_dim": size, "method.name": "ard_vae"} for size in (10, 15, 20, 30)},
        (on("dsprites") | {"metric": "active_own"}, None, None, on("shapes3d") | {"metric": "active_own"}, None),
    ),
    "S8": Table(
        "METHOD DSprites Shapes FACTORVAE MIG ACTIVE FACTORVAE MIG ACTIVE",
        {"beta-TCVAE(L=10)": {"method.name": "tc_vae"}, "ARD-VAE(L=10)": {"method.name": "ard_vae"}},
        crossed(
            of("network.latent_dim", 10),
            [on("dsprites"), on("shapes3d")],
            DISENTANGLED,
        ),
    ),
    "S9": Table(
        "CelebA ImageNet ACTIVE FID PRECISION RECALL ACTIVE FID PRECISION RECALL",
        METHODS,
        crossed([on("celeba", 64), on("imagenet32", 256)], GENERATED),
    ),
    "S10": Table(
        "Method MNIST CelebA CIFAR10 ImageNet",
        METHODS,
        crossed(
            [on("mnist32", 16), on("celeba", 64), on("cifar10", 128), on("imagenet32", 256)], measured("mse_data_units")
        ),
    ),
    "S11": Table(
        "METHOD MNIST CIFAR10 ImageNet ACTIVE ARD-VAE-ALL ARD-VAE ACTIVE ARD-VAE-ALL ARD-VAE",
        {"L": {"method.name": "ard_vae"}, "2L": {"method.name": "ard_vae"}, "4L": {"method.name": "ard_vae"}},
        crossed(
            [on("mnist32", SIXTEEN_TO_64), on("cifar10", HUNDREDS), on("imagenet32", (256, 512, 1_024))],
            measured("active_own", "fid_ard_all", "fid_ard"),
        ),
    ),
    "S12": Table(
        "METHOD MNIST CelebA CIFAR10 ImageNet ACTIVE FID ACTIVE FID ACTIVE FID ACTIVE FID",
        {"Bestmethodamongthebaselinemethods": {}, "ARD-VAE": {}},
        crossed(
            [
                on("mnist32", 16) | {"method.name": ("rae", "ard_vae")},
                on("celeba", 64) | {"method.name": ("rae", "ard_vae")},
                on("cifar10", 128) | {"method.name": ("rae", "ard_vae")},
                on("imagenet32", 256) | {"method.name": ("geco_l0_arm_vae", "ard_vae")},
            ],
            SIZED,
        ),
    ),
    "S13": Table(
        "MNIST CelebA CIFAR10 ACTIVE FID ACTIVE FID ACTIVE FID",
        METHODS,
        crossed(
            [on("mnist32", 16), on("celeba", 64), on("cifar10", 128)],
            # the last three methods choose their axes themselves
            [{"metric": 4 * (mine,) + 3 * (own,)} for mine, own in RELEVANT],
        ),
    ),
    "S14": Table(
        "Method L 2L 4L",
        {"RAE(L=128)": {"method.name": "rae"}, "ARD-VAE(L=128)": {"method.name": "ard_vae"}},
        crossed(
            [on("cifar10", size) for size in HUNDREDS],
            measured("fid_ard_all"),
        ),
    ),
    "S15": Table(
        "CIFAR10 ImageNet INITIAL ACTIVE PRUNED FID INITIAL ACTIVE PRUNED FID",
        {"L/2": {"method.name": "ard_vae"}, "L": {"method.name": "ard_vae"}},
        tuple(
            column
            for where in (on("cifar10", (64, 128)), on("imagenet32", (128, 256)))
            for column in (None, where | {"metric": "active_own"}, None, where | {"metric": "fid_ard"})
        ),
    ),
}


def five(beta_h: float, beta_a: float) -> dict[str, Cell]:
    """The rows of a table of VIMAE."""
    return {
        "VAE": {"method.name": "vae"},
        "beta_H-VAE": {"method.name": "beta_vae", "method.beta": beta_h},
        "beta_A-VAE": {"method.name": "beta_vae", "method.beta": beta_a},
        "VIMAE-n": {"method.prior_form": "normal"},
        "VIMAE-l": {"method.prior_form": "logistic"},
    }


def accuracies(*images: str, **where: Any) -> tuple[Cell, ...]:
    return crossed([where], measured(*(f"svm_{kind}" for kind in images)))


GREY = ("clean", "gaussian_0.2", "gaussian_0.4", "mask_0.2", "mask_0.5")
VIMAE = {
    "1": Table("Method NLL", five(10, 0.2), tuple(measured("parzen_nll"))),
    "2": Table(
        "nu=0 N(0,0.3 B(0.2)",
        five(100, 0.4),
        accuracies("clean", "gaussian_0.3", "mask_0.2", **on("cifar10")),
    ),
    "3": Table("nu=0 N(0,sigma B(p) 0.2 0.4 0.2 0.5", five(10, 0.2), accuracies(*GREY)),
    "4": Table("nu=0 N(0,sigma B(p) 0.2 0.4 0.2 0.5", tuple(five(10, 0.2).values()), accuracies(*GREY), label_cells=0),
    "5": Table("FID CelebA CIFAR10", five(100, 0.4), crossed([on("celeba"), on("cifar10")], measured("fid"))),
}
PAPERS = {"intel": INTEL, "ard": ARD, "vimae": VIMAE}


def read_table(text: str, paper: str, name: str) -> list[tuple[Cell, Number]]:
    """The cells of a table that hold a number of a training."""
    table = PAPERS[paper][name]
    lines = [[clean(cell) for cell in line.split("\t")] for line in block(text, paper, name)]
    body = list(data_lines(lines, table))
    head = " ".join(" ".join(line) for line in lines if line not in [line for line, _ in body])
    assert re.search(".*".join(map(re.escape, table.head.split())), head, re.DOTALL), head
    assert len(body) == len(table.rows)
    return [
        (spread(row | column, index), value)
        for index, (line, row) in enumerate(body)
        for column, value in zip(table.columns, numbers(line[table.label_cells :]), strict=True)
        if column is not None and value is not None
    ]


def block(text: str, paper: str, name: str) -> list[str]:
    """The lines with tabs that lie next to the caption: below it in VIMAE, above it elsewhere."""
    lines = text.splitlines()
    number = re.escape(name.removeprefix("S"))
    captions = [index for index, line in enumerate(lines) if re.match(rf"Table {number}[.:] ", line)]
    at, step = captions[-1 if name.startswith("S") else 0], 1 if paper == "vimae" else -1
    rest = lines[at + 1 :] if step == 1 else lines[at - 1 :: -1]
    first = next(index for index, line in enumerate(rest) if "\t" in line)
    last = next(index for index, line in enumerate(rest[first:] + [""]) if "\t" not in line)
    return rest[first : first + last][::step]


def data_lines(lines: list[list[str]], table: Table) -> Iterator[tuple[list[str], Cell]]:
    """Those that are rows of the table, in the order of the paper, with what the row says."""
    if isinstance(table.rows, tuple):
        full = [line for line in lines if len(numbers(line)) == len(table.columns)]
        yield from zip(full, table.rows, strict=True)
        return
    for line in lines:
        label = "".join(line[: table.label_cells])
        if label in table.rows:
            yield line, table.rows[label]


def spread(cell: Cell, index: int) -> Cell:
    """With the value of this row where a column has one for each."""
    return {path: value[index] if isinstance(value, tuple) else value for path, value in cell.items()}


def clean(cell: str) -> str:
    """Without the marks of bold, underlining, footnotes and mathematics."""
    bare = re.sub(r"<[^>]*>|\^\S*$|[\s$\\{}*¹]|\[\]$", "", cell)
    return bare.replace("β", "beta").replace("pm", "±")


def numbers(cells: list[str]) -> list[Number | None]:
    """Mean and deviation of each cell that is not empty; None where the paper has a dash, or NA."""
    return [number for cell in cells if cell for number in [number_in(cell)] if number != "text"]


def number_in(cell: str) -> Number | None | str:
    found = re.fullmatch(r"(\d+\.?\d*)(?:±(\d+\.?\d*))?\W*", cell)
    if found:
        mean, std = found.groups()
        return float(mean), None if std is None else float(std)
    return None if re.fullmatch(r"NA|[-—]", cell) else "text"
