"""Flows: their distance from the truth, what normalization does for deep ones, digits, and speed.

    OMP_NUM_THREADS=1 python -m benchmarks.flows [--fresh] [--output FILE] [--device cuda] [--only ROW ...]

prints a table of speed and writes `results/flows.json`, row by row (resumable)::

    {"meta": {"command", "settings", "device", "versions", "seconds"},
     "rows": {"swiss roll: NAME": {"gap": [per seed], "se", "mass": [per seed], "train_gap": [...]},
              "depth: NAME": {"loss": [per seed, held out; null where training diverged]},
              "digits: NAME": {"bits": [per seed], "parameters"},
              "speed": {"absent": [peers not installed], "rounds",
                        "train": {name: ratio}, "sample": {name: ratio}}}}

"gap" is the mean of log p(x) of the true law less that of the model over 10,000 test points, in nats;
"mass" the integral of the model's density on the plane. Speed is process CPU time on one thread, the median
over rounds of the ratio to a plain split implementation within a round; in a round everything runs once, in
shuffled order. Peers are taken where
Python finds them (`pip install --target DIR --no-deps zuko normflows nflows`, and DIR in PYTHONPATH).
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from sklearn.mixture import GaussianMixture  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from benchmarks._common import Results, arguments  # noqa: E402
from coursekit import check  # noqa: E402
from coursekit.base import Table  # noqa: E402
from coursekit.data import Logit, SwissRoll, bits_per_dim, digits  # noqa: E402
from coursekit.flows.coupling import ImageFlow, NeuralSpline, RealNVP  # noqa: E402
from coursekit.train import train  # noqa: E402

SEEDS = (0, 1, 2)
SETTINGS = {"seeds": SEEDS, "train": 20_000, "test": 10_000, "batch": 512, "lr": 3e-3, "threads": 1}

# ------------------------------------------------------------------------------------ Swiss roll

ROLL: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "spline x4": (NeuralSpline, {"layers": 4, "bins": 16}, {"steps": 1600}),
    "affine x8": (RealNVP, {"layers": 8}, {"steps": 4000, "batch_size": 256, "lr": 2e-3, "clip": 1.0}),
}


def fit(make: Callable[[], nn.Module], x: Tensor, seed: int, device: str, **options: Any) -> nn.Module:
    torch.manual_seed(seed)
    model = make()
    options = {"batch_size": SETTINGS["batch"], "lr": SETTINGS["lr"], "schedule": "cosine", **options}
    train(model, x, random_state=seed, device=device, progress=False, **options)
    return model.cpu()


def roll(name: str, device: str = "cpu", seeds: tuple[int, ...] = SEEDS) -> dict[str, Any]:
    cls, options, training = ROLL[name]
    law = SwissRoll()
    test = law.sample(SETTINGS["test"], random_state=10_000)
    truth, found = law.log_prob(test), {"gap": [], "train_gap": [], "mass": []}
    spread = []
    for seed in seeds:
        X = law.sample(SETTINGS["train"], random_state=seed)
        model = fit(lambda: cls(2, **options), torch.tensor(X).float(), seed, device, **training).double()
        with torch.no_grad():
            difference = truth - model.log_prob(torch.tensor(test)).numpy()
            own = law.log_prob(X[:5000]) - model.log_prob(torch.tensor(X[:5000])).numpy()
            mass = check.integrates_to_one(model, dim=2, tolerance=0.1).value
        found["gap"].append(difference.mean())
        found["train_gap"].append(own.mean())
        found["mass"].append(mass)
        spread.append(difference.std() / len(test) ** 0.5)
    return {**found, "se": max(spread), "parameters": sum(p.numel() for p in model.parameters())}


# ------------------------------------------------------------------------------------ depth

DEPTH = {
    "none": {"normalization": None},
    "act": {"normalization": "act"},
    "batch": {"normalization": "batch"},
    "batch + weight norm": {"normalization": "batch", "weight_norm": True},
}


def depth(name: str, device: str = "cpu", seeds: tuple[int, ...] = SEEDS, steps: int = 200) -> dict[str, Any]:
    """Sixteen affine couplings at a large learning rate, on a roll in other units (shifted and scaled)."""
    law, losses = SwissRoll(), []
    for seed in seeds:
        X = torch.tensor(10 * law.sample(4000, random_state=seed) + 20).float()
        held_out = torch.tensor(10 * law.sample(4000, random_state=10_000) + 20).float()
        try:
            model = fit(
                lambda: RealNVP(2, layers=16, hidden=(32, 32), **DEPTH[name]),
                X,
                seed,
                device,
                steps=steps,
                lr=1e-2,
            )
            with torch.no_grad():
                losses.append(float(model.loss(held_out).mean()) - 2 * np.log(10))
        except FloatingPointError:
            losses.append(float("nan"))
    return {"loss": losses, "truth": law.entropy}


# ------------------------------------------------------------------------------------ digits

DIGITS: dict[str, Callable[[], nn.Module]] = {
    "affine x8": lambda: RealNVP(64, layers=8, hidden=(128,), mixing="permutation"),
    "spline x4": lambda: NeuralSpline(64, layers=4, bins=6, hidden=(64,), bound=4.0, mixing="permutation"),
    "images, two scales": lambda: ImageFlow(64, channels=32, couplings=2),
}


def digit_flow(
    name: str, device: str = "cpu", seeds: tuple[int, ...] = SEEDS, epochs: int = 60
) -> dict[str, Any]:
    """Train on the dequantized digits in logit space; stop by the validation part; test once."""
    parts = digits("dequantized")
    logit, bits = Logit(), []
    (train_z, _), (validation_z, _), (test_z, log_det) = (logit.forward_and_log_det(part.X) for part in parts)
    for seed in seeds:
        torch.manual_seed(seed)
        model = DIGITS[name]()
        train(
            model,
            torch.tensor(train_z).float(),
            epochs=epochs,
            lr=2e-3,
            held_out=torch.tensor(validation_z).float(),
            patience=8,
            random_state=seed,
            device=device,
            progress=False,
        )
        with torch.no_grad():
            log_p = model.cpu().log_prob(torch.tensor(test_z).float()).numpy() + log_det
        bits.append(bits_per_dim(log_p).mean())
    return {"bits": bits, "parameters": sum(p.numel() for p in model.parameters())}


def digit_mixture(seeds: tuple[int, ...] = SEEDS) -> dict[str, Any]:
    """Ten full Gaussians in logit space, the regularization chosen on the validation part."""
    parts = digits("dequantized")
    logit, bits = Logit(), []
    (train_z, _), (validation_z, _), (test_z, log_det) = (logit.forward_and_log_det(part.X) for part in parts)
    for seed in seeds:
        models = [
            GaussianMixture(10, reg_covar=r, random_state=seed).fit(train_z) for r in (0.01, 0.03, 0.1, 0.3)
        ]
        best = max(models, key=lambda model: model.score(validation_z))
        bits.append(bits_per_dim(best.score_samples(test_z) + log_det).mean())
    return {"bits": bits, "parameters": 10 * (64 * 65 // 2 + 64) + 9}


# ------------------------------------------------------------------------------------ speed

DIM, BATCH, COUPLINGS, HIDDEN = 64, 512, 8, 64


def _net(dim_in: int, dim_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(dim_in, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, dim_out)
    )


class Plain(nn.Module):
    """The plain split implementation: views of two halves, one network for (t, log s), a `cat` per layer."""

    def __init__(self) -> None:
        super().__init__()
        self.nets = nn.ModuleList(_net(DIM // 2, DIM) for _ in range(COUPLINGS))

    def log_prob(self, x: Tensor) -> Tensor:
        log_det = x.new_zeros(len(x))
        for k, net in enumerate(self.nets):
            a, b = x.chunk(2, 1) if k % 2 == 0 else x.chunk(2, 1)[::-1]
            t, s = net(a).chunk(2, 1)
            s = 2 * torch.tanh(s / 2)
            b = b * s.exp() + t
            x = torch.cat([a, b] if k % 2 == 0 else [b, a], 1)
            log_det = log_det + s.sum(1)
        return -0.5 * (x**2).sum(1) - 0.5 * DIM * np.log(2 * np.pi) + log_det

    def sample(self, n: int) -> Tensor:
        x = torch.randn(n, DIM)
        for k, net in reversed(list(enumerate(self.nets))):
            a, b = x.chunk(2, 1) if k % 2 == 0 else x.chunk(2, 1)[::-1]
            t, s = net(a).chunk(2, 1)
            b = (b - t) * torch.exp(-2 * torch.tanh(s / 2))
            x = torch.cat([a, b] if k % 2 == 0 else [b, a], 1)
        return x


def _ours() -> Any:
    return RealNVP(DIM, layers=COUPLINGS, normalization=None, net=_net)


def _zuko() -> Any:
    import zuko

    base = torch.distributions.Independent(torch.distributions.Normal(torch.zeros(DIM), torch.ones(DIM)), 1)
    layers = [
        zuko.flows.GeneralCouplingTransform(
            DIM, mask=(torch.arange(DIM) < DIM // 2) ^ (k % 2 == 1), hidden_features=(HIDDEN, HIDDEN)
        )
        for k in range(COUPLINGS)
    ]
    flow = zuko.flows.Flow(layers, zuko.flows.UnconditionalDistribution(lambda: base))
    return flow, lambda x: flow().log_prob(x), lambda n: flow().sample((n,))


def _normflows() -> Any:
    import normflows as nf

    layers: list[nn.Module] = []
    for _ in range(COUPLINGS):
        net = nf.nets.MLP([DIM // 2, HIDDEN, HIDDEN, DIM], init_zeros=True)
        layers += [nf.flows.AffineCouplingBlock(net), nf.flows.Permute(DIM, mode="swap")]
    flow = nf.NormalizingFlow(nf.distributions.DiagGaussian(DIM, trainable=False), layers)
    return flow, flow.log_prob, lambda n: flow.sample(n)[0]


def _nflows() -> Any:
    from nflows.distributions.normal import StandardNormal
    from nflows.flows.base import Flow
    from nflows.transforms.base import CompositeTransform
    from nflows.transforms.coupling import AffineCouplingTransform

    def mask(k: int) -> Tensor:
        return ((torch.arange(DIM) < DIM // 2) ^ (k % 2 == 1)).float()

    def net(a: int, b: int) -> nn.Module:
        class Net(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.net = _net(a, b)

            def forward(self, x: Tensor, context: Any = None) -> Tensor:
                return self.net(x)

        return Net()

    layers = [AffineCouplingTransform(mask(k), net) for k in range(COUPLINGS)]
    flow = Flow(CompositeTransform(layers), StandardNormal([DIM]))
    return flow, flow.log_prob, flow.sample


PEERS: dict[str, Callable[[], Any]] = {"normflows": _normflows, "nflows": _nflows, "zuko": _zuko}


def speed(rounds: int = 25, peers: tuple[str, ...] = tuple(PEERS)) -> dict[str, Any]:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    plain, ours = Plain(), _ours()
    runners = {
        "plain split": (plain, plain.log_prob, plain.sample),
        "coursekit": (ours, ours.log_prob, ours.sample),
    }
    absent = []
    for name in peers:
        try:
            runners[name] = PEERS[name]()
        except ImportError:
            absent.append(name)
    x, rng = torch.randn(BATCH, DIM), np.random.default_rng(0)
    seconds: dict[str, dict[str, list[float]]] = {
        task: {name: [] for name in runners} for task in ("train", "sample")
    }

    def measure(name: str, task: str) -> float:
        model, log_prob, sample = runners[name]
        start = time.process_time()
        for _ in range(3):
            if task == "train":
                model.zero_grad(set_to_none=True)
                (-log_prob(x).mean()).backward()
            else:
                with torch.no_grad():
                    sample(BATCH)
        return time.process_time() - start

    for k in range(rounds + 3):
        for task in seconds:
            for name in rng.permutation(list(runners)):
                spent = measure(name, task)
                if k >= 3:  # three rounds to warm up
                    seconds[task][name].append(spent)
    ratio = {
        task: {
            name: float(np.median(np.array(times) / np.array(seconds[task]["plain split"])))
            for name, times in seconds[task].items()
        }
        for task in seconds
    }
    return {"absent": absent, "rounds": rounds, **ratio}


# ------------------------------------------------------------------------------------ all rows


def rows(device: str) -> dict[str, Callable[[], dict[str, Any]]]:
    return {
        "speed": speed,
        **{f"digits: {name}": (lambda name=name: digit_flow(name, device)) for name in DIGITS},
        "digits: mixture of 10 Gaussians": digit_mixture,
        **{f"swiss roll: {name}": (lambda name=name: roll(name, device)) for name in ROLL},
        **{f"depth: {name}": (lambda name=name: depth(name, device)) for name in DEPTH},
    }


def main(argv: list[str] | None = None) -> None:
    parser = arguments(__doc__.splitlines()[0], devices=("cpu", "cuda"))
    parser.add_argument("--only", nargs="+", help="names of rows")
    options = parser.parse_args(argv)
    results = Results(
        "flows", settings=SETTINGS, device=options.device, path=options.output, fresh=options.fresh
    )
    for name, compute in rows(options.device).items():
        if options.only is None or name in options.only:
            row = results.row(name, compute)
            print(f"{name}: { {k: v for k, v in row.items() if k != 'seconds'} }", flush=True)
    if "speed" in results.rows:
        row = results.rows["speed"]
        print(
            Table(
                ["CPU time against a plain split", "log_prob and backward", "sample"],
                [[name, f"{row['train'][name]:.2f}", f"{row['sample'][name]:.2f}"] for name in row["train"]],
            )
        )
        print("absent:", ", ".join(row["absent"]) or "none")


if __name__ == "__main__":
    main()
