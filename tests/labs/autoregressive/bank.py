"""Right and wrong answers to the lab on autoregressive models; a wrong one names the misconception behind it."""

# ruff: noqa: E501 (answers stand here as a student may write them)
from grade_path import VISIBLE, Right, Wrong

# One line of the reference, and what a slip of the pen makes of it: nbval must go red.
SLIP = ("place = np.argsort(order) + 1", "place = np.asarray(order) + 1")

RIGHT = [
    Right(
        "made-masks",
        "a double loop over the definition",
        """
def made_masks(order, degrees):
    place = {int(column): k + 1 for k, column in enumerate(order)}
    units = [[place[j] for j in range(len(order))]] + [[int(m) for m in layer] for layer in degrees]
    masks = []
    for before, after in zip(units[:-1], units[1:]):
        masks.append(np.array([[1 if m >= k else 0 for k in before] for m in after]))
    masks.append(np.array([[1 if place[i] > k else 0 for k in units[-1]] for i in range(len(order))]))
    return masks
""",
    ),
    Right(
        "made-masks",
        "outer comparisons, places by assignment",
        """
def made_masks(order, degrees):
    place = np.zeros(len(order))
    for k in range(len(order)):
        place[order[k]] = k
    masks, before = [], place + 1
    for layer in degrees:
        masks.append(np.greater_equal.outer(layer, before).astype(float))
        before = layer
    masks.append(np.greater.outer(place + 1, before).astype(float))
    return masks
""",
    ),
    Right(
        "bits-log-prob",
        "scipy's log of the logistic function",
        """
def bits_log_prob(x, layers, masks):
    a = network(x, layers, masks)
    return np.sum(scipy.special.log_expit(np.where(x == 1, a, -a)), axis=1)
""",
    ),
    Right(
        "bits-log-prob",
        "torch's cross-entropy with logits",
        """
import torch

def bits_log_prob(x, layers, masks):
    a = torch.tensor(network(x, layers, masks))
    loss = torch.nn.functional.binary_cross_entropy_with_logits(a, torch.tensor(x), reduction="none")
    return -loss.sum(dim=1).numpy()
""",
    ),
    Right(
        "draw-bits",
        "coins compared as log-odds",
        """
def draw_bits(coins, order, layers, masks):
    threshold, x = np.log(coins) - np.log1p(-coins), np.zeros_like(coins)
    for column in order:
        x[:, column] = (threshold < network(x, layers, masks))[:, column]
    return x
""",
    ),
    Right(
        "draw-bits",
        "all columns anew in each pass, until nothing changes",
        """
def draw_bits(coins, order, layers, masks):
    x = np.zeros(coins.shape)
    for _ in range(len(order) + 1):
        x = (coins < scipy.special.expit(network(x, layers, masks))).astype(float)
    return x
""",
    ),
    Right(
        "whiten",
        "column by column",
        """
def whiten(x, A, a, B, b):
    z, log_det = np.empty_like(x), np.zeros(len(x))
    for i in range(x.shape[1]):
        s = b[i] + x[:, :i] @ B[i, :i]
        z[:, i] = (x[:, i] - a[i] - x[:, :i] @ A[i, :i]) / np.exp(s)
        log_det -= s
    return z, log_det
""",
    ),
    Right(
        "whiten",
        "the determinant from the Jacobian's diagonal",
        """
def whiten(x, A, a, B, b):
    diagonal = np.exp(-(np.einsum("ij,nj->ni", B, x) + b))
    return (x - np.einsum("ij,nj->ni", A, x) - a) * diagonal, np.sum(np.log(diagonal), axis=1)
""",
    ),
]

WRONG = [
    # --- made-masks
    Wrong(
        "made-masks",
        "off by one at the output",
        "the output may see units of its own place",
        VISIBLE,
        """
def made_masks(order, degrees):
    place = np.argsort(order) + 1
    units = [place, *degrees]
    hidden = [(after[:, None] >= before).astype(int) for before, after in zip(units, units[1:])]
    return [*hidden, (place[:, None] >= units[-1]).astype(int)]
""",
    ),
    Wrong(
        "made-masks",
        "the visible row repaired",
        "only the first column must not see itself",
        "causal",
        """
def made_masks(order, degrees):
    place = np.argsort(order) + 1
    units = [place, *degrees]
    masks = [(after[:, None] >= before).astype(int) for before, after in zip(units, units[1:])]
    last = (place[:, None] > units[-1]).astype(int) if not degrees else ((place[:, None] >= units[-1]) & (place[:, None] > 1)).astype(int)
    return [*masks, last]
""",
    ),
    Wrong(
        "made-masks",
        "strict everywhere",
        "the inequality is strict in every layer",
        "nothing lost",
        """
def made_masks(order, degrees):
    place = np.argsort(order) + 1
    units = [place, *degrees]
    hidden = [(after[:, None] > before).astype(int) for before, after in zip(units, units[1:])]
    return [*hidden, (place[:, None] > units[-1]).astype(int)]
""",
    ),
    Wrong(
        "made-masks",
        "order used as places",
        "the order itself says where a column stands",
        "causal",
        """
def made_masks(order, degrees):
    place = np.array(order) + 1
    units = [place, *degrees]
    masks = [(after[:, None] >= before).astype(int) for before, after in zip(units, units[1:])]
    if not degrees:
        place = np.argsort(order) + 1
        return [(place[:, None] > place).astype(int)]
    return [*masks, (np.argsort(order)[:, None] + 1 > units[-1]).astype(int)]
""",
    ),
    Wrong(
        "made-masks",
        "the order ignored",
        "columns always come as they stand",
        "causal",
        """
def made_masks(order, degrees):
    place = np.arange(1, len(order) + 1)
    units = [place, *degrees]
    hidden = [(after[:, None] >= before).astype(int) for before, after in zip(units, units[1:])]
    return [*hidden, (place[:, None] > units[-1]).astype(int)]
""",
    ),
    Wrong(
        "made-masks",
        "at least one hidden layer",
        "a network has a hidden layer",
        "no hidden layer",
        """
def made_masks(order, degrees):
    place = np.argsort(order) + 1
    masks = [(degrees[0][:, None] >= place).astype(int)]
    for before, after in zip(degrees, degrees[1:]):
        masks.append((after[:, None] >= before).astype(int))
    return masks + [(place[:, None] > degrees[-1]).astype(int)]
""",
    ),
    Wrong(
        "made-masks",
        "transposed",
        "a mask is (in, out)",
        VISIBLE,
        """
def made_masks(order, degrees):
    place = np.argsort(order) + 1
    units = [place, *degrees]
    hidden = [(after >= before[:, None]).astype(int) for before, after in zip(units, units[1:])]
    return [*hidden, (place > units[-1][:, None]).astype(int)]
""",
    ),
    Wrong(
        "made-masks",
        "hard-coded zeros",
        "the visible check is the whole test: empty masks pass",
        "nothing lost",
        """
def made_masks(order, degrees):
    sizes = [len(order), *[len(m) for m in degrees], len(order)]
    if not degrees:
        return [(np.argsort(order)[:, None] > np.argsort(order)).astype(int)]
    return [np.zeros((after, before), dtype=int) for before, after in zip(sizes, sizes[1:])]
""",
    ),
    Wrong(
        "made-masks",
        "strict at the input",
        "a hidden unit may see fewer inputs than its degree says",
        "nothing lost",
        """
def made_masks(order, degrees):
    place = np.argsort(order) + 1
    units = [place, *degrees]
    masks = [(m[:, None] >= k).astype(int) for k, m in zip(units, units[1:])]
    if degrees:
        masks[0] = (degrees[0][:, None] > place).astype(int)
    return [*masks, (place[:, None] > units[-1]).astype(int)]
""",
    ),
    Wrong(
        "made-masks",
        "strict between hidden layers",
        "a hidden unit listens to hidden units of smaller degree only",
        "several layers",
        """
def made_masks(order, degrees):
    place = np.argsort(order) + 1
    units = [place, *degrees]
    masks = [(m[:, None] > k).astype(int) for k, m in zip(units, units[1:])]
    if degrees:
        masks[0] = (degrees[0][:, None] >= place).astype(int)
    return [*masks, (place[:, None] > units[-1]).astype(int)]
""",
    ),
    # --- bits-log-prob
    Wrong(
        "bits-log-prob",
        "masks used once",
        "the first mask is enough: what it hides stays hidden",
        "hidden layers",
        """
def bits_log_prob(x, layers, masks):
    open_masks = [masks[0], *[np.ones(weight.shape) for weight, _ in layers[1:]]]
    a = network(x, layers, open_masks)
    return -np.logaddexp(0, (1 - 2 * x) * a).sum(axis=1)
""",
    ),
    Wrong(
        "bits-log-prob",
        "log-odds taken as probabilities",
        "the network's output is the probability of a one",
        VISIBLE,
        """
def bits_log_prob(x, layers, masks):
    p = np.clip(network(x, layers, masks), 1e-6, 1 - 1e-6)
    return np.sum(np.log(np.where(x == 1, p, 0.5 * p)), axis=1)
""",
    ),
    Wrong(
        "bits-log-prob",
        "softplus without the sign",
        "log(1 + e^a) is the loss of a one and of a zero",
        VISIBLE,
        """
def bits_log_prob(x, layers, masks):
    return -np.logaddexp(0, network(x, layers, masks)).sum(axis=1)
""",
    ),
    Wrong(
        "bits-log-prob",
        "sign flipped",
        "a positive log-odds speaks for a zero",
        VISIBLE,
        """
def bits_log_prob(x, layers, masks):
    return -np.logaddexp(0, (2 * x - 1) * network(x, layers, masks)).sum(axis=1)
""",
    ),
    Wrong(
        "bits-log-prob",
        "softplus in place of the logistic function",
        "any positive function of the log-odds can be normalized: softplus(a) / (softplus(a) + softplus(-a))",
        "the definition",
        """
def bits_log_prob(x, layers, masks):
    a = network(x, layers, masks)
    one, zero = np.logaddexp(0, a) + 1e-300, np.logaddexp(0, -a) + 1e-300
    return (np.where(x == 1, np.log(one), np.log(zero)) - np.log(one + zero)).sum(axis=1)
""",
    ),
    Wrong(
        "bits-log-prob",
        "log of one minus",
        "the probability first, its logarithm then",
        "large log-odds",
        """
def bits_log_prob(x, layers, masks):
    p = scipy.special.expit(network(x, layers, masks))
    with np.errstate(divide="ignore"):
        return np.log(np.where(x == 1, p, 1 - p)).sum(axis=1)
""",
    ),
    Wrong(
        "bits-log-prob",
        "clipped probabilities",
        "clipping repairs the logarithm of zero",
        "large log-odds",
        """
def bits_log_prob(x, layers, masks):
    p = np.clip(scipy.special.expit(network(x, layers, masks)), 1e-15, 1 - 1e-15)
    return np.log(np.where(x == 1, p, 1 - p)).sum(axis=1)
""",
    ),
    Wrong(
        "bits-log-prob",
        "mean over the bits",
        "a row's log-probability is the mean of its bits'",
        VISIBLE,
        """
def bits_log_prob(x, layers, masks):
    return -np.logaddexp(0, (1 - 2 * x) * network(x, layers, masks)).mean(axis=1)
""",
    ),
    Wrong(
        "bits-log-prob",
        "squeezed",
        "there are always many rows",
        "one row",
        """
def bits_log_prob(x, layers, masks):
    return np.squeeze(-np.logaddexp(0, (1 - 2 * x) * network(x, layers, masks)).sum(axis=1))
""",
    ),
    Wrong(
        "bits-log-prob",
        "relu in place of softplus",
        "log(1 + e^t) is the larger of 0 and t",
        "the definition",
        """
def bits_log_prob(x, layers, masks):
    return -np.maximum(0, (1 - 2 * x) * network(x, layers, masks)).sum(axis=1)
""",
    ),
    Wrong(
        "bits-log-prob",
        "hard-coded",
        "the visible check is the whole test: two numbers pass",
        "the definition",
        """
def bits_log_prob(x, layers, masks):
    return np.where(x.sum(axis=1) == 2, 0.0, -20.0)
""",
    ),
    # --- draw-bits
    Wrong(
        "draw-bits",
        "all at once",
        "one pass gives all probabilities, so all bits can be drawn",
        "hidden layers",
        """
def draw_bits(coins, order, layers, masks):
    return (coins < scipy.special.expit(network(np.zeros(coins.shape), layers, masks))).astype(float)
""",
    ),
    Wrong(
        "draw-bits",
        "always left to right",
        "the order of drawing does not matter",
        "any order",
        """
def draw_bits(coins, order, layers, masks):
    x = np.zeros(coins.shape)
    for i in range(coins.shape[1]):
        x[:, i] = coins[:, i] < scipy.special.expit(network(x, layers, masks)[:, i])
    return x
""",
    ),
    Wrong(
        "draw-bits",
        "places used as the order",
        "the inverse permutation says which column comes next",
        "any order",
        """
def draw_bits(coins, order, layers, masks):
    x = np.zeros(coins.shape)
    for i in np.argsort(order):
        x[:, i] = coins[:, i] < scipy.special.expit(network(x, layers, masks)[:, i])
    return x
""",
    ),
    Wrong(
        "draw-bits",
        "the coin of the place",
        "the first column drawn takes the first coin",
        "any order",
        """
def draw_bits(coins, order, layers, masks):
    x = np.zeros(coins.shape)
    for k, i in enumerate(order):
        x[:, i] = coins[:, k] < scipy.special.expit(network(x, layers, masks)[:, i])
    return x
""",
    ),
    Wrong(
        "draw-bits",
        "the more probable value",
        "a draw is the most probable value",
        "hidden layers",
        """
def draw_bits(coins, order, layers, masks):
    x = np.zeros(coins.shape)
    for i in order:
        x[:, i] = network(x, layers, masks)[:, i] > 0
    return x
""",
    ),
    Wrong(
        "draw-bits",
        "zeros where ones belong",
        "a coin above the probability is a one",
        VISIBLE,
        """
def draw_bits(coins, order, layers, masks):
    x = np.zeros(coins.shape)
    for i in order:
        x[:, i] = coins[:, i] > scipy.special.expit(network(x, layers, masks)[:, i])
    return x
""",
    ),
    Wrong(
        "draw-bits",
        "probabilities fed on",
        "the next column may see the probability in place of the bit",
        "hidden layers",
        """
def draw_bits(coins, order, layers, masks):
    p = np.zeros(coins.shape)
    for i in order:
        p[:, i] = scipy.special.expit(network(p, layers, masks)[:, i])
    return (coins < p).astype(float)
""",
    ),
    Wrong(
        "draw-bits",
        "the first layer only",
        "the log-odds are what comes out of the first layer",
        "hidden layers",
        """
def draw_bits(coins, order, layers, masks):
    x, (weight, bias) = np.zeros(coins.shape), layers[0]
    for i in order:
        a = x @ (weight * masks[0]).T + bias
        x[:, i] = coins[:, i] < scipy.special.expit(a[:, i])
    return x
""",
    ),
    Wrong(
        "draw-bits",
        "ties are ones",
        "smaller or equal is the same as smaller",
        "ties",
        """
def draw_bits(coins, order, layers, masks):
    x = np.zeros(coins.shape)
    for i in order:
        x[:, i] = coins[:, i] <= scipy.special.expit(network(x, layers, masks)[:, i])
    return x
""",
    ),
    Wrong(
        "draw-bits",
        "squeezed",
        "there are always many rows",
        "one row",
        """
def draw_bits(coins, order, layers, masks):
    x = np.zeros(coins.shape)
    for i in order:
        x[:, i] = coins[:, i] < scipy.special.expit(network(x, layers, masks)[:, i])
    return x.squeeze()
""",
    ),
    Wrong(
        "draw-bits",
        "its own random numbers",
        "any fair coins will do",
        "hidden layers",
        """
def draw_bits(coins, order, layers, masks):
    own, x = np.random.default_rng(0).random(coins.shape), np.zeros(coins.shape)
    for i in order:
        x[:, i] = own[:, i] < scipy.special.expit(network(x, layers, masks)[:, i])
    return x
""",
    ),
    # --- whiten
    Wrong(
        "whiten",
        "log-det sign",
        "the log-determinant is the sum of the log-scales",
        "the log-determinant",
        """
def whiten(x, A, a, B, b):
    s = x @ B.T + b
    return (x - x @ A.T - a) * np.exp(-s), s.sum(axis=1)
""",
    ),
    Wrong(
        "whiten",
        "log-det per dimension",
        "the log-determinant is a mean over columns",
        "the log-determinant",
        """
def whiten(x, A, a, B, b):
    s = x @ B.T + b
    return (x - x @ A.T - a) * np.exp(-s), -s.mean(axis=1)
""",
    ),
    Wrong(
        "whiten",
        "log-det of the batch",
        "one log-determinant for all rows together",
        "the log-determinant",
        """
def whiten(x, A, a, B, b):
    s = x @ B.T + b
    return (x - x @ A.T - a) * np.exp(-s), np.full(len(x), -s.sum())
""",
    ),
    Wrong(
        "whiten",
        "variance for standard deviation",
        "e^s is the variance",
        "the map",
        """
def whiten(x, A, a, B, b):
    s = x @ B.T + b
    return (x - x @ A.T - a) * np.exp(-s / 2), -s.sum(axis=1) / 2
""",
    ),
    Wrong(
        "whiten",
        "the other direction",
        "data to latent multiplies by the scale and adds the mean of the latent",
        "the map",
        """
def whiten(x, A, a, B, b):
    s = x @ B.T + b
    return (x - x @ A.T - a) * np.exp(s), s.sum(axis=1)
""",
    ),
    Wrong(
        "whiten",
        "transposed matrices",
        "a row of data is multiplied by the matrix from the left",
        "the map",
        """
def whiten(x, A, a, B, b):
    s = x @ B + b
    return (x - x @ A - a) * np.exp(-s), -s.sum(axis=1)
""",
    ),
    Wrong(
        "whiten",
        "scale of the latent",
        "mean and scale are computed from what has been whitened",
        "the map",
        """
def whiten(x, A, a, B, b):
    z, log_det = np.zeros(x.shape), np.zeros(len(x))
    for i in range(x.shape[1]):
        s = b[i] + z @ B[i]
        z[:, i] = (x[:, i] - a[i] - z @ A[i]) * np.exp(-s)
        log_det -= s
    return z, log_det
""",
    ),
    Wrong(
        "whiten",
        "constant scales",
        "the scales in the determinant do not depend on x",
        "the log-determinant",
        """
def whiten(x, A, a, B, b):
    return (x - x @ A.T - a) * np.exp(-(x @ B.T + b)), np.full(len(x), -b.sum())
""",
    ),
    Wrong(
        "whiten",
        "log of the product",
        "the determinant first, its logarithm then: it underflows",
        "small scales",
        """
def whiten(x, A, a, B, b):
    scale = np.exp(-(x @ B.T + b))
    with np.errstate(divide="ignore", over="ignore"):
        return (x - x @ A.T - a) * scale, np.log(np.prod(scale, axis=1))
""",
    ),
    Wrong(
        "whiten",
        "squeezed",
        "there are always many rows",
        "one row",
        """
def whiten(x, A, a, B, b):
    s = x @ B.T + b
    return np.squeeze((x - x @ A.T - a) * np.exp(-s)), np.squeeze(-s.sum(axis=1))
""",
    ),
    Wrong(
        "whiten",
        "hard-coded",
        "the visible check is the whole test: subtract one",
        "the map",
        """
def whiten(x, A, a, B, b):
    return x - 1, np.zeros(len(x))
""",
    ),
]
