"""The file of the Bayesian GAN: its arithmetic, a slice run again, and the claims of the chapter."""

import json

import numpy as np
import pytest
import torch

from benchmarks import gan_posterior
from benchmarks._common import RESULTS

FILE = json.loads((RESULTS / "gan_posterior.json").read_text())
ROWS = FILE["rows"]


def test_the_file_has_every_row_and_says_how_it_was_made():
    assert set(ROWS) == set(gan_posterior.ROWS)
    assert FILE["meta"]["command"] == "python -m benchmarks.gan_posterior"
    assert FILE["meta"]["settings"] == gan_posterior.SETTINGS
    for row in ROWS.values():
        shares = np.array([row["left"], row["right"], row["neither"]])
        assert shares.shape == (3, len(gan_posterior.SEEDS))
        np.testing.assert_allclose(shares.sum(0), 1, atol=1e-5)  # rounded


def test_gradients_are_those_of_each_player_s_own_posterior():
    """Finite differences in float64 of the minus-log-posterior that each player descends."""
    game = gan_posterior.Game(3, seed=0)
    for player in game.players:
        player.data = player.data.double()
    noise, x = torch.randn(3, 5, dtype=torch.float64), torch.randn(5, dtype=torch.float64)
    game.data = lambda n: x
    game.generate = lambda n: game.lines[:, :1] + game.lines[:, 1:].exp() * noise

    def log_sigmoid(t):
        return -np.log1p(np.exp(-t))

    def energy(of_generators):
        w, b, v, c = (p.detach().numpy() for p in game.discriminator)
        a, scale = game.lines.detach().numpy().T
        made = a[:, None] + np.exp(scale)[:, None] * noise.numpy()
        logit = lambda t: np.tanh(t[..., None] @ w + b) @ v + c
        if of_generators:  # prior N(0, 2^2), and the mean over the batch stands for 100 observations
            return -100 * log_sigmoid(logit(made)).mean(1).sum() + (a**2 + scale**2).sum() / 8
        prior = sum((p**2).sum() for p in (w, b, v, c)) / 2
        return -100 * (log_sigmoid(logit(x.numpy())).mean() + log_sigmoid(-logit(made)).mean()) + prior

    for k, (player, gradient) in enumerate(zip(game.players, game.gradients(), strict=True)):
        flat = player.data.view(-1)
        old = flat[1 % len(flat)].clone()
        ends = []
        for step in (1e-5, -1e-5):
            flat[1 % len(flat)] = old + step
            ends.append(energy(k == 0))
        flat[1 % len(flat)] = old
        expected = (ends[0] - ends[1]) / 2e-5
        assert gradient.reshape(-1)[1 % len(flat)].item() == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_a_run_of_one_seed_goes_the_same_way():
    one = gan_posterior.play(1, False, 7, steps=1500)  # in six seeds .54 to .59
    ten = gan_posterior.play(10, True, 7)  # in five seeds .12 to .24
    assert ten["neither"] < 0.4 < one["neither"]


def test_what_the_chapter_says():
    neither = {name: row["neither"] for name, row in ROWS.items()}
    assert max(neither["10, sampled"]) < min(neither["10, optimized"]) < min(neither["1, optimized"])
    for place in ("left", "right"):
        assert min(ROWS["10, sampled"][place]) > 0.2
