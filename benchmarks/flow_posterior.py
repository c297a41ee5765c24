"""Flow posteriors: the corrected table on the digits, exact divergences on energies, binarized MNIST.

    python -m benchmarks.flow_posterior [--protocol digits|mnist|mnist_full] [--device cpu|cuda]

writes `results/flow_posterior.json` (or `flow_posterior_mnist.json`, `flow_posterior_mnist_full.json`), row
by row. A run that is cut off goes on at the row that it was in; on MNIST from its last epoch, kept in the
folder ``--work FOLDER``.

* ``digits``: stochastically binarized 8 x 8 digits, MLP 64-100-100, two latents, three seeds, and the
  energies in two dimensions. About ten CPU-minutes.
* ``mnist``: fixed binarized MNIST, 784-200-200-50, 40 epochs, one seed. A few CPU-minutes a row.
* ``mnist_full``: the same data, every depth of the table, 400 epochs, three seeds, for a GPU.

Rows of models, such as "planar 4, seed 0" ::

    {"family", "layers", "conditional", "seed", "parameters", "elbo", "reconstruction", "kl", "iwae500",
     "iwae500_se", "train_cpu"}

with nats per test image, larger being better for all but "kl"; with two latents also "evidence", by
quadrature, so that evidence - elbo is the gap that the posterior leaves. On ``mnist`` the costly "iwae500" is
that of every fifth test image, and "elbo_fewer" the ELBO of the same ones. "train_cpu" is null where a run
was cut off and went on.

Rows of energies, such as "ring, planar 8, seed 0": {"kl", "se"}, the divergence in nats with the standard
error of its estimate; the energies' integrals are in the rows "ring" and "wave".
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks._common import Results, arguments
from coursekit.data import digits, load
from coursekit.flows.coupling import ActNorm, RealNVP
from coursekit.flows.flow_posterior import (
    FlowVAE,
    fit_energy,
    free_energy,
    log_partition,
    reverse_kl,
    ring_energy,
    wave_energy,
)
from coursekit.flows.planar import PlanarFlow
from coursekit.latent.vae import VAE, log_evidence
from coursekit.nn import Flow
from coursekit.train import train

TABLE = [
    *(("gaussian", 0, True), ("planar", 4, True), ("planar", 10, True), ("planar", 20, True)),
    *(("planar", 40, True), ("realnvp", 2, True), ("realnvp", 5, True), ("realnvp", 10, True)),
    *(("realnvp", 20, True), ("iaf", 2, True), ("realnvp", 2, False)),
]
# What decides the numbers of a protocol.
PROTOCOLS: dict[str, dict[str, Any]] = {
    "digits": {
        "latent_dim": 2, "hidden": [100, 100], "flow_hidden": [32], "steps": 1500, "batch_size": 100,
        "lr": 2e-3, "warm_up": 600, "test_images": 500, "seeds": [0, 1, 2], "table": TABLE,
        "energy_steps": 1500,
    },
    "mnist": {  # the data, networks, steps and warm-up of `vae_mnist`
        "latent_dim": 50, "hidden": [200, 200], "flow_hidden": [64], "steps": 10_000, "batch_size": 200,
        "lr": 2e-3, "warm_up": 2500, "test_images": 10_000, "iwae_every": 5, "seeds": [0],
        "table": [("gaussian", 0, True), ("realnvp", 2, True), ("planar", 4, True), ("iaf", 2, True)],
    },
    "mnist_full": {
        "latent_dim": 50, "hidden": [400, 400], "flow_hidden": [128], "steps": 200_000, "batch_size": 100,
        "lr": 1e-3, "warm_up": 20_000, "test_images": 10_000, "seeds": [0, 1, 2], "table": TABLE,
    },
}  # fmt: skip
ENERGIES = {"ring": ring_energy, "wave": wave_energy}
ENERGY_FLOWS = {"diagonal": 0.05, "planar 2": 0.02, "planar 8": 0.02, "realnvp 1": 0.005, "realnvp 4": 0.005}


class _Rebinarized:
    """Training batches hold probabilities: every step draws its own bits."""

    def loss(self, batch: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        return super().loss(torch.bernoulli(batch, generator=generator), generator=generator)  # type: ignore[misc]


class _GaussianDigits(_Rebinarized, VAE):
    pass


class _FlowDigits(_Rebinarized, FlowVAE):
    pass


def data(protocol: str, device: str) -> tuple[Tensor, Tensor]:
    """Training probabilities or bits, and test bits, float32."""
    if protocol == "digits":
        train_x, test_x = digits("grey").train.X / 16, digits("stochastic").test.X
    else:
        splits = load("binarized_mnist")
        train_x, test_x = splits[0].X, splits[-1].X
    rows = PROTOCOLS[protocol]["test_images"]
    to = {"dtype": torch.float32, "device": device}
    return torch.as_tensor(train_x, **to), torch.as_tensor(test_x[:rows], **to)


def build(protocol: str, family: str, layers: int, conditional: bool, seed: int) -> VAE:
    """The model of one row, its first weights drawn from `seed`."""
    settings = PROTOCOLS[protocol]
    sizes = {name: settings[name] for name in ("latent_dim", "hidden", "warm_up")}
    on_digits = protocol == "digits"
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(seed)
        if family == "gaussian":
            return (_GaussianDigits if on_digits else VAE)(64 if on_digits else 784, **sizes)
        return (_FlowDigits if on_digits else FlowVAE)(
            64 if on_digits else 784,
            flow=family,  # type: ignore[arg-type]
            layers=layers,
            flow_hidden=settings["flow_hidden"],
            conditional=conditional,
            **sizes,
        )


def fit(
    protocol: str, row: tuple[str, int, bool], seed: int, device: str = "cpu", *,
    steps: int | None = None, checkpoint: Path | None = None,
) -> tuple[VAE, float | None]:  # fmt: skip
    """Train one model; give it with the CPU-seconds, or None where it went on from a checkpoint."""
    settings = PROTOCOLS[protocol]
    model = build(protocol, *row, seed).to(device)
    train_x, _ = data(protocol, device)
    if protocol != "digits":  # start at the mean image
        with torch.no_grad():
            model.decoder.net[-1].bias.copy_(torch.logit(train_x.mean(0).clamp(1e-3, 1 - 1e-3)))
    fresh, cpu = checkpoint is None or not checkpoint.exists(), time.process_time()
    train(
        model,
        train_x,
        steps=settings["steps"] if steps is None else steps,
        batch_size=settings["batch_size"],
        lr=settings["lr"],
        schedule="cosine",
        clip=50.0,
        random_state=seed,
        device=device,
        checkpoint=checkpoint,
    )
    return model.eval(), time.process_time() - cpu if fresh else None


def judge(model: VAE, x: Tensor, draws: int, iwae_every: int = 1) -> dict[str, float]:
    """Every bound of one model on test images; the costly one on every `iwae_every`-th of them."""
    generator = torch.Generator(x.device).manual_seed(0)
    if isinstance(model, FlowVAE):
        terms = free_energy(model, x, draws, generator=generator)
        kl, reconstruction = terms.kl, terms.log_likelihood
    else:
        elbo = model.elbo(x, draws, generator=generator)
        with torch.no_grad():
            kl = model.encoder(x).kl_to_prior()
        reconstruction = elbo + kl
    iwae = model.iwae(x[::iwae_every], 500, generator=generator)
    found = {"elbo": reconstruction - kl, "reconstruction": reconstruction, "kl": kl, "iwae500": iwae}
    if iwae_every > 1:
        found["elbo_fewer"] = found["elbo"][::iwae_every]
    if model.latent_dim == 2:
        found["evidence"] = log_evidence(model, x)
    means = {name: float(value.mean()) for name, value in found.items()}
    return means | {"iwae500_se": float(iwae.std() / len(iwae) ** 0.5)}


def run(
    protocol: str, row: tuple[str, int, bool], seed: int, device: str, work: Path | None
) -> dict[str, Any]:
    """Train and judge one model."""
    (family, layers, conditional), on_digits = row, protocol == "digits"
    keep = work is not None and not on_digits
    checkpoint = work / f"{family}-{layers}-{conditional}-{seed}.pt" if keep and work else None
    model, cpu = fit(protocol, row, seed, device, checkpoint=checkpoint)
    return {
        "family": family,
        "layers": layers,
        "conditional": conditional,
        "seed": seed,
        "parameters": sum(weight.numel() for weight in model.parameters()),
        **judge(
            model,
            data(protocol, device)[1],
            100 if on_digits else 20,
            PROTOCOLS[protocol].get("iwae_every", 1),
        ),
        "train_cpu": cpu,
    }


def energy_flow(name: str, seed: int) -> Flow:
    """A flow of two columns; the diagonal Gaussian is one affine map of each column."""
    kind, _, layers = name.partition(" ")
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(seed)
        if kind == "planar":
            return PlanarFlow(2, layers=int(layers))
        if kind == "realnvp":
            return RealNVP(2, layers=2 * int(layers), hidden=(32, 32), normalization=None)
        flow = Flow(2, [ActNorm(2)])
        with torch.no_grad():  # seeds begin at different places: one may end in each mode
            flow.layers[0].center.normal_()
            flow.layers[0].initialized.fill_(True)
        return flow


def energy_row(energy: str, name: str, seed: int, log_z: float, steps: int) -> dict[str, float]:
    """The divergence of one fitted flow."""
    flow = fit_energy(
        energy_flow(name, seed), ENERGIES[energy], steps=steps, lr=ENERGY_FLOWS[name], seed=seed
    )
    kl, error = reverse_kl(flow, ENERGIES[energy], log_z=log_z, seed=100)
    return {"kl": kl, "se": error}


def label(row: tuple[str, int, bool] | list[Any]) -> str:
    """Name of a row of the table."""
    family, layers, conditional = row
    return f"{family} {layers}".removesuffix(" 0") + ("" if conditional else " global")


def main(argv: list[str] | None = None) -> int:
    parser = arguments(__doc__.splitlines()[0], devices=("cpu", "cuda"))
    parser.add_argument("--protocol", default="digits", choices=PROTOCOLS, help="what to run")
    parser.add_argument("--work", type=Path, help="folder of the checkpoints")
    options = parser.parse_args(argv)
    settings, protocol = PROTOCOLS[options.protocol], options.protocol
    name = "flow_posterior" if protocol == "digits" else f"flow_posterior_{protocol}"
    work = options.work or Path(tempfile.gettempdir()) / f"coursekit-{name}-{options.device}"
    work.mkdir(parents=True, exist_ok=True)
    results = Results(
        name, settings=settings, device=options.device, path=options.output, fresh=options.fresh
    )
    results.meta["command"] = f"python -m benchmarks.flow_posterior --protocol {protocol}"

    def report(name: str) -> None:
        print(name, results.rows[name], file=sys.stderr, flush=True)

    for seed in settings["seeds"]:
        for row in settings["table"]:
            name = f"{label(row)}, seed {seed}"
            results.row(name, lambda r=row, s=seed: run(protocol, tuple(r), s, options.device, work))
            report(name)
        for energy in ENERGIES if "energy_steps" in settings else ():
            log_z = results.row(energy, lambda e=energy: {"log_z": log_partition(ENERGIES[e])})["log_z"]
            for flow in ENERGY_FLOWS:
                name = f"{energy}, {flow}, seed {seed}"
                results.row(
                    name,
                    lambda e=energy, f=flow, s=seed, z=log_z: energy_row(
                        e, f, s, z, settings["energy_steps"]
                    ),
                )
                report(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
