"""Draws a figure with matplotlib, without pyplot's global state. What it shows is decided in `panels.py`."""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.patches import Rectangle

from orchestrator.figures.panels import Bars, Curve, Drawing, Mark, Plot, Points, Sheet

WIDTH, HEIGHT = 3.4, 3.2  # inches of a plot
PIXEL = 1 / 60  # inches of a pixel of an image, at least
SMALLEST_IMAGE = 0.42  # inches
BETWEEN = 0.09  # inches around a panel
GAP = 1 / 14  # between images, relative to their shorter side; at least a pixel
LETTERS_PER_INCH = 11
DPI = 160
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#ff7f0e", "#9467bd", "#8c564b", "#e377c2", "#17becf", "#bcbd22", "#7f7f7f")
MOST_IN_LEGEND = 12  # of a panel; a larger legend stands beside the figure
MOST_TICKS = 12
MUTED = "0.75"
REJECTED = "#d62728"
UNDATED = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None, "Producer": None}}
"""Format -> metadata without time and version, so that equal figures are equal files."""


def draw(drawing: Drawing) -> Figure:
    """The figure."""
    columns = drawing.columns
    rows = -(-len(drawing.panels) // columns)
    if isinstance(drawing.panels[0], Plot):
        widths, heights = [WIDTH] * columns, [HEIGHT] * rows
    else:
        sizes = [_size(sheet) for sheet in drawing.panels]
        widths = [max(width for width, _ in sizes[column::columns]) for column in range(columns)]
        heights = [max(height for _, height in sizes[row * columns : (row + 1) * columns]) for row in range(rows)]
    figure = Figure(figsize=(sum(widths), sum(heights)), layout="constrained")
    figure.get_layout_engine().set(w_pad=BETWEEN, h_pad=BETWEEN)
    ratios = {"width_ratios": widths, "height_ratios": heights}
    axes = figure.subplots(rows, columns, squeeze=False, **ratios).ravel()
    colours = _colours(drawing.panels)
    for ax, panel in zip(axes, drawing.panels, strict=False):
        _plot(ax, panel, colours) if isinstance(panel, Plot) else _sheet(ax, panel)
    for ax in axes[len(drawing.panels) :]:
        ax.set_axis_off()
    if isinstance(drawing.panels[0], Plot):
        clouds = any(isinstance(mark, Points) for panel in drawing.panels for mark in panel.marks)
        _legend(figure, [ax for ax in axes if ax.get_legend_handles_labels()[1]], 2.0 if clouds else 1.0)
    return figure


def content(figure: Figure, form: str, words: dict[str, str] | None = None) -> bytes:
    """The figure as a file of this format. `words` are kept in the file, by names that the format knows."""
    file = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "vaeorch"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a box stands in its place
        figure.savefig(file, format=form, dpi=DPI, metadata=UNDATED[form] | (words or {}))
    return file.getvalue()


def _colours(panels: Sequence[Plot] | Sequence[Sheet]) -> dict[str, str]:
    """Label -> colour, the same in all panels."""
    marks = [mark for panel in panels if isinstance(panel, Plot) for mark in panel.marks]
    labels = dict.fromkeys(mark.label for mark in marks if not _is_grid(mark))
    return {label: COLOURS[number % len(COLOURS)] for number, label in enumerate(labels)}


def _plot(ax: Axes, plot: Plot, colours: dict[str, str]) -> None:
    ax.set_title(_folded(plot.title, WIDTH), fontsize="small", parse_math=False)
    if not plot.marks:
        ax.set_axis_off()
        return
    for mark in plot.marks:
        colour = colours.get(mark.label, COLOURS[0])
        if isinstance(mark, Points):
            _points(ax, mark, colour)
        elif isinstance(mark, Curve):
            _curve(ax, mark, colour)
        else:
            _bars(ax, mark, colour)
    ax.set_xlabel(plot.x, fontsize="small")
    ax.set_ylabel(plot.y, fontsize="small")
    ax.set(xscale=plot.x_scale, yscale=plot.y_scale)
    ax.tick_params(which="both", labelsize="x-small")
    _x_ticks(ax, plot)
    if plot.equal:
        ax.set_aspect("equal", adjustable="box" if plot.frame else "datalim")
    if plot.frame:
        ax.set(xlim=plot.frame[0], ylim=plot.frame[1])


def _x_ticks(ax: Axes, plot: Plot) -> None:
    """Whole numbers have ticks at whole numbers; few numbers on a logarithmic scale have ticks of their own."""
    values = sorted({float(x) for mark in plot.marks for x, *_ in mark.rows()})
    if plot.x_scale == "log" and len(values) <= MOST_TICKS:
        ax.set_xticks(values, [f"{value:g}" for value in values])
        ax.minorticks_off()
    elif plot.x_scale == "linear" and all(value.is_integer() for value in values):
        ax.xaxis.get_major_locator().set_params(integer=True)


def _points(ax: Axes, mark: Points, colour: str) -> None:
    look = {"s": 3, "alpha": 0.25, "zorder": 1} if mark.faint else {"s": 5, "alpha": 0.7, "zorder": 2}
    ax.scatter(*mark.xy_N2.T, color=colour, linewidths=0, label=mark.label or "_", rasterized=True, **look)


def _curve(ax: Axes, mark: Curve, colour: str) -> None:
    looks = {
        "marked": {"marker": "o", "markersize": 3.5, "linewidth": 1.2, "color": colour, "label": mark.label},
        "plain": {"linewidth": 1.4, "color": colour, "label": mark.label},
        "thin": {"linewidth": 0.9, "alpha": 0.8, "color": colour, "label": "_"},
        "level": {"linewidth": 1.2, "linestyle": "--", "color": colour, "label": mark.label},
        "grid": {"linewidth": 0.4, "color": "0.6", "zorder": 0.5, "label": "_"},
    }
    error = list(mark.error) or None
    ax.errorbar(list(mark.x), list(mark.y), yerr=error, capsize=2, elinewidth=0.8, **looks[mark.style])


def _bars(ax: Axes, mark: Bars, colour: str) -> None:
    ax.bar(list(mark.x), list(mark.y), color=MUTED if mark.muted else colour, label=mark.label or "_")


def _legend(figure: Figure, axes: Sequence[Axes], markerscale: float) -> None:
    """One legend for all panels beside them where they share its entries or it is long, else one in each."""
    look = {"fontsize": "x-small", "markerscale": markerscale}
    entries: dict[str, object] = {}
    for ax in axes:
        entries |= {label: handle for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    longest = max((len(ax.get_legend_handles_labels()[1]) for ax in axes), default=0)
    if len(axes) > 1 or longest > MOST_IN_LEGEND:
        if entries:
            labels = [_folded(label, WIDTH) for label in entries]
            _literally(figure.legend(entries.values(), labels, loc="outside right upper", **look))
    else:
        for ax in axes:
            _literally(ax.legend(**look))


def _literally(legend: Legend) -> None:
    """Labels may hold a user's text, in which `$` does not begin mathematics."""
    for text in legend.get_texts():
        text.set_parse_math(False)


def _size(sheet: Sheet) -> tuple[float, float]:
    """Width and height in inches."""
    rows, columns, height, width, _ = sheet.images_RCHWK.shape
    inches, gap = max(PIXEL, SMALLEST_IMAGE / min(height, width)), _gap(height, width)
    labels = 1.3 if sheet.rows else 0.1
    lines = 0.35 + 0.18 * len(sheet.title.splitlines())
    return max(1.8, columns * (width + gap) * inches + labels), rows * (height + gap) * inches + lines


def _gap(height: int, width: int) -> int:
    """Pixels between images."""
    return max(1, round(GAP * min(height, width)))


def _sheet(ax: Axes, sheet: Sheet) -> None:
    rows, columns, height, width, colours = sheet.images_RCHWK.shape
    gap = _gap(height, width)
    board = np.full((rows, height + gap, columns, width + gap, colours), 255, np.uint8)
    board[:, :height, :, :width] = sheet.images_RCHWK.transpose(0, 2, 1, 3, 4)
    board = board.reshape(rows * (height + gap), columns * (width + gap), colours)[:-gap, :-gap]
    ax.imshow(board if colours == 3 else board[..., 0], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    ax.set_title(_folded(sheet.title, max(WIDTH, _size(sheet)[0])), fontsize="small", parse_math=False)
    ax.set_xticks([])
    ax.tick_params(length=0, labelsize="x-small")
    ax.spines[:].set_visible(False)
    ax.set_anchor("N")
    ax.set_yticks([row * (height + gap) + height / 2 for row in range(rows)] if sheet.rows else [], list(sheet.rows))
    for row in sorted(sheet.rejected):
        corner, wide = (-0.5 - gap / 2, row * (height + gap) - 0.5 - gap / 2), columns * (width + gap)
        ax.add_patch(Rectangle(corner, wide, height + gap, fill=False, color=REJECTED, clip_on=False))
        if sheet.rows:
            ax.get_yticklabels()[row].set_color(REJECTED)


def _is_grid(mark: Mark) -> bool:
    return isinstance(mark, Curve) and mark.style == "grid"


def _folded(text: str, inches: float) -> str:
    """The text in lines that fit so many inches of small print."""
    return "\n".join(textwrap.fill(line, max(12, int(inches * LETTERS_PER_INCH))) for line in text.splitlines())
