"""Beta-VAEs on the sprites: rate, distortion and scores against beta, before and after a rotation.

    python -m benchmarks.beta_vae [--fresh] [--output FILE] [--only ROW ...]

writes `results/beta_vae.json`, row by row (resumable). All 1296 sprites train (the law of the images is known
and uniform, so there is no test set to overfit: the best ELBO is minus log 1296). MLP 256-64, five latents,
batch 64, 500 steps of Adam at 5e-3 with a cosine, three seeds.

Rows "beta 1", "beta 4", "beta 16", and "capacity 3 (beta 20)", where the capacity rises over 300 steps::

    {"label", "beta", "rate": [...], "distortion": [...], "active": [...], "cpu": [...],
     "mig": [...], "sap": [...], "disentanglement": [...], "completeness": [...], "informativeness": [...],
     "factor_vae": [...], "information": [[...]],
     "turned": {"elbo_change": [...], "mig": [...], "sap": [...]}}

one number per seed, rates in nats per image. "turned": the same model behind a random rotation of its
latents; first the largest change of the ELBO of any image, with the same noise. "information": of the first
seed, I(latent; factor) / H(factor).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from benchmarks._common import Results, arguments
from coursekit.data import sprites
from coursekit.disentangling.beta_vae import (
    BetaVAE,
    dci,
    factor_vae_score,
    mig,
    mutual_information,
    rate_distortion,
    rotate_latents,
    sap,
    traverse,
)
from coursekit.latent.vae import VAE, active_units
from coursekit.train import train

SEEDS = [0, 1, 2]
BETAS = [1, 4, 16]
SETTINGS = {
    "seeds": SEEDS,
    "hidden": [64],
    "latent_dim": 5,
    "steps": 500,
    "batch_size": 64,
    "lr": 5e-3,
}
DATA = sprites()


def images() -> Tensor:
    """All sprites, (1296, 256), float32."""
    return torch.as_tensor(DATA.X, dtype=torch.float32)


def fit(seed: int, *, steps: int = SETTINGS["steps"], **options: Any) -> BetaVAE:
    """Train one model by the protocol."""
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(seed)
        model = BetaVAE(256, latent_dim=SETTINGS["latent_dim"], hidden=SETTINGS["hidden"], **options)
    training = {name: SETTINGS[name] for name in ("batch_size", "lr")}
    train(model, images(), steps=steps, schedule="cosine", random_state=seed, device="cpu", **training)
    return model.eval()


def codes(model: VAE) -> np.ndarray:
    """Posterior means of all sprites, (1296, latent_dim)."""
    with torch.no_grad():
        return model.encoder(images()).mean.double().numpy()


def scores(z: np.ndarray) -> dict[str, float]:
    """Every score of the chapter for one table of codes."""
    forest = dci(z, DATA.factors)
    return {
        "mig": mig(z, DATA.factors),
        "sap": sap(z, DATA.factors, categorical=[0]),
        "disentanglement": forest.disentanglement,
        "completeness": forest.completeness,
        "informativeness": forest.informativeness,
        "factor_vae": factor_vae_score(z, DATA.factors),
    }


def judge(model: BetaVAE, seed: int) -> dict[str, Any]:
    """Rate, distortion and scores of one model, and what a rotation of its latents does to them."""
    x = images()
    rotation = stats.ortho_group.rvs(model.latent_dim, random_state=seed)
    turned = rotate_latents(model, torch.as_tensor(rotation))
    before, after = (m.elbo(x, 2, generator=torch.Generator().manual_seed(seed)) for m in (model, turned))
    found = rate_distortion(model, x, 10, generator=torch.Generator().manual_seed(seed))
    return {
        "rate": found.rate,
        "distortion": found.distortion,
        "active": int((active_units(model, x) > 0.01).sum()),
        **scores(codes(model)),
        "turned": {
            "elbo_change": float((before - after).abs().max()),
            "mig": mig(codes(turned), DATA.factors),
            "sap": sap(codes(turned), DATA.factors, categorical=[0]),
        },
    }


def row(label: str, **options: Any) -> dict[str, Any]:
    """One row: train and judge for each seed."""
    found: dict[str, Any] = {"label": label, "beta": options["beta"], "turned": {}}
    for seed in SEEDS:
        start = time.process_time()
        model = fit(seed, **options)
        numbers = {"cpu": time.process_time() - start} | judge(model, seed)
        for name, value in numbers.pop("turned").items():
            found["turned"].setdefault(name, []).append(value)
        for name, value in numbers.items():
            found.setdefault(name, []).append(value)
        if seed == SEEDS[0]:
            entropies = np.log(np.array(DATA.sizes))
            found["information"] = mutual_information(codes(model), DATA.factors) / entropies
    return found


def _beta(beta: float) -> Callable[[], dict[str, Any]]:
    return lambda: row(f"β = {beta:g}", beta=beta)


ROWS: dict[str, Callable[[], dict[str, Any]]] = {
    **{f"beta {beta:g}": _beta(beta) for beta in BETAS},
    "capacity 3 (beta 20)": lambda: row("capacity 3 nats", beta=20, capacity=3.0, capacity_steps=300),
}


FIGURE = {"seed": 0, "betas": [0.5, 1, 2, 4, 8, 16, 32], "steps": 9, "reach": 2.0, "start": [1, 1, 1, 2, 2]}


@torch.no_grad()
def traversals(beta: float) -> dict[str, Any]:
    """One position of the figure's slider."""
    model, x = _trained(beta), images()
    found = rate_distortion(model, x, 10, generator=torch.Generator().manual_seed(0))
    posterior = model.encoder(x)
    kl = 0.5 * (posterior.mean**2 + (2 * posterior.log_scale).exp() - 1) - posterior.log_scale  # (n, latents)
    order = kl.mean(0).argsort(descending=True)
    start = posterior.mean[(DATA.factors == FIGURE["start"]).all(axis=1)][0]
    path = traverse(model, start, torch.linspace(-FIGURE["reach"], FIGURE["reach"], FIGURE["steps"]))[order]
    pixels = (15 * path).round().int().flatten().tolist()
    return {
        "beta": beta,
        "rate": found.rate,
        "distortion": found.distortion,
        "share": kl.mean(0)[order].tolist(),
        "pixels": "".join(f"{value:x}" for value in pixels),
    }


def _trained(beta: float) -> BetaVAE:
    with torch.enable_grad():
        return fit(FIGURE["seed"], beta=beta)


def main(argv: list[str] | None = None) -> int:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=ROWS, metavar="ROW", help="these rows only")
    parser.add_argument(
        "--traversals", action="store_true", help="write results/beta_vae_traversals.json instead"
    )
    options = parser.parse_args(argv)
    if options.traversals:
        settings = SETTINGS | {"seeds": [FIGURE["seed"]], "figure": FIGURE}
        figure = Results("beta_vae_traversals", settings=settings, path=options.output, fresh=options.fresh)
        figure.meta["command"] = "python -m benchmarks.beta_vae --traversals"
        for beta in FIGURE["betas"]:
            figure.row(f"beta {beta:g}", partial(traversals, beta))
        return 0
    results = Results("beta_vae", settings=SETTINGS, path=options.output, fresh=options.fresh)
    for name in options.only or ROWS:
        found = results.row(name, ROWS[name])
        print(name, found, file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
