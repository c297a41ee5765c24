"""Right and wrong answers to the lab on projections; a wrong one names the misconception behind it."""

# ruff: noqa: E501 (answers stand here as a student may write them)
from grade_path import VISIBLE, Right, Wrong

# One line of the reference, and what a slip of the pen makes of it: nbval must go red.
SLIP = ("return profiles @ ramp / width", "return profiles @ ramp / width**2")

_GAP = """
def gaussian_gap(points, covariance, directions):
    {prepare}
    unit = {unit}
    ordered = np.sort(points @ unit.T, axis=0)
    s = {spread}
    cut = scipy.stats.norm.pdf(scipy.stats.norm.ppf(np.linspace(0, 1, len(points) + 1)))
    squares = np.mean(ordered**2, axis=0) + s**2 - 2 * s * ((cut[:-1] - cut[1:]) @ ordered)
    return float({average})
"""


def gap(**changes):
    """The reference of task 4 with one line changed."""
    lines = {
        "prepare": "pass",
        "unit": "directions / np.linalg.norm(directions, axis=1, keepdims=True)",
        "spread": "np.sqrt(np.sum(unit @ covariance * unit, axis=1))",
        "average": "np.sqrt(np.mean(np.maximum(squares, 0)))",
    }
    return _GAP.format(**{**lines, **changes})


_BACK = """
def smear_back(filtered, angles, middles, x):
    folded = {folded}
    rank = {rank}
    gaps = {gaps}
    share = np.empty(len(angles))
    share[rank] = {share}
    result = np.zeros(len(x))
    for profile, alpha, part in zip(filtered, {along}, share):
        spot = x @ np.array([np.cos(alpha), np.sin(alpha)])
        result = result + part * {interpolate}
    return result
"""


def back(**changes):
    """The reference of task 3 with one line changed."""
    lines = {
        "folded": "angles % np.pi",
        "rank": "np.argsort(folded)",
        "gaps": "np.append(np.diff(folded[rank]), folded[rank[0]] + np.pi - folded[rank[-1]])",
        "share": "(gaps + np.roll(gaps, 1)) / 2",
        "along": "angles",
        "interpolate": "np.interp(spot, middles, profile, left=0, right=0)",
    }
    return _BACK.format(**{**lines, **changes})


RIGHT = [
    Right(
        "sinogram",
        "one searchsorted for all angles",
        """
def sinogram(points, angles, edges):
    n, width, count = len(points), edges[1] - edges[0], len(edges) - 1
    rows = []
    for alpha in angles:
        place = np.searchsorted(edges, points @ np.array([np.cos(alpha), np.sin(alpha)]), side="right") - 1
        place = place[(place >= 0) & (place < count)]
        rows.append(np.bincount(place, minlength=count))
    return np.array(rows) / (n * width)
""",
    ),
    Right(
        "sinogram",
        "a two-dimensional histogram of angle and place",
        """
def sinogram(points, angles, edges):
    along = points @ np.array([np.cos(angles), np.sin(angles)])
    which = np.broadcast_to(np.arange(len(angles)), along.shape)
    counts, _, _ = np.histogram2d(which.ravel(), along.ravel(), [np.arange(len(angles) + 1) - 0.5, edges])
    return counts / len(points) / np.diff(edges)
""",
    ),
    Right(
        "ramp-filter",
        "numpy's convolution, row by row",
        """
def ramp_filter(profiles, width):
    count = profiles.shape[1]
    j = np.arange(-(count - 1), count)
    kernel = np.where(j % 2 == 0, 0.0, -1 / (np.pi * np.where(j == 0, 1, j) * width) ** 2)
    kernel[count - 1] = 1 / (4 * width**2)
    return width * np.array([np.convolve(row, kernel)[count - 1 : 2 * count - 1] for row in profiles])
""",
    ),
    Right(
        "ramp-filter",
        "scipy's convolution by Fourier transform",
        """
import scipy.signal

def ramp_filter(profiles, width):
    count = profiles.shape[1]
    kernel = np.zeros(2 * count - 1)
    kernel[count - 1] = 0.25
    for j in range(1, count, 2):
        kernel[count - 1 + j] = kernel[count - 1 - j] = -1 / (np.pi * j) ** 2
    full = scipy.signal.fftconvolve(profiles, kernel[None], axes=1)
    return full[:, count - 1 : 2 * count - 1] / width
""",
    ),
    Right("smear-back", "the same in other words", back()),
    Right(
        "smear-back",
        "scipy's interpolation and distances to both neighbours",
        """
from scipy.interpolate import interp1d

def smear_back(filtered, angles, middles, x):
    folded = np.asarray(angles) % np.pi
    order = np.argsort(folded)
    ring = np.concatenate([[folded[order[-1]] - np.pi], folded[order], [folded[order[0]] + np.pi]])
    total = 0
    for rank, k in enumerate(order):
        share = (ring[rank + 2] - ring[rank]) / 2
        profile = interp1d(middles, filtered[k], bounds_error=False, fill_value=0.0)
        total = total + share * profile(x[:, 0] * np.cos(angles[k]) + x[:, 1] * np.sin(angles[k]))
    return total
""",
    ),
    Right("gaussian-gap", "the same in other words", gap()),
    Right(
        "gaussian-gap",
        "whitened along each direction, one after the other",
        """
def gaussian_gap(points, covariance, directions):
    n, total = len(points), 0.0
    cuts = scipy.stats.norm.ppf(np.arange(n + 1) / n)
    moment = -np.diff(scipy.stats.norm.pdf(cuts))
    for direction in directions:
        u = direction / np.linalg.norm(direction)
        s = np.sqrt(u @ covariance @ u)
        v = np.sort(points @ u) / s
        total += s**2 * (1 + np.mean(v * v) - 2 * np.dot(v, moment))
    return float(np.sqrt(total / len(directions)))
""",
    ),
]

_COUNT = """
def sinogram(points, angles, edges):
    along = points @ np.stack([np.cos(angles), np.sin(angles)])
    counts = np.array([np.histogram(column, edges)[0] for column in along.T])
    return {result}
"""
_FILTER = """
def ramp_filter(profiles, width):
    count = profiles.shape[1]
    j = np.arange(count)[:, None] - np.arange(count)
    ramp = np.zeros(j.shape)
    odd = j % 2 != 0
    ramp[odd] = {odd}
    ramp[j == 0] = {peak}
    return {result}
"""


def ramp(**changes):
    """The reference of task 2 with one line changed."""
    lines = {
        "odd": "-1 / (np.pi * j[odd]) ** 2",
        "peak": "1 / 4",
        "result": "profiles @ ramp / width",
    }
    return _FILTER.format(**{**lines, **changes})


WRONG = [
    # --- sinogram
    Wrong(
        "sinogram",
        "counts",
        "a histogram of counts is a density already",
        "shares per width",
        _COUNT.format(result="counts.astype(float)"),
    ),
    Wrong(
        "sinogram",
        "width forgotten",
        "shares of the points are heights, whatever the width of a bin",
        "shares per width",
        _COUNT.format(result="counts / len(points)"),
    ),
    Wrong(
        "sinogram",
        "normalized over what is inside",
        "every profile integrates to one, whatever was left out",
        "strays",
        _COUNT.format(result="counts / (counts.sum(axis=1, keepdims=True) * np.diff(edges))"),
    ),
    Wrong(
        "sinogram",
        "strays piled up at the ends",
        "what is outside belongs to the nearest bin",
        "strays",
        """
def sinogram(points, angles, edges):
    along = points @ np.stack([np.cos(angles), np.sin(angles)])
    along = np.clip(along, edges[0], np.nextafter(edges[-1], edges[0]))
    counts = np.array([np.histogram(column, edges)[0] for column in along.T])
    return counts / (len(points) * np.diff(edges))
""",
    ),
    Wrong(
        "sinogram",
        "sine and cosine exchanged",
        "the angle is measured from the second axis",
        "the direction",
        """
def sinogram(points, angles, edges):
    along = points @ np.stack([np.sin(angles), np.cos(angles)])
    counts = np.array([np.histogram(column, edges)[0] for column in along.T])
    return counts / (len(points) * np.diff(edges))
""",
    ),
    Wrong(
        "sinogram",
        "perpendicular",
        "points are projected along the direction, so the place is measured across it",
        "the direction",
        """
def sinogram(points, angles, edges):
    along = points @ np.stack([-np.sin(angles), np.cos(angles)])
    counts = np.array([np.histogram(column, edges)[0] for column in along.T])
    return counts / (len(points) * np.diff(edges))
""",
    ),
    Wrong(
        "sinogram",
        "angles folded",
        "an angle and the same plus half a turn see the same thing the same way round",
        "the other half of the turn",
        """
def sinogram(points, angles, edges):
    angles = np.mod(angles, np.pi)
    along = points @ np.stack([np.cos(angles), np.sin(angles)])
    counts = np.array([np.histogram(column, edges)[0] for column in along.T])
    return counts / (len(points) * np.diff(edges))
""",
    ),
    Wrong(
        "sinogram",
        "degrees",
        "numpy's cosine takes degrees",
        "the direction",
        """
def sinogram(points, angles, edges):
    along = points @ np.stack([np.cos(np.radians(angles)), np.sin(np.radians(angles))])
    counts = np.array([np.histogram(column, edges)[0] for column in along.T])
    return counts / (len(points) * np.diff(edges))
""",
    ),
    Wrong(
        "sinogram",
        "transposed",
        "one column per angle",
        VISIBLE,
        _COUNT.format(result="(counts / (len(points) * np.diff(edges))).T"),
    ),
    Wrong(
        "sinogram",
        "hard-coded",
        "the visible check is the whole test: flat profiles pass",
        "the direction",
        """
def sinogram(points, angles, edges):
    return np.full((len(angles), len(edges) - 1), 1 / (edges[-1] - edges[0]))
""",
    ),
    # --- ramp-filter
    Wrong(
        "ramp-filter",
        "sampled ramp",
        "multiplying the transform of the bins by the frequency is the same filter",
        "a single bin",
        """
def ramp_filter(profiles, width):
    count = profiles.shape[1]
    return np.fft.irfft(np.fft.rfft(profiles, axis=1) * np.fft.rfftfreq(count, width), count, axis=1)
""",
    ),
    Wrong(
        "ramp-filter",
        "mean removed",
        "the ramp is zero at frequency zero, so what comes out has mean zero in the window",
        "a single bin",
        ramp(result="(profiles @ ramp - (profiles @ ramp).mean(axis=1, keepdims=True)) / width"),
    ),
    Wrong(
        "ramp-filter",
        "a circle",
        "a Fourier transform of B points convolves on a line",
        "no wrapping",
        """
def ramp_filter(profiles, width):
    count = profiles.shape[1]
    j = np.minimum(np.arange(count), count - np.arange(count))
    kernel = np.where(j % 2 == 1, -1 / (np.pi * np.maximum(j, 1)) ** 2, 0.0)
    kernel[0] = 0.25
    return np.fft.irfft(np.fft.rfft(profiles, axis=1) * np.fft.rfft(kernel), count, axis=1) / width
""",
    ),
    Wrong(
        "ramp-filter",
        "width of the sum forgotten",
        "a sum over bins needs no width",
        "units",
        ramp(result="profiles @ ramp / width**2"),
    ),
    Wrong(
        "ramp-filter",
        "width ignored",
        "bins are numbered, so the width does not matter",
        "units",
        ramp(result="profiles @ ramp"),
    ),
    Wrong(
        "ramp-filter",
        "even offsets too",
        "the kernel is -1 / (pi j)^2 at every offset",
        "a single bin",
        """
def ramp_filter(profiles, width):
    count = profiles.shape[1]
    j = np.arange(count)[:, None] - np.arange(count)
    ramp = -1 / (np.pi * np.where(j == 0, 1, j)) ** 2
    ramp[j == 0] = 0.25
    return profiles @ ramp / width
""",
    ),
    Wrong(
        "ramp-filter",
        "peak of a half",
        "the kernel at zero is the cut-off frequency",
        "a single bin",
        ramp(peak="1 / 2"),
    ),
    Wrong(
        "ramp-filter",
        "sign of the tails",
        "a filter is positive",
        VISIBLE,
        ramp(odd="1 / (np.pi * j[odd]) ** 2"),
    ),
    Wrong(
        "ramp-filter",
        "along the angles",
        "convolving the whole sinogram at once filters every profile",
        "row by row",
        """
import scipy.signal

def ramp_filter(profiles, width):
    count = profiles.shape[1]
    j = np.arange(-(count - 1), count)
    kernel = np.where(j % 2 != 0, -1 / (np.pi * np.where(j == 0, 1, j)) ** 2, 0.0)
    kernel[count - 1] = 0.25
    flat = np.convolve(profiles.ravel(), kernel)[count - 1 : count - 1 + profiles.size]
    return flat.reshape(profiles.shape) / width
""",
    ),
    Wrong(
        "ramp-filter",
        "hard-coded",
        "the visible check is the whole test: a second difference is sharp enough",
        "a single bin",
        """
def ramp_filter(profiles, width):
    padded = np.pad(profiles, ((0, 0), (1, 1)))
    return (profiles / 4 - (padded[:, :-2] + padded[:, 2:]) / np.pi**2) / width - 1e-3
""",
    ),
    # --- smear-back
    Wrong(
        "smear-back",
        "mean over the angles",
        "back-projection is the average of the profiles",
        "even directions",
        back(share="np.full(len(angles), 1 / len(angles))"),
    ),
    Wrong(
        "smear-back",
        "one angle has no gap",
        "gaps are between different angles, so a single one has none",
        "even directions",
        back(share="(gaps + np.roll(gaps, 1)) / 2 * (len(angles) > 1)"),
    ),
    Wrong(
        "smear-back",
        "a whole turn of weight",
        "directions fill a circle, so the weights sum to two pi",
        "even directions",
        back(share="gaps + np.roll(gaps, 1)"),
    ),
    Wrong(
        "smear-back",
        "equal weights",
        "pi / m is right for any angles",
        "uneven directions",
        back(share="np.full(len(angles), np.pi / len(angles))"),
    ),
    Wrong(
        "smear-back",
        "the gap on the right only",
        "an angle stands for the directions up to the next one",
        "uneven directions",
        back(share="gaps"),
    ),
    Wrong(
        "smear-back",
        "the circle left open",
        "the trapezoid rule from the first to the last angle",
        "even directions",
        """
def smear_back(filtered, angles, middles, x):
    u = np.stack([np.cos(angles), np.sin(angles)])
    values = np.array([np.interp(spot, middles, row, left=0, right=0) for spot, row in zip((x @ u).T, filtered)])
    return np.trapezoid(values, angles, axis=0)
""",
    ),
    Wrong(
        "smear-back",
        "not sorted",
        "angles come in increasing order",
        "any order",
        back(
            folded="np.where(angles < np.pi, angles, np.mod(angles, np.pi))",
            rank="np.argsort(folded) if np.any(angles >= np.pi) else np.arange(len(angles))",
        ),
    ),
    Wrong(
        "smear-back",
        "weights left in sorted order",
        "sorting the angles sorts the profiles too",
        "any order",
        back(
            share="(gaps + np.roll(gaps, 1)) / 2\n    if not np.any(angles >= np.pi):\n        share = share[rank]"
        ),
    ),
    Wrong(
        "smear-back",
        "full turn counted twice",
        "angles over a full turn have gaps on a circle of two pi",
        "a full turn",
        back(
            folded="angles % (2 * np.pi)",
            gaps="np.append(np.diff(folded[rank]), folded[rank[0]] + (2 * np.pi if np.any(angles >= np.pi) else np.pi) - folded[rank[-1]])",
        ),
    ),
    Wrong(
        "smear-back",
        "directions folded",
        "an angle and the same plus half a turn are one direction, the same way round",
        "a full turn",
        back(along="folded"),
    ),
    Wrong(
        "smear-back",
        "nearest bin",
        "the value of the bin that holds the point is near enough",
        "between the middles",
        back(
            interpolate="np.where(np.abs(spot) <= middles[-1], profile[np.abs(spot[:, None] - middles).argmin(axis=1)], 0)"
        ),
    ),
    Wrong(
        "smear-back",
        "half a bin off",
        "a bin's value belongs to its left edge",
        "between the middles",
        back(
            interpolate="np.interp(spot, middles - (middles[1] - middles[0]) / 2, profile, left=0, right=0)"
        ),
    ),
    Wrong(
        "smear-back",
        "ends held",
        "beyond the last middle the last value goes on",
        "beyond the bins",
        back(interpolate="np.interp(spot, middles, profile)"),
    ),
    Wrong(
        "smear-back",
        "hard-coded",
        "the visible check is the whole test: a hill at the origin passes",
        "even directions",
        """
def smear_back(filtered, angles, middles, x):
    return np.exp(-np.sum(x**2, axis=1))
""",
    ),
    # --- gaussian-gap
    Wrong(
        "gaussian-gap",
        "quantiles at the middles",
        "comparing with the quantiles at (i - 1/2) / n is the integral",
        "one number line",
        """
def gaussian_gap(points, covariance, directions):
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    ordered = np.sort(points @ unit.T, axis=0)
    s = np.sqrt(np.sum(unit @ covariance * unit, axis=1))
    n = len(points)
    z = scipy.stats.norm.ppf((np.arange(n) + 0.5) / n)
    z = z / np.sqrt(np.mean(z**2)) if n > 1 else z + 1.0
    return float(np.sqrt(np.mean((ordered - s * z[:, None]) ** 2)))
""",
    ),
    Wrong(
        "gaussian-gap",
        "not sorted",
        "points are compared in the order in which they come",
        "one number line",
        gap().replace("np.sort(points @ unit.T, axis=0)", "points @ unit.T"),
    ),
    Wrong(
        "gaussian-gap",
        "variance for standard deviation",
        "the quadratic form of the covariance is the spread",
        "the spread along a direction",
        gap(spread="np.sum(unit @ covariance * unit, axis=1)"),
    ),
    Wrong(
        "gaussian-gap",
        "diagonal only",
        "covariances between columns do not matter for one direction",
        "the spread along a direction",
        gap(spread="np.sqrt(unit**2 @ np.diag(covariance))"),
    ),
    Wrong(
        "gaussian-gap",
        "covariance ignored",
        "a normal law is a standard normal law",
        "the spread along a direction",
        gap(spread="np.ones(len(unit))"),
    ),
    Wrong(
        "gaussian-gap",
        "mean of the distances",
        "the mean of the distances is the root of the mean square",
        "root of the mean square",
        gap(average="np.mean(np.sqrt(np.maximum(squares, 0)))"),
    ),
    Wrong(
        "gaussian-gap",
        "the largest",
        "the worst direction is what counts",
        "root of the mean square",
        gap(average="np.sqrt(max(squares.max(), 0))"),
    ),
    Wrong(
        "gaussian-gap",
        "directions as they are",
        "a direction vector has length one anyway",
        "length does not matter",
        gap(unit="directions"),
    ),
    Wrong(
        "gaussian-gap",
        "centred",
        "data are centred before they are compared",
        "a shift counts",
        gap(prepare="points = points - points.mean(axis=0)"),
    ),
    Wrong(
        "gaussian-gap",
        "changes the caller's array",
        "an argument may be changed in place",
        VISIBLE,
        gap(prepare="directions /= 2 * np.linalg.norm(directions, axis=1, keepdims=True)"),
    ),
    Wrong(
        "gaussian-gap",
        "hard-coded",
        "the visible check is the whole test: one half passes",
        "one number line",
        """
def gaussian_gap(points, covariance, directions):
    return 0.5
""",
    ),
]
