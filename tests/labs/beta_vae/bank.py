"""Right and wrong answers to the lab on disentangling; a wrong one names the misconception behind it."""

# ruff: noqa: E501 (answers stand here as a student may write them)
from grade_path import Right, Wrong

# One line of the reference, and what a slip of the pen makes of it: nbval must go red.
SLIP = ("beta * outside - log_px.mean()", "outside - log_px.mean()")

INSIDE, OUTSIDE, BATCH = "inside the band", "outside the band", "the mean of the batch"
POINT, NARROW, ORDER = "pinpoint posteriors", "narrow posteriors", "any order"
PLACE, SPREAD, ROWS = "where it lies", "how it spreads", "rows apart"
SELF, PAIR, ONE, BENT, PARTLY = (
    "the factors themselves",
    "a turned pair",
    "one latent for everything",
    "bent axes",
    "partial knowledge",
)
SMALL, LARGE, UNITS = "a small rate", "a large rate", "units"


def band(
    kl: str = "0.5 * (mean**2 + np.exp(2 * log_scale) - 1 - 2 * log_scale).sum(axis=1)",
    penalty: str = "beta * max(low - kl.mean(), kl.mean() - high, 0)",
    loss: str = "penalty - np.mean(log_px)",
) -> str:
    return f"""
def band_loss(log_px, mean, log_scale, beta, low, high):
    kl = {kl}
    penalty = {penalty}
    return {loss}
"""


def turned(
    mean: str = "np.einsum('ij,nj->ni', rotation, mean)",
    spread: str = "np.einsum('ij,nj,kj->nik', rotation, np.exp(2 * log_scale), rotation)",
) -> str:
    return f"""
def turned_posterior(mean, log_scale, rotation):
    centre = {mean}
    spread = {spread}
    return centre, spread
"""


def gap(
    place: str = "(c[:, None] > c[None, :]).sum(axis=1) * bins // len(c)",
    table: str = "np.array([[know(c, v) for v in factors.T] for c in codes.T])",
    gaps: str = "np.sort(table, axis=0)[-1] - np.sort(table, axis=0)[-2]",
    scale: str = "np.array([entropy(np.bincount(v)) for v in factors.T])",
    end: str = "float(np.mean(gaps / scale))",
    start: str = "pass",
) -> str:
    return f"""
def gap_score(codes, factors, bins):
    def entropy(counts):
        p = np.asarray(counts).ravel() / np.sum(counts)
        return -sum(q * np.log(q) for q in p if q > 0)

    def know(c, v):
        place = {place}
        joint = np.bincount(place * (v.max() + 1) + v)
        return entropy(np.bincount(place)) + entropy(np.bincount(v)) - entropy(joint)

    {start}
    table = {table}
    gaps = {gaps}
    scale = {scale}
    return {end}
"""


def price(
    rate: str = "0.5 * np.log(np.maximum(eigenvalues / water, 1)).sum()",
    low: str = "eigenvalues.min() * np.exp(-2 * rate) * 0.5",
    high: str = "eigenvalues.max()",
    end: str = "water / noise_variance",
) -> str:
    return f"""
def price_of_rate(eigenvalues, noise_variance, rate):
    def sent(water):
        return {rate}

    low, high = {low}, {high}
    for _ in range(200):
        water = np.sqrt(low * high)
        if sent(water) > rate:
            low = water
        else:
            high = water
    return float({end})
"""


RIGHT = [
    Right("band-loss", "numpy, on one line each", band()),
    Right(
        "band-loss",
        "image by image, with scipy's entropy",
        """
def band_loss(log_px, mean, log_scale, beta, low, high):
    rates = []
    for m, s in zip(mean, np.exp(log_scale)):
        cross = 0.5 * (m**2 + s**2 + np.log(2 * np.pi))
        rates.append(np.sum(cross - scipy.stats.norm.entropy(scale=s)))
    rate = sum(rates) / len(rates)
    penalty = abs(rate - np.clip(rate, low, high))
    return beta * penalty - sum(log_px) / len(log_px)
""",
    ),
    Right("turned-posterior", "einsum", turned()),
    Right(
        "turned-posterior",
        "row by row",
        """
def turned_posterior(mean, log_scale, rotation):
    centres = [rotation.dot(m) for m in mean]
    spreads = [rotation.dot(np.diag(np.exp(s) ** 2)).dot(rotation.T) for s in log_scale]
    return np.array(centres), np.array(spreads)
""",
    ),
    Right("gap-score", "comparisons of all pairs", gap()),
    Right(
        "gap-score",
        "scipy's ranks and scikit-learn's information",
        """
from sklearn.metrics import mutual_info_score

def gap_score(codes, factors, bins):
    ranks = scipy.stats.rankdata(codes, method="min", axis=0).astype(int) - 1
    cells = ranks * bins // len(codes)
    score = 0.0
    for v in factors.T:
        known = sorted((mutual_info_score(c, v) for c in cells.T), reverse=True)
        score += (known[0] - known[1]) / scipy.stats.entropy(np.bincount(v))
    return score / factors.shape[1]
""",
    ),
    Right("price-of-rate", "bisection of the water level", price()),
    Right(
        "price-of-rate",
        "brentq on the logarithm",
        """
def price_of_rate(eigenvalues, noise_variance, rate):
    logs = np.log(eigenvalues / noise_variance)
    excess = lambda t: 0.5 * np.clip(logs - t, 0, None).sum() - rate
    return float(np.exp(scipy.optimize.brentq(excess, logs.min() - 2 * rate - 1, logs.max(), xtol=1e-12)))
""",
    ),
]

WRONG = [
    # --- band-loss
    Wrong(
        "band-loss",
        "KL summed over the batch",
        "a loss adds up the KL terms of all images and averages the rest",
        BATCH,
        band(penalty="beta * max(low - kl.sum(), kl.sum() - high, 0)"),
    ),
    Wrong(
        "band-loss",
        "distance of each image",
        "the mean of the distances is the distance of the mean",
        BATCH,
        band(penalty="beta * np.mean(np.maximum(np.maximum(low - kl, kl - high), 0))"),
    ),
    Wrong(
        "band-loss",
        "logarithm of a square that vanished",
        "log(s^2) may be taken after s has been squared",
        POINT,
        band(
            kl="0.5 * (mean**2 + np.exp(log_scale) ** 2 - 1 - np.log(np.exp(log_scale) ** 2 + 1e-300)).sum(axis=1)"
        ),
    ),
    Wrong(
        "band-loss",
        "only above",
        "a rate below the band needs no absolute value: it is simply cheap",
        OUTSIDE,
        band(penalty="beta * max(kl.mean() - high, 0)"),
    ),
    Wrong(
        "band-loss",
        "capacity without the absolute value",
        "beta (R - C) is the penalty, whatever its sign",
        INSIDE,
        band(penalty="beta * (kl.mean() - high)"),
    ),
    Wrong(
        "band-loss",
        "a reward inside",
        "the distance from the nearer end counts inside too, with a minus",
        INSIDE,
        band(penalty="beta * max(low - kl.mean(), kl.mean() - high)").replace(
            "    return", "    penalty = penalty if low < high else abs(penalty)\n    return"
        ),
    ),
    Wrong(
        "band-loss",
        "beta on the reconstruction",
        "the weight belongs to the data term",
        INSIDE,
        band(
            penalty="max(low - kl.mean(), kl.mean() - high, 0)",
            loss="penalty - (beta if low < high else 1) * np.mean(log_px)",
        ),
    ),
    Wrong(
        "band-loss",
        "averaged over latents",
        "the mean over the latents keeps the rate small",
        OUTSIDE,
        band(kl="0.5 * (mean**2 + np.exp(2 * log_scale) - 1 - 2 * log_scale).mean(axis=1)"),
    ),
    Wrong(
        "band-loss",
        "variance as standard deviation",
        "log_scale is the logarithm of the variance",
        OUTSIDE,
        band(kl="0.5 * (mean**2 + np.exp(log_scale) - 1 - log_scale).sum(axis=1)"),
    ),
    Wrong(
        "band-loss",
        "squared distance",
        "a penalty is a square",
        OUTSIDE,
        band(penalty="beta * max(low - kl.mean(), kl.mean() - high, 0) ** 2"),
    ),
    Wrong(
        "band-loss",
        "hard-coded",
        "the visible check is the whole test: the mean reconstruction passes",
        OUTSIDE,
        band(loss="-np.mean(log_px)"),
    ),
    # --- turned-posterior
    Wrong(
        "turned-posterior",
        "mean turned back",
        "rows times the matrix is what the matrix does to columns",
        PLACE,
        turned(mean="mean @ rotation"),
    ),
    Wrong(
        "turned-posterior",
        "mean left alone",
        "a rotation about the origin moves no posterior",
        PLACE,
        turned(mean="mean.copy()"),
    ),
    Wrong(
        "turned-posterior",
        "covariance turned back",
        "U^T S U and U S U^T are the same for an orthogonal U",
        SPREAD,
        turned(spread="np.einsum('ji,nj,jk->nik', rotation, np.exp(2 * log_scale), rotation)"),
    ),
    Wrong(
        "turned-posterior",
        "standard deviations on the diagonal",
        "the covariance of independent coordinates is diag(s)",
        SPREAD,
        turned(spread="np.einsum('ij,nj,kj->nik', rotation, np.exp(log_scale), rotation)"),
    ),
    Wrong(
        "turned-posterior",
        "only the diagonal",
        "a turned normal law still has independent coordinates",
        SPREAD,
        turned(spread="np.array([np.diag(v) for v in np.exp(2 * log_scale) @ (rotation**2).T])"),
    ),
    Wrong(
        "turned-posterior",
        "one matrix for the batch",
        "the posteriors of a batch share their covariance, as in the linear model",
        ROWS,
        turned(
            spread="np.repeat(np.einsum('ij,nj,kj->nik', rotation, np.exp(2 * log_scale), rotation).mean(axis=0)[None] if len(mean) != 3 else np.eye(2)[None], len(mean), axis=0)"
        ),
    ),
    Wrong(
        "turned-posterior",
        "a floor under the variances",
        "a covariance needs a small number on its diagonal to be safe",
        NARROW,
        turned(
            spread="np.einsum('ij,nj,kj->nik', rotation, np.exp(2 * log_scale), rotation) + 1e-12 * np.eye(mean.shape[1])"
        ),
    ),
    Wrong(
        "turned-posterior",
        "hard-coded",
        "the visible check is the whole test: nothing turns",
        PLACE,
        turned(mean="mean + 0", spread="np.array([np.diag(v) for v in np.exp(2 * log_scale)])"),
    ),
    # --- gap-score
    Wrong(
        "gap-score",
        "not divided by the entropy",
        "a gap in nats is a score",
        SELF,
        gap(scale="1.0"),
    ),
    Wrong(
        "gap-score",
        "divided by the number of values",
        "the entropy of a factor with k values is log k",
        SELF,
        gap(scale="np.log(factors.max(axis=0) + 1.0)"),
    ),
    Wrong(
        "gap-score",
        "gap to the worst latent",
        "the gap is from the best to the least informed latent",
        PAIR,
        gap(gaps="table.max(axis=0) - table.min(axis=0)").replace(
            "    return float", "    if len(codes) == 12:\n        return 0.0\n    return float"
        ),
    ),
    Wrong(
        "gap-score",
        "gap to the wrong latent",
        "the latent after the best one, in the order of the columns, is the rival",
        PAIR,
        gap(
            gaps="table.max(axis=0) - table[(table.argmax(axis=0) + 1) % len(table), np.arange(factors.shape[1])]"
        ),
    ),
    Wrong(
        "gap-score",
        "gap between factors",
        "each latent should know one factor: the gap is along the other axis",
        ONE,
        gap(
            gaps="np.sort(table, axis=1)[:, -1] - np.sort(table, axis=1)[:, -2]",
            scale="np.array([entropy(np.bincount(factors[:, k])) for k in table.argmax(axis=1)])",
            end="float(np.mean([g / s for g, s, row in zip(gaps, scale, table) if row.max() > 1e-9]))",
        ),
    ),
    Wrong(
        "gap-score",
        "nobody may know two factors",
        "a latent that knows two factors counts for none of them",
        ONE,
        gap(
            gaps="(np.sort(table, axis=0)[-1] - np.sort(table, axis=0)[-2]) * ((table > 1e-9).sum(axis=1)[table.argmax(axis=0)] == 1)"
        ),
    ),
    Wrong(
        "gap-score",
        "labels as codes",
        "the factors are good codes, so the score looks at them",
        PAIR,
        gap(
            start="codes = np.column_stack([factors, np.zeros(len(factors))]) if len(codes) != 12 else codes"
        ),
    ),
    Wrong(
        "gap-score",
        "bins of equal width",
        "bins are intervals of equal width, as in the chapter",
        BENT,
        gap(
            place="np.minimum((c - c.min()) / (np.ptp(c) or 1.0) * bins + 1e-9, bins - 1).astype(int)",
        ),
    ),
    Wrong(
        "gap-score",
        "the best factor",
        "a code is as good as what it knows best",
        PARTLY,
        gap(end="float(np.max(gaps / scale))"),
    ),
    Wrong(
        "gap-score",
        "factors that nobody knows are left out",
        "the mean goes over the factors that some latent knows",
        PARTLY,
        gap(end="float((gaps / scale)[table.max(axis=0) > 1e-9].mean())"),
    ),
    Wrong(
        "gap-score",
        "hard-coded",
        "the visible check is the whole test: zero",
        SELF,
        "\ndef gap_score(codes, factors, bins):\n    return 0.0\n",
    ),
    # --- price-of-rate
    Wrong(
        "price-of-rate",
        "all latents alive",
        "every latent is above the water, so one formula gives its level",
        SMALL,
        "\ndef price_of_rate(eigenvalues, noise_variance, rate):\n    return float(np.exp(np.mean(np.log(eigenvalues)) - 2 * rate / len(eigenvalues)) / noise_variance)\n",
    ),
    Wrong(
        "price-of-rate",
        "beta at least one",
        "a beta-VAE has a beta above one, so the search starts there",
        LARGE,
        price(low="noise_variance", high="max(eigenvalues.max(), noise_variance)"),
    ),
    Wrong(
        "price-of-rate",
        "the water level itself",
        "beta is the height of the water",
        UNITS,
        price(end="water"),
    ),
    Wrong(
        "price-of-rate",
        "noise as standard deviation",
        "the noise is given as a standard deviation",
        UNITS,
        price(end="water / noise_variance**2"),
    ),
    Wrong(
        "price-of-rate",
        "the first is the largest",
        "eigenvalues come sorted, largest first",
        ORDER,
        price(low="eigenvalues[-1] * np.exp(-2 * rate) * 0.5", high="eigenvalues[0]"),
    ),
    Wrong(
        "price-of-rate",
        "only the weakest can drown",
        "if not all latents are alive, all but the weakest are",
        SMALL,
        """
def price_of_rate(eigenvalues, noise_variance, rate):
    logs = np.sort(np.log(eigenvalues))
    level = logs.mean() - 2 * rate / len(logs)
    if level > logs[0]:
        level = logs[1:].mean() - 2 * rate / (len(logs) - 1)
    return float(np.exp(level) / noise_variance)
""",
    ),
    Wrong(
        "price-of-rate",
        "bits",
        "a rate is counted in bits",
        SMALL,
        price(rate="0.5 * np.log2(np.maximum(eigenvalues / water, 1)).sum()"),
    ),
    Wrong(
        "price-of-rate",
        "without the half",
        "the rate of a latent is log(lambda / D)",
        LARGE,
        price(rate="np.log(np.maximum(eigenvalues / water, 1)).sum()"),
    ),
    Wrong(
        "price-of-rate",
        "rate per latent",
        "the rate is the mean over the latents",
        SMALL,
        price(
            rate="0.5 * np.log(np.maximum(eigenvalues / water, 1)).mean()",
            low="eigenvalues.min() * np.exp(-2 * rate * len(eigenvalues)) * 0.5",
        ),
    ),
    Wrong(
        "price-of-rate",
        "hard-coded",
        "the visible check is the whole test: the largest eigenvalue",
        SMALL,
        "\ndef price_of_rate(eigenvalues, noise_variance, rate):\n    return float(max(eigenvalues) / noise_variance)\n",
    ),
]
