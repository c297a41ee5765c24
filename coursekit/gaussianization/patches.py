r"""Gaussianization of images: one small model for all patches, shifted grids, and pyramids.

.. math:: \log\left|\det \frac{\partial z}{\partial x}\right| = \sum_{p} \log\left|\det \frac{\partial
    g}{\partial u}(x_p)\right|, \qquad z_p = g(x_p) \text{ for every patch } p

An image cut into patches that do not overlap is a set of short rows. One bijection :math:`g`, fitted to
the patches of all images and all places together, bends them all; the log-determinants of the patches add
up. That is what a convolution is to a network: the same function everywhere. What a grid cannot see, the
dependence across its lines, the next layer's grid sees, because it is shifted; what no small patch can
see, a pyramid brings closer together.

Taught in :ref:`patches`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from coursekit.base import Fitted, Likelihood, catalogued
from coursekit.gaussianization.iterative import IterativeGaussianizer, Make
from coursekit.gaussianization.marginals import MarginalMap, SplineMap, all_sum, histogram
from coursekit.gaussianization.rotations import PCA, Rotation
from coursekit.nn import check_rows

__all__ = [
    "HaarPyramid",
    "LaplacianPyramid",
    "LevelMap",
    "MultiScaleGaussianizer",
    "OnColumns",
    "PatchLayer",
]

Shape = tuple[int, int, int]


def _pair(value: int | tuple[int, int], name: str, least: int) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or any(not isinstance(v, int) or v < least for v in pair):
        raise ValueError(f"{name}: got {value!r}, expected whole numbers of at least {least}, one or two")
    return pair[0], pair[1]


def _image(shape: Sequence[int]) -> Shape:
    if len(shape) != 3 or any(not isinstance(v, int) or v < 1 for v in shape):
        raise ValueError(f"shape: got {tuple(shape)!r}, expected (channels, height, width)")
    return shape[0], shape[1], shape[2]


# ------------------------------------------------------------------------------------ pixels


class LevelMap(MarginalMap):
    r"""Exact marginal map of grey levels with uniform noise: a histogram with one cell a level.

    A dequantized pixel :math:`c + u` has a density that is constant on each cell, whatever the law of
    :math:`c`. So its distribution function is a straight line over each cell, and :math:`z =
    \Phi^{-1}(F(x))` is exact where a kernel would blur the line between black and nearly black. The share
    of level :math:`k` in column :math:`j` is

    .. math:: p_{jk} = \frac{n_{jk} + a\, \bar p_k}{n + a}, \qquad
        \bar p_k = \frac{\sum_j n_{jk} + 1}{n d + L}:

    a level that a pixel never had is as likely as pixels in general make it. Outside [0, L] the map goes
    on with slope one.

    Parameters
    ----------
    levels : int
        Number of levels :math:`L`; values are between 0 and `levels`.
    weight : float
        How many images the pooled shares :math:`\bar p` count as, :math:`a`.
    edge : float
        Mass beyond each end.

    Raises
    ------
    ValueError
        If a number is out of range, or in ``fit`` a value outside [0, `levels`].

    References
    ----------
    Theis, van den Oord and Bethge, 2016, arXiv:1511.01844 (dequantization).

    Taught in :ref:`patches`.

    Examples
    --------
    >>> x = torch.rand(100, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 4
    >>> layer = LevelMap(4).fit(x)
    >>> bool(torch.allclose(layer.inverse(layer.forward_and_log_det(x)[0]), x))
    True
    """

    below: Tensor

    def __init__(self, levels: int = 256, *, weight: float = 20.0, edge: float = 1e-5) -> None:
        super().__init__()
        if not isinstance(levels, int) or levels < 2 or not (weight > 0 and 0 < edge < 0.1):
            raise ValueError(
                f"levels={levels!r}, weight={weight!r}, edge={edge!r}: expected at least 2, above 0, "
                "in (0, 0.1)"
            )
        self.levels, self.weight, self.edge = levels, weight, edge
        self.register_buffer("below", torch.empty(0))  # (d, levels + 1), float64

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *args: Any) -> None:
        if prefix + "below" in state and self.below.shape != state[prefix + "below"].shape:
            self.below = torch.empty_like(state[prefix + "below"])
        super()._load_from_state_dict(state, prefix, *args)

    def _apply(self, fn: Any, *args: Any, **kwargs: Any) -> LevelMap:
        super()._apply(fn, *args, **kwargs)
        self.below = self.below.double()  # differences of shares: single precision is not enough
        return self

    def fit(self, x: Tensor, *, generator: torch.Generator | None = None) -> LevelMap:
        """Count the levels of each column of `x` (n, d), and return itself."""
        if x.ndim != 2 or not bool(((x >= 0) & (x <= self.levels)).all()):
            raise ValueError(
                f"x: expected (n, d) with values from 0 to {self.levels}, a level and noise: not scaled to "
                "[0, 1], no NaN"
            )
        zero = x.new_zeros(x.shape[1])
        counts = all_sum(histogram(x, zero, zero + self.levels, self.levels)).double()
        pooled = (counts.sum(dim=0) + 1) / (counts.sum() + self.levels)
        share = (counts + self.weight * pooled) / (counts.sum(dim=1, keepdim=True) + self.weight)
        share = share * (1 - 2 * self.edge)
        self.below = self.edge + functional.pad(share.cumsum(dim=1), (1, 0))
        return self

    def _cell(self, k: Tensor) -> tuple[Tensor, Tensor]:
        """Mass below cell `k` (n, d) and in it."""
        if self.below.numel() == 0:
            raise RuntimeError("LevelMap is not fitted: call fit(x) first")
        place = k + (self.levels + 1) * torch.arange(k.shape[1], device=k.device)
        low, high = self.below.take(place), self.below.take(place + 1)
        return low, high - low

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (n, d) column by column, with the log-determinant (n,) in nats."""
        inner = x.double().clamp(0, self.levels)
        k = inner.clamp(max=self.levels - 1).long()
        low, share = self._cell(k)
        z = torch.special.ndtri(low + share * (inner - k))
        slope = share.log() + 0.5 * z.square() + 0.5 * math.log(2 * math.pi)
        beyond = x.double() - inner
        log_det = torch.where(beyond == 0, slope, 0.0).sum(dim=1)
        return (z + beyond).to(x.dtype), log_det.to(x.dtype)

    def inverse(self, z: Tensor) -> Tensor:
        """Undo the map."""
        low, high = (torch.special.ndtri(self.below[:, k]) for k in (0, -1))
        inner = torch.minimum(torch.maximum(z.double(), low), high)
        mass = torch.special.ndtr(inner)
        k = torch.searchsorted(self.below[:, 1:-1].contiguous(), mass.T.contiguous(), right=True).T
        below, share = self._cell(k)
        x = (k + (mass - below) / share).clamp(0, self.levels)
        return (x + z.double() - inner).to(z.dtype)


# ------------------------------------------------------------------------------------ layers on parts


class OnColumns(nn.Module):
    """Apply a layer to some columns and leave the others as they are.

    Parameters
    ----------
    layer : torch.nn.Module
        Unfitted layer with ``fit``, ``forward_and_log_det`` and ``inverse``.
    columns : Tensor of shape (k,)
        Which columns, all different.

    Raises
    ------
    ValueError
        If `columns` is no list of different whole numbers.

    Notes
    -----
    Taught in :ref:`patches`.
    """

    columns: Tensor

    def __init__(self, layer: nn.Module, columns: Tensor) -> None:
        super().__init__()
        columns = torch.as_tensor(columns)
        if columns.ndim != 1 or columns.is_floating_point() or len(columns.unique()) != len(columns):
            raise ValueError("columns: expected different whole numbers, of shape (k,)")
        self.layer = layer
        self.register_buffer("columns", columns.long())

    def fit(self, x: Tensor, *, generator: torch.Generator | None = None) -> OnColumns:
        """Fit the layer to those columns of `x` (n, d), and return itself."""
        self.layer.fit(x[:, self.columns], generator=generator)
        return self

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map those columns of (n, d); the log-determinant (n,) is the layer's."""
        part, log_det = self.layer.forward_and_log_det(x[:, self.columns])
        return x.index_copy(1, self.columns, part), log_det

    def inverse(self, z: Tensor) -> Tensor:
        """Undo the map."""
        return z.index_copy(1, self.columns, self.layer.inverse(z[:, self.columns]))


class PatchLayer(nn.Module):
    r"""One small Gaussianizer, fitted to all patches of all images, and applied to each.

    The patches are windows of `size`, one every `stride` pixels, on a grid that is moved by `shift`
    (around the edges: the last rows and the first may share a patch). All channels of a window belong to
    its patch. Windows must not overlap: a pixel in two of them would be moved twice, and the map would be
    no bijection of the image.

    Parameters
    ----------
    size : int or (int, int)
        Height and width of a patch.
    stride : int or (int, int), optional
        Steps of the grid, at least `size`; by default equal to it. Pixels between windows stay as they are.
    shift : int or (int, int)
        Where the grid begins.
    shape : (int, int, int)
        Channels, height and width of an image; images come and go as flat rows.
    padding : {None, "keep"}
        What becomes of rows and columns that are left over where the stride does not divide the image:
        None refuses, "keep" leaves them as they are, and with them the windows that a shift would
        lead around the edges. (Padding with zeros would add columns, and a bijection cannot.)
    layers : int or sequence of torch.nn.Module
        Layers of the small model, as in ``IterativeGaussianizer``.
    rotation, marginal : str or callable, optional
        By default ``PCA`` and ``SplineMap(shrink=0.5)``.
    turn_back : bool
        Undo the orthogonal rotations of the small model at the end, :math:`R^\top \Psi(R u)`. Then value
        `j` of a patch is a pixel still, and the next grid finds neighbours where they were; without it, it
        finds components.

    Raises
    ------
    ValueError
        If a number is out of range, the patches overlap, or the stride does not divide and no padding is
        asked for.

    References
    ----------
    Meng, Song, Song and Ermon, 2020, arXiv:2003.01941 (patches in trained Gaussianization); Dai and
    Seljak, 2021, arXiv:2007.00674, section 3.4 (patches of shifted grids).

    Notes
    -----
    Taught in :ref:`patches`.

    Examples
    --------
    >>> x = torch.randn(200, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    >>> layer = PatchLayer(2, shift=1, shape=(1, 4, 4), layers=1).double().fit(x)
    >>> layer.places.shape  # patches, values of a patch
    torch.Size([4, 4])
    >>> bool(torch.allclose(layer.inverse(layer.forward_and_log_det(x)[0]), x))
    True
    """

    places: Tensor

    def __init__(
        self,
        size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        shift: int | tuple[int, int] = 0,
        *,
        shape: Sequence[int],
        padding: str | None = None,
        layers: int | Sequence[nn.Module] = 2,
        rotation: Make | None = None,
        marginal: Make | None = None,
        turn_back: bool = True,
    ) -> None:
        super().__init__()
        self.turn_back = turn_back
        c, h, w = self.shape = _image(shape)
        size = _pair(size, "size", 1)
        step = size if stride is None else _pair(stride, "stride", 1)
        move = _pair(shift, "shift", 0)
        if padding not in (None, "keep"):
            raise ValueError(f"padding: got {padding!r}, expected None or 'keep'")
        if size[0] > h or size[1] > w:
            raise ValueError(f"size: got {size}, larger than the image of {h} x {w}")
        if step[0] < size[0] or step[1] < size[1]:
            raise ValueError(
                f"stride: got {step}, less than size {size}: patches would overlap, and the layer would be "
                "no bijection; use several layers with different shift"
            )
        if padding is None and (h % step[0] or w % step[1]):
            raise ValueError(
                f"size, stride: steps of {step} do not divide an image of {h} x {w}; choose others, or leave "
                "the remaining pixels as they are with padding='keep'"
            )
        grid = torch.arange(c * h * w).view(c, h, w)
        move = (move[0] % step[0], move[1] % step[1])
        if padding is None:  # around the edges
            grid = grid.roll((-move[0], -move[1]), dims=(1, 2))
        else:
            grid = grid[:, move[0] :, move[1] :]
            if grid.shape[1] < size[0] or grid.shape[2] < size[1]:
                raise ValueError(f"shift: got {move}, which leaves no whole patch of {size} in {h} x {w}")
        windows = grid.unfold(1, size[0], step[0]).unfold(2, size[1], step[1])  # (c, rows, cols, size, size)
        places = windows.permute(1, 2, 0, 3, 4).reshape(-1, c * size[0] * size[1])
        self.register_buffer("places", places.contiguous())  # (patches, values)
        self.inner = IterativeGaussianizer(
            places.shape[1],
            layers=layers,
            rotation=PCA if rotation is None else rotation,
            marginal=functools.partial(SplineMap, shrink=0.5) if marginal is None else marginal,
            patience=None,
        )

    def patches(self, x: Tensor) -> Tensor:
        """Cut images (n, d) into patches (n, patches, values)."""
        d = math.prod(self.shape)
        if x.ndim != 2 or x.shape[1] != d:
            raise ValueError(f"x: got shape {tuple(x.shape)}, expected (n, {d}): flat images of {self.shape}")
        return x[:, self.places]

    def _turns(self) -> list[Rotation]:
        if not self.turn_back:
            return []
        return [layer for layer in self.inner.layers if isinstance(layer, Rotation) and layer.orthogonal]

    def fit(self, x: Tensor, *, generator: torch.Generator | None = None) -> PatchLayer:
        """Fit the small model to the patches of all images (n, d) together, and return itself."""
        rows = self.patches(x).flatten(0, 1)
        seed = int(torch.randint(2**31, (), generator=generator))
        self.inner.to(x).fit(rows, random_state=seed)
        return self

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map images (n, d); the log-determinant (n,) is the sum over patches."""
        cut = self.patches(x)
        z, log_det = self.inner.forward_and_log_det(cut.flatten(0, 1))
        for turn in reversed(self._turns()):
            z = turn.inverse(z)
        moved = x.index_copy(1, self.places.flatten(), z.view(len(x), -1))
        return moved, log_det.view(len(x), -1).sum(dim=1)

    def inverse(self, z: Tensor) -> Tensor:
        """Undo the map."""
        x = self.patches(z).flatten(0, 1)
        for turn in self._turns():
            x = turn.forward_and_log_det(x)[0]
        x = self.inner.inverse(x)
        return z.index_copy(1, self.places.flatten(), x.view(len(z), -1))


# ------------------------------------------------------------------------------------ pyramids


class _Pyramid(nn.Module):
    """What both pyramids share: a shape that can be halved, and where the bands are."""

    size: Tensor

    def __init__(self, levels: int, *, shape: Sequence[int]) -> None:
        super().__init__()
        c, h, w = self.shape = _image(shape)
        if not isinstance(levels, int) or levels < 1 or h % 2**levels or w % 2**levels:
            raise ValueError(
                f"levels: got {levels!r}, expected at least 1, and an image whose height and width "
                f"({h} x {w}) can be halved so often"
            )
        self.levels = levels
        self.register_buffer("size", torch.tensor([levels, c, h, w]))  # a state to save

    def fit(self, x: Tensor, *, generator: torch.Generator | None = None) -> _Pyramid:
        """Nothing to fit; returns itself."""
        self._images(x)
        return self

    def _images(self, x: Tensor) -> Tensor:
        d = math.prod(self.shape)
        if x.ndim != 2 or x.shape[1] != d:
            raise ValueError(f"x: got shape {tuple(x.shape)}, expected (n, {d}): flat images of {self.shape}")
        return x.view(len(x), *self.shape)

    def band(self, level: int, kind: str = "coarse") -> Tensor:
        """Columns (k,) of a band, in the order of a smaller image.

        Parameters
        ----------
        level : int
            1 is the finest.
        kind : {"coarse", "right", "down", "diagonal", "detail"}
            The small image; differences to the right, downwards and both; or these three as three channels.

        Returns
        -------
        Tensor of shape (k,)
            Columns; ``x[:, columns]`` are flat images of half the height and width for each level.
        """
        if not 1 <= level <= self.levels:
            raise ValueError(f"level: got {level!r}, expected 1 to {self.levels}")
        c, h, w = self.shape
        grid = torch.arange(c * h * w).view(c, h, w)
        h, w = h >> level, w >> level
        low, high = slice(0, h), (slice(h, 2 * h), slice(w, 2 * w))
        bands = {
            "coarse": grid[:, low, :w],
            "right": grid[:, low, high[1]],
            "down": grid[:, high[0], :w],
            "diagonal": grid[:, high[0], high[1]],
        }
        bands["detail"] = torch.cat([bands[name] for name in ("right", "down", "diagonal")])
        if kind not in bands:
            raise ValueError(f"kind: got {kind!r}, expected one of {sorted(bands)}")
        return bands[kind].flatten()


def _quarters(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Take the four pixels of every block of two by two."""
    return x[..., 0::2, 0::2], x[..., 0::2, 1::2], x[..., 1::2, 0::2], x[..., 1::2, 1::2]


def _blocks(parts: Sequence[Tensor]) -> Tensor:
    a, b, c, d = parts
    top, bottom = torch.stack([a, b], dim=-1).flatten(-2), torch.stack([c, d], dim=-1).flatten(-2)
    return torch.stack([top, bottom], dim=-2).flatten(-3, -2)


def _tile(parts: Sequence[Tensor]) -> Tensor:
    a, b, c, d = parts
    return torch.cat([torch.cat([a, b], dim=-1), torch.cat([c, d], dim=-1)], dim=-2)


def _untile(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    top, bottom = x.chunk(2, dim=-2)
    (a, b), (c, d) = top.chunk(2, dim=-1), bottom.chunk(2, dim=-1)
    return a, b, c, d


def _hadamard(parts: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Orthonormal and its own inverse."""
    a, b, c, d = parts
    return (a + b + c + d) / 2, (a - b + c - d) / 2, (a + b - c - d) / 2, (a - b - c + d) / 2


class HaarPyramid(_Pyramid):
    r"""The Haar wavelet transform: half the sum and differences of each block of two by two, repeated.

    Orthonormal, so that its log-determinant is zero and its inverse the transpose. It changes no model
    that may rotate freely; what it changes is which values are neighbours: the coarse band is a small
    image, whose patches of two by two see :math:`2^{\ell+1}` pixels of the large one.

    Parameters
    ----------
    levels : int
        How often the image is halved.
    shape : (int, int, int)
        Channels, height and width of an image; images come and go as flat rows.
    undo : bool
        Swap the directions: the layer that takes bands back to pixels.

    Raises
    ------
    ValueError
        If height or width cannot be halved so often.

    References
    ----------
    Mallat, 1989, "A theory for multiresolution signal decomposition".

    Notes
    -----
    Taught in :ref:`patches`.
    """

    def __init__(self, levels: int = 1, *, shape: Sequence[int], undo: bool = False) -> None:
        super().__init__(levels, shape=shape)
        self.undo = undo

    def _split(self, x: Tensor) -> Tensor:
        image = self._images(x).clone()
        for level in range(self.levels):
            h, w = self.shape[1] >> level, self.shape[2] >> level
            image[..., :h, :w] = _tile(_hadamard(_quarters(image[..., :h, :w].clone())))
        return image.flatten(1)

    def _join(self, z: Tensor) -> Tensor:
        image = self._images(z).clone()
        for level in reversed(range(self.levels)):
            h, w = self.shape[1] >> level, self.shape[2] >> level
            image[..., :h, :w] = _blocks(_hadamard(_untile(image[..., :h, :w].clone())))
        return image.flatten(1)

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map images (n, d) to bands, coarse in the upper left corner; the log-determinant is zero."""
        return (self._join(x) if self.undo else self._split(x)), x.new_zeros(len(x))

    def inverse(self, z: Tensor) -> Tensor:
        """Undo the map."""
        return self._split(z) if self.undo else self._join(z)


class LaplacianPyramid(_Pyramid):
    r"""Means of blocks, and what a smooth enlargement of the means misses.

    ``split`` gives the pyramid of the literature: at each level the residuals of *all* pixels,
    :math:`r = x - U m` with :math:`m` the block means and :math:`U` bilinear enlargement, and the last
    means. It has about 4/3 as many numbers as the image, and ``join`` is exact. But the pyramids of images
    fill only a subspace of :math:`\mathbb R^{4d/3}`: a density on that space gives the pyramids of images
    probability zero, and there is no determinant.

    ``forward_and_log_det`` is *critically sampled*: of the four residuals of a block it keeps three. The
    fourth is known, because the mean of the block is. With :math:`(m, r_b, r_c, r_d)` for :math:`(a, b, c,
    d)` the Jacobian is triangular in the levels, and each block of each level contributes :math:`\log
    \frac14`.

    Parameters
    ----------
    levels : int
        How often the image is halved.
    shape : (int, int, int)
        Channels, height and width of an image; images come and go as flat rows.

    Raises
    ------
    ValueError
        If height or width cannot be halved so often.

    References
    ----------
    Burt and Adelson, 1983, "The Laplacian pyramid as a compact image code"; Denton et al., 2015,
    arXiv:1506.05751; Sweldens, 1998 (lifting: predict, keep the residual).

    Notes
    -----
    Taught in :ref:`patches`.
    """

    @staticmethod
    def _enlarge(m: Tensor) -> Tensor:
        return functional.interpolate(m, scale_factor=2, mode="bilinear", align_corners=False)

    def split(self, x: Tensor) -> list[Tensor]:
        """Give the overcomplete pyramid of images (n, d): residuals, finest first, then the coarse images."""
        image, found = self._images(x), []
        for _ in range(self.levels):
            mean = functional.avg_pool2d(image, 2)
            found.append(image - self._enlarge(mean))
            image = mean
        return [*found, image]

    def join(self, bands: Sequence[Tensor]) -> Tensor:
        """Give back the images (n, d) of a pyramid."""
        image = bands[-1]
        for residual in reversed(bands[:-1]):
            image = self._enlarge(image) + residual
        return image.flatten(1)

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map images (n, d) to as many numbers, coarse in the upper left corner; the log-det is constant."""
        image, blocks = self._images(x).clone(), 0
        for level in range(self.levels):
            h, w = self.shape[1] >> level, self.shape[2] >> level
            mean = functional.avg_pool2d(image[..., :h, :w].clone(), 2)
            residual = _quarters(image[..., :h, :w].clone() - self._enlarge(mean))
            image[..., :h, :w] = _tile([mean, *residual[1:]])
            blocks += mean[0].numel()
        return image.flatten(1), x.new_full((len(x),), -blocks * math.log(4))

    def inverse(self, z: Tensor) -> Tensor:
        """Undo the map."""
        image = self._images(z).clone()
        for level in reversed(range(self.levels)):
            h, w = self.shape[1] >> level, self.shape[2] >> level
            mean, *residual = _untile(image[..., :h, :w].clone())
            predicted = _quarters(self._enlarge(mean))
            b, c, d = (r + p for r, p in zip(residual, predicted[1:], strict=True))
            image[..., :h, :w] = _blocks([4 * mean - b - c - d, b, c, d])
        return image.flatten(1)


# ------------------------------------------------------------------------------------ the architecture


@catalogued(
    examples=lambda d: [
        Fitted(MultiScaleGaussianizer, shape=(1, 2, d // 2), size=(2, 1), scales=1, random_state=0),
        *(
            [
                Fitted(
                    MultiScaleGaussianizer,
                    shape=(1, 2, 2),
                    size=2,
                    scales=2,
                    sweeps=1,
                    whole=1,
                    random_state=0,
                )
            ]
            if d == 4
            else []
        ),
    ],
    dims=(2, 4),
    cost={
        "fit": "O(n d s^2) per layer with patches of s^2 values, O(n d^2) for whole images",
        "log_prob": "the same, per image",
        "sample": "the same, per image",
    },
)
class MultiScaleGaussianizer(IterativeGaussianizer):
    r"""An architecture as a list: patches on shifted grids, coarse to fine, then whole images.

    At each scale the image is brought to its Haar bands, the coarse band's patches are Gaussianized on
    `sweeps` grids, each shifted by another part of a patch, and the bands are taken back. Coarse scales
    come first. At the end `whole` pairs of a rotation and a marginal map see the image at once.

    Parameters
    ----------
    dim : int
        Number of values of an image.
    shape : (int, int, int), optional
        Channels, height and width; by default one square channel.
    size : int or (int, int)
        Patches, at every scale; made smaller where the band is smaller.
    scales : int
        1 for pixels only; each more adds a coarser band.
    sweeps : int
        Patch layers at each scale.
    whole : int
        Pairs of PCA and marginal map on whole images, at the end.
    levels : int, optional
        If values are grey levels with noise, in [0, `levels`]: begin with a ``LevelMap``, and do not
        standardize.
    shrink : float
        Of the marginal maps.
    padding : {None, "keep"}
        As in ``PatchLayer``.
    patience : int, optional
        As in ``IterativeGaussianizer``.

    Raises
    ------
    ValueError
        If the shape does not fit `dim`, or sizes do not divide.

    Notes
    -----
    Taught in :ref:`patches`.

    Examples
    --------
    >>> x = torch.randn(300, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    >>> model = MultiScaleGaussianizer(16, size=2, scales=2, sweeps=2).double().fit(x, random_state=0)
    >>> model.log_prob(x).shape
    torch.Size([300])
    """

    likelihood = Likelihood.EXACT

    def __init__(
        self,
        dim: int,
        *,
        shape: Sequence[int] | None = None,
        size: int | tuple[int, int] = 4,
        scales: int = 2,
        sweeps: int = 2,
        whole: int = 3,
        levels: int | None = None,
        shrink: float = 0.5,
        padding: str | None = None,
        patience: int | None = 8,
    ) -> None:
        side = math.isqrt(dim) if isinstance(dim, int) and dim > 0 else 0
        if shape is None and side * side != dim:
            raise ValueError(f"dim: got {dim!r}, no square image; say shape=(channels, height, width)")
        c, h, w = self_shape = _image(shape or (1, side, side))
        if c * h * w != dim:
            raise ValueError(f"shape: {self_shape} holds {c * h * w} values, expected dim={dim}")
        if scales < 1 or min(sweeps, whole) < 0:
            raise ValueError(f"scales={scales}, sweeps={sweeps}, whole={whole}: expected at least 1, 0, 0")
        bend = functools.partial(SplineMap, shrink=shrink)
        plan: list[nn.Module] = [] if levels is None else [LevelMap(levels)]
        for scale in reversed(range(scales)):
            band = (c, h >> scale, w >> scale)
            wanted = _pair(size, "size", 1)
            patch = (min(wanted[0], band[1]), min(wanted[1], band[2]))
            pyramid = HaarPyramid(scale, shape=(c, h, w)) if scale and sweeps else None
            if pyramid is not None:
                plan.append(pyramid)
            for k in range(sweeps):
                shift = (k * patch[0] // sweeps, k * patch[1] // sweeps)
                layer = PatchLayer(patch, shift=shift, shape=band, padding=padding, layers=1, marginal=bend)
                plan.append(layer if pyramid is None else OnColumns(layer, pyramid.band(scale)))
            if pyramid is not None:
                plan.append(HaarPyramid(scale, shape=(c, h, w), undo=True))
        for _ in range(whole):
            plan += [PCA(), bend()]
        super().__init__(dim, layers=plan, patience=patience)
        self.image_shape, self.levels = self_shape, levels

    def _standardize(self, n: Tensor, mean: Tensor, covariance: Tensor) -> None:
        if self.levels is None:
            super()._standardize(n, mean, covariance)

    def log_prob_of_counts(
        self, counts: Tensor, *, draws: int = 1, generator: torch.Generator | None = None
    ) -> Tensor:
        r"""Lower bound on the log-probability of whole numbers: the mean of :math:`\log p(c + u)` over noise.

        Parameters
        ----------
        counts : Tensor of shape (n, dim)
            Whole numbers, as floats.
        draws : int
            Draws of the noise.
        generator : torch.Generator, optional
            Source of the noise.

        Returns
        -------
        Tensor of shape (n,)
            Nats; divided by ``-dim * log(2)``, bits per dimension.
        """
        counts = check_rows(counts, self.dim, like=self.center, name="counts")
        total = counts.new_zeros(len(counts))
        for _ in range(draws):
            noise = torch.rand(counts.shape, generator=generator, dtype=counts.dtype, device=counts.device)
            total = total + self.log_prob(counts + noise)
        return total / draws
