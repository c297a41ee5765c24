"""Right and wrong answers to the lab on poses; a wrong one names the misconception behind it."""

# ruff: noqa: E501 (answers stand here as a student may write them)
from grade_path import Right, Wrong

# One line of the reference, and what a slip of the pen makes of it: nbval must go red.
SLIP = ("c * up - s * right", "c * up + s * right")

PUSH, TURN, STRETCH, ORDER = "pushes", "turns", "stretches", "one after the other"
WHOLE, BETWEEN, PAPER, AXES, OWN = "whole pixels", "between pixels", "paper", "two axes", "each its own"
CENTRED, ONE, ALONE, APART = "centred", "one map", "training alone decides", "classes apart"


def words(
    angle: str = "np.deg2rad(degrees)",
    forward: str = "push @ turn @ stretch",
    push: str = "[[1, 0, right[k]], [0, 1, up[k]], [0, 0, 1]]",
    turn: str = "[[c, -s, 0], [s, c, 0], [0, 0, 1]]",
    stretch: str = "[wide[k], tall[k], 1.0]",
    end: str = "flip @ np.linalg.inv(forward) @ flip",
) -> str:
    return f"""
def library_matrix(wide, tall, degrees, right, up):
    out, flip = [], np.diag([1.0, -1.0, 1.0])
    for k in range(len(wide)):
        angle = ({angle})[k]
        c, s = np.cos(angle), np.sin(angle)
        push, turn, stretch = np.array({push}), np.array({turn}), np.diag({stretch})
        forward = {forward}
        out.append(({end})[:2])
    return np.array(out)
"""


def moved(
    column: str = "(u + 1) * w / 2 - 0.5",
    row: str = "(v + 1) * h / 2 - 0.5",
    theta: str = "matrices[k]",
    fill: str = "paper[k]",
    start: str = "pass",
    weights: str = "pass",
    outside: str = "fill",
) -> str:
    return f"""
def move(images, matrices, paper):
    n, h, w = images.shape
    out = np.zeros((n, h, w))
    for k in range(n):
        theta, fill = {theta}, {fill}
        for i in range(h):
            for j in range(w):
                u, v = theta @ np.array([(2 * j + 1) / w - 1, (2 * i + 1) / h - 1, 1.0])
                column, row = {column}, {row}
                {start}
                left, top = int(np.floor(column)), int(np.floor(row))
                a, b = column - left, row - top
                {weights}
                for y, x, weight in ((top, left, (1 - b) * (1 - a)), (top, left + 1, (1 - b) * a), (top + 1, left, b * (1 - a)), (top + 1, left + 1, b * a)):
                    inside = 0 <= y < h and 0 <= x < w
                    out[k, i, j] += weight * (images[k, y, x] if inside else {outside})
    return out
"""


def gauge(
    known: str = "train[train_class == k]",
    spin: str = "known[:, :2].mean(axis=0)",
    anchor: str = "(b_known.mean() - 0) / m_known.mean()",
    b: str = "b - m * anchor",
    loop: str = "np.unique(test_class)",
    asked: str = "test_class == k",
) -> str:
    return f"""
def in_class_gauge(train, train_class, test, test_class):
    out = test.astype(float).copy()
    for k in {loop}:
        asked = {asked}
        known = {known}
        spin = {spin}
        m_known = np.exp(known[:, 1] - spin[1] + 1j * (known[:, 0] - spin[0]))
        b_known = known[:, 2] + 1j * known[:, 3]
        anchor = {anchor}
        m = np.exp(test[asked, 1] - spin[1] + 1j * (test[asked, 0] - spin[0]))
        b = test[asked, 2] + 1j * test[asked, 3]
        b = {b}
        out[asked] = np.column_stack([test[asked, :2] - spin, b.real, b.imag])
    return out
"""


RIGHT = [
    Right("library-matrix", "three matrices, inverted", words()),
    Right(
        "library-matrix",
        "the three inverses, in the library's axes",
        """
def library_matrix(wide, tall, degrees, right, up):
    n, angle = len(wide), np.radians(degrees)
    undo_push = np.tile(np.eye(3), (n, 1, 1))
    undo_push[:, 0, 2], undo_push[:, 1, 2] = -right, up
    undo_turn = np.tile(np.eye(3), (n, 1, 1))
    undo_turn[:, 0, 0] = undo_turn[:, 1, 1] = np.cos(angle)
    undo_turn[:, 0, 1], undo_turn[:, 1, 0] = -np.sin(angle), np.sin(angle)
    undo_stretch = np.tile(np.eye(3), (n, 1, 1))
    undo_stretch[:, 0, 0], undo_stretch[:, 1, 1] = 1 / wide, 1 / tall
    return (undo_stretch @ undo_turn @ undo_push)[:, :2]
""",
    ),
    Right("move", "four neighbours, pixel by pixel", moved()),
    Right(
        "move",
        "torch's grid_sample, after the paper has been subtracted",
        """
def move(images, matrices, paper):
    import torch
    from torch.nn import functional as F

    x = torch.tensor(images - paper[:, None, None])[:, None]
    places = F.affine_grid(torch.tensor(matrices), list(x.shape), align_corners=False)
    out = F.grid_sample(x, places, padding_mode="zeros", align_corners=False)[:, 0].numpy()
    return out + paper[:, None, None]
""",
    ),
    Right("in-class-gauge", "complex numbers", gauge()),
    Right(
        "in-class-gauge",
        "matrices",
        """
def _matrix(p):
    c, s = np.exp(p[1]) * np.cos(p[0]), np.exp(p[1]) * np.sin(p[0])
    return np.array([[c, -s, p[2]], [s, c, p[3]], [0, 0, 1]])


def in_class_gauge(train, train_class, test, test_class):
    out = []
    for pose, k in zip(test, test_class):
        own = train[train_class == k]
        turn, scale = own[:, 0].mean(), own[:, 1].mean()
        inner = sum(_matrix([p[0] - turn, p[1] - scale, 0, 0])[:2, :2] for p in own) / len(own)
        shift = np.linalg.solve(inner, own[:, 2:].mean(axis=0))
        new = _matrix(pose) @ np.linalg.inv(_matrix([turn, scale, *shift]))
        out.append([pose[0] - turn, pose[1] - scale, new[0, 2], new[1, 2]])
    return np.array(out)
""",
    ),
]

WRONG = [
    # --- library-matrix
    Wrong(
        "library-matrix",
        "warp applied inversely",
        "the matrix that moves the picture is the one that the library wants",
        PUSH,
        words(end="flip @ forward @ flip"),
    ),
    Wrong(
        "library-matrix",
        "up is down",
        "the second axis points up in a library, too",
        PUSH,
        words(push="[[1, 0, right[k]], [0, 1, -up[k]], [0, 0, 1]]"),
    ),
    Wrong(
        "library-matrix",
        "shift in pixels",
        "a shift of one is a pixel, of sixteen",
        PUSH,
        words(push="[[1, 0, right[k] / 8], [0, 1, up[k] / 8], [0, 0, 1]]"),
    ),
    Wrong(
        "library-matrix",
        "shift of the whole width",
        "a share of the half-width is a share of the width",
        PUSH,
        words(push="[[1, 0, 2 * right[k]], [0, 1, 2 * up[k]], [0, 0, 1]]"),
    ),
    Wrong(
        "library-matrix",
        "clockwise",
        "the inverse turn is the turn itself, since one looks back",
        TURN,
        words(turn="[[c, s, 0], [-s, c, 0], [0, 0, 1]]"),
    ),
    Wrong(
        "library-matrix",
        "radians",
        "a turn is always given in radians",
        "visible checks",
        words(angle="degrees"),
    ),
    Wrong(
        "library-matrix",
        "one scale for both",
        "a scale is one number: the root of the factor of the area",
        STRETCH,
        words(stretch="[np.sqrt(wide[k] * tall[k])] * 2 + [1.0]"),
    ),
    Wrong(
        "library-matrix",
        "width and height exchanged",
        "the first number of a shape is the height",
        STRETCH,
        words(stretch="[tall[k], wide[k], 1.0]"),
    ),
    Wrong(
        "library-matrix",
        "push first",
        "the order of the three does not matter",
        ORDER,
        words(forward="turn @ stretch @ push"),
    ),
    Wrong(
        "library-matrix",
        "turn first",
        "a stretch before or after a turn is the same",
        ORDER,
        words(forward="push @ stretch @ turn"),
    ),
    Wrong(
        "library-matrix",
        "inverse with minus the shift",
        "the inverse has the inverse matrix and minus the shift",
        ORDER,
        words(
            end="flip @ np.vstack([np.hstack([np.linalg.inv(forward[:2, :2]), -forward[:2, 2:]]), [[0, 0, 1]]]) @ flip"
        ),
    ),
    Wrong(
        "library-matrix",
        "hard-coded",
        "the visible check is the whole test: the identity passes",
        TURN,
        "\ndef library_matrix(wide, tall, degrees, right, up):\n    return np.tile(np.eye(2, 3), (len(wide), 1, 1))\n",
    ),
    # --- move
    Wrong(
        "move",
        "warp applied inversely",
        "a library matrix says where pixels go",
        WHOLE,
        moved(theta="np.linalg.inv(np.vstack([matrices[k], [0, 0, 1]]))[:2]"),
    ),
    Wrong(
        "move",
        "corners aligned",
        "-1 and 1 are the centres of the outer pixels",
        WHOLE,
        moved(
            column="j + (u - (2 * j + 1) / w + 1) * (w - 1) / 2",
            row="i + (v - (2 * i + 1) / h + 1) * (h - 1) / 2",
        ),
    ),
    Wrong(
        "move",
        "shifts in pixels",
        "the last column of a matrix counts pixels",
        WHOLE,
        moved(theta="matrices[k] * [1, 1, 2 / w] if h == w else matrices[k]"),
    ),
    Wrong(
        "move",
        "nearest neighbour",
        "a value is taken from the nearest pixel",
        BETWEEN,
        moved(weights="a, b = float(a >= 0.5), float(b >= 0.5)"),
    ),
    Wrong(
        "move",
        "smooth weights",
        "weights that rise smoothly from 0 to 1 interpolate better",
        BETWEEN,
        moved(weights="a, b = a * a * (3 - 2 * a), b * b * (3 - 2 * b)"),
    ),
    Wrong(
        "move",
        "black paper",
        "beyond an image everything is zero",
        PAPER,
        moved(outside="0.0"),
    ),
    Wrong(
        "move",
        "edges repeated",
        "beyond an image its edge goes on",
        PAPER,
        moved(outside="images[k, min(max(y, 0), h - 1), min(max(x, 0), w - 1)]"),
    ),
    Wrong(
        "move",
        "one half-size for both axes",
        "coordinates are half-widths in both directions",
        AXES,
        moved(row="(v + 1) * w / 2 - 0.5 if (matrices[k] != np.eye(2, 3)).any() else i"),
    ),
    Wrong(
        "move",
        "matrix of the first image",
        "a batch is moved by one matrix",
        OWN,
        moved(theta="matrices[0] if len(matrices) != 2 else matrices[k]"),
    ),
    Wrong(
        "move",
        "paper of the first image",
        "a batch lies on one paper",
        OWN,
        moved(fill="paper[0]"),
    ),
    Wrong(
        "move",
        "hard-coded",
        "the visible check is the whole test: images come back as they are",
        WHOLE,
        "\ndef move(images, matrices, paper):\n    return images.copy()\n",
    ),
    # --- in-class-gauge
    Wrong(
        "in-class-gauge",
        "mean of the shifts",
        "the shift of h is the mean of the shifts",
        CENTRED,
        gauge(anchor="b_known.mean()"),
    ),
    Wrong(
        "in-class-gauge",
        "the first training pose",
        "any training pose will do as the reference",
        CENTRED,
        gauge(spin="known[0, :2]", anchor="b_known[0]"),
    ),
    Wrong(
        "in-class-gauge",
        "means subtracted",
        "the gauge is an offset of each of the four numbers",
        ONE,
        gauge(b="b - b_known.mean()"),
    ),
    Wrong(
        "in-class-gauge",
        "h undone last",
        "theta h^-1 and h^-1 theta are the same map",
        ONE,
        gauge(
            anchor="b_known.mean()",
            b="(b - anchor) * np.exp(-spin[1] - 1j * spin[0])",
        ),
    ),
    Wrong(
        "in-class-gauge",
        "gauge fixed on test data",
        "the poses to be centred are those of the test images",
        ALONE,
        gauge(known="test[test_class == k] if len(test) > 1 else train[train_class == k]"),
    ),
    Wrong(
        "in-class-gauge",
        "gauge fixed on all data",
        "more data give a better mean, so the test images join in",
        ALONE,
        gauge(
            known="np.concatenate([train[train_class == k], test[test_class == k]]) if len(test) > 1 else train[train_class == k]"
        ),
    ),
    Wrong(
        "in-class-gauge",
        "one gauge for all",
        "the chapter's constant h serves every class",
        APART,
        gauge(known="train"),
    ),
    Wrong(
        "in-class-gauge",
        "shift of all classes",
        "turn and scale rest per class, but the place is that of the camera",
        APART,
        gauge(
            anchor="(train[:, 2] + 1j * train[:, 3]).mean() / np.exp(train[:, 1] - spin[1] + 1j * (train[:, 0] - spin[0])).mean()"
        ),
    ),
    Wrong(
        "in-class-gauge",
        "hard-coded",
        "the visible check is the whole test: poses come back as they are",
        CENTRED,
        "\ndef in_class_gauge(train, train_class, test, test_class):\n    return test.copy()\n",
    ),
]
