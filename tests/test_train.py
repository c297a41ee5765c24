"""The training loop: against closed forms, torch's own pieces run by hand, kills, and two processes."""

import copy
import io
import math
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from coursekit.train import CheckpointError, train

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
fit = partial(train, random_state=0, device="cpu")


class Line(nn.Module):
    """Least squares; starts at zero."""

    def __init__(self, dim=3):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(dim, dtype=torch.float64))

    def loss(self, batch):
        x, y = batch
        return (x @ self.weight - y).square()


class Noisy(nn.Module):
    """A little of everything random: noise through `generator`, dropout, a buffer, global noise."""

    def __init__(self, dim=4):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(7)
            self.net = nn.Sequential(
                nn.Linear(dim, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Dropout(0.3), nn.Linear(16, dim)
            )

    def loss(self, x, generator=None):
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        return (self.net(x + 0.5 * noise + 0.1 * torch.randn_like(x)) - x).square().sum(dim=1)


@pytest.fixture(scope="module")
def line_data():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((203, 3))  # no multiple of the batch sizes below
    y = x @ [1.0, -2.0, 0.5] + 0.1 * rng.standard_normal(203)
    return torch.as_tensor(x), torch.as_tensor(y)


def blob(rows=100, dim=4, seed=0):
    return torch.as_tensor(np.random.default_rng(seed).standard_normal((rows, dim)), dtype=torch.float32)


def as_bytes(model):
    return b"".join(value.numpy().tobytes() for value in model.state_dict().values())


# ---- The arithmetic -------------------------------------------------------------------------------


def test_it_finds_the_least_squares_solution(line_data):
    model = Line()
    history = fit(model, line_data, epochs=100, batch_size=203, lr=0.4, optimizer=torch.optim.SGD)
    expected = np.linalg.lstsq(*(part.numpy() for part in line_data), rcond=None)[0]
    np.testing.assert_allclose(model.weight.detach().numpy(), expected, rtol=1e-10)
    assert history.loss.shape == history.lr.shape == (100,)


def by_hand(data, orders, *, decay=None, clip=None, gamma=None, lr=0.05, batch_size=32):
    """Adam without `train`: the textbook update in numpy, on the orders that were used."""
    x, y = (part.numpy() for part in data)
    w, m, v, average, t, losses = np.zeros(3), np.zeros(3), np.zeros(3), None, 0, []
    for order in orders:
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            residual = x[rows] @ w - y[rows]
            losses.append((residual**2).mean())
            g = 2 * x[rows].T @ residual / len(rows)
            if clip is not None:
                g = g * min(1.0, clip / (np.linalg.norm(g) + 1e-6))
            t += 1
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            rate = lr * (gamma ** (t - 1) if gamma else 1)
            w = w - rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
            average = w if average is None else (decay or 0) * average + (1 - (decay or 0)) * w
    return (w if decay is None else average), np.array(losses)


class Recorder(Line):
    """Says which rows came, in their order."""

    def __init__(self, data):
        super().__init__()
        self.position = {float(value): i for i, value in enumerate(data[1])}
        self.seen = []

    def loss(self, batch):
        self.seen += [self.position[float(value)] for value in batch[1]]
        return super().loss(batch)


@pytest.mark.parametrize("options", [{}, {"decay": 0.9}, {"clip": 0.5}, {"gamma": 0.97}], ids=str)
def test_the_steps_are_those_of_adam_by_hand(line_data, options):
    """Adam, the average's closed form, clipping and a schedule against numpy; every row once an epoch."""
    model = Recorder(line_data)
    schedule = None
    if "gamma" in options:
        schedule = partial(torch.optim.lr_scheduler.ExponentialLR, gamma=options["gamma"])
    history = fit(
        model,
        line_data,
        epochs=3,
        batch_size=32,
        lr=0.05,
        ema=options.get("decay"),
        clip=options.get("clip"),
        schedule=schedule,
    )
    orders = np.array(model.seen).reshape(3, 203)
    assert (np.sort(orders, axis=1) == np.arange(203)).all()
    assert not (orders[0] == orders[1]).all()
    weights, losses = by_hand(line_data, orders, **options)
    np.testing.assert_allclose(model.weight.detach().numpy(), weights, rtol=1e-10)
    np.testing.assert_allclose(history.loss, losses, rtol=1e-10)
    np.testing.assert_allclose(history.lr, 0.05 * options.get("gamma", 1.0) ** np.arange(21), rtol=1e-12)


def test_cosine_lowers_the_learning_rate_to_zero(line_data):
    history = fit(Line(), line_data, steps=50, lr=0.2, schedule="cosine")
    np.testing.assert_allclose(history.lr, 0.1 * (1 + np.cos(np.pi * np.arange(50) / 50)), rtol=1e-10)


def test_an_epoch_of_a_float32_module_equals_torchs_adam_bit_for_bit():
    """`train` against the same torch operations in a literal loop, fed with the rows that `train` chose."""
    X, seen = blob(90), []

    class Autoencoder(Noisy):
        def loss(self, x):
            seen.append(x.clone())
            return (self.net[4](torch.tanh(self.net[0](x))) - x).square().sum(dim=1)

    ours, theirs = Autoencoder(), Autoencoder()
    history = fit(ours, X, epochs=2, batch_size=32, lr=0.01)
    batches, losses = list(seen), []
    adam = torch.optim.Adam(theirs.parameters(), lr=0.01, fused=True)
    for batch in batches:
        loss = theirs.loss(batch).mean()
        losses.append(loss.item())
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert as_bytes(ours) == as_bytes(theirs)
    assert (history.loss == losses).all()
    assert [len(batch) for batch in batches] == [32, 32, 26] * 2


def test_history_adds_up(line_data):
    history = fit(Line(), line_data, steps=17, batch_size=32, held_out=line_data)
    assert history.steps_per_epoch == 7
    expected = [history.loss[:7].mean(), history.loss[7:14].mean(), history.loss[14:].mean()]
    np.testing.assert_allclose(history.epoch_loss, expected)
    assert history.held_out.shape == (2,)  # the third epoch is not whole
    assert history.device == "cpu"
    assert history.seconds > 0


def test_held_out_loss_is_the_mean_over_its_rows(line_data):
    model = Line()
    held_out = tuple(part[:77] + 1 for part in line_data)
    history = fit(model, line_data, epochs=4, batch_size=32, held_out=held_out)
    x, y = (part.numpy() for part in held_out)
    expected = ((x @ model.weight.detach().numpy() - y) ** 2).mean()
    assert history.held_out[-1] == pytest.approx(expected, rel=1e-12)


def test_patience_stops_and_gives_back_the_best_weights():
    """A weight that grows by lr = 0.5 each step: the held-out loss (w - 2)^2 is least after 4 epochs."""

    class Clock(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def loss(self, x):
            if self.training:
                return -self.weight.expand(len(x))
            return (self.weight - 2).square().expand(len(x))

    model = Clock()
    options = {"batch_size": 8, "lr": 0.5, "optimizer": torch.optim.SGD, "held_out": torch.ones(4, 1)}
    history = fit(model, torch.ones(8, 1), epochs=50, patience=3, **options)
    np.testing.assert_allclose(history.held_out, (0.5 * np.arange(1, 8) - 2) ** 2)
    assert (history.best_epoch, history.stopped_early, len(history.loss)) == (3, True, 7)
    assert model.weight.item() == 2.0
    assert not model.training
    last = Clock()
    assert not fit(last, torch.ones(8, 1), epochs=7, **options).stopped_early
    assert last.weight.item() == 3.5  # without patience the last weights stay


def test_the_average_is_what_is_judged():
    model = Line(1)
    x, y = torch.ones(8, 1, dtype=torch.float64), torch.ones(8, dtype=torch.float64)
    history = fit(model, (x, y), epochs=30, ema=0.8, lr=0.1, held_out=(x, y))
    assert history.held_out[-1] == pytest.approx((model.weight.item() - 1) ** 2, rel=1e-12)


def test_a_loss_may_differentiate_with_respect_to_its_input():
    """Score matching does; so gradients must be on for the held-out data too."""

    class Score(nn.Module):
        def __init__(self):
            super().__init__()
            self.precision = nn.Parameter(torch.tensor(0.3))

        def loss(self, x):
            x = x.requires_grad_()
            energy = 0.5 * self.precision * x.square().sum(dim=1)
            (score,) = torch.autograd.grad(-energy.sum(), x, create_graph=True)
            return 0.5 * score.square().sum(dim=1) - self.precision * x.shape[1]

    X, model = 2 * blob(500), Score()
    fit(model, X, epochs=200, batch_size=500, lr=0.02, held_out=X)
    assert model.precision.item() == pytest.approx(float(X.numel() / X.square().sum()), rel=1e-3)


# ---- Randomness -----------------------------------------------------------------------------------


def test_same_seed_same_bytes_and_the_global_generators_are_left_alone():
    models = [Noisy() for _ in range(3)]
    np.random.seed(5)  # noqa: NPY002  (the state must survive)
    torch.manual_seed(5)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    fit(models[0], blob(), epochs=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == numpy_before).all()  # noqa: NPY002
    torch.manual_seed(6)  # dropout draws from the global generator, and still repeats
    fit(models[1], blob(), epochs=2)
    train(models[2], blob(), epochs=2, random_state=1, device="cpu")
    assert as_bytes(models[0]) == as_bytes(models[1]) != as_bytes(models[2])


def test_the_held_out_noise_is_the_same_each_time():
    class Noise(Smooth):
        def loss(self, x, generator):
            return torch.randn(len(x), generator=generator, dtype=x.dtype) + 0 * self.net[0].bias.sum()

    history = fit(Noise(), blob().double(), epochs=3, held_out=blob(seed=1).double())
    assert np.ptp(history.held_out) == 0
    assert np.ptp(history.loss) > 0


# ---- Kill and resume ------------------------------------------------------------------------------

RICH = {"batch_size": 16, "lr": 0.01, "ema": 0.9, "clip": 1.0, "schedule": "cosine", "patience": 50}

KILLED = """
import sys, torch
sys.path.insert(0, {tests!r})
from test_train import Noisy, RICH, blob, fit
class Slow(Noisy):
    def loss(self, x, generator=None):
        if {dies} and fit_steps[0] == 45:
            import os, signal
            os.kill(os.getpid(), signal.SIGKILL)
        fit_steps[0] += self.training
        return super().loss(x, generator)
fit_steps = [0]
fit(Slow(), blob(), epochs=12, held_out=blob(seed=1), checkpoint={path!r}, save_every={every}, **RICH)
"""


@pytest.mark.parametrize("every", [1, 3])
def test_a_killed_run_goes_on_bit_for_bit(tmp_path, every):
    """SIGKILL in the seventh epoch; model, history and the whole file equal the uninterrupted run's."""
    path, whole_path = tmp_path / "killed.ckpt", tmp_path / "whole.ckpt"
    code = KILLED.format(tests=str(ROOT / "tests"), path=str(path), every=every, dies=True)
    killed = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    options = {"epochs": 12, "held_out": blob(seed=1), "save_every": every, **RICH}
    steps = []

    class Counting(Noisy):
        def loss(self, x, generator=None):
            steps.append(self.training)
            return super().loss(x, generator)

    whole, resumed = Noisy(), Counting()
    expected = fit(whole, blob(), checkpoint=whole_path, **options)

    history = fit(resumed, blob(), checkpoint=path, **options)
    assert sum(steps) == 84 - 42, "it must go on after epoch 6, not start again"
    assert as_bytes(resumed) == as_bytes(whole)
    for name in ("loss", "lr", "held_out"):
        assert getattr(history, name).tobytes() == getattr(expected, name).tobytes()
    ours, theirs = (read(file) for file in (path, whole_path))
    assert flat(ours) == flat(theirs)


def read(path):
    """A checkpoint's content, by its documented layout: a line, 32 bytes of SHA-256, torch's archive."""
    raw = path.read_bytes()
    start = raw.index(b"\n") + 1 + 32
    return torch.load(io.BytesIO(raw[start:]), weights_only=True)


def flat(content, name=""):
    """Every leaf as bytes or text, but for the seconds."""
    if isinstance(content, dict):
        return {k: v for key, item in content.items() for k, v in flat(item, f"{name}/{key}").items()}
    if isinstance(content, list | tuple):
        return {k: v for i, item in enumerate(content) for k, v in flat(item, f"{name}/{i}").items()}
    if name == "/log/seconds":
        return {}
    return {name: content.numpy().tobytes() if isinstance(content, torch.Tensor) else repr(content)}


def test_steps_in_two_parts_equal_steps_in_one(tmp_path):
    """Cut in the middle of an epoch; the seed is not given but found in the file."""
    whole, parts = Noisy(), Noisy()
    path = tmp_path / "run.ckpt"
    options = {"batch_size": 16, "checkpoint": path, "device": "cpu", "held_out": blob(seed=1)}
    train(parts, blob(), steps=10, **options)
    parts = Noisy()  # a new process would build it anew
    train(parts, blob(), steps=25, **options)
    history = train(
        whole,
        blob(),
        steps=25,
        batch_size=16,
        device="cpu",
        held_out=blob(seed=1),
        random_state=read(path)["seed"],
    )
    assert as_bytes(whole) == as_bytes(parts)
    assert len(history.held_out) == 3


def test_a_finished_run_is_only_read_back(tmp_path):
    options = {"epochs": 4, "ema": 0.9, "checkpoint": tmp_path / "run.ckpt"}
    first, again, anew = Noisy(), Noisy(), Noisy()
    expected = fit(first, blob(), **options)
    again.loss = lambda x, generator: pytest.fail("no step is left to do")
    history = fit(again, blob(), **options)
    assert as_bytes(first) == as_bytes(again)
    assert (history.loss == expected.loss).all()
    fit(anew, blob(), **(options | {"epochs": 1}), resume=False)
    assert as_bytes(anew) != as_bytes(first)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_the_file_is_replaced_in_one_step(tmp_path, monkeypatch, call):
    """A failure while writing leaves the old checkpoint, and no litter."""
    path = tmp_path / "run.ckpt"
    fit(Noisy(), blob(), epochs=1, checkpoint=path)
    before = path.read_bytes()
    monkeypatch.setattr(os, call, lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        fit(Noisy(), blob(), epochs=2, checkpoint=path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["run.ckpt"]


def damage(kind, raw):
    middle = len(raw) // 2
    if kind == "truncated":
        return raw[:middle]
    if kind == "flipped bit":
        return raw[:middle] + bytes([raw[middle] ^ 16]) + raw[middle + 1 :]
    return {"empty": b"", "text": b"hello, I am no checkpoint"}[kind]


@pytest.mark.parametrize("kind", ["truncated", "flipped bit", "empty", "text"])
def test_a_damaged_checkpoint_is_refused(tmp_path, kind):
    path = tmp_path / "run.ckpt"
    fit(Noisy(), blob(), epochs=1, checkpoint=path)
    path.write_bytes(damage(kind, path.read_bytes()))
    model = Noisy()
    before = as_bytes(model)
    with pytest.raises(CheckpointError, match=r"run\.ckpt cannot be read.*resume=False"):
        fit(model, blob(), epochs=2, checkpoint=path)
    assert as_bytes(model) == before


def test_a_checkpoint_runs_no_code(tmp_path):
    """A pickle that would call a function is refused, even with the right checksum."""
    from coursekit.train import _write

    class Evil:
        def __reduce__(self):
            return (os.system, (f"touch {tmp_path}/owned",))

    _write({"settings": Evil(), "seed": 0}, tmp_path / "run.ckpt")
    with pytest.raises(CheckpointError, match="cannot be read"):
        fit(Noisy(), blob(), epochs=1, checkpoint=tmp_path / "run.ckpt")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"batch_size": 10}, "batch_size was 128, now it is 10"),
        ({"lr": 0.1}, "lr was 0.001, now it is 0.1"),
        ({"optimizer": torch.optim.SGD}, "optimizer was Adam, now it is SGD"),
        ({"random_state": 3}, "random_state was 0, now it is 3"),
        ({"ema": 0.5}, "ema was None, now it is 0.5"),
        ({"data": blob(seed=9)}, "data was"),
        ({"model": Noisy(5), "data": blob(dim=5)}, "data was"),
        ({"model": Noisy(4).double(), "data": blob().double()}, "data was"),
    ],
    ids=str,
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, changed, message):
    options = {"epochs": 1, "checkpoint": tmp_path / "run.ckpt"}
    fit(Noisy(), blob(), **options)
    model, data = changed.pop("model", Noisy()), changed.pop("data", blob())
    with pytest.raises(CheckpointError, match=message):
        fit(model, data, **(options | changed))


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    class Wide(Noisy):
        def __init__(self):
            super().__init__()
            self.net[0] = nn.Linear(4, 16, bias=False)

    fit(Noisy(), blob(), epochs=1, checkpoint=tmp_path / "run.ckpt")
    with pytest.raises(CheckpointError, match=r"another model: net\.0\.bias differ"):
        fit(Wide(), blob(), epochs=2, checkpoint=tmp_path / "run.ckpt")


# ---- Not a number ---------------------------------------------------------------------------------


class Breaks(nn.Module):
    """Its loss, or its gradient, is not finite from a given step on."""

    def __init__(self, at, gradient=False):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.at, self.gradient, self.steps = at, gradient, 0

    def loss(self, x):
        broken = self.steps >= self.at
        self.steps += 1
        if broken and self.gradient:  # sqrt(|w - w|) is 0, its derivative is not finite
            return (self.weight - self.weight.detach()).abs().sqrt().expand(len(x))
        return self.weight.expand(len(x)) * (math.nan if broken else 1.0)


def test_a_nan_loss_stops_before_it_touches_the_weights(tmp_path):
    model, path = Breaks(at=7), tmp_path / "run.ckpt"
    told = rf"loss is nan at step 7 .*learning rate 0\.25.*{path}, after 6 steps"
    with pytest.raises(FloatingPointError, match=told):
        fit(model, blob(30), epochs=9, batch_size=10, lr=0.25, optimizer=torch.optim.SGD, checkpoint=path)
    assert model.weight.item() == pytest.approx(1 - 7 * 0.25, rel=1e-6)
    assert read(path)["model"]["weight"].item() == pytest.approx(1 - 6 * 0.25, rel=1e-6)


def test_without_a_checkpoint_it_says_so():
    with pytest.raises(FloatingPointError, match=r"step 0 .*No checkpoint was kept \(give checkpoint="):
        fit(Breaks(at=0), blob(), epochs=1)


def test_a_weight_that_is_not_finite_is_never_saved(tmp_path):
    """A finite loss with an infinite gradient at the last step of an epoch."""
    path = tmp_path / "run.ckpt"
    with pytest.raises(FloatingPointError, match="a weight is no longer finite at step 5"):
        fit(Breaks(at=5, gradient=True), blob(30), epochs=9, batch_size=10, checkpoint=path)
    assert read(path)["log"]["step"] == 3


def test_a_held_out_loss_that_is_not_finite_stops():
    class Silent(Breaks):
        def loss(self, x):
            return self.weight.expand(len(x)) * (1.0 if self.training else math.inf)

    with pytest.raises(FloatingPointError, match="held-out loss is inf at step 0"):
        fit(Silent(0), blob(), epochs=1, held_out=blob())


# ---- Several processes ----------------------------------------------------------------------------

TWO = """
import os, sys, torch
sys.path.insert(0, {tests!r})
from test_train import Smooth, blob, fit
model = Smooth()
history = fit(model, blob(97).double(), epochs={epochs}, batch_size=16, lr=0.01, ema=0.9, clip=1.0,
              patience=50, schedule=lambda adam: torch.optim.lr_scheduler.ExponentialLR(adam, 0.98),
              held_out=blob(33, seed=1).double(), checkpoint={path!r})
arrays = dict(loss=torch.tensor(history.loss), held_out=torch.tensor(history.held_out))
torch.save(dict(model=model.state_dict(), **arrays), {path!r} + os.environ.get("RANK", "0"))
"""


class Smooth(Noisy):
    """No noise, no batch normalization: each row's loss depends on that row alone."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(self.net[0], nn.Tanh(), self.net[4]).double()

    def loss(self, x):
        return (self.net(x) - x).square().sum(dim=1)


def spawn(tmp_path, processes, epochs, name):
    """Run the script above in one process or under torchrun; what each process found."""
    script = tmp_path / "script.py"
    script.write_text(TWO.format(tests=str(ROOT / "tests"), path=str(tmp_path / name), epochs=epochs))
    command = [sys.executable, str(script)]
    if processes > 1:
        torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        command = [sys.executable, *torchrun, str(script)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(tmp_path / f"{name}{rank}", weights_only=True) for rank in range(processes)]


def test_two_processes_give_the_result_of_one(tmp_path):
    """97 rows in batches of 16: the last batch of an epoch is one row, so one process gets none.

    "The same" means: in float64 the weights, losses and held-out losses agree to 1e-10 of their size (only
    the order of summation differs), and both processes hold the same bytes. The two are stopped after two
    epochs and go on from their checkpoint.
    """
    (one,) = spawn(tmp_path, 1, 4, "one.ckpt")
    half = spawn(tmp_path, 2, 2, "two.ckpt")
    two = spawn(tmp_path, 2, 4, "two.ckpt")
    assert len(half[0]["loss"]) == 14
    assert flat(two[0]) == flat(two[1])
    for name in ("loss", "held_out"):
        torch.testing.assert_close(two[0][name], one[name], rtol=1e-10, atol=0)
    for name, value in one["model"].items():
        torch.testing.assert_close(two[0]["model"][name], value, rtol=1e-10, atol=1e-13)


# ---- Players in turns -----------------------------------------------------------------------------


class Duel(nn.Module):
    """Two players on a noisy quadratic game; dropout and a buffer make the state of a run large."""

    turns = ("first", "first", "second")

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.a, self.b = nn.Linear(4, 3), nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3))
        self.moved = []

    def players(self):
        return {"first": self.a.parameters(), "second": self.b.parameters()}

    def loss(self, x, *, player, generator=None):
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        gap = self.a(x + 0.1 * noise) - self.b(x)
        return (gap.square() if player == "first" else (gap - 1).square()).sum(dim=1)

    def after_step(self, player):
        self.moved.append(player)
        for weight in self.a.parameters():
            weight.clamp_(-0.5, 0.5)


class Quiet(Duel):
    """Each row's loss depends on that row alone."""

    def __init__(self):
        super().__init__()
        self.b = self.b[1]  # without batch normalization

    def loss(self, x, *, player):
        gap = self.a(x) - self.b(x)
        return (gap.square() if player == "first" else (gap - 1).square()).sum(dim=1)


def test_players_move_in_turns_and_only_their_own_weights():
    """By hand: SGD on each player's own mean loss, one batch a step; and the clamp after every step."""

    model, x = Quiet().double(), blob(50).double()
    by_hand = copy.deepcopy(model)
    history = fit(model, x, steps=7, batch_size=50, lr=0.1, optimizer=torch.optim.SGD)
    assert history.turns == Duel.turns
    assert model.moved == ["first", "first", "second"] * 2 + ["first"]
    for step, player in enumerate(model.moved):
        own = list(by_hand.players()[player])
        loss = by_hand.loss(x, player=player).mean()
        assert history.loss[step] == pytest.approx(float(loss.detach()), rel=1e-9)
        with torch.no_grad():
            for weight, slope in zip(own, torch.autograd.grad(loss, own), strict=True):
                weight -= 0.1 * slope
            by_hand.after_step(player)
    for mine, theirs in zip(model.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)
        assert mine.requires_grad
    steps, losses = history.of("second")
    assert steps.tolist() == [2, 5]
    assert losses.tolist() == history.loss[[2, 5]].tolist()
    with pytest.raises(ValueError, match="first"):
        history.of("third")


def test_a_game_in_two_parts_equals_one(tmp_path):
    """The checkpoint falls in the middle of a round, with Adam and a schedule for each player."""
    options = {"batch_size": 16, "lr": {"first": 0.02, "second": 0.005}, "clip": 1.0}
    options["schedule"] = lambda adam: torch.optim.lr_scheduler.ExponentialLR(adam, 0.9)
    whole, parts = Duel(), Duel()
    expected = fit(whole, blob(), steps=17, **options)
    fit(parts, blob(), steps=8, checkpoint=tmp_path / "duel", **options)
    parts = Duel()
    found = fit(parts, blob(), steps=17, checkpoint=tmp_path / "duel", **options)
    assert found.loss.tolist() == expected.loss.tolist()
    assert found.lr.tolist() == expected.lr.tolist()
    assert found.lr[[0, 1, 2]].tolist() == pytest.approx([0.02, 0.018, 0.005])
    assert as_bytes(parts) == as_bytes(whole)
    Duel.turns = ("first", "second")
    try:
        with pytest.raises(CheckpointError, match="turns"):
            fit(Duel(), blob(), steps=17, checkpoint=tmp_path / "duel", **options)
    finally:
        Duel.turns = ("first", "first", "second")


def test_a_players_cosine_counts_its_own_moves():
    history = fit(Duel(), blob(), steps=12, batch_size=50, lr=1.0, schedule="cosine")
    assert history.of("second")[0].tolist() == [2, 5, 8, 11]
    np.testing.assert_allclose(history.lr[[2, 5, 8, 11]], 0.5 * (1 + np.cos(np.pi * np.arange(4) / 4)))


def test_weights_get_their_gradients_back_even_after_an_error():
    class Fails(Duel):
        def after_step(self, player):
            raise RuntimeError("no")

    model = Fails()
    model.a.bias.requires_grad_(False)  # frozen by its owner, so it stays frozen
    with pytest.raises(RuntimeError, match="no"):
        fit(model, blob(), steps=3, batch_size=50)
    assert [weight.requires_grad for weight in model.a.parameters()] == [True, False]
    assert all(weight.requires_grad for weight in model.b.parameters())


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"turns": ()}, {}, "turns"),
        ({"turns": ("first", "third")}, {}, "turns"),
        ({"loss": lambda self, x: x.sum(dim=1)}, {}, "player"),
        ({"players": lambda self: {"first": [], "second": self.b.parameters()}}, {}, "first"),
        ({}, {"held_out": blob(10)}, "held_out"),
        ({}, {"lr": {"first": 0.1}}, "second"),
        ({}, {"lr": {"first": 0.1, "second": -1.0}}, "positive"),
    ],
)
def test_bad_games(changes, options, message):
    model = type("Bad", (Duel,), changes)()
    with pytest.raises((TypeError, ValueError), match=message):
        fit(model, blob(), **{"steps": 3, **options})


DUEL = """
import sys; sys.path.insert(0, {tests!r})
from test_train import Quiet, blob, fit, os, torch
model = Quiet().double()
history = fit(model, blob(97).double(), steps=11, batch_size=16, lr=0.01)
found = dict(model=model.state_dict(), loss=torch.tensor(history.loss))
torch.save(found, {path!r} + os.environ.get("RANK", "0"))
"""


def test_two_processes_play_the_game_of_one(tmp_path):
    script, path = tmp_path / "duel.py", str(tmp_path / "duel")
    script.write_text(DUEL.format(tests=str(ROOT / "tests"), path=path))
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [sys.executable, *torchrun, str(script)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    model, two = Quiet().double(), torch.load(f"{path}0", weights_only=True)
    history = fit(model, blob(97).double(), steps=11, batch_size=16, lr=0.01)
    np.testing.assert_allclose(two["loss"], history.loss, rtol=1e-10)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(two["model"][name], value, rtol=1e-10, atol=1e-13)


# ---- Device, compiler, progress -------------------------------------------------------------------


def test_cuda_asked_for_and_absent_is_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"device='cuda': torch sees no CUDA device here. Use device='cpu'"):
        fit(Noisy(), blob(), epochs=1, device="cuda")
    assert train(Noisy(), blob(), epochs=1, random_state=0).device == "cpu"


def test_compiling_changes_nothing():
    """With the backend that needs no C compiler."""
    plain, compiled = Smooth(), Smooth()
    fit(plain, blob().double(), epochs=2)
    fit(compiled, blob().double(), epochs=2, compile="eager")
    assert as_bytes(plain) == as_bytes(compiled)


def test_autocast_computes_in_bfloat16_and_sums_in_the_modules_precision():
    seen = []

    class Watched(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4, bias=False)
            nn.init.eye_(self.layer.weight)

        def loss(self, x):
            out = self.layer(x)
            seen.append(out.dtype)
            return out.sum(dim=1, dtype=torch.bfloat16)

    X = torch.ones(257, 4)
    history = fit(Watched(), X, steps=1, batch_size=257, amp=True)
    assert seen == [torch.bfloat16]
    assert history.loss[0] == 4.0
    fit(Watched(), X, steps=1)
    assert seen[1:] == [torch.float32]


def test_progress_is_quiet_where_there_is_no_terminal(capsys):
    fit(Noisy(), blob(), epochs=1)
    assert capsys.readouterr() == ("", "")
    fit(Noisy(), blob(), epochs=2, progress=True)
    shown = capsys.readouterr().err
    assert "cpu" in shown
    assert "2/2" in shown


@pytest.mark.gpu
def test_on_a_gpu_it_learns_the_same_line(line_data):
    model = Line()
    history = train(
        model, line_data, epochs=300, batch_size=203, lr=0.3, optimizer=torch.optim.SGD, device="cuda"
    )
    expected = np.linalg.lstsq(*(part.numpy() for part in line_data), rcond=None)[0]
    np.testing.assert_allclose(model.weight.detach().cpu().numpy(), expected, rtol=1e-8)
    assert history.device.startswith("cuda:0 (")


@pytest.mark.gpu
def test_on_a_gpu_nan_is_found_at_the_end_of_the_epoch_with_its_step():
    with pytest.raises(FloatingPointError, match="loss is nan at step 7 "):
        train(Breaks(at=7), blob(100), epochs=2, batch_size=10, device="cuda", random_state=0)


# ---- Bad input ------------------------------------------------------------------------------------


def with_nan():
    X = blob()
    X[17, 2] = math.nan
    return X


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (np.ones((5, 4)), TypeError, r"data holds a numpy\.ndarray: .*torch\.as_tensor\(data, dtype="),
        ([[1.0, 2.0]], TypeError, r"data holds a builtins\.list"),
        (torch.empty(0, 4), ValueError, r"data is empty \(shapes \[\(0, 4\)\]\)"),
        ((), ValueError, "data is empty"),
        (torch.tensor(1.0), ValueError, "data is empty"),
        (with_nan(), ValueError, "data holds 1 values that are NaN or infinite, the first in row 17"),
        ((blob(), torch.full((100,), math.inf)), ValueError, "holds 100 values .* first in row 0"),
        (
            blob().double(),
            ValueError,
            r"dtype torch\.float64: expected torch\.float32.*\.to\(torch\.float32\)",
        ),
        (torch.ones(5, 4, dtype=torch.int64), ValueError, r"dtype torch\.int64: expected torch\.float32"),
        ((blob(), torch.zeros(99)), ValueError, r"tensors of \[100, 99\] rows"),
    ],
    ids=str,
)
def test_bad_data(data, error, message):
    with pytest.raises(error, match=message):
        fit(Noisy(), data, epochs=1)
    with pytest.raises(error, match=message.replace("data", "held_out")):
        fit(Noisy(), blob(), epochs=1, held_out=data)


def test_a_model_may_refuse_data_before_the_first_step():
    """``check_data`` sees all training data, then the held-out data, once each and whole."""
    seen = []

    class Picky(Noisy):
        def check_data(self, data):
            seen.append(data)
            if float(data.max()) > 100:
                raise ValueError("data: too large")

        def loss(self, x, generator=None):
            assert len(seen) == 2
            return super().loss(x, generator)

    X, H = blob(), blob(seed=1)
    fit(Picky(), X, epochs=2, batch_size=16, held_out=H)
    assert [data is given for data, given in zip(seen, (X, H), strict=True)] == [True, True]
    model = Picky()
    before = as_bytes(model)
    with pytest.raises(ValueError, match="too large"):
        fit(model, X, epochs=1, held_out=H + 1000)
    assert as_bytes(model) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size=0: expected a whole number of at least 1"),
        ({"batch_size": -3}, "batch_size=-3"),
        ({"batch_size": 2.5}, r"batch_size=2\.5"),
        ({"epochs": 0}, "epochs=0"),
        ({"epochs": None}, "give epochs or steps"),
        ({"steps": 4}, "give epochs or steps"),
        ({"save_every": 0}, "save_every=0"),
        ({"lr": 0}, "lr=0: expected a positive number"),
        ({"lr": math.nan}, "lr=nan"),
        ({"lr": None}, "lr=None"),
        ({"clip": -1.0}, r"clip=-1\.0"),
        ({"ema": 1.0}, r"ema=1\.0: expected a decay between 0 and 1"),
        ({"patience": 3}, "patience=3 needs held_out"),
        ({"patience": 0, "held_out": blob()}, "patience=0"),
        ({"random_state": -1}, "random_state=-1"),
        ({"random_state": "seven"}, "random_state='seven'"),
    ],
    ids=str,
)
def test_bad_settings(options, message):
    with pytest.raises(ValueError, match=message):
        fit(Noisy(), blob(), **{"epochs": 1, **options})


def test_a_schedule_that_needs_a_loss_is_refused():
    with pytest.raises(TypeError, match="ReduceLROnPlateau"):
        fit(Noisy(), blob(), epochs=1, schedule=torch.optim.lr_scheduler.ReduceLROnPlateau)


class Scalar(Smooth):
    def loss(self, x):
        return super().loss(x).mean()


def test_bad_models():
    with pytest.raises(
        TypeError, match=r"model is a Linear: expected a torch\.nn\.Module with a method `loss"
    ):
        fit(nn.Linear(2, 2), blob(), epochs=1)
    with pytest.raises(TypeError, match="model is a str"):
        fit("model", blob(), epochs=1)
    with pytest.raises(
        ValueError, match=r"gave shape \(\) for a batch of 100 rows: expected one value per row, \(100,\)"
    ):
        fit(Scalar(), blob().double(), epochs=1)
    with pytest.raises(ValueError, match="no parameter that requires a gradient"):
        fit(Noisy().requires_grad_(False), blob(), epochs=1)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_a_batch_that_does_not_fit_names_the_size_to_try(error):
    class Large(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def loss(self, batch):
            if len(batch) > 32:
                raise error
            return (batch - self.weight).square().sum(dim=1)

    X = torch.zeros(200, 1)
    with pytest.raises(torch.OutOfMemoryError, match="try batch_size=32"):
        train(Large(), X, epochs=1, batch_size=64, random_state=0, device="cpu")
    train(Large(), X, epochs=1, batch_size=32, random_state=0, device="cpu")


def test_other_errors_of_a_loss_stay_as_they_are():
    class Broken(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def loss(self, batch):
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1") as caught:
        train(Broken(), torch.zeros(10, 1), epochs=1, random_state=0, device="cpu")
    assert not isinstance(caught.value, torch.OutOfMemoryError)
