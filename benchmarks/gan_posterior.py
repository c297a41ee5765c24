"""One generator or ten, optimized or sampled: the Bayesian GAN on two Gaussians.

    python -m benchmarks.gan_posterior [--fresh] [--output FILE]

writes `results/gan_posterior.json`. Data: 0.5 N(-2, 0.3^2) + 0.5 N(2, 0.3^2). A generator is a
line, ``G(z) = a + exp(b) z``, so it can be on one of the two or spread over both, never right. The
discriminator has 16 hidden units. Both play by stochastic gradient Hamiltonian Monte Carlo (Chen
et al. 2014) in the conditional posteriors of Saatci and Wilson (2017, arXiv 1705.09558); without
its noise the same updates are gradient descent with momentum.

"GENERATORS, HOW"   {"left": [...], "right": [...], "neither": [...], "cpu": [...]}: shares of the samples
                    within 1 of the one mean, of the other, and of neither, one number per seed.
"""

from __future__ import annotations

import math
import sys
import time
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from benchmarks._common import Results, arguments

SEEDS = [0, 1, 2, 3, 4]
SETTINGS = {
    "seeds": SEEDS,
    "steps": 3000,
    "batch_size": 64,
    "observations": 100,
    "step_size": 1e-4,
    "friction": 0.1,
    "means": [-2.0, 2.0],
    "sd": 0.3,
}
ROWS = {f"{count}, {how}": (count, how == "sampled") for how in ("optimized", "sampled") for count in (1, 10)}


class Game:
    """`count` generators and a discriminator, their momenta, and one generator of random numbers."""

    def __init__(self, count: int, seed: int):
        self.random = torch.Generator().manual_seed(seed)
        self.lines = 0.1 * self.normal(count, 2)  # a and b of each generator
        self.discriminator = [0.5 * self.normal(*shape) for shape in ((1, 16), (16,), (16,), (1,))]
        self.players = [self.lines, *self.discriminator]
        for player in self.players:
            player.requires_grad_()
        self.momenta = [torch.zeros_like(player) for player in self.players]

    def normal(self, *shape: int) -> Tensor:
        """Draw standard normal numbers."""
        return torch.randn(*shape, generator=self.random)

    def data(self, n: int) -> Tensor:
        """Draw from the two Gaussians."""
        means = torch.tensor(SETTINGS["means"])
        return means[torch.randint(2, (n,), generator=self.random)] + SETTINGS["sd"] * self.normal(n)

    def generate(self, n: int) -> Tensor:
        """Draw `n` samples from each generator."""
        return self.lines[:, :1] + self.lines[:, 1:].exp() * self.normal(len(self.lines), n)  # (count, n)

    def logit(self, x: Tensor) -> Tensor:
        """Discriminator's logit of each number."""
        w, b, v, c = self.discriminator
        return torch.tanh(x[..., None] @ w + b) @ v + c

    def gradients(self) -> list[Tensor]:
        """Gradients of the two minus-log-posteriors, each by its own player."""
        n, batch = SETTINGS["observations"], SETTINGS["batch_size"]
        real, made = self.logit(self.data(batch)), self.logit(self.generate(batch))
        generators = -n * logsigmoid(made).mean(1).sum() + self.lines.square().sum() / 8
        prior = sum(weight.square().sum() for weight in self.discriminator) / 2
        discriminator = -n * (logsigmoid(real).mean() + logsigmoid(-made).mean()) + prior
        return [
            *torch.autograd.grad(generators, [self.lines], retain_graph=True),
            *torch.autograd.grad(discriminator, self.discriminator),
        ]

    def step(self, *, temperature: float) -> None:
        """Move all players; temperature 1 samples from the posteriors, 0 descends with momentum."""
        eta, friction = SETTINGS["step_size"], SETTINGS["friction"]
        for player, momentum, gradient in zip(self.players, self.momenta, self.gradients(), strict=True):
            kick = math.sqrt(2 * friction * eta * temperature) * self.normal(*player.shape)
            momentum.mul_(1 - friction).sub_(eta * gradient).add_(kick)
            player.data.add_(momentum)


def play(count: int, sampled: bool, seed: int, steps: int = SETTINGS["steps"]) -> dict[str, float]:
    """Play the game; where the samples of the second half of the steps fall."""
    start, game, drawn = time.process_time(), Game(count, seed), []
    for step in range(steps):
        game.step(temperature=float(sampled))
        if step >= steps // 2 and step % 50 == 0:
            drawn.append(game.generate(64).detach())
    left, right = (float(((torch.stack(drawn) - m).abs() < 1).double().mean()) for m in SETTINGS["means"])
    cpu = time.process_time() - start
    return {"left": left, "right": right, "neither": 1 - left - right, "cpu": round(cpu, 1)}


def row(count: int, sampled: bool) -> dict[str, Any]:
    """All seeds of one way to play."""
    found = [play(count, sampled, seed) for seed in SEEDS]
    return {key: [one[key] for one in found] for key in found[0]}


def main(argv: list[str] | None = None) -> None:
    """Compute what is missing and write the file."""
    options = arguments("one generator or ten, optimized or sampled").parse_args(argv)
    torch.set_num_threads(1)
    results = Results(
        "gan_posterior", settings=SETTINGS, device=options.device, path=options.output, fresh=options.fresh
    )
    for name, (count, sampled) in ROWS.items():
        print(name, results.row(name, partial(row, count, sampled))["neither"], flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
