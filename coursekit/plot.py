"""One style for every figure, and alt text that travels with it.

Taught in :ref:`use`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

#: A cycle that colour-blind readers can tell apart (Okabe and Ito 2008, darkened to reach 3:1 on white).
COLORS = ["#0072B2", "#C04A00", "#00785A", "#A8477F", "#8A6D00", "#2E7FAF", "#4D4D4D"]

#: One colour per part of the book.
COLOR = {
    "foundations": "#4D4D4D",
    "density": "#0072B2",
    "autoencoders": "#C04A00",
    "latent": "#00785A",
    "adversarial": "#A8477F",
    "flows": "#8A6D00",
    "gaussianization": "#2E7FAF",
    "disentangling": "#5B4FA2",
    "practice": "#1B3A57",
}

_STYLE = {
    "axes.prop_cycle": plt.cycler(color=COLORS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": "medium",
    "figure.facecolor": "white",  # a white card reads on light and dark pages alike
    "figure.dpi": 110,
    "savefig.dpi": 110,
    "font.size": 10,
    "image.cmap": "viridis",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}

MIN_ALT = 15


def figure(
    rows: int = 1,
    cols: int = 1,
    *,
    width: float = 6.4,
    height: float = 3.6,
    **kwargs: Any,
) -> tuple[Figure, Any]:
    """Make a figure in the course's style.

    Parameters
    ----------
    rows, cols : int
        Grid of axes.
    width, height : float
        Size of the whole figure in inches.
    **kwargs
        Passed on to ``matplotlib.pyplot.subplots``.

    Returns
    -------
    fig : Figure
        The figure.
    axes : Axes or ndarray of Axes
        What ``subplots`` returns.
    """
    with plt.rc_context(_STYLE):
        return plt.subplots(rows, cols, figsize=(width, height), layout="constrained", **kwargs)


def samples(ax: Axes, x: ArrayLike, *, label: str | None = None, **kwargs: Any) -> None:
    """Draw two-dimensional points.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    x : array_like of shape (n, 2)
        The points.
    label : str, optional
        Legend entry.
    **kwargs
        Passed on to ``Axes.scatter``.

    Raises
    ------
    ValueError
        If `x` does not have two columns.
    """
    x = np.asarray(x)
    if x.ndim != 2 or x.shape[1] != 2:
        raise ValueError(f"x: got shape {x.shape}, expected (n, 2); select two columns first")
    ax.scatter(x[:, 0], x[:, 1], **{"s": 4, "alpha": 0.5, "linewidths": 0, "label": label, **kwargs})
    ax.set_aspect("equal")


def density(
    ax: Axes,
    log_prob: Callable[[Any], Any],
    bounds: Sequence[tuple[float, float]],
    *,
    n_cells: int = 150,
    **kwargs: Any,
) -> None:
    """Draw a two-dimensional density as a filled image.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    log_prob : callable
        Maps points of shape (n, 2) to log-densities of shape (n,), in nats.
    bounds : sequence of two pairs
        Window ``[(low, high), (low, high)]``.
    n_cells : int
        Cells along each axis.
    **kwargs
        Passed on to ``Axes.imshow``.
    """
    (left, right), (bottom, top) = bounds
    xs = left + (right - left) * (np.arange(n_cells) + 0.5) / n_cells
    ys = bottom + (top - bottom) * (np.arange(n_cells) + 0.5) / n_cells
    points = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)  # (n_cells^2, 2)
    values = np.exp(np.asarray(log_prob(points))).reshape(n_cells, n_cells)
    extent = (left, right, bottom, top)
    ax.imshow(values, origin="lower", extent=extent, aspect="equal", **kwargs)


def images(ax: Axes, x: ArrayLike, *, shape: tuple[int, int], cols: int = 10, **kwargs: Any) -> None:
    """Draw flat images as one grid.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    x : array_like of shape (n, h * w)
        One flat image per row.
    shape : (int, int)
        Height and width of one image.
    cols : int
        Images per row of the grid.
    **kwargs
        Passed on to ``Axes.imshow``.

    Raises
    ------
    ValueError
        If the rows do not have ``h * w`` values.
    """
    x = np.asarray(x, dtype=float)
    h, w = shape
    if x.ndim != 2 or x.shape[1] != h * w:
        raise ValueError(f"x: got shape {x.shape}, expected (n, {h * w}) for images of {h} by {w}")
    rows = -(-len(x) // cols)
    grid = np.full((rows * cols, h, w), np.nan)
    grid[: len(x)] = x.reshape(-1, h, w)
    tiled = grid.reshape(rows, cols, h, w).swapaxes(1, 2).reshape(rows * h, cols * w)  # (rows h, cols w)
    ax.imshow(tiled, **{"cmap": "gray_r", "interpolation": "nearest", **kwargs})
    ax.set_axis_off()


def show(fig: Figure, alt: str) -> None:
    """Display a figure with its alt text, then close it.

    Parameters
    ----------
    fig : Figure
        The figure.
    alt : str
        What a reader who cannot see the figure should know, in a sentence or two.

    Raises
    ------
    ValueError
        If the alt text is too short to say anything.
    """
    if len(alt.strip()) < MIN_ALT:
        raise ValueError(f"alt: got {alt!r}, expected a sentence that says what is seen")
    from IPython.display import display

    display(fig, metadata={"image/png": {"alt": alt}})
    plt.close(fig)
