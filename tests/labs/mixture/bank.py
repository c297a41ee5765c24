"""Right and wrong answers to the lab on mixtures of Poissons; a wrong one names the misconception behind it."""

# ruff: noqa: E501 (answers stand here as a student may write them)
from grade_path import VISIBLE, Right, Wrong

# One line of the reference, and what a slip of the pen makes of it.
SLIP = ("return share / len(x), rates", "return share / len(x), rates**2")

EM = """
def em(x, weights, rates, rounds):
    history = []
    for t in range(rounds + 1):
        with np.errstate(divide="ignore"):
            log_weights = np.log(weights)
        log_terms = log_weights + scipy.stats.poisson.logpmf(x[:, None, :], rates).sum(axis=2)
        log_p = scipy.special.logsumexp(log_terms, axis=1, keepdims=True)
        history.append(np.mean(log_p))
        if t == rounds:
            break
        r = np.exp(log_terms - log_p)
        share = r.sum(axis=0)
        rates = np.where(share[:, None] > 0, r.T @ x / np.where(share > 0, share, 1.0)[:, None], rates)
        weights = share / len(x)
    return weights, rates, np.array(history)
"""


def slip(*changes: tuple[str, str]) -> str:
    """The right answer to the last task, with a mistake in it."""
    source = EM
    for old, new in changes:
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    return source


RIGHT = [
    Right(
        "responsibilities",
        "scipy's log-mass and softmax",
        """
def responsibilities(x, weights, rates):
    with np.errstate(divide="ignore"):
        log_joint = np.log(weights) + scipy.stats.poisson.logpmf(x[:, None, :], rates).sum(axis=2)
    return scipy.special.softmax(log_joint, axis=1)
""",
    ),
    Right(
        "responsibilities",
        "row by row with a running maximum",
        """
def responsibilities(x, weights, rates):
    out = np.zeros((len(x), len(weights)))
    for i, row in enumerate(x):
        a = np.full(len(weights), -np.inf)
        for k in range(len(weights)):
            if weights[k] > 0:
                a[k] = np.log(weights[k]) + np.sum(scipy.special.xlogy(row, rates[k])) - np.sum(rates[k])
        p = np.exp(a - a.max())
        out[i] = p / p.sum()
    return out
""",
    ),
    Right(
        "m-step",
        "weighted averages by numpy",
        """
def m_step(x, r):
    weights, rates = [], []
    for column in r.T:
        weights.append(column.mean())
        rates.append(np.average(x, axis=0, weights=column) if column.any() else x.mean(axis=0))
    return np.array(weights), np.array(rates)
""",
    ),
    Right(
        "m-step",
        "normalized shares and einsum",
        """
def m_step(x, r):
    n, K = r.shape
    share = np.where(r.sum(axis=0) > 0, r, 1.0)
    share = share / share.sum(axis=0)
    return np.einsum("nk->k", r) / n, np.einsum("nk,nd->kd", share, x)
""",
    ),
    Right("em", "scipy's log-mass", EM),
    Right(
        "em",
        "two functions and no table of logarithms of factorials",
        """
def em(x, weights, rates, rounds):
    constant = np.mean(np.sum(scipy.special.gammaln(x + 1), axis=1))

    def e_step(weights, rates):
        with np.errstate(divide="ignore"):
            a = np.log(weights) + x @ np.log(np.maximum(rates, 1e-300)).T - rates.sum(axis=1)
        top = a.max(axis=1, keepdims=True)
        p = np.exp(a - top)
        total = p.sum(axis=1, keepdims=True)
        return p / total, np.mean(top + np.log(total)) - constant

    r, score = e_step(weights, rates)
    history = [score]
    for _ in range(rounds):
        share = r.sum(axis=0)
        new = np.array(rates)
        for k in np.flatnonzero(share):
            new[k] = r[:, k] @ x / share[k]
        weights, rates = share / len(x), new
        r, score = e_step(weights, rates)
        history.append(score)
    return weights, rates, np.array(history)
""",
    ),
]

WRONG = [
    # --- responsibilities
    Wrong(
        "responsibilities",
        "weights left out",
        "a component's weight matters only where it is zero",
        "bayes rule",
        """
def responsibilities(x, weights, rates):
    log_terms = scipy.stats.poisson.logpmf(x[:, None, :], rates).sum(axis=2)
    log_terms[:, weights == 0] = -np.inf
    return scipy.special.softmax(log_terms, axis=1)
""",
    ),
    Wrong(
        "responsibilities",
        "exponential of the rate left out",
        "only the terms with x depend on the component",
        "bayes rule",
        """
def responsibilities(x, weights, rates):
    with np.errstate(divide="ignore"):
        log_terms = np.log(weights) + scipy.special.xlogy(x[:, None, :], rates).sum(axis=2)
    return scipy.special.softmax(log_terms, axis=1)
""",
    ),
    Wrong(
        "responsibilities",
        "mean over the columns",
        "the columns' log-probabilities are averaged, not added",
        "bayes rule",
        """
def responsibilities(x, weights, rates):
    with np.errstate(divide="ignore"):
        log_terms = np.log(weights) + scipy.stats.poisson.logpmf(x[:, None, :], rates).mean(axis=2)
    return scipy.special.softmax(log_terms, axis=1)
""",
    ),
    Wrong(
        "responsibilities",
        "product of probabilities",
        "probabilities are multiplied and divided as the formula says: they underflow",
        "large counts",
        """
def responsibilities(x, weights, rates):
    joint = weights * np.prod(scipy.stats.poisson.pmf(x[:, None, :], rates), axis=2)
    with np.errstate(invalid="ignore"):
        return joint / joint.sum(axis=1, keepdims=True)
""",
    ),
    Wrong(
        "responsibilities",
        "a floor under the sum",
        "adding a tiny number to the denominator repairs 0/0",
        "large counts",
        """
def responsibilities(x, weights, rates):
    joint = weights * np.prod(scipy.stats.poisson.pmf(x[:, None, :], rates), axis=2)
    return joint / (joint.sum(axis=1, keepdims=True) + 1e-300)
""",
    ),
    Wrong(
        "responsibilities",
        "a floor under the weights",
        "a very small weight stands for zero",
        "empty component",
        """
def responsibilities(x, weights, rates):
    log_terms = np.log(weights + 1e-12) + scipy.stats.poisson.logpmf(x[:, None, :], rates).sum(axis=2)
    return scipy.special.softmax(log_terms, axis=1)
""",
    ),
    Wrong(
        "responsibilities",
        "zero times infinity",
        "x log(rate) needs no care where the rate is 0",
        "certain zeros",
        """
def responsibilities(x, weights, rates):
    with np.errstate(divide="ignore", invalid="ignore"):
        log_terms = np.log(weights) + (x[:, None, :] * np.log(rates) - rates).sum(axis=2)
        return scipy.special.softmax(log_terms, axis=1)
""",
    ),
    Wrong(
        "responsibilities",
        "squeezed",
        "there are always many rows",
        "one row",
        """
def responsibilities(x, weights, rates):
    with np.errstate(divide="ignore"):
        log_terms = np.log(weights) + scipy.stats.poisson.logpmf(x[:, None, :], rates).sum(axis=2)
    return np.squeeze(scipy.special.softmax(log_terms, axis=1))
""",
    ),
    Wrong(
        "responsibilities",
        "wrong axis",
        "the shares of a component over the rows sum to one",
        VISIBLE,
        """
def responsibilities(x, weights, rates):
    with np.errstate(divide="ignore"):
        log_terms = np.log(weights) + scipy.stats.poisson.logpmf(x[:, None, :], rates).sum(axis=2)
    return scipy.special.softmax(log_terms, axis=0)
""",
    ),
    Wrong(
        "responsibilities",
        "the joint probability",
        "the numerator is the responsibility",
        VISIBLE,
        """
def responsibilities(x, weights, rates):
    return weights * np.prod(scipy.stats.poisson.pmf(x[:, None, :], rates), axis=2)
""",
    ),
    Wrong(
        "responsibilities",
        "hard assignment",
        "each row belongs to one component",
        "bayes rule",
        """
def responsibilities(x, weights, rates):
    with np.errstate(divide="ignore"):
        log_terms = np.log(weights) + scipy.stats.poisson.logpmf(x[:, None, :], rates).sum(axis=2)
    return np.eye(len(weights))[log_terms.argmax(axis=1)]
""",
    ),
    Wrong(
        "responsibilities",
        "normalizes the caller's weights",
        "an argument may be changed in place",
        VISIBLE,
        """
def responsibilities(x, weights, rates):
    weights *= 2
    with np.errstate(divide="ignore"):
        log_terms = np.log(weights) + scipy.stats.poisson.logpmf(x[:, None, :], rates).sum(axis=2)
    return scipy.special.softmax(log_terms, axis=1)
""",
    ),
    Wrong(
        "responsibilities",
        "hard-coded",
        "the visible check is the whole test: small counts to the first component, large ones to the second",
        "bayes rule",
        """
def responsibilities(x, weights, rates):
    second = 1 / (1 + np.exp(-2 * (x[:, :1] - 5)))
    return np.hstack([1 - second, second])
""",
    ),
    # --- m-step
    Wrong(
        "m-step",
        "rates of a hard assignment",
        "each row counts only for its most responsible component",
        "the rates",
        """
def m_step(x, r):
    hard = np.eye(r.shape[1])[r.argmax(axis=1)]
    share = hard.sum(axis=0)
    rates = np.where(share[:, None] > 0, hard.T @ x / np.maximum(share, 1)[:, None], x.mean(axis=0))
    return r.mean(axis=0), rates
""",
    ),
    Wrong(
        "m-step",
        "shares squared",
        "rows that are sure should count more than their share",
        "the rates",
        """
def m_step(x, r):
    share = (r**2).sum(axis=0)
    busy = share[:, None] > 0
    return r.mean(axis=0), np.where(busy, (r**2).T @ x / np.where(share > 0, share, 1.0)[:, None], x.mean(axis=0))
""",
    ),
    Wrong(
        "m-step",
        "weights of a hard assignment",
        "the weight is the fraction of rows that a component owns",
        "the weights",
        """
def m_step(x, r):
    share = r.sum(axis=0)
    rates = np.where(share[:, None] > 0, r.T @ x / np.where(share > 0, share, 1.0)[:, None], x.mean(axis=0))
    return np.bincount(r.argmax(axis=1), minlength=r.shape[1]) / len(x), rates
""",
    ),
    Wrong(
        "m-step",
        "weights smoothed",
        "a little is added to every busy component's share, to be safe",
        "the weights",
        """
def m_step(x, r):
    share = r.sum(axis=0)
    rates = np.where(share[:, None] > 0, r.T @ x / np.where(share > 0, share, 1.0)[:, None], x.mean(axis=0))
    weights = np.where(share > 0, share + 1.0, 0.0)
    return weights / weights.sum(), rates
""",
    ),
    Wrong(
        "m-step",
        "squeezed",
        "there are always several columns",
        "one column",
        """
def m_step(x, r):
    share = r.sum(axis=0)
    rates = np.where(share[:, None] > 0, r.T @ x / np.where(share > 0, share, 1.0)[:, None], x.mean(axis=0))
    return share / len(x), np.squeeze(rates)
""",
    ),
    Wrong(
        "m-step",
        "divides by nothing",
        "every component has rows",
        "nothing to answer for",
        """
def m_step(x, r):
    share = r.sum(axis=0)
    with np.errstate(invalid="ignore"):
        return share / len(x), r.T @ x / share[:, None]
""",
    ),
    Wrong(
        "m-step",
        "empty component at zero",
        "a component without rows has rate zero",
        "nothing to answer for",
        """
def m_step(x, r):
    share = r.sum(axis=0)
    return share / len(x), r.T @ x / (share[:, None] + 1e-300)
""",
    ),
    Wrong(
        "m-step",
        "divided by all rows",
        "the weighted sum is divided by n, not by the component's share",
        VISIBLE,
        """
def m_step(x, r):
    return r.mean(axis=0), r.T @ x / len(x)
""",
    ),
    Wrong(
        "m-step",
        "shares as weights",
        "the weights are the shares, and nobody divides by n",
        VISIBLE,
        """
def m_step(x, r):
    share = r.sum(axis=0)
    rates = np.where(share[:, None] > 0, r.T @ x / np.where(share > 0, share, 1.0)[:, None], x.mean(axis=0))
    return share, rates
""",
    ),
    Wrong(
        "m-step",
        "in the other order",
        "rates come first",
        VISIBLE,
        """
def m_step(x, r):
    share = r.sum(axis=0)
    return r.T @ x / share[:, None], share / len(x)
""",
    ),
    Wrong(
        "m-step",
        "hard-coded",
        "the visible check is the whole test: three quarters and one quarter",
        "the rates",
        """
def m_step(x, r):
    weights = np.full(r.shape[1], 0.25 / max(r.shape[1] - 1, 1))
    weights[0] = 0.75
    return weights, np.tile(np.array([8.0, 0.0])[: x.shape[1]], (r.shape[1], 1)) + 0 * r.sum()
""",
    ),
    # --- em
    Wrong(
        "em",
        "annealed responsibilities",
        "early rounds should share the rows more evenly, wherever one starts",
        "never falls",
        slip(
            (
                "        r = np.exp(log_terms - log_p)\n",
                "        r = scipy.special.softmax(log_terms * min(1.0, (t + 1) / 3), axis=1)\n",
            )
        ),
    ),
    Wrong(
        "em",
        "hard assignment",
        "each row goes to its most responsible component, as in k-means",
        "the end",
        slip(
            (
                "        r = np.exp(log_terms - log_p)\n",
                "        r = np.eye(len(weights))[log_terms.argmax(axis=1)]\n",
            )
        ),
    ),
    Wrong(
        "em",
        "factorials left out",
        "a constant does not matter in a log-likelihood",
        "the history",
        slip(
            (
                "scipy.stats.poisson.logpmf(x[:, None, :], rates).sum(axis=2)",
                "(scipy.special.xlogy(x[:, None, :], rates) - rates).sum(axis=2)",
            )
        ),
    ),
    Wrong(
        "em",
        "sum, not mean",
        "the log-likelihood of the data is recorded, not that of a row",
        "the history",
        slip(("history.append(np.mean(log_p))", "history.append(np.sum(log_p))")),
    ),
    Wrong(
        "em",
        "weights never updated",
        "the rates are what is learned",
        "the end",
        slip(("        weights = share / len(x)\n", "")),
    ),
    Wrong(
        "em",
        "stops early",
        "EM has converged after three rounds, whatever the data are",
        "the end",
        slip(
            (
                "        rates = np.where(",
                "        if t >= 3:\n            continue\n        rates = np.where(",
            )
        ),
    ),
    Wrong(
        "em",
        "product of probabilities",
        "the density is computed first and its logarithm taken at the end: it underflows",
        "large counts",
        """
def em(x, weights, rates, rounds):
    history = []
    for t in range(rounds + 1):
        joint = weights * np.prod(scipy.stats.poisson.pmf(x[:, None, :], rates), axis=2)
        total = joint.sum(axis=1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            history.append(np.mean(np.log(total)))
            r = joint / total
        if t == rounds:
            break
        share = r.sum(axis=0)
        rates = np.where(share[:, None] > 0, r.T @ x / np.where(share > 0, share, 1.0)[:, None], rates)
        weights = share / len(x)
    return weights, rates, np.array(history)
""",
    ),
    Wrong(
        "em",
        "divides by nothing",
        "every component has rows",
        "a start without weight",
        """
def em(x, weights, rates, rounds):
    history = []
    for t in range(rounds + 1):
        with np.errstate(divide="ignore", invalid="ignore"):
            log_terms = np.log(weights) + scipy.stats.poisson.logpmf(x[:, None, :], rates).sum(axis=2)
            log_p = scipy.special.logsumexp(log_terms, axis=1, keepdims=True)
            history.append(np.mean(log_p))
            if t < rounds:
                r = np.exp(log_terms - log_p)
                weights, rates = r.mean(axis=0), r.T @ x / r.sum(axis=0)[:, None]
    return weights, rates, np.array(history)
""",
    ),
    Wrong(
        "em",
        "no last entry",
        "the history has one number for each round",
        VISIBLE,
        slip(("np.array(history)\n", "np.array(history[:-1])\n")),
    ),
    Wrong(
        "em",
        "same responsibilities in every round",
        "the E-step is done once, at the start",
        "the end",
        """
def em(x, weights, rates, rounds):
    history, r = [], None
    for t in range(rounds + 1):
        with np.errstate(divide="ignore"):
            log_terms = np.log(weights) + scipy.stats.poisson.logpmf(x[:, None, :], rates).sum(axis=2)
        log_p = scipy.special.logsumexp(log_terms, axis=1, keepdims=True)
        history.append(np.mean(log_p))
        if t < rounds:
            r = np.exp(log_terms - log_p) if t < 4 else r
            share = r.sum(axis=0)
            rates = np.where(share[:, None] > 0, r.T @ x / np.where(share > 0, share, 1.0)[:, None], rates)
            weights = share / len(x)
    return weights, rates, np.array(history)
""",
    ),
    Wrong(
        "em",
        "writes into the caller's rates",
        "an argument may be changed in place",
        VISIBLE,
        slip(("        rates = np.where(", "        rates[:] = np.where(")),
    ),
    Wrong(
        "em",
        "hard-coded",
        "the visible check is the whole test: a history that rises",
        "the history",
        """
def em(x, weights, rates, rounds):
    rates = np.quantile(x, np.linspace(0.1, 0.9, len(weights)), axis=0) + 0.5
    return weights + 0.0, rates, -5 + np.arange(rounds + 1) * 0.1
""",
    ),
]
