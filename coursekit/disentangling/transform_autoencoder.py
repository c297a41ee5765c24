r"""An autoencoder that takes a known group of transformations out of its code.

.. math:: \hat x = T_{\theta(x)}\, D(c(x)), \qquad (T_\theta y)(u) = y\bigl(A^{-1}(u - t)\bigr)

The encoder gives a pose :math:`\theta`, in units that a person can read, and a code :math:`c`; the decoder
draws a *template* from the code alone, and a warp without parameters moves it. A pose is defined up to one
map for each code only: `TransformAutoencoder.fix_gauge` chooses.

Rows of poses are (n, 4), "turn, log-scale, shift right, shift up", or (n, 6), "turn, log-scale along x,
log-scale along y, shear, shift right, shift up". Turns are in radians, counter-clockwise; shifts are shares
of the half-width of the image. Images are square, one per row, pixels row by row.

Taught in :ref:`transform_autoencoder`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, NoReturn

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional

from coursekit.base import Fitted, Likelihood, catalogued
from coursekit.disentangling.mixing import draw_masks, draw_partners, mix_chunks
from coursekit.latent.vae import DiagonalGaussian
from coursekit.nn import check_count, check_rows, mlp

__all__ = [
    "PoseAndCode",
    "TransformAutoencoder",
    "affine_matrix",
    "compose_poses",
    "inverse_pose",
    "parameter_counts",
    "pose_of",
    "warp",
    "within_class_correlation",
    "within_class_variance",
]

#: Largest absolute value that an encoder may give to each number of a pose.
_REACH = {4: (math.pi / 2, 0.5, 0.5, 0.5), 6: (math.pi / 2, 0.5, 0.5, 0.5, 0.5, 0.5)}


# ----------------------------------------------------------------------------------------------
# Poses: a group in human units.


def _poses(pose: object, name: str = "pose") -> Tensor:
    if isinstance(pose, Tensor) and pose.ndim == 2 and pose.shape[1] in _REACH:
        return check_rows(pose, pose.shape[1], name=name)
    got = tuple(pose.shape) if isinstance(pose, Tensor) else type(pose).__name__
    raise ValueError(f"{name}: got {got}, expected a tensor of shape (n, 4) or (n, 6), one pose for each row")


def affine_matrix(pose: Tensor) -> Tensor:
    r"""Matrix :math:`[A \mid t]` of each pose: a point u of the template goes to A u + t.

    .. math:: A = \begin{pmatrix} \cos\varphi & -\sin\varphi \\ \sin\varphi & \cos\varphi \end{pmatrix}
        \begin{pmatrix} 1 & k \\ 0 & 1 \end{pmatrix}
        \begin{pmatrix} e^{s_x} & 0 \\ 0 & e^{s_y} \end{pmatrix}

    with :math:`s_x = s_y` and :math:`k = 0` for a pose of four numbers.

    Parameters
    ----------
    pose : Tensor of shape (n, 4) or (n, 6)
        Turn in radians, log-scale (two of them and a shear, of six), shifts as shares of the half-width.

    Returns
    -------
    Tensor of shape (n, 2, 3)
        In coordinates that are 0 in the centre of the image, 1 at its right and its upper edge.

    Raises
    ------
    TypeError, ValueError
        If `pose` is no finite tensor of one of these shapes.

    Notes
    -----
    Taught in :ref:`transform_autoencoder`.

    Examples
    --------
    >>> affine_matrix(torch.tensor([[0.0, 0.0, 0.25, 0.0]])).tolist()
    [[[1.0, 0.0, 0.25], [0.0, 1.0, 0.0]]]
    """
    return _matrix(_poses(pose))


def _matrix(pose: Tensor) -> Tensor:
    c, s = pose[:, 0].cos(), pose[:, 0].sin()
    x, y = pose[:, -2:].unbind(1)
    if pose.shape[1] == 4:
        a, d = (pose[:, 1].exp(),) * 2
        b = torch.zeros_like(a)
    else:
        a, d = pose[:, 1].exp(), pose[:, 2].exp()
        b = pose[:, 3] * d
    first = torch.stack([c * a, c * b - s * d, x], dim=1)
    second = torch.stack([s * a, s * b + c * d, y], dim=1)
    return torch.stack([first, second], dim=1)


def pose_of(matrix: Tensor, pose_dim: int = 4) -> Tensor:
    """Pose of each matrix: the inverse of `affine_matrix`.

    Parameters
    ----------
    matrix : Tensor of shape (n, 2, 3)
        With a positive determinant of its first two columns.
    pose_dim : {4, 6}
        Columns of the pose. With 4, the first two columns must be a turn times a scale.

    Returns
    -------
    Tensor of shape (n, pose_dim)
        The turn lies in (-pi, pi].

    Raises
    ------
    ValueError
        If a matrix is no pose of this kind.

    Notes
    -----
    Taught in :ref:`transform_autoencoder`.
    """
    if pose_dim not in _REACH or matrix.ndim != 3 or matrix.shape[1:] != (2, 3):
        raise ValueError(
            f"matrix, pose_dim: got {tuple(matrix.shape)} and {pose_dim!r}, expected (n, 2, 3), 4 or 6"
        )
    (p, q, x), (r, w, y) = (row.unbind(1) for row in matrix.unbind(1))
    if not bool((p * w - q * r > 0).all()):
        raise ValueError("matrix: holds a mirror image or a projection, expected positive determinants")
    length = torch.hypot(p, r)
    turn, along, across = torch.atan2(r, p), (p * q + r * w) / length, (p * w - q * r) / length
    if pose_dim == 6:
        return torch.stack([turn, length.log(), across.log(), along / across, x, y], dim=1)
    uneven = torch.maximum((across / length - 1).abs(), (along / length).abs())
    if bool((uneven > 1e-3).any()):
        raise ValueError("matrix: shears or scales unequally, expected a turn times a scale; use pose_dim=6")
    return torch.stack([turn, length.log(), x, y], dim=1)


def _product(left: Tensor, right: Tensor) -> Tensor:
    """First `right`, then `left`: (n, 2, 3)."""
    linear = left[:, :, :2] @ right
    return torch.cat([linear[:, :, :2], linear[:, :, 2:] + left[:, :, 2:]], dim=2)


def _inverse(matrix: Tensor) -> Tensor:
    (p, q, _), (r, w, _) = (row.unbind(1) for row in matrix.unbind(1))
    adjugate = torch.stack([torch.stack([w, -q], 1), torch.stack([-r, p], 1)], 1)
    back = adjugate / (p * w - q * r)[:, None, None]
    return torch.cat([back, -back @ matrix[:, :, 2:]], dim=2)


def compose_poses(first: Tensor, then: Tensor) -> Tensor:
    """Pose of two maps one after the other: ``warp(warp(x, first), then)`` shows it, up to interpolation.

    Parameters
    ----------
    first, then : Tensor of shape (n, 4) or (n, 6)
        Poses, in the order in which they act.

    Returns
    -------
    Tensor of the shape of `first`
        The turn lies in (-pi, pi].

    Raises
    ------
    ValueError
        If the shapes differ.

    Notes
    -----
    Taught in :ref:`transform_autoencoder`.
    """
    first, then = _poses(first, "first"), _poses(then, "then")
    if first.shape != then.shape:
        raise ValueError(f"then: got shape {tuple(then.shape)}, expected {tuple(first.shape)} as `first` has")
    return pose_of(_product(_matrix(then), _matrix(first)), first.shape[1])


def inverse_pose(pose: Tensor) -> Tensor:
    """Pose of the map that undoes each pose.

    Parameters
    ----------
    pose : Tensor of shape (n, 4) or (n, 6)
        Poses.

    Returns
    -------
    Tensor of the same shape
        Not minus the pose: the shifts are turned and scaled, too.

    Notes
    -----
    Taught in :ref:`transform_autoencoder`.

    Examples
    --------
    >>> pose = torch.tensor([[0.5, 0.1, 0.2, -0.1]])
    >>> bool(compose_poses(pose, inverse_pose(pose)).abs().max() < 1e-6)
    True
    """
    pose = _poses(pose)
    return pose_of(_inverse(_matrix(pose)), pose.shape[1])


# ----------------------------------------------------------------------------------------------
# The warp: no parameters, derivatives for images and poses.


def _side(columns: int, name: str) -> int:
    side = math.isqrt(columns)
    if side * side != columns or side < 2:
        raise ValueError(
            f"{name}: got {columns} pixels, expected a square image of at least 2 by 2: the warp turns about "
            "the centre, in units of the half-width; pad the shorter side"
        )
    return side


def _centres(side: int, like: Tensor) -> Tensor:
    """Centres of the pixels, row by row: right, up, 1; (side^2, 3)."""
    line = (2 * torch.arange(side, dtype=like.dtype, device=like.device) + 1) / side - 1
    up, right = torch.meshgrid(-line, line, indexing="ij")
    return torch.stack([right, up, torch.ones_like(up)], dim=-1).reshape(-1, 3)


def _warp(x: Tensor, matrix: Tensor, side: int) -> Tensor:
    looks = _centres(side, x) @ _inverse(matrix).mT  # (n, side^2, 2): where each pixel looks in the template
    # In pixels of the template with a frame of zeros: centres are whole numbers, beyond the frame is zero.
    column = ((looks[..., 0] + 1) * side / 2 + 0.5).clamp(0, side + 1)
    row = ((1 - looks[..., 1]) * side / 2 + 0.5).clamp(0, side + 1)
    left, top = column.detach().long().clamp(max=side), row.detach().long().clamp(max=side)
    a, b = column - left, row - top  # in [0, 1], (n, side^2)
    wide = side + 2
    framed = functional.pad(x.unflatten(1, (side, side)), (1, 1, 1, 1)).flatten(1)
    corner = left + wide * top
    four = framed.gather(1, torch.cat([corner, corner + 1, corner + wide, corner + wide + 1], dim=1))
    upper_left, upper_right, lower_left, lower_right = four.chunk(4, dim=1)
    upper, lower = torch.lerp(upper_left, upper_right, a), torch.lerp(lower_left, lower_right, a)
    return torch.lerp(upper, lower, b)


def warp(x: Tensor, pose: Tensor) -> Tensor:
    r"""Move each image by its pose: bilinear, zero outside, differentiable in both arguments.

    .. math:: (T_\theta x)(u) = x\bigl(A^{-1}(u - t)\bigr)

    Every pixel of the result looks *back* to where it came from. Pixel centres are at odd multiples of half a
    pixel, and the edges of the image at -1 and 1: the convention ``align_corners=False`` of
    ``torch.nn.functional.grid_sample``, which agrees to rounding (with the second axis turned, as its rows
    count downwards).

    Parameters
    ----------
    x : Tensor of shape (n, side * side)
        Images.
    pose : Tensor of shape (n, 4) or (n, 6)
        Poses; see `affine_matrix`.

    Returns
    -------
    Tensor of shape (n, side * side)
        The moved images.

    Raises
    ------
    TypeError, ValueError
        If the images are not square, the rows or dtypes do not match, or something is not finite.

    References
    ----------
    Jaderberg, Simonyan, Zisserman and Kavukcuoglu, 2015, arXiv:1506.02025 (the spatial transformer).

    Notes
    -----
    Taught in :ref:`transform_autoencoder`.

    Examples
    --------
    >>> x = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    >>> warp(x, torch.tensor([[0.0, 0.0, 1.0, 0.0]])).tolist()
    [[0.0, 1.0, 0.0, 3.0]]
    """
    pose = _poses(pose)
    columns = x.shape[1] if isinstance(x, Tensor) and x.ndim == 2 else 0
    side = _side(columns, "x") if columns else 2
    x = check_rows(x, side * side, like=pose)
    if len(x) != len(pose):
        raise ValueError(f"pose: got {len(pose)} rows, expected {len(x)}, one for each image")
    return _warp(x, _matrix(pose), side)


# ----------------------------------------------------------------------------------------------
# The model.


class PoseAndCode(NamedTuple):
    """What an encoder says about images.

    Attributes
    ----------
    pose : Tensor of shape (n, pose_dim)
        In human units, relative to the gauge.
    code : Tensor of shape (n, code_dim)
        What the template is drawn from.
    """

    pose: Tensor
    code: Tensor


@catalogued(
    examples=lambda d: [
        Fitted(
            TransformAutoencoder,
            code_dim=1,
            hidden=(8,),
            consistency=0.1,
            steps=10,
            device="cpu",
            random_state=0,
        ),
        Fitted(
            TransformAutoencoder,
            code_dim=1,
            hidden=(8,),
            pose_dim=6,
            strategy="betavae",
            beta=0.1,
            steps=10,
            device="cpu",
            random_state=0,
        ),
    ],
    dims=(4, 9),
    support="binary",
    cost={"fit": "O(steps * batch * (weights + pixels))", "log_prob": "none", "sample": "none"},
)
class TransformAutoencoder(nn.Module):
    r"""Autoencoder whose reconstruction is a template, drawn from the code, moved by the pose.

    The loss of a row is

    .. math:: |x - T_\theta D(c)|^2 + \beta \operatorname{KL}\bigl(q(c \mid x) \,\Vert\, p(c)\bigr)
        + w\, |c(T_h x) - c(x)|^2

    with the second term for the strategy "betavae" only, where :math:`c \sim q(\cdot \mid x)` and p is the
    standard normal law, and the third with a random pose h for each row. The strategy "mixing" has two terms
    of `mixing.MixingAutoencoder` instead, on templates: with :math:`\tilde c` of chunks of x and of another
    image, and :math:`\tilde x = T_\theta D(\tilde c)`, the cycle
    :math:`|x - T_\theta D(m c(\tilde x) + (1 - m) c(x))|^2`, and the cross-entropy of a classifier that
    sees the three templates and says whose each chunk is. No strategy has a law for the pose, so none has a
    density or samples.

    Parameters
    ----------
    dim : int
        Pixels of an image, a square number.
    code_dim : int
        Numbers in the code.
    pose_dim : {4, 6}
        Similarities, or all affine maps that keep the orientation.
    hidden : sequence of int
        Widths of the encoder's trunk, at least one; the decoder has them backwards.
    strategy : {"ae", "betavae", "mixing"}
        What regularizes the code.
    beta : float
        Weight of the KL term, for "betavae"; 1 if left out.
    chunks : int
        Equal pieces of the code, for "mixing"; 4 if left out.
    consistency : float
        Weight w of the term that asks a moved image for the same code.
    consistency_reach : float
        Limit of h, as a share of what the encoder's poses can reach.

    Raises
    ------
    ValueError
        If the images are not square, a size or weight is out of range, or a strategy or weight has no use.

    References
    ----------
    Hinton, Krizhevsky and Wang, 2011, "Transforming auto-encoders", ICANN. Koneripalli, Lohit, Anirudh and
    Turaga, 2020, "Rate-invariant autoencoding of time-series", ICASSP (the same idea in time). Jaderberg et
    al., 2015, arXiv:1506.02025.

    Notes
    -----
    Taught in :ref:`transform_autoencoder`.

    Examples
    --------
    >>> model = TransformAutoencoder(256, code_dim=8)
    >>> pose, code = model.encode(torch.zeros(3, 256))
    >>> model.template(code).shape, model.decode(pose, code).shape
    (torch.Size([3, 256]), torch.Size([3, 256]))
    """

    likelihood = Likelihood.NONE
    gauge: Tensor
    reach: Tensor

    def __init__(
        self,
        dim: int,
        *,
        code_dim: int = 8,
        pose_dim: int = 4,
        hidden: Sequence[int] = (128,),
        strategy: Literal["ae", "betavae", "mixing"] = "ae",
        beta: float | None = None,
        chunks: int | None = None,
        consistency: float = 0.0,
        consistency_reach: float = 0.3,
    ) -> None:
        super().__init__()
        self.dim, self.code_dim = check_count("dim", dim), check_count("code_dim", code_dim)
        self.side = _side(self.dim, "dim")
        if pose_dim not in _REACH or not hidden:
            raise ValueError(
                f"pose_dim, hidden: got {pose_dim!r} and {hidden!r}, expected 4 or 6, and a width"
            )
        if strategy not in ("ae", "betavae", "mixing"):
            raise ValueError(f"strategy: got {strategy!r}, expected 'ae', 'betavae' or 'mixing'")
        if beta is not None and strategy != "betavae":
            raise ValueError(f"beta: got {beta!r}, which works with strategy='betavae' only")
        if chunks is not None and strategy != "mixing":
            raise ValueError(f"chunks: got {chunks!r}, which works with strategy='mixing' only")
        self.chunks = check_count("chunks", 4 if chunks is None else chunks, 2)
        if strategy == "mixing" and code_dim % self.chunks:
            raise ValueError(f"chunks: got {self.chunks}, expected a divisor of code_dim={code_dim}")
        beta = (1.0 if beta is None else beta) if strategy == "betavae" else 0.0
        weights = {"beta": beta, "consistency": consistency, "consistency_reach": consistency_reach}
        for name, value in weights.items():
            if not 0 <= value < math.inf:
                raise ValueError(f"{name}: got {value!r}, expected a number of at least 0")
        self.pose_dim, self.strategy, self.beta = pose_dim, strategy, beta
        self.consistency, self.consistency_reach = consistency, consistency_reach
        self.trunk = nn.Sequential(mlp(dim, hidden[-1], hidden=hidden[:-1]), nn.SiLU())
        self.pose_head = nn.Linear(hidden[-1], pose_dim)
        self.code_head = nn.Linear(hidden[-1], code_dim * (2 if strategy == "betavae" else 1))
        self.decoder = mlp(code_dim, dim, hidden=tuple(hidden)[::-1])
        if strategy == "mixing":
            self.classifier = mlp(3 * dim, self.chunks, hidden=hidden[-1:])
        nn.init.zeros_(
            self.pose_head.weight
        )  # training starts at the identity: every pose has a gradient there
        nn.init.zeros_(self.pose_head.bias)
        self.register_buffer("reach", torch.tensor(_REACH[pose_dim]))
        self.register_buffer("gauge", torch.eye(2, 3)[None])

    # --- encoder and decoder

    def _heads(self, x: Tensor) -> tuple[Tensor, Tensor]:
        inner = self.trunk(x)
        return self.reach * torch.tanh(self.pose_head(inner) / self.reach), self.code_head(inner)

    def encode(self, x: Tensor) -> PoseAndCode:
        """Find pose and code of each image.

        Parameters
        ----------
        x : Tensor of shape (n, dim)
            Images.

        Returns
        -------
        PoseAndCode
            The pose in the gauge of `fix_gauge`; of a "betavae" the code is the mean.

        Raises
        ------
        TypeError, ValueError
            If `x` is no finite tensor of this shape and the module's dtype.
        """
        pose, code = self._heads(check_rows(x, self.dim, like=next(self.parameters())))
        matrix = _product(_matrix(pose), _inverse(self.gauge).expand(len(pose), -1, -1))
        return PoseAndCode(pose_of(matrix, self.pose_dim), code[:, : self.code_dim])

    def template(self, code: Tensor) -> Tensor:
        """Draw the template of each code, in the gauge of `fix_gauge`.

        Parameters
        ----------
        code : Tensor of shape (n, code_dim)
            Codes.

        Returns
        -------
        Tensor of shape (n, dim)
            Images before the warp.

        Raises
        ------
        TypeError, ValueError
            If `code` is no finite tensor of this shape and the module's dtype.
        """
        still = torch.zeros(len(code), self.pose_dim, dtype=code.dtype, device=code.device)
        return self.decode(still, code)

    def decode(self, pose: Tensor, code: Tensor) -> Tensor:
        """Draw the template of each code, and move it; interpolated once, from the decoder's pixels.

        Parameters
        ----------
        pose : Tensor of shape (n, pose_dim)
            Poses in the gauge of `fix_gauge`.
        code : Tensor of shape (n, code_dim)
            Codes.

        Returns
        -------
        Tensor of shape (n, dim)
            Images, values in [0, 1].

        Raises
        ------
        TypeError, ValueError
            If a tensor is not finite, or of another shape or dtype.
        """
        like = next(self.parameters())
        check_rows(code, self.code_dim, like=like, name="code")
        check_rows(pose, self.pose_dim, like=like, name="pose")
        matrix = _product(_matrix(pose), self.gauge.expand(len(pose), -1, -1))
        return _warp(self._draw(code), matrix, self.side)

    def _draw(self, code: Tensor) -> Tensor:
        return torch.sigmoid(self.decoder(code))

    def reconstruct(self, x: Tensor) -> Tensor:
        """Pass images through pose and code and back.

        Parameters
        ----------
        x : Tensor of shape (n, dim)
            Images.

        Returns
        -------
        Tensor of shape (n, dim)
            Reconstructions.
        """
        return self.decode(*self.encode(x))

    # --- training

    def loss(self, batch: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Loss of each row; see the class.

        Parameters
        ----------
        batch : Tensor of shape (n, dim)
            Images.
        generator : torch.Generator, optional
            Source of the noise.

        Returns
        -------
        Tensor of shape (n,)
            Squared error, summed over the pixels, with what the strategy adds.
        """
        pose, code = self._heads(batch)
        extra = torch.zeros_like(pose[:, 0])
        mean = code[:, : self.code_dim]
        drawn = mean
        if self.strategy == "betavae":
            posterior = DiagonalGaussian(mean, code[:, self.code_dim :].clamp(-12.0, 12.0))
            drawn = posterior.rsample(1, generator=generator)[0]
            extra = self.beta * posterior.kl_to_prior()
        elif self.strategy == "mixing":
            extra = self._mixing(batch, _matrix(pose), code, generator)
        if self.consistency:
            noise = torch.rand(pose.shape, generator=generator, dtype=pose.dtype, device=pose.device)
            moved = _warp(batch, _matrix((2 * noise - 1) * self.reach * self.consistency_reach), self.side)
            again = self._heads(moved)[1][:, : self.code_dim]
            extra = extra + self.consistency * (again - mean).square().sum(dim=1)
        image = _warp(self._draw(drawn), _matrix(pose), self.side)
        return (batch - image).square().sum(dim=1) + extra

    def _mixing(
        self, batch: Tensor, matrix: Tensor, code: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """Cycle and classifier of each row; each mixture stands as its first image does."""
        partner = draw_partners(batch, generator=generator)
        mask = draw_masks(len(batch), self.chunks, generator=generator).to(batch.device)
        template = self._draw(code)
        mixed = self._draw(mix_chunks(code, code[partner], mask))
        again = self._heads(_warp(mixed, matrix, self.side))[1]
        unmixed = _warp(self._draw(mix_chunks(again, code, mask)), matrix, self.side)
        logits = self.classifier(torch.cat([template, template[partner], mixed], dim=1))  # (n, chunks)
        source = functional.binary_cross_entropy_with_logits(logits, mask.to(logits), reduction="none")
        return (batch - unmixed).square().sum(dim=1) + source.mean(dim=1)

    @torch.no_grad()
    def fix_gauge(self, x: Tensor, *, max_iter: int = 100) -> TransformAutoencoder:
        r"""Choose the map h, in :math:`\theta \to \theta h^{-1}`, that centres poses of *training* data.

        Every template is moved by h, so reconstructions stay. Test data have no part in it: the mean pose of
        a test set is a result, not zero.

        Parameters
        ----------
        x : Tensor of shape (n, dim)
            Training images.
        max_iter : int
            Rounds; one centres turns and scales of similarities, the others follow quickly.

        Returns
        -------
        TransformAutoencoder
            Itself. The mean of ``encode(x).pose`` is zero, to rounding.

        Raises
        ------
        RuntimeError
            If the mean does not settle, which takes poses that fill more than half a turn.
        """
        self.gauge.copy_(torch.eye(2, 3)[None])
        for _ in range(max_iter):
            mean = self.encode(x).pose.mean(dim=0, keepdim=True)
            self.gauge.copy_(_product(_matrix(mean), self.gauge))
            if float(mean.abs().max()) < 50 * torch.finfo(mean.dtype).eps:
                return self
        raise RuntimeError(
            f"the mean pose is still {mean[0].tolist()} after {max_iter} rounds; is it trained?"
        )

    def log_prob(self, x: Tensor) -> NoReturn:
        """Refuse: no strategy has a law of the pose.

        Parameters
        ----------
        x : Tensor of shape (n, dim)
            Points.

        Raises
        ------
        NotImplementedError
            Always; it says what to use instead.
        """
        raise NotImplementedError(
            "TransformAutoencoder has no density: its pose has no law. Compare reconstructions by loss(x); "
            "use BetaVAE.elbo or a flow instead where a density is needed"
        )


def parameter_counts(model: nn.Module) -> dict[str, int]:
    """Count the trainable numbers of each part of a model.

    Parameters
    ----------
    model : torch.nn.Module
        The model.

    Returns
    -------
    dict of str to int
        One entry for each child module that has any, and "total".

    Notes
    -----
    Taught in :ref:`transform_autoencoder`.

    Examples
    --------
    >>> parameter_counts(TransformAutoencoder(4, code_dim=2, hidden=(3,)))
    {'trunk': 15, 'pose_head': 16, 'code_head': 8, 'decoder': 25, 'total': 64}
    """
    found = {
        name: sum(p.numel() for p in child.parameters() if p.requires_grad)
        for name, child in model.named_children()
    }
    found = {name: count for name, count in found.items() if count}
    return {**found, "total": sum(p.numel() for p in model.parameters() if p.requires_grad)}


# ----------------------------------------------------------------------------------------------
# What can be measured although the gauge of each class is free.


def _by_class(y: ArrayLike, rows: int) -> list[NDArray[np.bool_]]:
    classes = np.asarray(y)
    if classes.shape != (rows,):
        raise ValueError(f"y: got shape {classes.shape}, expected ({rows},), one class for each row")
    members = [classes == k for k in np.unique(classes)]
    if min(m.sum() for m in members) < 2:
        raise ValueError("y: a class has one row only, expected at least two")
    return members


def _table(values: ArrayLike, name: str) -> NDArray[np.float64]:
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or not np.isfinite(table).all():
        raise ValueError(
            f"{name}: got shape {table.shape}, expected a finite table with one row for each image"
        )
    return table


def within_class_correlation(found: ArrayLike, true: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
    """Correlation of found and true poses after the mean of each class has been taken from both.

    An offset for each class is what the gauge leaves free, so it does not count.

    Parameters
    ----------
    found, true : array_like of shape (n, k)
        Poses.
    y : array_like of shape (n,)
        Class of each row.

    Returns
    -------
    ndarray of shape (k,)
        One correlation for each column; 0 where one side does not vary.

    Raises
    ------
    ValueError
        If shapes do not match, or a class has one row only.

    Notes
    -----
    Taught in :ref:`transform_autoencoder`.

    Examples
    --------
    >>> found, true = [[0.0], [1.0], [7.0], [9.0]], [[0.0], [1.0], [2.0], [4.0]]
    >>> within_class_correlation(found, true, [0, 0, 1, 1]).tolist()
    [1.0]
    """
    a, b = _table(found, "found"), _table(true, "true")
    if a.shape != b.shape:
        raise ValueError(f"true: got shape {b.shape}, expected {a.shape} as `found` has")
    a, b = a.copy(), b.copy()
    for rows in _by_class(y, len(a)):
        a[rows] -= a[rows].mean(axis=0)
        b[rows] -= b[rows].mean(axis=0)
    size = np.sqrt(np.square(a).sum(axis=0) * np.square(b).sum(axis=0))
    return np.where(size > 1e-20, (a * b).sum(axis=0) / np.where(size > 1e-20, size, 1.0), 0.0)


def within_class_variance(x: ArrayLike, y: ArrayLike) -> float:
    """Variance of a pixel among the images of one class, mean over pixels and classes.

    Parameters
    ----------
    x : array_like of shape (n, dim)
        Images, or templates.
    y : array_like of shape (n,)
        Class of each row.

    Returns
    -------
    float
        In squared units of a pixel.

    Raises
    ------
    ValueError
        If shapes do not match, or a class has one row only.

    Notes
    -----
    Taught in :ref:`transform_autoencoder`.

    Examples
    --------
    >>> within_class_variance([[0.0], [2.0], [5.0], [5.0]], [0, 0, 1, 1])
    0.5
    """
    images = _table(x, "x")
    return float(np.mean([images[rows].var(axis=0).mean() for rows in _by_class(y, len(images))]))
