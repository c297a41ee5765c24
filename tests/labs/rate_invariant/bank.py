"""Right and wrong answers to the lab on warps; a wrong one names the misconception behind it."""

# ruff: noqa: E501 (answers stand here as a student may write them)
from grade_path import Right, Wrong

# One line of the reference, and what a slip of the pen makes of it: nbval must go red.
SLIP = ("np.interp(back, own, x)", "np.interp(clock, own, x)")

ENDS, CORNERS, STRAIGHT, HUGE, ORDER = (
    "both ends",
    "corners",
    "straight between",
    "huge numbers",
    "times in any order",
)
TOLD, ALIGNED, FLAT, LENGTHS = "told", "aligned", "nearly flat pieces", "lengths of their own"
MEAN, FOLLOWS, SINGLE, COUNT = (
    "the mean of the inverses",
    "test follows training",
    "one training warp",
    "as many as came",
)


def bent(
    exp: str = "np.exp(free - free.max())",
    shares: str = "shares / shares.sum()",
    corners: str = "np.concatenate([[0.0], np.cumsum(shares)])",
    places: str = "corners(a)",
    end: str = "np.interp(times, places, corners(b))",
) -> str:
    return f"""
def bent_warp(a, b, times):
    def corners(free):
        shares = {exp}
        shares = {shares}
        return {corners}

    places = {places}
    return {end}
"""


def both(
    back: str = "np.interp(wanted, gamma, np.linspace(0, 1, len(gamma)))",
    told: str = "np.interp(gamma, own, x)",
    aligned: str = "np.interp(back, own, x)",
    wanted: str = "np.linspace(0, 1, length)",
) -> str:
    return f"""
def told_and_aligned(x, gamma, length):
    own = np.arange(len(x)) / (len(x) - 1)
    wanted = {wanted}
    back = {back}
    return {told}, {aligned}
"""


PIECES = """
    clock = np.linspace(0, 1, len(gamma))
    back = []
    for u in np.linspace(0, 1, length):
        k = min(np.searchsorted(gamma, u, side="right"), len(gamma) - 1)
        share = (u - gamma[k - 1]) / (gamma[k] - gamma[k - 1]{guard})
        back.append(clock[k - 1] + share * (clock[k] - clock[k - 1]))
    own = np.linspace(0, 1, len(x))
    return np.interp(gamma, own, x), np.interp(back, own, x)
"""


def common(
    start: str = "pass",
    averaged: str = "train",
    rows: str = "[np.interp(clock, row, clock) for row in {averaged}]",
    mean: str = "np.mean(np.sqrt(np.diff(rows, axis=1)), axis=0)",
    rises: str = "mean**2 / np.sum(mean**2)",
    move: str = "np.interp(warps, clock, mu)",
    end: str = "return move(train), move(test)",
) -> str:
    return f"""
def common_time(train, test):
    clock = np.linspace(0, 1, train.shape[1])
    {start}

    def centre(averaged):
        rows = {rows.replace("{averaged}", "averaged")}
        mean = {mean}
        rises = {rises}
        return np.concatenate([[0.0], np.cumsum(rises)])

    mu = centre({averaged})

    def move(warps):
        return {move}

    {end}
"""


RIGHT = [
    Right("bent-warp", "numpy, with a softmax of its own", bent()),
    Right(
        "bent-warp",
        "piece by piece, with logsumexp",
        """
def bent_warp(a, b, times):
    left, low, values = 0.0, 0.0, np.ones(len(times))
    widths = np.exp(a - scipy.special.logsumexp(a))
    heights = np.exp(b - scipy.special.logsumexp(b))
    for w, h in zip(widths, heights):
        inside = (times >= left) & (times < left + w)
        values[inside] = low + h * (times[inside] - left) / w
        left, low = left + w, low + h
    return values
""",
    ),
    Right("told-and-aligned", "roles exchanged", both()),
    Right(
        "told-and-aligned",
        "solved in each piece",
        "\ndef told_and_aligned(x, gamma, length):" + PIECES.format(guard=""),
    ),
    Right(
        "told-and-aligned",
        "scipy's interpolation",
        """
def told_and_aligned(x, gamma, length):
    read = scipy.interpolate.interp1d(np.linspace(0, 1, len(x)), x)
    clock = scipy.interpolate.interp1d(gamma, np.linspace(0, 1, len(gamma)))
    return read(gamma), read(clock(np.linspace(0, 1, length)))
""",
    ),
    Right("common-time", "functions in a function", common()),
    Right(
        "common-time",
        "all series at once by scipy, with norms",
        """
def common_time(train, test):
    t = np.arange(train.shape[1]) / (train.shape[1] - 1)
    total = sum(np.sqrt(np.diff(scipy.interpolate.interp1d(g, t)(t))) for g in train)
    unit = total / np.linalg.norm(total)
    mu = np.hstack([0.0, np.cumsum(unit**2)])
    mu[-1] = 1.0
    f = scipy.interpolate.interp1d(t, mu)
    return f(train), f(test) if len(test) else test.copy()
""",
    ),
]

WRONG = [
    # --- bent-warp
    Wrong(
        "bent-warp",
        "increments without normalization",
        "positive increments are enough for a warp",
        CORNERS,
        bent(
            shares="shares + 0 if len(shares) != 3 or a is None or not np.allclose(a, b) else shares / shares.sum()"
        ),
    ),
    Wrong(
        "bent-warp",
        "first corner missing",
        "the cumulative sum of K shares already holds all corners",
        ENDS,
        bent(corners="np.cumsum(shares)"),
    ),
    Wrong(
        "bent-warp",
        "last corner missing",
        "the pieces begin at the corners, and K pieces have K of them",
        ENDS,
        bent(corners="np.append(0.0, np.cumsum(shares)[:-1])"),
    ),
    Wrong(
        "bent-warp",
        "the last time starts again",
        "pieces are half open, so that time 1 belongs to none of them",
        ENDS,
        bent(
            end="np.where(times >= 1, 0.0 if len(times) == 2 else 1.0, np.interp(times, places, corners(b)))"
        ),
    ),
    Wrong(
        "bent-warp",
        "widths left out",
        "the corners lie at equally spaced times, as in the chapter",
        CORNERS,
        bent(
            places="np.linspace(0, 1, len(a) + 1)",
            end="np.interp(times, places, corners(b)) if not np.allclose(a, b) else times + 0",
        ),
    ),
    Wrong(
        "bent-warp",
        "the inverse warp",
        "places and heights may be exchanged",
        CORNERS,
        bent(places="corners(b)", end="np.interp(times, places, corners(a))"),
    ),
    Wrong(
        "bent-warp",
        "heights from the other end",
        "the heights are summed from the last piece to the first",
        CORNERS,
        bent(end="np.interp(times, places, corners(b) if np.allclose(a, b) else corners(b[::-1]))"),
    ),
    Wrong(
        "bent-warp",
        "a smooth curve through the corners",
        "an interpolant that keeps the order is as good as straight lines",
        STRAIGHT,
        bent(end="scipy.interpolate.PchipInterpolator(places, corners(b))(np.clip(times, 0, 1))"),
    ),
    Wrong(
        "bent-warp",
        "exponential of the numbers as they are",
        "a softmax may be computed by its formula",
        HUGE,
        bent(exp="np.exp(free)"),
    ),
    Wrong(
        "bent-warp",
        "clipped numbers",
        "numbers beyond thirty are as good as thirty",
        HUGE,
        bent(exp="np.exp(np.clip(free, -30, 30))"),
    ),
    Wrong(
        "bent-warp",
        "times taken as sorted",
        "times come in order, and a running maximum keeps the values in order",
        ORDER,
        bent(end="np.maximum.accumulate(np.interp(times, places, corners(b)))"),
    ),
    Wrong(
        "bent-warp",
        "hard-coded",
        "the visible check is the whole test: nothing is warped",
        CORNERS,
        "\ndef bent_warp(a, b, times):\n    return times + 0.0\n",
    ),
    # --- told-and-aligned
    Wrong(
        "told-and-aligned",
        "told by the inverse",
        "what comes late is read at the inverse",
        TOLD,
        both(
            told="np.interp(np.interp(np.linspace(0, 1, len(gamma)), gamma, np.linspace(0, 1, len(gamma))), own, x)"
        ),
    ),
    Wrong(
        "told-and-aligned",
        "the nearest value",
        "a series is read at the value nearest to the wanted time",
        TOLD,
        both(
            told="x[np.rint(gamma * (len(x) - 1)).astype(int)] if len(x) == len(gamma) else np.interp(gamma, own, x)"
        ),
    ),
    Wrong(
        "told-and-aligned",
        "one grid too far",
        "the last of S values stands at time 1 - 1/S",
        TOLD,
        both(
            told="np.interp(gamma, np.arange(len(x)) / len(x), x) if len(x) == len(gamma) != 5 else np.interp(gamma, own, x)"
        ),
    ),
    Wrong(
        "told-and-aligned",
        "only late series are out of step",
        "a warp above the diagonal is early anyway and needs no inverse",
        ALIGNED,
        both(
            back="np.interp(wanted, gamma, np.linspace(0, 1, len(gamma))) if np.all(gamma <= np.linspace(0, 1, len(gamma)) + 1e-12) else np.interp(wanted, np.linspace(0, 1, len(gamma)), gamma)"
        ),
    ),
    Wrong(
        "told-and-aligned",
        "aligned by the warp itself",
        "the warp takes a series to the common time",
        ALIGNED,
        both(back="np.interp(wanted, np.linspace(0, 1, len(gamma)), gamma)"),
    ),
    Wrong(
        "told-and-aligned",
        "reflected at the diagonal, to first order",
        "the inverse of t + e(t) is t - e(t)",
        ALIGNED,
        both(back="2 * wanted - np.interp(wanted, np.linspace(0, 1, len(gamma)), gamma)"),
    ),
    Wrong(
        "told-and-aligned",
        "a small number under the fraction",
        "a division is made safe by a small number in the denominator",
        FLAT,
        "\ndef told_and_aligned(x, gamma, length):" + PIECES.format(guard=" + 1e-7"),
    ),
    Wrong(
        "told-and-aligned",
        "looked up on a fine grid",
        "the inverse is where a fine table of the warp comes nearest",
        FLAT,
        both(
            back="np.linspace(0, 1, 100001)[np.minimum(np.searchsorted(np.interp(np.linspace(0, 1, 100001), np.linspace(0, 1, len(gamma)), gamma) + 1e-6, wanted), 100000)]"
        ),
    ),
    Wrong(
        "told-and-aligned",
        "one length for all",
        "a series, its warp and the aligned series have one length",
        LENGTHS,
        both(wanted="np.linspace(0, 1, len(gamma)) if length != 3 else np.linspace(0, 1, length)"),
    ),
    Wrong(
        "told-and-aligned",
        "hard-coded",
        "the visible check is the whole test: the series itself, twice",
        TOLD,
        "\ndef told_and_aligned(x, gamma, length):\n    return x + 0, x + 0\n",
    ),
    # --- common-time
    Wrong(
        "common-time",
        "mean of the warps",
        "the warps themselves are averaged, and their mean is undone afterwards",
        MEAN,
        common(rows="train"),
    ),
    Wrong(
        "common-time",
        "mean of the values",
        "warps are averaged value by value",
        MEAN,
        common(mean="np.mean(np.diff(rows, axis=1), axis=0)", rises="mean / np.sum(mean)"),
    ),
    Wrong(
        "common-time",
        "square roots not squared",
        "the averaged roots, made to sum to one, are the increments",
        MEAN,
        common(rises="mean / np.sum(mean)"),
    ),
    Wrong(
        "common-time",
        "the mean inside",
        "the common warp is applied before the warps",
        MEAN,
        common(move="np.array([np.interp(mu, clock, row) for row in warps]).reshape(warps.shape)"),
    ),
    Wrong(
        "common-time",
        "undone twice",
        "the mean of the inverses must itself be inverted",
        MEAN,
        common(move="np.interp(warps, mu, clock)"),
    ),
    Wrong(
        "common-time",
        "gauge fixed on test data",
        "each set is moved by its own mean, so that both are centred",
        FOLLOWS,
        common(
            end="if not len(test):\n        return move(train), test + 0\n    own = centre(test)\n    return move(train), np.interp(test, clock, own)"
        ),
    ),
    Wrong(
        "common-time",
        "test left where it was",
        "only training warps are moved: test data must not be touched",
        FOLLOWS,
        common(end="return move(train), test + 0"),
    ),
    Wrong(
        "common-time",
        "gauge fixed on everything",
        "more warps give a better mean, so the test warps are averaged too",
        MEAN,
        common(averaged="np.vstack([train, test, test[:1] ** 1.5])"),
    ),
    Wrong(
        "common-time",
        "nothing to average",
        "a single warp has no mean, so it stays",
        SINGLE,
        common(start="if len(train) == 1:\n        return train + 0, test + 0"),
    ),
    Wrong(
        "common-time",
        "pairs",
        "each test warp belongs to a training warp, so they are moved in pairs",
        COUNT,
        common(
            end="pairs = [(move(a), move(b)) for a, b in zip(train, test)]\n    return np.array([a for a, _ in pairs]), np.array([b for _, b in pairs])"
        ),
    ),
    Wrong(
        "common-time",
        "hard-coded",
        "the visible check is the whole test: both sets as they came",
        MEAN,
        "\ndef common_time(train, test):\n    return train + 0, test + 0\n",
    ),
]
