r"""The one training loop: any module with ``loss(batch)``, on any device, that survives a kill.

.. math:: \min_\theta \; \frac{1}{n} \sum_{i=1}^{n} \mathrm{loss}_\theta(x_i)

by steps on random batches. A module's ``loss`` gives one value per row; its mean is minimized::

    history = train(model, X, epochs=20, batch_size=128, lr=1e-3, random_state=0)

Taught in :ref:`use`.
"""

from __future__ import annotations

import atexit
import hashlib
import inspect
import io
import math
import os
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

__all__ = ["CheckpointError", "History", "train"]

Data: TypeAlias = "Tensor | Sequence[Tensor]"


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be read, or that belongs to another run."""


@dataclass(frozen=True)
class History:
    """What happened during training, as arrays ready to plot.

    Attributes
    ----------
    loss : ndarray of shape (steps,)
        Mean loss of each step's batch, before the step.
    lr : ndarray of shape (steps,)
        Learning rate of each step.
    held_out : ndarray of shape (epochs,)
        Held-out loss after each epoch (of the averaged weights where `ema` is used); empty without held-out
        data.
    steps_per_epoch : int
        Steps in a whole epoch.
    best_epoch : int or None
        Epoch (counted from 0) whose held-out loss is least.
    stopped_early : bool
        Whether patience ran out.
    device : str
        Where it ran, in words.
    seconds : float
        Wall time, summed over all runs that a checkpoint joins.
    turns : tuple of str
        Whose step each was, over and over; empty where a model has no players.
    """

    loss: NDArray[np.float64]
    lr: NDArray[np.float64]
    held_out: NDArray[np.float64]
    steps_per_epoch: int
    best_epoch: int | None
    stopped_early: bool
    device: str
    seconds: float
    turns: tuple[str, ...] = ()

    def of(self, player: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Give the steps at which a player moved and its losses there, for a plot of each player's curve.

        Parameters
        ----------
        player : str
            One of `turns`.

        Returns
        -------
        steps, losses : ndarray of shape (moves,)
            Counted from 0, and the mean loss of each step's batch before the step.

        Raises
        ------
        ValueError
            If nobody of that name moved.
        """
        if player not in self.turns:
            raise ValueError(f"player={player!r}: expected one of {sorted(set(self.turns))}")
        steps = np.array(
            [k for k in range(len(self.loss)) if self.turns[k % len(self.turns)] == player], dtype=np.int64
        )
        return steps, self.loss[steps]

    @property
    def epoch_loss(self) -> NDArray[np.float64]:
        """Mean of the steps' losses in each epoch, of shape (epochs,); the last epoch may be a part."""
        starts = range(0, len(self.loss), self.steps_per_epoch)
        return np.array([self.loss[start : start + self.steps_per_epoch].mean() for start in starts])


def train(
    model: nn.Module,
    data: Data,
    *,
    epochs: int | None = None,
    steps: int | None = None,
    batch_size: int = 128,
    lr: float | Mapping[str, float] = 1e-3,
    optimizer: Callable[..., torch.optim.Optimizer] | None = None,
    schedule: Literal["cosine"] | Callable[[torch.optim.Optimizer], Any] | None = None,
    held_out: Data | None = None,
    patience: int | None = None,
    clip: float | None = None,
    ema: float | None = None,
    random_state: int | None = None,
    device: str | torch.device | None = None,
    amp: bool = False,
    compile: bool | str = False,
    checkpoint: str | Path | None = None,
    save_every: int = 1,
    resume: bool = True,
    progress: bool | None = None,
) -> History:
    """Fit `model` to `data`: minimize the mean of ``model.loss`` by random batches.

    The model is changed in place: it ends on `device`, in evaluation mode, with the best weights if
    `patience` is given, else the averaged ones if `ema` is given, else the last ones.

    Parameters
    ----------
    model : torch.nn.Module
        Has ``loss(batch)`` that returns one value per row, of shape (rows,). If ``loss`` also takes
        ``generator``, it is given a ``torch.Generator`` on `device` from which to draw its noise. If it has
        ``check_data(data)``, that is called once on all data, to refuse what its loss is not made for.
    data : Tensor of shape (n, ...) or sequence of such tensors
        Training data. A sequence (inputs, labels, ...) arrives in ``loss`` as a tuple. It is moved to
        `device` whole.
    epochs, steps : int
        How long: passes through the data, or steps in all. Give one of them.
    batch_size : int
        Rows per step, over all processes together. The last batch of an epoch takes what is left.
    lr : float or mapping of str to float
        Learning rate; where a model has players, a mapping gives each its own.
    optimizer : callable, optional
        ``optimizer(parameters, lr=lr)``, such as ``torch.optim.SGD``. By default Adam, fused where that
        exists.
    schedule : "cosine" or callable, optional
        How the learning rate moves: "cosine" lowers it to zero over the run; ``schedule(optimizer)`` returns
        one of torch's schedulers, which is stepped after every step.
    held_out : like `data`, optional
        Data whose mean loss is recorded after each epoch, with the same noise each time.
    patience : int, optional
        Stop after so many epochs without a lower held-out loss, and take back the best weights.
    clip : float, optional
        Largest norm of the gradient; a longer one is shortened to it.
    ema : float, optional
        Decay of an exponential moving average of the weights, such as 0.999. It starts at the weights after
        the first step.
    random_state : int, optional
        Decides the order of the data and all noise drawn during training. The caller's global generators are
        left as they were.
    device : str or torch.device, optional
        By default CUDA where there is a GPU, else the CPU.
    amp : bool
        Compute the loss in bfloat16 where that is safe (autocast). Worth it for large models on a GPU.
    compile : bool or str
        Compile the loss with ``torch.compile`` (a string names its backend). Worth it for long runs on a GPU.
    checkpoint : path, optional
        File to which the state of the run is saved, in one step: a kill leaves the old file or the new one.
    save_every : int
        Epochs between two checkpoints; the end of the run is always saved.
    resume : bool
        Go on from `checkpoint` if that file exists. On the CPU the outcome is bit for bit that of a run that
        was never interrupted. A finished run is only read back; more `epochs` make it longer.
    progress : bool, optional
        Whether to show a progress bar. By default only in a terminal.

    Returns
    -------
    History
        Losses and learning rates as arrays.

    Raises
    ------
    TypeError
        If `model` has no ``loss``, or `data` is no tensor.
    ValueError
        If `data` is empty, not finite or of the wrong dtype; if a setting is out of range; if CUDA is asked
        for and absent; if ``loss`` does not give one value per row.
    FloatingPointError
        If the loss or a weight stops being finite; the message names the step, the learning rate and the last
        checkpoint, which is always finite.
    torch.OutOfMemoryError
        If a batch does not fit into memory; the message names the batch size to try.
    CheckpointError
        If the checkpoint cannot be read, or belongs to another model, other data or other settings.

    Notes
    -----
    Every step is checked for a finite loss on the CPU. On a GPU, where reading a number makes the device
    wait, the losses are checked at the end of each epoch.

    Players: a model may have ``players()``, which names groups of its parameters, ``{"name": parameters}``,
    and ``turns``, a sequence of those names. Each step is then one player's: step `k` is that of ``turns[k %
    len(turns)]``, on the next batch, with ``loss(batch, player=name)``, and moves that player's parameters
    only, by an optimizer of its own. Turns ``("a", "a", "b")`` are two steps of `a` for one of `b`. If the
    model also has ``after_step(player)``, it is called after each step, without gradients. Such a model has
    no single loss that could be held out.

    Started by ``torchrun`` with several processes, each takes its share of every batch and
    DistributedDataParallel adds up the gradients. If ``loss`` is a function of each row alone and draws no
    noise, the gradient is that of one process except for the order of summation (each process draws its own
    noise, and batch normalization sees only its process's share).

    References
    ----------
    Kingma and Ba, 2015, arXiv:1412.6980 (Adam). Polyak and Juditsky, 1992 (averaging of weights).

    Taught in :ref:`use`.

    Examples
    --------
    >>> class Mean(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.mean = nn.Parameter(torch.zeros(2))
    ...     def loss(self, batch):
    ...         return (batch - self.mean).square().sum(dim=1)
    >>> model = Mean()
    >>> history = train(model, torch.ones(64, 2), epochs=200, lr=0.1, random_state=0, device="cpu")
    >>> bool(torch.allclose(model.mean, torch.ones(2), atol=1e-3))
    True
    """
    # Errors before work.
    _check_model(model)
    _check_settings(
        model, epochs, steps, batch_size, lr, clip, ema, patience, save_every, held_out, random_state
    )
    dtype = next(p.dtype for p in model.parameters() if p.requires_grad)
    tensors = _check_data(data, "data", dtype)
    held_out_tensors = None if held_out is None else _check_data(held_out, "held_out", dtype)
    if callable(check := getattr(model, "check_data", None)):
        for given in filter(None, (tensors, held_out_tensors)):
            check(given[0] if len(given) == 1 else given)
    team = _join_team()
    place = _choose_device(device)

    rows = len(tensors[0])
    steps_per_epoch = math.ceil(rows / batch_size)
    total = steps if steps is not None else steps_per_epoch * (epochs or 0)

    # Everything that has a state, and so goes into the checkpoint.
    model.to(place).train()
    players = _Players(model, lr, optimizer, schedule, total)
    average = None if ema is None else AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(ema))
    log = _Log()
    file = _Checkpoint(checkpoint, save_every * steps_per_epoch, model, players, average, log, team)
    settings: dict[str, Any] = {
        "batch_size": batch_size,
        "lr": {name: float(rate) for name, rate in lr.items()} if isinstance(lr, Mapping) else float(lr),
        "optimizer": players.optimizer_name,
        "schedule": schedule if isinstance(schedule, str | None) else "given",
        "length of the cosine": total if schedule == "cosine" else None,
        "clip": clip,
        "ema": ema,
        "processes": team.size,
    }
    if players.names:
        settings["turns"] = list(players.turns)
    if checkpoint is not None:
        settings["data"] = _fingerprint(tensors)
        settings["held_out"] = held_out_tensors and _fingerprint(held_out_tensors)
    found = file.read(settings, random_state) if resume else None
    seed = found["seed"] if found else team.agree_on(_new_seed(random_state))
    noise = torch.Generator(place).manual_seed(_derive(seed, "noise", team.rank))

    tensors = tuple(tensor.to(place) for tensor in tensors)
    forward: Any = _Loss(model, noise, amp)
    if team.size > 1:
        several = len(players.optimizers) > 1
        forward = nn.parallel.DistributedDataParallel(forward, find_unused_parameters=several)
    if compile:
        forward = torch.compile(forward, backend="inductor" if compile is True else compile)
    judged = model if average is None else average.module

    with (
        _own_global_generators(place, _derive(seed, "global", team.rank)),
        _bar(progress, total, team) as bar,
        _memory_for(batch_size, place),
        players.one_at_a_time(),
    ):
        if found:
            file.restore(found, noise, place)
            bar.update(log.step)
        bar.set_description(_name(place))
        clock, order = time.perf_counter() - log.seconds, None

        while log.step < total and not log.out_of(patience):
            # 1. The next batch of this epoch's order, and this process's share of it.
            epoch, k = divmod(log.step, steps_per_epoch)
            if k == 0 or order is None:
                order = _order(rows, seed, epoch).to(place)
            batch = order[k * batch_size : (k + 1) * batch_size]
            share, counts = team.share_of(batch)

            # 2. The mean of the loss over the batch, and its gradient.
            player = players.take_turn(log.step)
            values = forward(*(tensor.index_select(0, share) for tensor in tensors), **player.options)
            mine = values.sum() * (counts / len(batch))  # this process's part of the mean
            log.loss.append(team.sum(mine.detach()))
            log.lr.append(player.optimizer.param_groups[0]["lr"])
            if place.type == "cpu":
                _check_finite(log, file)
            player.optimizer.zero_grad(set_to_none=True)
            (mine * team.size).backward()  # DistributedDataParallel takes the mean over processes

            # 3. The step.
            if clip is not None:
                nn.utils.clip_grad_norm_(player.weights, clip)
            player.optimizer.step()
            if player.scheduler is not None:
                player.scheduler.step()
            players.after_step(player)
            if average is not None:
                average.update_parameters(model)
            log.step += 1
            bar.update()

            # 4. The end of an epoch, or of the run: look at the held-out data and save.
            end_of_epoch = k + 1 == steps_per_epoch
            if end_of_epoch or log.step == total:
                _check_finite(log, file, players.weights)
                if held_out_tensors is not None and end_of_epoch:
                    loss = _held_out_loss(judged, held_out_tensors, batch_size, seed, place, amp)
                    log.judge(team.of_first(loss), judged)
                    _check_finite(log, file)
                    model.train()
                log.seconds = time.perf_counter() - clock
                bar.set_postfix(log.summary(steps_per_epoch, players.turns), refresh=False)
                if log.step % file.every == 0 or log.step >= total or log.out_of(patience):
                    file.save(settings, seed, noise, place)

    if patience is not None and log.best is not None:
        model.load_state_dict(log.best)
    elif average is not None:
        model.load_state_dict(judged.state_dict())
    model.eval()
    return log.history(steps_per_epoch, patience, _name(place), players.turns)


# ----------------------------------------------------------------------------------------------
# The parts of a step.


class _Loss(nn.Module):
    """``model.loss`` as a forward pass: what DistributedDataParallel and ``torch.compile`` can wrap."""

    def __init__(self, model: nn.Module, noise: torch.Generator, amp: bool) -> None:
        super().__init__()
        self.model, self.amp = model, amp
        takes_noise = "generator" in inspect.signature(model.loss).parameters
        self.options = {"generator": noise} if takes_noise else {}
        self.dtype = next(p.dtype for p in model.parameters() if p.requires_grad)

    def forward(self, *batch: Tensor, **player: str) -> Tensor:
        rows = batch[0]
        with torch.autocast(rows.device.type, torch.bfloat16, enabled=self.amp):
            values = self.model.loss(rows if len(batch) == 1 else batch, **player, **self.options)
        if values.shape != rows.shape[:1]:
            came = tuple(values.shape)
            raise ValueError(
                f"model.loss gave shape {came} for a batch of {len(rows)} rows: expected one value per row, "
                f"({len(rows)},). Sum over the columns, and leave the mean over the rows to `train`."
            )
        return values.to(self.dtype)  # sums in bfloat16 would keep three digits


def _adam(weights: list[nn.Parameter], lr: float) -> torch.optim.Optimizer:
    """Adam in one kernel where torch has it: the same arithmetic without a Python loop over the weights."""
    fused = all(w.device.type in ("cpu", "cuda") and w.is_floating_point() for w in weights)
    return torch.optim.Adam(weights, lr=lr, fused=fused)


@dataclass
class _Player:
    """Who moves in a step: some weights, with what steps them. A model without players is one, unnamed."""

    name: str | None
    weights: list[nn.Parameter]
    optimizer: torch.optim.Optimizer
    scheduler: Any

    @property
    def options(self) -> dict[str, str]:
        """What its loss is told."""
        return {} if self.name is None else {"player": self.name}


class _Players:
    """All who move, in their turns; their states go into the checkpoint."""

    def __init__(self, model: nn.Module, lr: Any, optimizer: Any, schedule: Any, total: int) -> None:
        self.model = model
        self.weights = [p for p in model.parameters() if p.requires_grad]
        groups = _players_of(model)
        self.turns: tuple[str, ...] = tuple(getattr(model, "turns", ())) if groups else ()
        self.names = list(groups)
        self.all: dict[str | None, _Player] = {}
        for name, group in (groups or {None: self.weights}).items():
            own = [p for p in group if p.requires_grad]
            rate = lr[name] if isinstance(lr, Mapping) else lr
            steps = _adam(own, rate) if optimizer is None else optimizer(own, lr=rate)
            moves = total
            if self.turns:
                rounds, rest = divmod(total, len(self.turns))
                moves = rounds * self.turns.count(name) + self.turns[:rest].count(name)
            self.all[name] = _Player(name, own, steps, _scheduler(schedule, steps, max(1, moves)))

    @property
    def optimizers(self) -> list[torch.optim.Optimizer]:
        return [player.optimizer for player in self.all.values()]

    @property
    def optimizer_name(self) -> str:
        return type(self.optimizers[0]).__name__

    def take_turn(self, step: int) -> _Player:
        """Choose who moves, and let gradients flow to that player's weights only."""
        player = self.all[self.turns[step % len(self.turns)] if self.turns else None]
        if len(self.all) > 1:
            for weight in self.weights:
                weight.requires_grad_(False)
            for weight in player.weights:
                weight.requires_grad_(True)
        return player

    def after_step(self, player: _Player) -> None:
        if player.name is not None and callable(then := getattr(self.model, "after_step", None)):
            with torch.no_grad():
                then(player.name)

    @contextmanager
    def one_at_a_time(self) -> Iterator[None]:
        """Give all weights their gradients back afterwards, whatever happens."""
        try:
            yield
        finally:
            for weight in self.weights:
                weight.requires_grad_(True)

    def parts(self) -> dict[str, Any]:
        """Everything with a state, by the name under which a checkpoint keeps it."""
        found: dict[str, Any] = {}
        for name, player in self.all.items():
            suffix = "" if name is None else f" of {name}"
            found[f"optimizer{suffix}"] = player.optimizer
            found[f"scheduler{suffix}"] = player.scheduler
        return found


def _players_of(model: nn.Module) -> dict[Any, list[nn.Parameter]]:
    """Read what ``model.players()`` says; nothing for a model that has no players."""
    found = getattr(model, "players", None)
    return {name: list(group) for name, group in found().items()} if callable(found) else {}


def _scheduler(schedule: Any, optimizer: torch.optim.Optimizer, total: int) -> Any:
    if schedule is None:
        return None
    scheduler = CosineAnnealingLR(optimizer, total) if schedule == "cosine" else schedule(optimizer)
    if isinstance(scheduler, ReduceLROnPlateau):
        raise TypeError(
            "schedule: ReduceLROnPlateau needs a loss at every step; give a schedule that needs none"
        )
    return scheduler


@contextmanager
def _memory_for(batch_size: int, place: torch.device) -> Iterator[None]:
    """Say which batch size to try when one does not fit, on a GPU or on a CPU."""
    try:
        yield
    except RuntimeError as error:
        words = str(error).lower()
        short = isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in words
        if not short:
            raise
        hint = f"try batch_size={batch_size // 2}" if batch_size > 1 else "the model itself is too large"
        said = str(error).strip().splitlines()[0] if str(error).strip() else "out of memory"
        raise torch.OutOfMemoryError(
            f"batch_size={batch_size} does not fit into the memory of {_name(place)}: {hint} ({said})"
        ) from error


def _held_out_loss(
    model: nn.Module, tensors: tuple[Tensor, ...], batch_size: int, seed: int, place: torch.device, amp: bool
) -> float:
    """Mean loss in evaluation mode, with the same noise whenever it is asked for.

    Gradients stay on: a loss may differentiate with respect to its input.
    """
    model.eval()
    noise = torch.Generator(place).manual_seed(_derive(seed, "held-out", 0))
    forward, total = _Loss(model, noise, amp), 0.0
    for batch in zip(*(tensor.split(batch_size) for tensor in tensors), strict=True):
        total += float(forward(*(part.to(place) for part in batch)).detach().sum())
    return total / len(tensors[0])


@dataclass
class _Log:
    """How far the run is and what it has seen."""

    step: int = 0
    loss: list[Any] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    held_out: list[float] = field(default_factory=list)
    best: dict[str, Tensor] | None = None
    seconds: float = 0.0

    def judge(self, loss: float, model: nn.Module) -> None:
        """Record a held-out loss, and keep the weights if it is the least so far."""
        self.held_out.append(loss)
        if loss == min(self.held_out) and self.held_out.count(loss) == 1:
            self.best = {name: value.detach().clone() for name, value in model.state_dict().items()}

    def best_epoch(self) -> int | None:
        return int(np.argmin(self.held_out)) if self.held_out else None

    def out_of(self, patience: int | None) -> bool:
        best = self.best_epoch()
        return patience is not None and best is not None and len(self.held_out) - 1 - best >= patience

    def summary(self, steps_per_epoch: int, turns: tuple[str, ...]) -> dict[str, str]:
        last = range(max(0, len(self.loss) - steps_per_epoch), len(self.loss))
        names = {turns[k % len(turns)]: None for k in last} if turns else {"loss": None}
        shown = {}
        for name in names:
            own = [self.loss[k] for k in last if not turns or turns[k % len(turns)] == name]
            shown[name] = f"{np.mean(own):.4g}"
        return shown | ({"held out": f"{self.held_out[-1]:.4g}"} if self.held_out else {})

    def history(
        self, steps_per_epoch: int, patience: int | None, device: str, turns: tuple[str, ...]
    ) -> History:
        return History(
            loss=np.array(self.loss, dtype=float),
            lr=np.array(self.lr, dtype=float),
            held_out=np.array(self.held_out, dtype=float),
            steps_per_epoch=steps_per_epoch,
            best_epoch=self.best_epoch(),
            stopped_early=self.out_of(patience),
            device=device,
            seconds=self.seconds,
            turns=turns,
        )


def _check_finite(log: _Log, file: _Checkpoint, weights: Sequence[Tensor] = ()) -> None:
    """Stop where a loss or a weight is not a number, and say what is known about it."""
    new = slice(file.looked_at, None)
    if log.loss[new]:
        log.loss[new] = torch.stack(log.loss[new]).tolist()  # one wait for all of them
    bad = [step for step in range(file.looked_at, len(log.loss)) if not math.isfinite(log.loss[step])]
    file.looked_at = len(log.loss)
    step = bad[0] if bad else len(log.loss) - 1
    if bad:
        what = f"the loss is {log.loss[step]}"
    elif not all(bool(torch.isfinite(weight).all()) for weight in weights):
        what = "a weight is no longer finite"
    elif not all(map(math.isfinite, log.held_out[-1:])):
        what = f"the held-out loss is {log.held_out[-1]}"
    else:
        return
    raise FloatingPointError(
        f"{what} at step {step} (counted from 0), learning rate {log.lr[step]:g}. {file.last_finite()} "
        "Lower lr, shorten gradients with clip=1.0, or look for log(0), x/0 and exp(large) in the loss."
    )


# ----------------------------------------------------------------------------------------------
# Randomness: one seed decides everything, and nothing global is left changed.


def _new_seed(random_state: int | None) -> int:
    return int(np.random.SeedSequence().generate_state(1)[0]) if random_state is None else int(random_state)


def _derive(seed: int, role: str, number: int) -> int:
    """Derive a seed for one role, unrelated to those of the other roles."""
    return int(np.random.SeedSequence([seed, zlib.crc32(role.encode()), number]).generate_state(1)[0])


def _order(rows: int, seed: int, epoch: int) -> Tensor:
    """Order of the rows in an epoch: a function of seed and epoch, so that no state need be saved."""
    return torch.randperm(rows, generator=torch.Generator().manual_seed(_derive(seed, "order", epoch)))


@contextmanager
def _own_global_generators(place: torch.device, seed: int) -> Iterator[None]:
    """Let torch's global generators (dropout draws from them) follow `seed`, and put them back afterwards."""
    with torch.random.fork_rng([place] if place.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)
        if place.type == "cuda":
            with torch.cuda.device(place):
                torch.cuda.manual_seed(seed)
        yield


def _generator_states(noise: torch.Generator, place: torch.device) -> list[Tensor]:
    states = [noise.get_state(), torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(place)] if place.type == "cuda" else states


def _set_generator_states(states: list[Tensor], noise: torch.Generator, place: torch.device) -> None:
    noise.set_state(states[0])
    torch.set_rng_state(states[1])
    if place.type == "cuda" and len(states) > 2:
        torch.cuda.set_rng_state(states[2], place)


# ----------------------------------------------------------------------------------------------
# The checkpoint.


class _Checkpoint:
    """Everything that a run needs to go on, in one file."""

    def __init__(
        self,
        path: str | Path | None,
        every: int,
        model: nn.Module,
        players: _Players,
        average: AveragedModel | None,
        log: _Log,
        team: _Team,
    ) -> None:
        self.path = None if path is None else Path(path)
        self.every, self.log, self.team = every, log, team
        named = {"model": model, **players.parts(), "average": average}
        self.parts = {name: part for name, part in named.items() if part is not None}
        self.looked_at = 0  # losses that are known to be finite
        self.saved_step: int | None = None

    def save(self, settings: dict[str, Any], seed: int, noise: torch.Generator, place: torch.device) -> None:
        """Write the state of the run; every process takes part, the first one writes."""
        if self.path is None:
            return
        generators = self.team.gather(_generator_states(noise, place))
        if self.team.rank == 0:
            log = vars(self.log) | {
                name: torch.tensor(getattr(self.log, name), dtype=torch.float64)
                for name in ("loss", "lr", "held_out")
            }
            states = {name: part.state_dict() for name, part in self.parts.items()}
            content = {"settings": settings, "seed": seed, "generators": generators, "log": log, **states}
            _write(content, self.path)
        self.saved_step = self.log.step

    def read(self, settings: dict[str, Any], random_state: int | None) -> dict[str, Any] | None:
        """Read the file if there is one, and make sure that it belongs to this run."""
        if self.path is None or not self.path.exists():
            return None
        try:
            found = _read(self.path)
        except Exception as error:  # a damaged archive fails in many ways
            raise CheckpointError(
                f"checkpoint {self.path} cannot be read: it is damaged, cut short or no checkpoint of "
                f"`train` ({type(error).__name__}: {error}). Delete it, or start anew with resume=False."
            ) from error
        theirs = found["settings"] | {"random_state": found["seed"]}
        ours = settings | {"random_state": found["seed"] if random_state is None else int(random_state)}
        for name in ours:
            if theirs.get(name) != ours[name]:
                raise CheckpointError(
                    f"checkpoint {self.path} belongs to another run: {name} was {theirs.get(name)}, "
                    f"now it is {ours[name]}. Give another file, or start anew with resume=False."
                )
        model = self.parts["model"].state_dict()
        shapes = {name: tuple(value.shape) for name, value in model.items()}
        if shapes != (theirs := {name: tuple(value.shape) for name, value in found["model"].items()}):
            differ = sorted({name for name, _ in shapes.items() ^ theirs.items()})
            raise CheckpointError(
                f"checkpoint {self.path} belongs to another model: {', '.join(differ[:4])} differ. "
                "Give another file, or start anew with resume=False."
            )
        return found

    def restore(self, found: dict[str, Any], noise: torch.Generator, place: torch.device) -> None:
        """Put the saved state back into the parts, the log and the generators."""
        for name, part in self.parts.items():
            part.load_state_dict(found[name])
        for name, value in found["log"].items():
            setattr(self.log, name, value.tolist() if isinstance(value, Tensor) else value)
        _set_generator_states(found["generators"][self.team.rank], noise, place)
        self.looked_at = self.saved_step = self.log.step

    def last_finite(self) -> str:
        if self.path is None:
            return "No checkpoint was kept (give checkpoint=...)."
        if self.saved_step is None:
            return "No checkpoint was written yet."
        return f"The last finite checkpoint is {self.path}, after {self.saved_step} steps."


_MAGIC = b"coursekit checkpoint 1\n"


def _read(path: Path) -> dict[str, Any]:
    """Read a file that `_write` wrote, and check its sum: torch itself does not notice a flipped bit."""
    with open(path, "rb") as stream:
        if stream.read(len(_MAGIC)) != _MAGIC:
            raise ValueError("wrong first line")
        digest, payload = stream.read(32), stream.read()
    if hashlib.sha256(payload).digest() != digest:
        raise ValueError("wrong checksum")
    return torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)


def _write(content: dict[str, Any], path: Path) -> None:
    """Write in one step: a reader sees the old file or the new one, never half."""
    torch.save(content, buffer := io.BytesIO())
    payload = buffer.getbuffer()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as stream:
            stream.writelines([_MAGIC, hashlib.sha256(payload).digest(), payload])
            stream.flush()
            os.fsync(stream.fileno())  # the bytes are on the disk before the name points at them
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    if os.name == "posix":  # and the name is on the disk too
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _fingerprint(tensors: tuple[Tensor, ...]) -> list[str]:
    """Shape and checksum of each tensor: a run is not continued on other data."""
    found = []
    for tensor in tensors:
        checksum = zlib.crc32(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        found.append(f"{tuple(tensor.shape)} {checksum:08x}")
    return found


# ----------------------------------------------------------------------------------------------
# Several processes.


@dataclass(frozen=True)
class _Team:
    """The processes that train together; a team of one makes every method trivial."""

    rank: int = 0
    size: int = 1

    def share_of(self, batch: Tensor) -> tuple[Tensor, int]:
        """Choose this process's rows and their weight: where none are left, one row that does not count."""
        share = batch[self.rank :: self.size]
        return (share, 1) if len(share) else (batch[:1], 0)

    def sum(self, value: Tensor) -> Tensor:
        if self.size > 1:
            dist.all_reduce(value := value.clone())
        return value

    def gather(self, value: Any) -> list[Any]:
        values = [value] * self.size
        if self.size > 1:
            dist.all_gather_object(values, value)
        return values

    def of_first(self, value: Any) -> Any:
        """Take the first process's value, so that all take the same decision."""
        return self.gather(value)[0]

    agree_on = of_first


def _join_team() -> _Team:
    """Join the processes that ``torchrun`` started; a process on its own is a team of one."""
    if not dist.is_available():
        return _Team()
    if not dist.is_initialized() and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        atexit.register(dist.destroy_process_group)
    return _Team(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else _Team()


# ----------------------------------------------------------------------------------------------
# Where it runs, and how it shows.


def _choose_device(device: str | torch.device | None) -> torch.device:
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    place = torch.device(device)
    if place.type == "cuda":
        if not torch.cuda.is_available():
            raise ValueError(
                f"device={str(device)!r}: torch sees no CUDA device here. Use device='cpu' or leave it out."
            )
        if place.index is None:
            place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", torch.cuda.current_device())))
    return place


def _name(place: torch.device) -> str:
    return f"{place} ({torch.cuda.get_device_name(place)})" if place.type == "cuda" else str(place)


def _bar(progress: bool | None, total: int, team: _Team) -> Any:
    """Make a progress bar; with ``disable=None`` tqdm hides it where the output is no terminal."""
    disable = None if progress is None else not progress
    return tqdm(total=total, unit="step", disable=True if team.rank > 0 else disable)


# ----------------------------------------------------------------------------------------------
# Bad input.


def _check_model(model: Any) -> None:
    if not isinstance(model, nn.Module) or not callable(getattr(model, "loss", None)):
        raise TypeError(
            f"model is a {type(model).__name__}: expected a torch.nn.Module with a method `loss(batch)` that "
            "returns one value per row"
        )
    if not any(weight.requires_grad for weight in model.parameters()):
        raise ValueError(f"model: {type(model).__name__} has no parameter that requires a gradient")
    if players := _players_of(model):
        turns = tuple(getattr(model, "turns", ()))
        if not turns or not set(turns) <= set(players):
            raise ValueError(
                f"model.turns: got {turns}, expected names out of {sorted(players)}, in their order"
            )
        for name, group in players.items():
            if not any(weight.requires_grad for weight in group):
                raise ValueError(f"model.players: {name!r} has no parameter that requires a gradient")
        if "player" not in inspect.signature(model.loss).parameters:
            raise TypeError("model has players: expected loss(batch, *, player), told whose loss it is")


def _check_data(data: Any, name: str, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Return `data` as a tuple of tensors with equally many rows, finite, floats in the model's dtype."""
    tensors = tuple(data) if isinstance(data, tuple | list) else (data,)
    for tensor in tensors:
        if not isinstance(tensor, Tensor):
            raise TypeError(
                f"{name} holds a {type(tensor).__module__}.{type(tensor).__name__}: expected a torch tensor. "
                f"Convert it with torch.as_tensor({name}, dtype={dtype})."
            )
    sizes = [len(tensor) if tensor.ndim else 0 for tensor in tensors]
    if not sizes or min(sizes) == 0:
        shapes = [tuple(tensor.shape) for tensor in tensors]
        raise ValueError(f"{name} is empty (shapes {shapes}): expected at least one row")
    if len(set(sizes)) > 1:
        raise ValueError(f"{name} holds tensors of {sizes} rows: expected equally many in each")
    for i, tensor in enumerate(tensors):
        if tensor.dtype != dtype and (i == 0 or tensor.is_floating_point()):
            raise ValueError(
                f"{name} has dtype {tensor.dtype}: expected {dtype}, as the model's parameters. "
                f"Convert it with .to({dtype})."
            )
        # A sum is finite only if all its terms are; it costs a tenth of looking at each of them.
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor.detach().sum())):
            bad = ~torch.isfinite(tensor).reshape(len(tensor), -1)
            if bool(bad.any()):
                row = int(bad.any(dim=1).nonzero()[0])
                raise ValueError(
                    f"{name} holds {int(bad.sum())} values that are NaN or infinite, the first in row {row}"
                )
    return tensors


def _check_settings(
    model: nn.Module,
    epochs: Any,
    steps: Any,
    batch_size: Any,
    lr: Any,
    clip: Any,
    ema: Any,
    patience: Any,
    save_every: Any,
    held_out: Any,
    random_state: Any,
) -> None:
    if (epochs is None) == (steps is None):
        raise ValueError(f"give epochs or steps, one of them: epochs={epochs}, steps={steps}")
    counts = {"epochs": epochs, "steps": steps, "patience": patience}
    for name, value in {**counts, "batch_size": batch_size, "save_every": save_every}.items():
        optional = name in counts and value is None
        if not optional and not (
            isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= 1
        ):
            raise ValueError(f"{name}={value!r}: expected a whole number of at least 1")
    players = _players_of(model)
    rates = list(lr.values()) if isinstance(lr, Mapping) else [lr]
    if isinstance(lr, Mapping) and set(lr) != set(players):
        raise ValueError(f"lr: got rates for {sorted(lr)}, expected one for each of {sorted(players)}")
    for name, value, ok, expected in (
        *(("lr", rate, lambda v: 0 < v < math.inf, "a positive number") for rate in rates),
        ("clip", clip, lambda v: v > 0, "a positive number or None"),
        ("ema", ema, lambda v: 0 < v < 1, "a decay between 0 and 1, such as 0.999, or None"),
    ):
        missing = value is None and name != "lr"
        if not missing and not (isinstance(value, int | float | np.number) and ok(float(value))):
            raise ValueError(f"{name}={value!r}: expected {expected}")
    if random_state is not None and not (isinstance(random_state, int | np.integer) and random_state >= 0):
        raise ValueError(f"random_state={random_state!r}: expected a whole number of at least 0, or None")
    if players and held_out is not None:
        raise ValueError(
            f"held_out: {type(model).__name__} has players ({', '.join(players)}), so no single loss to hold "
            "out; judge its samples by coursekit.metrics instead"
        )
    if patience is not None and held_out is None:
        raise ValueError(f"patience={patience} needs held_out data to judge by")
