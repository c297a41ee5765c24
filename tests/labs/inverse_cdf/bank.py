"""Right and wrong answers to the lab on inversion; each wrong one names the misconception behind it."""

# ruff: noqa: E501 (answers stand here as a student may write them)
from grade_path import VISIBLE, Right, Wrong

# One line of the reference, and what a slip of the pen makes of it: nbval must go red.
SLIP = ('side="left")  # first level', 'side="right")  # first level')

RIGHT = [
    Right(
        "step-quantile",
        "first level that reaches u, found by comparing with all of them",
        """
def step_quantile(values, probabilities, u):
    u = np.asarray(u)
    possible = probabilities > 0
    values, probabilities = values[possible], probabilities[possible]
    order = np.argsort(values)
    heights = np.cumsum(probabilities[order])
    heights[-1] = 1.0
    return values[order][np.argmax(heights >= u[..., None], axis=-1)]
""",
    ),
    Right(
        "step-quantile",
        "numpy's weighted quantile",
        """
def step_quantile(values, probabilities, u):
    possible = probabilities > 0
    u = np.asarray(u)
    q = np.quantile(values[possible], u.ravel(), weights=probabilities[possible], method="inverted_cdf")
    return q.reshape(u.shape)
""",
    ),
    Right(
        "invert-cdf",
        "scipy's bisection on the sign of F - u, one level at a time",
        """
import scipy.optimize

def invert_cdf(cdf, u):
    def reaches(x, level):
        return 1.0 if cdf(np.array([x]))[0] >= level else -1.0

    result = np.empty(np.shape(u))
    for index, level in np.ndenumerate(u):
        low, high = -1.0, 1.0
        while reaches(low, level) > 0:
            low *= 4
        while reaches(high, level) < 0:
            high *= 4
        result[index] = scipy.optimize.bisect(reaches, low, high, args=(level,), xtol=1e-11, rtol=1e-12, maxiter=500)
    return result
""",
    ),
    Right(
        "invert-cdf",
        "binary search over the floating point numbers themselves, without a bracket",
        """
def invert_cdf(cdf, u):
    def number(key):  # integers in the order of the floats
        bits = np.where(key < 0, np.int64(-(2**63)) - key - 1, key)
        return np.asarray(bits, dtype=np.int64).view(np.float64)

    top = np.array(1e300).view(np.int64)
    low, high = np.full(np.shape(u), -top), np.full(np.shape(u), top)
    for _ in range(64):
        middle = low // 2 + high // 2 + (low % 2 + high % 2) // 2
        reached = cdf(number(middle)) >= u
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    return number(high)
""",
    ),
    Right(
        "alias-table",
        "Walker's original: the poorest borrows from the richest, in a heap",
        """
import heapq

def alias_table(weights):
    n = len(weights)
    left = weights / weights.sum() * n
    keep, other = np.ones(n), np.zeros(n, dtype=int)
    poor = [(left[i], i) for i in range(n) if left[i] < 1]
    rich = [(-left[i], i) for i in range(n) if left[i] >= 1]
    heapq.heapify(poor)
    heapq.heapify(rich)
    while poor and rich:
        need, i = heapq.heappop(poor)
        have, j = heapq.heappop(rich)
        keep[i], other[i] = need, j
        rest = -have - (1 - need)
        heapq.heappush(poor, (rest, j)) if rest < 1 else heapq.heappush(rich, (-rest, j))
    return keep, other
""",
    ),
    Right(
        "alias-table",
        "one sweep with two fingers and no lists: a lender that becomes poor borrows from the next one",
        """
def alias_table(weights):
    n = len(weights)
    left = weights / weights.sum() * n
    keep, other = np.ones(n), np.arange(n)
    light = iter(np.flatnonzero(left < 1))
    heavy = iter(np.flatnonzero(left >= 1))
    lender = next(heavy, None)
    rest = left[lender] if lender is not None else 0.0
    while lender is not None:
        if rest >= 1:
            column = next(light, None)
            if column is None:
                break
            keep[column], other[column] = left[column], lender
            rest -= 1 - left[column]
        else:
            following = next(heavy, None)
            if following is None:
                break
            keep[lender], other[lender] = rest, following
            rest, lender = left[following] - (1 - rest), following
    return keep, other
""",
    ),
    Right(
        "rosenblatt-inverse",
        "linear interpolation of the inverse, row by row",
        """
def rosenblatt_inverse(mass, x_edges, y_edges, u):
    def inverse(masses, edges, level):
        full = np.flatnonzero(masses)
        heights = np.cumsum(masses[full]) / masses.sum()
        k = full[min(np.searchsorted(heights, level), len(full) - 1)]
        below = np.sum(masses[:k]) / masses.sum()
        return k, edges[k] + (level - below) / (masses[k] / masses.sum()) * (edges[k + 1] - edges[k])

    points = []
    for first, second in u:
        i, x = inverse(mass.sum(axis=1), x_edges, first)
        _, y = inverse(mass[i], y_edges, second)
        points.append((x, y))
    return np.array(points)
""",
    ),
    Right(
        "rosenblatt-inverse",
        "scipy's law of a histogram, for the marginal and for each row",
        """
import scipy.stats

def rosenblatt_inverse(mass, x_edges, y_edges, u):
    x = scipy.stats.rv_histogram((mass.sum(axis=1), x_edges), density=False).ppf(u[:, 0])
    cell = np.clip(np.searchsorted(x_edges, x, side="right") - 1, 0, len(mass) - 1)
    y = np.empty(len(u))
    for i in np.unique(cell):
        y[cell == i] = scipy.stats.rv_histogram((mass[i], y_edges), density=False).ppf(u[cell == i, 1])
    return np.column_stack([x, y])
""",
    ),
]

WRONG = [
    # --- step-quantile
    Wrong(
        "step-quantile",
        "nearest level",
        "a quantile is where the CDF is closest to u",
        "the smallest value that reaches u",
        """
def step_quantile(values, probabilities, u):
    order = np.argsort(values)
    order = order[probabilities[order] > 0]
    heights = np.cumsum(probabilities[order])
    return values[order][np.argmin(np.abs(heights - np.asarray(u)[..., None]), axis=-1)]
""",
    ),
    Wrong(
        "step-quantile",
        "larger than, not at least",
        "F(x) > u in place of F(x) >= u: the right-continuous inverse",
        "exact levels",
        """
def step_quantile(values, probabilities, u):
    order = np.argsort(values)
    order = order[probabilities[order] > 0]
    first = np.searchsorted(np.cumsum(probabilities[order]), u, side="right")
    return values[order][np.minimum(first, len(order) - 1)]
""",
    ),
    Wrong(
        "step-quantile",
        "never sorted",
        "atoms come in increasing order",
        "any order",
        """
def step_quantile(values, probabilities, u):
    values, probabilities = values[probabilities > 0], probabilities[probabilities > 0]
    first = np.searchsorted(np.cumsum(probabilities), u)
    return values[np.minimum(first, len(values) - 1)]
""",
    ),
    Wrong(
        "step-quantile",
        "a tolerance at the levels",
        "rounding is met by a tolerance on u, which lets tiny u fall to an impossible atom",
        "impossible values",
        """
def step_quantile(values, probabilities, u):
    order = np.argsort(values)
    heights = np.cumsum(probabilities[order])
    last = np.flatnonzero(probabilities[order])[-1]
    return values[order][np.minimum(np.searchsorted(heights, np.asarray(u) - 1e-12), last)]
""",
    ),
    Wrong(
        "step-quantile",
        "the last level is one",
        "probabilities that sum to one have a cumulative sum that ends at one",
        "the top",
        """
def step_quantile(values, probabilities, u):
    order = np.argsort(values)
    return values[order][np.searchsorted(np.cumsum(probabilities[order]), u)]
""",
    ),
    Wrong(
        "step-quantile",
        "clipped to the last atom",
        "the largest atom is always possible",
        "the top",
        """
def step_quantile(values, probabilities, u):
    order = np.argsort(values)
    first = np.searchsorted(np.cumsum(probabilities[order]), u)
    return values[order][np.minimum(first, len(values) - 1)]
""",
    ),
    Wrong(
        "step-quantile",
        "flattened",
        "u is always a flat array",
        "any shape",
        """
def step_quantile(values, probabilities, u):
    order = np.argsort(values)
    order = order[probabilities[order] > 0]
    heights = np.cumsum(probabilities[order])
    return np.array([values[order][min(np.searchsorted(heights, v), len(order) - 1)] for v in np.ravel(u)])
""",
    ),
    Wrong(
        "step-quantile",
        "interpolated",
        "between two levels the quantile lies between two atoms",
        VISIBLE,
        """
def step_quantile(values, probabilities, u):
    order = np.argsort(values)
    return np.interp(u, np.cumsum(probabilities[order]), values[order])
""",
    ),
    Wrong(
        "step-quantile",
        "not cumulative",
        "u is compared with the probabilities themselves",
        "the smallest value that reaches u",
        """
def step_quantile(values, probabilities, u):
    return values[np.minimum(np.searchsorted(np.sort(probabilities), u), len(values) - 1)]
""",
    ),
    Wrong(
        "step-quantile",
        "sorts the caller's array",
        "an argument may be changed in place",
        VISIBLE,
        """
def step_quantile(values, probabilities, u):
    order = np.argsort(values)
    probabilities /= probabilities.sum()
    probabilities[:] = np.cumsum(probabilities[order])
    return values[order][np.minimum(np.searchsorted(probabilities, u), len(values) - 1)]
""",
    ),
    Wrong(
        "step-quantile",
        "hard-coded",
        "the visible check is the whole test",
        "the smallest value that reaches u",
        """
def step_quantile(values, probabilities, u):
    return np.array([1.0, 2.0, 2.0, 5.0, 9.0])
""",
    ),
    # --- invert-cdf
    Wrong(
        "invert-cdf",
        "halves too few times",
        "a bracket of a millionth is short enough",
        "accuracy",
        """
def invert_cdf(cdf, u):
    low, high = np.full(np.shape(u), -1.0), np.full(np.shape(u), 1.0)
    while np.any(cdf(low) >= u):
        low = np.where(cdf(low) >= u, 2 * low, low)
    while np.any(cdf(high) < u):
        high = np.where(cdf(high) < u, 2 * high, high)
    while np.any(high - low > 1e-6):
        middle = (low + high) / 2
        if np.any((middle == low) | (middle == high)):
            break
        reached = cdf(middle) >= u
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    return high
""",
    ),
    Wrong(
        "invert-cdf",
        "fixed bracket",
        "every law lives between -1000 and 1000",
        "far away",
        """
def invert_cdf(cdf, u):
    low, high = np.full(np.shape(u), -1000.0), np.full(np.shape(u), 1000.0)
    for _ in range(80):
        middle = (low + high) / 2
        reached = cdf(middle) >= u
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    return high
""",
    ),
    Wrong(
        "invert-cdf",
        "grows to the right only",
        "samples are positive, so the bracket starts at a fixed left end",
        "far away",
        """
def invert_cdf(cdf, u):
    low, high = np.full(np.shape(u), -100.0), np.full(np.shape(u), 1.0)
    while np.any(cdf(high) < u):
        high = 2 * high
    for _ in range(100):
        middle = (low + high) / 2
        reached = cdf(middle) >= u
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    return high
""",
    ),
    Wrong(
        "invert-cdf",
        "stops when F is close",
        "F(x) close to u means x close to the quantile",
        "tails",
        """
def invert_cdf(cdf, u):
    low, high = np.full(np.shape(u), -1.0), np.full(np.shape(u), 1.0)
    while np.any(cdf(low) >= u):
        low = np.where(cdf(low) >= u, 2 * low, low)
    while np.any(cdf(high) < u):
        high = np.where(cdf(high) < u, 2 * high, high)
    for _ in range(100):
        middle = (low + high) / 2
        value = cdf(middle)
        close = (np.abs(value - u) < 1e-10) & (value > u)  # strictly: a flat is not taken for close
        low = np.where(close, low, np.where(value >= u, low, middle))
        high = np.where(value >= u, middle, high)
        low = np.where(close, high, low)
    return high
""",
    ),
    Wrong(
        "invert-cdf",
        "keeps the wrong half at equality",
        "F(middle) = u may go to either half: the right end of a flat comes out",
        "flats",
        """
def invert_cdf(cdf, u):
    low, high = np.full(np.shape(u), -1.0), np.full(np.shape(u), 1.0)
    while np.any(cdf(low) >= u):
        low = np.where(cdf(low) >= u, 2 * low, low)
    while np.any(cdf(high) <= u):
        high = np.where(cdf(high) <= u, 2 * high, high)
    for _ in range(100):
        middle = (low + high) / 2
        beyond = cdf(middle) > u
        low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
    return low
""",
    ),
    Wrong(
        "invert-cdf",
        "polished by Newton",
        "every CDF has a density that a difference quotient finds",
        "jumps",
        """
def invert_cdf(cdf, u):
    low, high = np.full(np.shape(u), -1.0), np.full(np.shape(u), 1.0)
    while np.any(cdf(low) >= u):
        low = np.where(cdf(low) >= u, 2 * low, low)
    while np.any(cdf(high) < u):
        high = np.where(cdf(high) < u, 2 * high, high)
    while np.any(high - low > 1e-3):
        middle = (low + high) / 2
        reached = cdf(middle) >= u
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    x = (low + high) / 2
    for _ in range(6):
        step = 1e-5 * np.minimum(1.0, high - low) / 1e-3
        slope = (cdf(x + step) - cdf(x - step)) / (2 * step)
        x = np.clip(x - np.where(slope > 0, (cdf(x) - u) / np.where(slope > 0, slope, 1.0), 0.0), low, high)
    return x
""",
    ),
    Wrong(
        "invert-cdf",
        "one level at a time, flat",
        "u is always a flat array",
        "any shape",
        """
def invert_cdf(cdf, u):
    u = np.ravel(u)
    low, high = np.full(len(u), -1.0), np.full(len(u), 1.0)
    while np.any(cdf(low) >= u):
        low = np.where(cdf(low) >= u, 2 * low, low)
    while np.any(cdf(high) < u):
        high = np.where(cdf(high) < u, 2 * high, high)
    for _ in range(100):
        middle = (low + high) / 2
        reached = cdf(middle) >= u
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    return high
""",
    ),
    Wrong(
        "invert-cdf",
        "survival for CDF",
        "u and 1 - u may be exchanged",
        VISIBLE,
        """
def invert_cdf(cdf, u):
    low, high = np.full(np.shape(u), -100.0), np.full(np.shape(u), 100.0)
    for _ in range(80):
        middle = (low + high) / 2
        reached = cdf(middle) >= 1 - u
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    return high
""",
    ),
    Wrong(
        "invert-cdf",
        "table and interpolation",
        "a fine grid of the CDF can be read backwards",
        "accuracy",
        """
def invert_cdf(cdf, u):
    grid = np.linspace(-10.0, 10.0, 2001)
    return np.interp(u, cdf(grid), grid)
""",
    ),
    Wrong(
        "invert-cdf",
        "hard-coded",
        "the visible check is the whole test",
        "accuracy",
        """
def invert_cdf(cdf, u):
    table = {0.1: -1.215, 0.25: -0.518, 0.5: 1.4326, 0.9: 3.0676}
    grid = np.linspace(-4.0, 6.0, 100)
    return np.array([table.get(v) or np.interp(v, cdf(grid), grid) for v in np.ravel(u)]).reshape(np.shape(u))
""",
    ),
    # --- alias-table
    Wrong(
        "alias-table",
        "one lender for all",
        "everything that is missing comes from the most likely outcome",
        "the law",
        """
def alias_table(weights):
    left = weights / weights.sum() * len(weights)
    return np.minimum(left, 1.0), np.full(len(weights), int(np.argmax(left)))
""",
    ),
    Wrong(
        "alias-table",
        "the lender pays nothing",
        "after a loan the lender still has all it had",
        "the law",
        """
def alias_table(weights):
    n = len(weights)
    left = weights / weights.sum() * n
    keep, other = np.ones(n), np.arange(n)
    small, large = [i for i in range(n) if left[i] < 1], [i for i in range(n) if left[i] >= 1]
    for k, s in enumerate(small):
        if large:
            keep[s], other[s] = left[s], large[k % len(large)]
    return keep, other
""",
    ),
    Wrong(
        "alias-table",
        "solved, not constrained",
        "any solution of the equation is a table: keep need not be a probability",
        "keep is a probability",
        """
def alias_table(weights):
    n = len(weights)
    left = weights / weights.sum() * n
    keep = np.cumsum(left - 1) + 0.5  # each column lends what it lacks to the next one
    return keep, np.arange(1, n + 1) % n
""",
    ),
    Wrong(
        "alias-table",
        "full columns point nowhere",
        "a column that lends nothing needs no alias, so it gets -1",
        "other is an outcome",
        """
def alias_table(weights):
    n = len(weights)
    left = weights / weights.sum() * n
    keep, other = np.ones(n), np.full(n, -1)
    small, large = [i for i in range(n) if left[i] < 1], [i for i in range(n) if left[i] >= 1]
    while small and large:
        s, l = small.pop(), large.pop()
        keep[s], other[s] = left[s], l
        left[l] -= 1 - left[s]
        (small if left[l] < 1 else large).append(l)
    return keep, other
""",
    ),
    Wrong(
        "alias-table",
        "zero lifted to something tiny",
        "a probability of exactly zero is dangerous and gets a floor",
        "impossible outcomes",
        """
def alias_table(weights):
    n = len(weights)
    left = weights / weights.sum() * n
    keep, other = np.ones(n), np.arange(n)
    small, large = [i for i in range(n) if left[i] < 1], [i for i in range(n) if left[i] >= 1]
    while small and large:
        s, l = small.pop(), large.pop()
        keep[s], other[s] = left[s], l
        left[l] -= 1 - left[s]
        (small if left[l] < 1 else large).append(l)
    return np.clip(keep, 1e-9, 1.0), other
""",
    ),
    Wrong(
        "alias-table",
        "weights taken for probabilities",
        "weights sum to one",
        "any scale",
        """
def alias_table(weights):
    n = len(weights)
    left = weights * n
    keep, other = np.ones(n), np.arange(n)
    small, large = [i for i in range(n) if left[i] < 1], [i for i in range(n) if left[i] >= 1]
    while small and large:
        s, l = small.pop(), large.pop()
        keep[s], other[s] = left[s], l
        left[l] -= 1 - left[s]
        (small if left[l] < 1 else large).append(l)
    return keep, other
""",
    ),
    Wrong(
        "alias-table",
        "scales the caller's array",
        "an argument may be changed in place",
        VISIBLE,
        """
def alias_table(weights):
    n = len(weights)
    weights *= n / weights.sum() * (1 + 1e-16)
    keep, other = np.ones(n), np.arange(n)
    small, large = [i for i in range(n) if weights[i] < 1], [i for i in range(n) if weights[i] >= 1]
    while small and large:
        s, l = small.pop(), large.pop()
        keep[s], other[s] = weights[s], l
        weights[l] -= 1 - weights[s]
        (small if weights[l] < 1 else large).append(l)
    return keep, other
""",
    ),
    Wrong(
        "alias-table",
        "hard-coded",
        "the visible check is the whole test",
        "the law",
        """
def alias_table(weights):
    return np.ones(len(weights)), np.arange(len(weights))
""",
    ),
    # --- rosenblatt-inverse
    Wrong(
        "rosenblatt-inverse",
        "two marginals",
        "the second coordinate follows its marginal, whatever the first one is",
        "both coordinates",
        """
def rosenblatt_inverse(mass, x_edges, y_edges, u):
    def inverse(masses, edges, level):
        heights = np.concatenate([[0.0], np.cumsum(masses)]) / masses.sum()
        cell = np.clip(np.searchsorted(heights, level) - 1, 0, len(masses) - 1)
        share = (level - heights[cell]) / (heights[cell + 1] - heights[cell])
        return edges[cell] + share * (edges[cell + 1] - edges[cell])

    return np.stack([inverse(mass.sum(axis=1), x_edges, u[:, 0]), inverse(mass.sum(axis=0), y_edges, u[:, 1])], axis=1)
""",
    ),
    Wrong(
        "rosenblatt-inverse",
        "the middle of the cell",
        "a histogram's sample is the centre of its cell",
        "both coordinates",
        """
def rosenblatt_inverse(mass, x_edges, y_edges, u):
    i = np.searchsorted(np.cumsum(mass.sum(axis=1)) / mass.sum(), u[:, 0]).clip(max=mass.shape[0] - 1)
    rows = np.cumsum(mass, axis=1)[i] / mass.sum(axis=1)[i][:, None]
    j = np.sum(rows < u[:, 1][:, None], axis=1).clip(max=mass.shape[1] - 1)
    return np.stack([(x_edges[i] + x_edges[i + 1]) / 2, (y_edges[j] + y_edges[j + 1]) / 2], axis=1)
""",
    ),
    Wrong(
        "rosenblatt-inverse",
        "equal cells",
        "all cells have the same width",
        "unequal cells",
        """
def rosenblatt_inverse(mass, x_edges, y_edges, u):
    def inverse(masses, edges, level):
        edges = np.linspace(edges[0], edges[-1], len(edges))
        heights = np.concatenate([[0.0], np.cumsum(masses)]) / masses.sum()
        cell = int(np.clip(np.searchsorted(heights, level) - 1, 0, len(masses) - 1))
        share = (level - heights[cell]) / (heights[cell + 1] - heights[cell])
        return cell, edges[cell] + share * (edges[cell + 1] - edges[cell])

    points = []
    for first, second in u:
        i, x = inverse(mass.sum(axis=1), x_edges, first)
        points.append((x, inverse(mass[i], y_edges, second)[1]))
    return np.array(points)
""",
    ),
    Wrong(
        "rosenblatt-inverse",
        "empty rows dropped",
        "rows without mass can be left out, and the edges stay where they were",
        "empty cells",
        """
def rosenblatt_inverse(mass, x_edges, y_edges, u):
    mass = mass[mass.sum(axis=1) > 0]

    def inverse(masses, edges, level):
        heights = np.concatenate([[0.0], np.cumsum(masses)]) / masses.sum()
        cell = int(np.clip(np.searchsorted(heights, level) - 1, 0, len(masses) - 1))
        share = (level - heights[cell]) / (heights[cell + 1] - heights[cell])
        return cell, edges[cell] + share * (edges[cell + 1] - edges[cell])

    points = []
    for first, second in u:
        i, x = inverse(mass.sum(axis=1), x_edges, first)
        points.append((x, inverse(mass[i], y_edges, second)[1]))
    return np.array(points)
""",
    ),
    Wrong(
        "rosenblatt-inverse",
        "counts taken for probabilities",
        "the mass sums to one",
        "counts",
        """
def rosenblatt_inverse(mass, x_edges, y_edges, u):
    def inverse(masses, edges, level):
        heights = np.concatenate([[0.0], np.cumsum(masses)])
        cell = int(np.clip(np.searchsorted(heights, level) - 1, 0, len(masses) - 1))
        share = (level - heights[cell]) / (heights[cell + 1] - heights[cell])
        return cell, edges[cell] + share * (edges[cell + 1] - edges[cell])

    points = []
    total = mass.sum() if mass.sum() < 2 or len(mass) == 2 else 1.0
    for first, second in u:
        i, x = inverse(mass.sum(axis=1) / total, x_edges, first)
        points.append((x, inverse(mass[i] / mass[i].sum(), y_edges, second)[1]))
    return np.array(points)
""",
    ),
    Wrong(
        "rosenblatt-inverse",
        "one row squeezed away",
        "there are always many points",
        "one row",
        """
def rosenblatt_inverse(mass, x_edges, y_edges, u):
    def inverse(masses, edges, level):
        heights = np.concatenate([[0.0], np.cumsum(masses)]) / masses.sum()
        cell = int(np.clip(np.searchsorted(heights, level) - 1, 0, len(masses) - 1))
        share = (level - heights[cell]) / (heights[cell + 1] - heights[cell])
        return cell, edges[cell] + share * (edges[cell + 1] - edges[cell])

    points = []
    for first, second in u:
        i, x = inverse(mass.sum(axis=1), x_edges, first)
        points.append((x, inverse(mass[i], y_edges, second)[1]))
    return np.squeeze(np.array(points))
""",
    ),
    Wrong(
        "rosenblatt-inverse",
        "axes exchanged",
        "the rows of a matrix go with y",
        VISIBLE,
        """
def rosenblatt_inverse(mass, x_edges, y_edges, u):
    mass = mass.T
    i = np.searchsorted(np.cumsum(mass.sum(axis=1)) / mass.sum(), u[:, 0]).clip(max=mass.shape[0] - 1)
    rows = np.cumsum(mass, axis=1)[i] / mass.sum(axis=1)[i][:, None]
    j = np.sum(rows < u[:, 1][:, None], axis=1).clip(max=mass.shape[1] - 1)
    return np.stack([x_edges[i], y_edges[j]], axis=1)
""",
    ),
    Wrong(
        "rosenblatt-inverse",
        "normalizes the caller's array",
        "an argument may be changed in place",
        VISIBLE,
        """
def rosenblatt_inverse(mass, x_edges, y_edges, u):
    mass /= mass.sum()
    i = np.searchsorted(np.cumsum(mass.sum(axis=1)), u[:, 0]).clip(max=mass.shape[0] - 1)
    return np.stack([x_edges[i], y_edges[i]], axis=1)
""",
    ),
    Wrong(
        "rosenblatt-inverse",
        "own random numbers",
        "a sample of the right law is enough: u need not be used",
        "both coordinates",
        """
def rosenblatt_inverse(mass, x_edges, y_edges, u):
    generator = np.random.default_rng(0)
    cell = generator.choice(mass.size, size=len(u), p=mass.ravel() / mass.sum())
    i, j = np.unravel_index(cell, mass.shape)
    x = x_edges[i] + generator.random(len(u)) * (x_edges[i + 1] - x_edges[i])
    y = y_edges[j] + generator.random(len(u)) * (y_edges[j + 1] - y_edges[j])
    return np.stack([np.sort(x), y], axis=1)
""",
    ),
]
