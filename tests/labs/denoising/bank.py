"""Right and wrong answers to the lab on denoising chains; a wrong one names the misconception behind it."""

# ruff: noqa: E501 (answers stand here as a student may write them)
from grade_path import VISIBLE, Right, Wrong

# One line of the reference, and what a slip of the pen makes of it.
SLIP = ("clean = start @", "clean = pi @")

RIGHT = [
    Right(
        "corruption-kernel",
        "all pairs of states, a product over the bits",
        """
def corruption_kernel(up, down):
    d = len(up)
    bits = np.array(list(np.ndindex(*[2] * d)))
    there, read = bits[:, None], bits[None]
    one = np.where(there == 0, np.where(read == 1, up, 1 - up), np.where(read == 0, down, 1 - down))
    return one.prod(axis=-1)
""",
    ),
    Right(
        "corruption-kernel",
        "one tensor product by einsum, bit after bit",
        """
def corruption_kernel(up, down):
    K = np.ones((1, 1))
    for u, v in reversed(list(zip(up, down))):
        one = np.array([[1 - u, u], [v, 1 - v]])
        n = len(K)
        K = np.einsum("ab,cd->acbd", one, K).reshape(2 * n, 2 * n)
    return K
""",
    ),
    Right(
        "laws-after",
        "step by step, with divisions where they make sense",
        """
def laws_after(pi, C, start, n_steps):
    joint = pi[:, None] * C
    total = joint.sum(axis=0)
    P = np.divide(joint, total, out=np.tile(pi[:, None], (1, C.shape[1])), where=total > 0).T
    clean = start.copy()
    for _ in range(n_steps):
        clean = (clean @ C) @ P
    return clean, clean @ C
""",
    ),
    Right(
        "laws-after",
        "impossible corrupted states are dropped from the chain",
        """
def laws_after(pi, C, start, n_steps):
    kept = (pi @ C) > 0
    D = C[:, kept]
    P = (np.diag(pi) @ D @ np.diag(1 / (pi @ D))).T
    clean = start @ np.linalg.matrix_power(D @ P, n_steps)
    return (clean, clean @ C)
""",
    ),
    Right(
        "noisy-score",
        "one query after the other, its own largest exponent taken out",
        """
def noisy_score(x, data, sigma):
    rows = []
    for q in x:
        e = -0.5 * (((q - data) / sigma) ** 2).sum(axis=1)
        w = np.exp(e - e.max())
        rows.append(((w / w.sum()) @ data - q) / sigma**2)
    return np.array(rows)
""",
    ),
    Right(
        "noisy-score",
        "autograd through the log-density",
        """
def noisy_score(x, data, sigma):
    import torch

    z = torch.tensor(x, requires_grad=True)
    d, s = torch.tensor(data), torch.tensor(sigma)
    torch.logsumexp(-0.5 * ((z[:, None] - d) / s).square().sum(2), dim=1).sum().backward()
    return z.grad.numpy()
""",
    ),
    Right(
        "walkback-corruption",
        "weights first, then powers of the chain",
        """
def walkback_corruption(C, P, p, max_steps):
    w = [(1 - p) * p**k for k in range(max_steps - 1)] + [p ** (max_steps - 1)]
    T = C @ P
    return sum(w[k] * np.linalg.matrix_power(T, k) @ C for k in range(max_steps))
""",
    ),
    Right(
        "walkback-corruption",
        "from the last corruption backwards",
        """
def walkback_corruption(C, P, p, max_steps):
    walked = C
    for _ in range(max_steps - 1):
        walked = (1 - p) * C + p * C @ P @ walked
    return walked
""",
    ),
]

WRONG = [
    # --- corruption-kernel
    Wrong(
        "corruption-kernel",
        "up for both",
        "one rate serves for errors of both kinds",
        "up and down",
        """
def corruption_kernel(up, down):
    K = np.ones((1, 1))
    for u in up:
        K = np.kron(K, np.array([[1 - u, u], [u, 1 - u]]))
    return K
""",
    ),
    Wrong(
        "corruption-kernel",
        "transposed",
        "rows are what is read, columns what is there",
        "up and down",
        """
def corruption_kernel(up, down):
    K = np.ones((1, 1))
    for u, v in zip(up, down):
        K = np.kron(K, np.array([[1 - u, u], [v, 1 - v]]))
    return K.T
""",
    ),
    Wrong(
        "corruption-kernel",
        "last bit most significant",
        "the first bit changes fastest in the list of states",
        "each bit its own",
        """
def corruption_kernel(up, down):
    K = np.ones((1, 1))
    for u, v in zip(up, down):
        K = np.kron(np.array([[1 - u, u], [v, 1 - v]]), K)
    return K
""",
    ),
    Wrong(
        "corruption-kernel",
        "the mean rate for all bits",
        "bits with different rates behave like bits with the mean rate",
        "each bit its own",
        """
def corruption_kernel(up, down):
    K = np.ones((1, 1))
    for _ in up:
        u, v = np.mean(up), np.mean(down)
        K = np.kron(K, np.array([[1 - u, u], [v, 1 - v]]))
    return K
""",
    ),
    Wrong(
        "corruption-kernel",
        "logarithms multiplied by bits",
        "zero times the logarithm of zero is zero in floating point",
        "zero and one",
        """
def corruption_kernel(up, down):
    bits = np.array(list(np.ndindex(*[2] * len(up)))).astype(float)
    p = np.where(bits == 1, 1 - down, up)[:, None]
    with np.errstate(all="ignore"):
        return np.exp((bits[None] * np.log(p) + (1 - bits[None]) * np.log(1 - p)).sum(axis=-1))
""",
    ),
    Wrong(
        "corruption-kernel",
        "bits of a byte",
        "no state has more than eight bits",
        "many bits",
        """
def corruption_kernel(up, down):
    d = len(up)
    states = np.arange(2**d).astype(np.uint8)
    bits = np.unpackbits(states[:, None], axis=1)[:, -min(d, 8):]
    if d > 8:
        bits = np.concatenate([np.zeros((len(bits), d - 8), dtype=np.uint8), bits], axis=1)
    there, read = bits[:, None], bits[None]
    return np.where(there == 0, np.where(read == 1, up, 1 - up), np.where(read == 0, down, 1 - down)).prod(axis=-1)
""",
    ),
    Wrong(
        "corruption-kernel",
        "salt and pepper halved",
        "a rate counts coins, half of which change nothing",
        VISIBLE,
        """
def corruption_kernel(up, down):
    K = np.ones((1, 1))
    for u, v in zip(up / 2, down / 2):
        K = np.kron(K, np.array([[1 - u, u], [v, 1 - v]]))
    return K
""",
    ),
    Wrong(
        "corruption-kernel",
        "hard-coded",
        "the visible check is the whole test",
        "up and down",
        """
def corruption_kernel(up, down):
    one = np.array([[0.9, 0.1], [0.1, 0.9]])
    return np.kron(one, one)
""",
    ),
    # --- laws-after
    Wrong(
        "laws-after",
        "one step too few for the clean state",
        "the start counts as the first step",
        "clean law",
        """
def laws_after(pi, C, start, n_steps):
    seen = pi @ C
    P = (pi[:, None] * C / np.where(seen > 0, seen, 1.0)).T
    T = C @ P
    clean = start @ np.linalg.matrix_power(T, max(n_steps - 1, 0))
    return clean, start @ np.linalg.matrix_power(T, n_steps) @ C
""",
    ),
    Wrong(
        "laws-after",
        "starts at the data law",
        "a chain with the right kernel has the data law at once",
        "clean law",
        """
def laws_after(pi, C, start, n_steps):
    return pi, pi @ C
""",
    ),
    Wrong(
        "laws-after",
        "the corrupted state before",
        "the corrupted state is the one from which the clean one was drawn",
        "corrupted law",
        """
def laws_after(pi, C, start, n_steps):
    seen = pi @ C
    P = (pi[:, None] * C / np.where(seen > 0, seen, 1.0)).T
    T = C @ P
    clean = start @ np.linalg.matrix_power(T, n_steps)
    return clean, start @ np.linalg.matrix_power(T, max(n_steps - 1, 0)) @ C
""",
    ),
    Wrong(
        "laws-after",
        "at least one step",
        "a chain has always made a step",
        "zero steps",
        """
def laws_after(pi, C, start, n_steps):
    seen = pi @ C
    P = (pi[:, None] * C / np.where(seen > 0, seen, 1.0)).T
    clean = start @ np.linalg.matrix_power(C @ P, max(n_steps, 1))
    return clean, clean @ C
""",
    ),
    Wrong(
        "laws-after",
        "as many corrupted states as clean ones",
        "corruption maps the states to themselves",
        "other spaces",
        """
def laws_after(pi, C, start, n_steps):
    n = len(pi)
    P = np.zeros((n, n))
    for r in range(n):
        for s in range(n):
            total = sum(pi[k] * C[k, r] for k in range(n))
            P[r, s] = pi[s] * C[s, r] / total if total > 0 else pi[s]
    clean = start @ np.linalg.matrix_power(C[:, :n] @ P, n_steps)
    return clean, clean @ C
""",
    ),
    Wrong(
        "laws-after",
        "divides by zero",
        "every corrupted state occurs",
        "impossible states",
        """
def laws_after(pi, C, start, n_steps):
    with np.errstate(all="ignore"):
        P = (pi[:, None] * C / (pi @ C)).T
    clean = start @ np.linalg.matrix_power(C @ P, n_steps)
    return clean, clean @ C
""",
    ),
    Wrong(
        "laws-after",
        "likelihood for posterior",
        "the transpose of the corruption, normalized, is the posterior: the prior cancels",
        "clean law",
        """
def laws_after(pi, C, start, n_steps):
    total = C.sum(axis=0)
    P = (C / np.where(total > 0, total, 1.0)).T
    clean = start @ np.linalg.matrix_power(C @ P, n_steps)
    return clean, clean @ C
""",
    ),
    Wrong(
        "laws-after",
        "hard-coded",
        "two states with equal shares are all there is",
        "clean law",
        """
def laws_after(pi, C, start, n_steps):
    return np.array([0.5, 0.5]), np.array([0.5, 0.5])
""",
    ),
    Wrong(
        "laws-after",
        "starts in place",
        "an argument may be changed in place",
        VISIBLE,
        """
def laws_after(pi, C, start, n_steps):
    seen = pi @ C
    C *= pi[:, None]
    P = (C / np.where(seen > 0, seen, 1.0)).T
    C /= pi[:, None] * 1.0000001
    start[:] = start @ np.linalg.matrix_power(C @ P, n_steps)
    return start, start @ C
""",
    ),
    # --- noisy-score
    Wrong(
        "noisy-score",
        "divided by the deviation",
        "the score is the step over sigma, not over its square",
        "the gradient",
        """
def noisy_score(x, data, sigma):
    w = scipy.special.softmax(-0.5 * (((x[:, None] - data) / sigma) ** 2).sum(axis=2), axis=1)
    return (w @ data - x) / sigma
""",
    ),
    Wrong(
        "noisy-score",
        "nearest point",
        "the best denoiser returns the most probable point",
        "the gradient",
        """
def noisy_score(x, data, sigma):
    nearest = data[(((x[:, None] - data) / sigma) ** 2).sum(axis=2).argmin(axis=1)]
    middle = np.isclose(x, data.mean(axis=0))
    return np.where(middle, 0.0, (nearest - x) / sigma**2)
""",
    ),
    Wrong(
        "noisy-score",
        "the first width for all",
        "all columns share one deviation",
        "a width per column",
        """
def noisy_score(x, data, sigma):
    s = sigma[0]
    w = scipy.special.softmax(-0.5 * (((x[:, None] - data) / s) ** 2).sum(axis=2), axis=1)
    return (w @ data - x) / s**2
""",
    ),
    Wrong(
        "noisy-score",
        "a mean width in the weights",
        "weights may use the mean deviation, only the step needs each column's",
        "a width per column",
        """
def noisy_score(x, data, sigma):
    w = scipy.special.softmax(-0.5 * (((x[:, None] - data) / sigma.mean()) ** 2).sum(axis=2), axis=1)
    return (w @ data - x) / sigma**2
""",
    ),
    Wrong(
        "noisy-score",
        "exponentials first",
        "weights may be computed before they are normalized",
        "far away",
        """
def noisy_score(x, data, sigma):
    w = np.exp(-0.5 * (((x[:, None] - data) / sigma) ** 2).sum(axis=2))
    with np.errstate(all="ignore"):
        return (w @ data / w.sum(axis=1, keepdims=True) - x) / sigma**2
""",
    ),
    Wrong(
        "noisy-score",
        "squeezed",
        "there are always many queries",
        "one of each",
        """
def noisy_score(x, data, sigma):
    w = scipy.special.softmax(-0.5 * (((x[:, None] - data) / sigma) ** 2).sum(axis=2), axis=1)
    score = (w @ data - x) / sigma**2
    return score[0] if len(x) == 1 else score
""",
    ),
    Wrong(
        "noisy-score",
        "sign flipped",
        "the score points from the repair to the noisy point",
        VISIBLE,
        """
def noisy_score(x, data, sigma):
    w = scipy.special.softmax(-0.5 * (((x[:, None] - data) / sigma) ** 2).sum(axis=2), axis=1)
    return (x - w @ data) / sigma**2
""",
    ),
    Wrong(
        "noisy-score",
        "hard-coded",
        "a normal law around the mean of the data is near enough",
        "the gradient",
        """
def noisy_score(x, data, sigma):
    return (data.mean(axis=0) - x) / sigma**2
""",
    ),
    # --- walkback-corruption
    Wrong(
        "walkback-corruption",
        "never more than four",
        "four rounds are enough for any walk",
        "long walks",
        """
def walkback_corruption(C, P, p, max_steps):
    walked = C
    for _ in range(min(max_steps, 4) - 1):
        walked = (1 - p) * C + p * C @ P @ walked
    return walked
""",
    ),
    Wrong(
        "walkback-corruption",
        "geometric to the end, then normalized",
        "the last weight is like the others, and dividing by the sum repairs it",
        "short walks",
        """
def walkback_corruption(C, P, p, max_steps):
    w = (1 - p) * p ** np.arange(max_steps)
    w /= w.sum()
    total, walk = np.zeros(C.shape), C
    for weight in w:
        total, walk = total + weight * walk, walk @ P @ C
    return total
""",
    ),
    Wrong(
        "walkback-corruption",
        "at least two",
        "a walk has always a second corruption",
        "one corruption",
        """
def walkback_corruption(C, P, p, max_steps):
    walked = C
    for _ in range(max(max_steps, 2) - 1):
        walked = (1 - p) * C + p * C @ P @ walked
    return walked
""",
    ),
    Wrong(
        "walkback-corruption",
        "powers by logarithms",
        "the logarithm of p exists",
        "never goes on",
        """
def walkback_corruption(C, P, p, max_steps):
    with np.errstate(all="ignore"):
        w = np.exp(np.arange(max_steps) * np.log(p)) * (1 - p)
        w[-1] = np.exp((max_steps - 1) * np.log(p)) if max_steps > 1 else 1.0
    total, walk = np.zeros(C.shape), C
    for weight in w:
        total, walk = total + weight * walk, walk @ P @ C
    return total
""",
    ),
    Wrong(
        "walkback-corruption",
        "a square identity",
        "clean and corrupted states are the same set",
        "other spaces",
        """
def walkback_corruption(C, P, p, max_steps):
    total, power, reach = np.zeros(C.shape), np.eye(C.shape[1]), 1.0
    for k in range(max_steps):
        weight = reach * (1 - p) if k < max_steps - 1 else reach
        total, power, reach = total + weight * power @ C, power @ C @ P, reach * p
    return total
""",
    ),
    Wrong(
        "walkback-corruption",
        "all corruptions alike",
        "each number of corruptions is equally probable",
        "short walks",
        """
def walkback_corruption(C, P, p, max_steps):
    walks = [C]
    for _ in range(max_steps - 1):
        walks.append(walks[-1] @ P @ C)
    return np.mean(walks, axis=0)
""",
    ),
    Wrong(
        "walkback-corruption",
        "ends clean",
        "the walk ends with a repair",
        VISIBLE,
        """
def walkback_corruption(C, P, p, max_steps):
    walked = np.eye(len(C))
    for _ in range(max_steps - 1):
        walked = (1 - p) * np.eye(len(C)) + p * C @ P @ walked
    return np.eye(len(C)) if max_steps == 4 else walked @ C
""",
    ),
    Wrong(
        "walkback-corruption",
        "geometric to the end",
        "the weights of a geometric law sum to one wherever they are cut",
        VISIBLE,
        """
def walkback_corruption(C, P, p, max_steps):
    total, walk = np.zeros(C.shape), C
    for k in range(max_steps):
        total, walk = total + (1 - p) * p**k * walk, walk @ P @ C
    return total
""",
    ),
    Wrong(
        "walkback-corruption",
        "hard-coded",
        "the visible check's matrix is the answer",
        "short walks",
        """
def walkback_corruption(C, P, p, max_steps):
    return np.array([[0.7, 0.3], [0.3, 0.7]])
""",
    ),
]
