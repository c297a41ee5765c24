"""What a lab's notebook imports: the accessor, seeded randomness, sizes, closed modules, expectations.

A lab's tests reach a student's work through `student` alone. In the student's notebook it
is a thin view of that notebook. In grading, the tests run in another process, where
`student` asks over a socket: the same `Student` class with another way to ask. Whatever
crosses is plain data, made by `encode` and read by `decode`; everything else stays where it
is, behind a `Handle`.

Taught in :ref:`use`.
"""

from __future__ import annotations

import ast
import base64
import builtins
import contextlib
import hashlib
import importlib.util
import json
import math
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn, TypeVar

import numpy as np
from numpy.typing import ArrayLike

T = TypeVar("T")
Request = dict[str, Any]
Ask = Callable[[Request], Any]

DEEPEST = 32
_ARRAY_KINDS = frozenset("biufcUS")  # bool, integers, floats, complex, text; never objects
_CROSSES = "None, bool, int, float, str, arrays of numbers, and lists, tuples and dicts of these"


class StudentError(Exception):
    """A student's code failed, or answered with something that cannot be used."""


class ChangedArgument(StudentError):
    """A student's function changed one of its arguments in place."""


# --- plain data ---------------------------------------------------------------------------


def encode(value: Any, *, hold: Callable[[Any], int | str] | None = None, _depth: int = 0) -> Any:
    """Turn plain data into a tree that JSON can carry; nothing is pickled.

    Parameters
    ----------
    value : object
        None, bool, int, float, str, a numpy array without objects, a torch tensor (becomes an
        array), or a list, tuple or dict of these. A `Handle` becomes its key.
    hold : callable, optional
        Keeps any other object and returns the key of its handle.

    Returns
    -------
    object
        Scalars, lists and dicts.

    Raises
    ------
    TypeError
        If `value` holds objects, and there is no `hold` to keep them.
    ValueError
        If `value` is nested deeper than 32 levels.
    """
    if _depth > DEEPEST:
        raise ValueError(f"value: nested deeper than {DEEPEST} levels; return flat lists or arrays")
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Handle):
        return {"handle": object.__getattribute__(value, "_key")}
    if type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.generic) and value.dtype.kind in "biufU":
        return value.item()
    if isinstance(value, np.ndarray):
        return {"array": _encode_array(np.asarray(value))}

    def inside(item: Any) -> Any:
        return encode(item, hold=hold, _depth=_depth + 1)

    if isinstance(value, list | tuple):
        return {"tuple" if isinstance(value, tuple) else "list": [inside(item) for item in value]}
    if type(value) is dict:
        return {"dict": [[inside(key), inside(item)] for key, item in value.items()]}
    for scalar in (int, float, str):  # subclasses, such as the members of an IntEnum
        if isinstance(value, scalar):
            return scalar(value)
    if hold is None:
        raise TypeError(
            f"value: got {type(value).__name__}, which is no plain data; what crosses: {_CROSSES}"
        )
    return {"handle": hold(value)}


def _encode_array(array: np.ndarray) -> list[Any]:
    if array.dtype.kind not in _ARRAY_KINDS:
        raise TypeError(
            f"value: got an array of dtype {array.dtype}, which holds objects; "
            "make it an array of numbers, for example np.asarray(value, dtype=float)"
        )
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
    return [array.dtype.str, list(array.shape), data]


def decode(tree: Any, *, handle: Callable[[Any], Any] | None = None, _depth: int = 0) -> Any:
    """Read a tree that `encode` made; the tree may come from a process that is not trusted.

    Parameters
    ----------
    tree : object
        Scalars, lists and dicts, as JSON gives them.
    handle : callable, optional
        Turns the key of a handle into what stands for it on this side.

    Returns
    -------
    object
        The plain data, copied.

    Raises
    ------
    ValueError
        If the tree is not one that `encode` makes.
    """
    if tree is None or type(tree) in (bool, int, float, str):
        return tree
    if _depth > DEEPEST + 1 or type(tree) is not dict or len(tree) != 1:
        raise ValueError("tree: this is not encoded plain data")
    ((kind, content),) = tree.items()
    if kind == "handle" and handle is not None and type(content) in (int, str):
        return handle(content)
    if kind == "array":
        return _decode_array(content)
    if type(content) is not list or kind not in ("list", "tuple", "dict"):
        raise ValueError("tree: this is not encoded plain data")

    def inside(item: Any) -> Any:
        return decode(item, handle=handle, _depth=_depth + 1)

    if kind == "dict":
        if not all(type(pair) is list and len(pair) == 2 for pair in content):
            raise ValueError("tree: this is not an encoded dict")
        try:
            return {inside(key): inside(item) for key, item in content}
        except TypeError as error:
            raise ValueError(f"tree: a dict has a key that cannot be one ({error})") from None
    items = [inside(item) for item in content]
    return tuple(items) if kind == "tuple" else items


def _decode_array(content: Any) -> np.ndarray:
    try:
        name, shape, data = content
        dtype = np.dtype(name)
        raw = base64.b64decode(data, validate=True)
        lengths_fit = all(type(n) is int and n >= 0 for n in shape)
        if dtype.kind not in _ARRAY_KINDS or not lengths_fit:
            raise ValueError("an array of an unknown kind")
        if len(raw) != math.prod(shape) * dtype.itemsize:
            raise ValueError("an array whose bytes do not fill its shape")
        if dtype.kind == "b" and raw.strip(b"\0\1"):
            raise ValueError("an array of booleans that are neither true nor false")
        return np.frombuffer(raw, dtype).reshape(shape).copy()
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"tree: this is not an encoded array ({error})") from None


# --- the accessor -------------------------------------------------------------------------


class Responder:
    """The student's side: answers requests about the names of one namespace.

    Parameters
    ----------
    namespace : callable
        Returns the namespace; called at each request, so that a cell that is run again counts.
    """

    def __init__(self, namespace: Callable[[], Mapping[str, Any]]):
        self._namespace = namespace
        self._held: dict[int, Any] = {}

    def _hold(self, value: Any) -> int:
        self._held[id(value)] = value  # held, so that its id stays its own
        return id(value)

    def _find(self, request: Request) -> Any:
        name, on = request["name"], request.get("on")
        if on is not None:
            if on not in self._held:
                raise StudentError("this object is gone: make it again")
            return self._held[on] if name is None else getattr(self._held[on], name)
        namespace = self._namespace()
        if name not in namespace:
            raise NameError(
                f"{name!r} is not defined: run the cell that defines it, and see whether that cell "
                "fails or spells the name differently"
            )
        return namespace[name]

    def perform(self, request: Request) -> Any:
        """Do what the request says and return the encoded result; errors pass through.

        Parameters
        ----------
        request : dict
            ``do`` ("get" or "call"), ``on`` (key of a handle, or None), ``name``, and the
            encoded ``args`` and ``kwargs``.

        Returns
        -------
        object
            The result, encoded.

        Raises
        ------
        ChangedArgument
            If the function changed one of its arguments.
        """
        found = self._find(request)
        if request["do"] == "get":
            return encode(found, hold=self._hold)
        label = request["name"] or type(found).__name__
        if not callable(found):
            raise TypeError(f"{label!r} is {type(found).__name__}, not a function")
        given = {"args": request["args"], "kwargs": request["kwargs"]}
        args = decode(given["args"], handle=self._held.__getitem__)
        kwargs = decode(given["kwargs"], handle=self._held.__getitem__)
        try:
            # A grader takes anything on stderr for a failed test, so that warnings would cost points.
            with warnings.catch_warnings(), contextlib.redirect_stderr(sys.stdout):
                warnings.simplefilter("ignore")
                result = found(*args, **kwargs)
        except SystemExit as error:
            raise StudentError(f"{label!r} tried to leave the notebook ({error!r})") from error
        after = {"args": encode(args, hold=self._hold), "kwargs": encode(kwargs, hold=self._hold)}
        if json.dumps(after) != json.dumps(given):
            raise ChangedArgument(f"{label!r} changed one of its arguments in place: work on a copy")
        return encode(result, hold=self._hold)

    def answer(self, request: Request) -> dict[str, Any]:
        """Do what the request says; the reply is plain data, whatever happens.

        Parameters
        ----------
        request : dict
            As for `perform`.

        Returns
        -------
        dict
            ``{"value": encoded}`` or ``{"error": [type name, message]}``; `unpack` reads it.
        """
        try:
            return {"value": self.perform(request)}
        except Exception as error:
            return {"error": [type(error).__name__, str(error)[:2000]]}


def unpack(reply: Any) -> Any:
    """Read a reply of `Responder.answer` on the side of the tests.

    Parameters
    ----------
    reply : dict
        ``{"value": encoded}`` or ``{"error": [type name, message]}``.

    Returns
    -------
    object
        The encoded value.

    Raises
    ------
    Exception
        The student's error: Python's own exceptions as themselves, others as `StudentError`.
    """
    if type(reply) is dict and set(reply) == {"value"}:
        return reply["value"]
    try:
        kind, message = reply["error"]
    except (KeyError, TypeError, ValueError):
        raise StudentError("the answer cannot be read") from None
    _raise(str(kind), str(message))


def _raise(kind: str, message: str) -> NoReturn:
    known = {"ChangedArgument": ChangedArgument, "StudentError": StudentError}
    cls = known.get(kind) or getattr(builtins, kind, None)
    if isinstance(cls, type) and issubclass(cls, Exception):
        try:
            error = cls(message)
        except TypeError:  # such as UnicodeDecodeError, which wants five arguments
            error = StudentError(f"{kind}: {message}")
        raise error
    raise StudentError(f"{kind}: {message}")


def _public(name: str) -> str:
    if name.startswith("_"):
        raise AttributeError(f"{name!r}: private names are not reached")
    return name


class _Function:
    """One name on the student's side, ready to be called."""

    def __init__(self, ask: Ask, on: Any, name: str | None):
        self._ask, self._on, self._name = ask, on, name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        request = {
            "do": "call",
            "on": self._on,
            "name": self._name,
            "args": encode(args),
            "kwargs": encode(kwargs),
        }
        return _decode_reply(self._ask, request)

    def __bool__(self) -> NoReturn:
        raise StudentError(f"{self._name!r} was not called: its answer counts, not that it exists")


def _decode_reply(ask: Ask, request: Request) -> Any:
    return decode(ask(request), handle=lambda key: Handle(ask, key))


class Handle:
    """An object that stays with the student: call it, call its methods, read with ``[name]``."""

    def __init__(self, ask: Ask, key: Any):
        self._ask, self._key = ask, key

    def __getattr__(self, name: str) -> _Function:
        return _Function(self._ask, self._key, _public(name))

    def __getitem__(self, name: str) -> Any:
        return _decode_reply(self._ask, {"do": "get", "on": self._key, "name": _public(name)})

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the object itself."""
        return _Function(self._ask, self._key, None)(*args, **kwargs)

    def __bool__(self) -> NoReturn:
        raise StudentError("an object came back where a plain answer was expected")

    def __repr__(self) -> str:
        return "<an object of the student's>"


class Student:
    """The one door to a student's work: ``student.f(x)`` calls, ``student["x"]`` reads.

    Plain data go in and come back, copied both ways: an answer never shares memory with the
    student's own arrays. Any other object comes back as a `Handle`, which can be called, whose
    methods can be called, and which can be an argument.

    Parameters
    ----------
    ask : callable
        Takes a request (see `Responder.perform`) and returns the encoded result, or raises.
        For a process behind a socket: send the request as JSON, and `unpack` the reply.
    """

    def __init__(self, ask: Ask):
        self._ask = ask

    def __getattr__(self, name: str) -> _Function:
        return _Function(self._ask, None, _public(name))

    def __getitem__(self, name: str) -> Any:
        return _decode_reply(self._ask, {"do": "get", "on": None, "name": _public(name)})

    def __repr__(self) -> str:
        return "<student: student.f(x) calls the f of this notebook>"


#: In a notebook: a view of the notebook itself, looked up at each call.
student = Student(Responder(lambda: vars(sys.modules["__main__"])).perform)


# --- randomness, constants, sizes ---------------------------------------------------------


def _number(variable: str, name: str) -> int:
    text = f"{variable}={os.environ.get(variable, 'course')}/{name}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")


def rng(name: str) -> np.random.Generator:
    """Random generator of one test, seeded by the submission and by the test's name.

    The same submission (``COURSEKIT_SEED``, any text) and name give the same numbers on every
    machine, so that a grade can be repeated; another submission gets other numbers, so that an
    answer cannot hold the outputs.

    Parameters
    ----------
    name : str
        Name of the test.

    Returns
    -------
    numpy.random.Generator
        A fresh generator.
    """
    return np.random.default_rng(_number("COURSEKIT_SEED", name))


def variant(
    name: str,
    choices: Sequence[Any] | None = None,
    *,
    low: float | None = None,
    high: float | None = None,
) -> Any:
    """Draw a constant of the lab that differs between cohorts or students.

    It is seeded by ``COURSEKIT_VARIANT`` (any text: a term, or a student's name), which must be
    the same while the student works and while the work is graded.

    Parameters
    ----------
    name : str
        Name of the constant.
    choices : sequence, optional
        The values to draw from.
    low, high : number, optional
        Instead of `choices`: a range. Two ints give an int, both ends included; otherwise the
        result is a float with three decimals.

    Returns
    -------
    object
        The constant.

    Raises
    ------
    ValueError
        If neither `choices` nor a range `low` < `high` is given.
    """
    generator = np.random.default_rng(_number("COURSEKIT_VARIANT", name))
    if choices is not None:
        if len(choices) == 0:
            raise ValueError("choices: got none, expected at least one value")
        return choices[int(generator.integers(len(choices)))]
    if low is None or high is None or not low < high:
        raise ValueError(f"low, high: got {low!r} and {high!r}, expected low < high, or `choices`")
    if isinstance(low, int) and isinstance(high, int):
        return int(generator.integers(low, high + 1))
    return round(float(generator.uniform(low, high)), 3)


def graded() -> bool:
    """Whether this notebook is being graded, by this course's grader or by nbgrader's own.

    Returns
    -------
    bool
        True while grading.
    """
    return os.environ.get("COURSEKIT_GRADING") == "1" or bool(os.environ.get("NBGRADER_EXECUTION"))


def scale(*, small: T, full: T) -> T:
    """Choose a size: `full` on a GPU, `small` elsewhere and while grading.

    ``COURSEKIT_SCALE=full`` or ``COURSEKIT_SCALE=small`` decides instead.

    Parameters
    ----------
    small, full : object
        The two sizes.

    Returns
    -------
    object
        One of them.

    Raises
    ------
    ValueError
        If ``COURSEKIT_SCALE`` is neither.
    """
    setting = os.environ.get("COURSEKIT_SCALE", "auto")
    if setting not in ("auto", "small", "full"):
        raise ValueError(f"COURSEKIT_SCALE: got {setting!r}, expected 'small', 'full' or 'auto'")
    if setting == "auto":
        setting = "full" if not graded() and _has_gpu() else "small"
    return full if setting == "full" else small


def _has_gpu() -> bool:
    # Importing torch takes seconds: ask it only where a driver is to be seen.
    on_linux_without = sys.platform == "linux" and not any(
        Path(sign).exists() for sign in ("/proc/driver/nvidia", "/dev/nvidiactl", "/dev/dxg")
    )
    if on_linux_without or importlib.util.find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


# --- closed modules -----------------------------------------------------------------------


class _Closed:
    """Import hook that refuses some modules and says why."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def covers(self, name: str) -> bool:
        return any(name == closed or name.startswith(closed + ".") for closed in self.names)

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if self.covers(name):
            raise ImportError(f"{name} is closed in this lab: the task is to write this part yourself")


_closed = _Closed()


def close(*modules: str) -> None:
    """Close modules while a lab is graded: importing one raises an error that says so.

    The list stands in one place, the lab's locked set-up cell, as ``lab.close("package.module")``
    with literal names: readers see it, and stock nbgrader, which restores locked cells, obeys it.
    A grader that starts kernels itself reads the list from the instructor's notebook with
    `closed_by` and closes the modules before the first cell runs. A closed module closes all
    modules below it; modules that are already imported are forgotten. Outside grading this does
    nothing.

    Parameters
    ----------
    *modules : str
        Dotted names.
    """
    if not graded():
        return
    _closed.names.update(modules)
    if not any(finder is _closed for finder in sys.meta_path):
        sys.meta_path.insert(0, _closed)
    for name in [name for name in sys.modules if _closed.covers(name)]:
        del sys.modules[name]
        parent, _, leaf = name.rpartition(".")
        holder = sys.modules.get(parent)
        if isinstance(holder, ModuleType) and isinstance(getattr(holder, leaf, None), ModuleType):
            delattr(holder, leaf)


def closed_by(notebook: Mapping[str, Any]) -> list[str]:
    """List the modules that a lab closes, read from its locked cells without running them.

    Parameters
    ----------
    notebook : mapping
        The instructor's notebook (or its release), as nbformat reads it.

    Returns
    -------
    list of str
        The dotted names, in order.

    Raises
    ------
    ValueError
        If a name is not written as a literal text.
    """
    names: list[str] = []
    for cell in notebook["cells"]:
        marks = cell["metadata"].get("nbgrader", {})
        if cell["cell_type"] != "code" or not marks.get("locked") or "close(" not in cell["source"]:
            continue
        for node in ast.walk(ast.parse(cell["source"])):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if node.func.attr == "close" and ast.unparse(node.func.value) == "lab":
                for argument in node.args:
                    if not (isinstance(argument, ast.Constant) and isinstance(argument.value, str)):
                        raise ValueError(f"lab.close({ast.unparse(argument)}): write the name as a text")
                    names.append(argument.value)
    return names


# --- expectations -------------------------------------------------------------------------

_started: set[Path] = set()  # files that this process has begun to rewrite


def _expected_file() -> Path | None:
    """Where this lab's expectations are; None in a student's copy, where nothing is compared."""
    here = Path.cwd()
    folder = here.parent.parent / "expected"
    if here.parent.name != "source" or not folder.is_dir() or graded():
        return None
    return folder / f"{here.name}.json"


def _numbers(value: ArrayLike) -> Any:
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"value: got dtype {array.dtype}, expected numbers")
    array = array.astype(float)
    if array.size <= 16:
        return {"shape": list(array.shape), "values": array.ravel().tolist()}
    flat = array.ravel()
    finite = flat[np.isfinite(flat)]
    wave = np.cos(np.arange(len(finite)))  # sees a change of order, which the mean does not
    probes = finite[np.linspace(0, len(finite) - 1, min(12, len(finite))).astype(int)]
    infinite = [int(np.sum(flat == math.inf)), int(np.sum(flat == -math.inf)), int(np.sum(np.isnan(flat)))]
    summary: dict[str, Any] = {"shape": list(array.shape), "infinite": infinite, "probes": probes.tolist()}
    if len(finite):
        summary["moments"] = [float(finite.mean()), float(np.mean(finite * wave))]
        summary["range"] = [float(finite.min()), float(finite.max())]
        summary["spread"] = float(finite.std())
    return summary


def _differences(new: Any, old: Any, rtol: float, atol: float, where: str = "") -> list[str]:
    """Where two trees of dicts, lists, texts and numbers differ by more than the tolerance."""
    if isinstance(new, dict) and isinstance(old, dict):
        if set(new) != set(old):
            return [f"{where}: has {sorted(new)}, expected {sorted(old)}"]
        loose = atol + rtol * abs(old.get("spread", 0.0))  # a mean near zero has no scale of its own
        return [
            line
            for key in new
            for line in _differences(
                new[key],
                old[key],
                rtol,
                loose if key in ("moments", "probes", "range") else atol,
                f"{where}.{key}",
            )
        ]
    if isinstance(new, list) and isinstance(old, list):
        if len(new) != len(old):
            return [f"{where}: has {len(new)} entries, expected {len(old)}"]
        pairs = enumerate(zip(new, old, strict=True))
        return [line for i, (a, b) in pairs for line in _differences(a, b, rtol, atol, f"{where}[{i}]")]
    if isinstance(new, int | float) and isinstance(old, int | float):
        same = new == old or (math.isnan(new) and math.isnan(old))
        if math.isfinite(new) and math.isfinite(old):
            same = abs(new - old) <= atol + rtol * abs(old)
        return [] if same else [f"{where}: got {new!r}, expected {old!r}"]
    return [] if new == old else [f"{where}: got {new!r}, expected {old!r}"]


def _write(file: Path, content: dict[str, Any]) -> None:
    handle, scratch = tempfile.mkstemp(dir=file.parent, prefix=f".{file.stem}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(json.dumps(content, indent=1, sort_keys=True) + "\n")
        os.chmod(scratch, 0o644)
        os.replace(scratch, file)  # whole or not at all
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise


def _compare(file: Path, name: str, found: Any, rtol: float, atol: float) -> None:
    updating = os.environ.get("COURSEKIT_EXPECT_UPDATE") == "1"
    if updating:
        kept = json.loads(file.read_text()) if file in _started and file.exists() else {}
        _started.add(file)  # the first write drops names that no cell expects any more
        _write(file, {**kept, name: found})
        return
    known = json.loads(file.read_text()) if file.exists() else {}
    if name not in known:
        raise AssertionError(
            f"{name!r} is not in {file.name}: if the value is right, write it with COURSEKIT_EXPECT_UPDATE=1"
        )
    found = json.loads(json.dumps(found))
    differences = _differences(found, known[name], rtol, atol, name)
    if differences:
        more = f" (and {len(differences) - 3} more)" if len(differences) > 3 else ""
        raise AssertionError("; ".join(differences[:3]) + more)


def expect(name: str, value: ArrayLike, *, rtol: float = 1e-3, atol: float = 1e-9) -> None:
    """Compare numbers with what the lab's author stored; for the course's own tests.

    In the instructor's folder (``source/<topic>/``, with ``expected/`` beside ``source``) the
    value is compared with ``expected/<topic>.json``. In a student's copy nothing happens.
    ``COURSEKIT_EXPECT_UPDATE=1`` stores the values instead.

    Parameters
    ----------
    name : str
        Name of the value in the file.
    value : array_like
        A number or an array of numbers; of a large array a summary is stored.
    rtol, atol : float
        Relative and absolute tolerance.

    Raises
    ------
    AssertionError
        If the value differs, or is not stored.
    TypeError
        If `value` is not made of numbers.
    """
    file = _expected_file()
    if file is not None:
        _compare(file, name, _numbers(value), rtol, atol)


def _drawn(ax: Any) -> dict[str, Any]:
    """Collect the data that one axes draws, never its pixels."""
    from matplotlib.patches import Rectangle

    parts: dict[str, Any] = {}
    for i, line in enumerate(ax.lines):
        parts[f"line {i}"] = np.column_stack(line.get_data())
    for i, image in enumerate(ax.images):
        parts[f"image {i}"] = np.ma.filled(np.ma.asarray(image.get_array(), dtype=float), np.nan)
    for i, group in enumerate(ax.collections):
        offsets, colours = np.asarray(group.get_offsets(), dtype=float), group.get_array()
        if group.get_offset_transform() != ax.transData:  # not points: lines or filled areas
            paths = [path.vertices for path in group.get_paths() if len(path.vertices)]
            offsets = np.concatenate(paths) if paths else np.zeros((0, 2))
        if offsets.size:
            parts[f"collection {i}"] = offsets
        if colours is not None and np.size(colours):
            parts[f"colours {i}"] = np.ma.filled(np.ma.asarray(colours, dtype=float), np.nan)
    bars = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    if bars:
        parts["bars"] = [[b.get_x(), b.get_y(), b.get_width(), b.get_height()] for b in bars]
    for i, patch in enumerate(patch for patch in ax.patches if not isinstance(patch, Rectangle)):
        parts[f"patch {i}"] = patch.get_path().vertices
    return {key: _numbers(part) for key, part in parts.items()}


def _labels(ax: Any) -> list[str]:
    legend = ax.get_legend()
    entries: Iterable[Any] = legend.get_texts() if legend else ()
    return [ax.get_xlabel(), ax.get_ylabel(), ax.get_title(), *(entry.get_text() for entry in entries)]


def expect_fig(name: str, fig: Any, *, rtol: float = 1e-3, atol: float = 1e-9) -> None:
    """Compare what a figure draws with what the lab's author stored; pixels do not matter.

    Compared are the data of lines, images, bars, patches and collections, and the labels.

    Parameters
    ----------
    name : str
        Name of the figure in the file.
    fig : matplotlib.figure.Figure
        The figure, before it is shown.
    rtol, atol : float
        Relative and absolute tolerance.

    Raises
    ------
    AssertionError
        If the figure is empty, an axes draws nothing or has no labels, or its data differ.
    """
    file = _expected_file()
    if file is None:
        return
    if not fig.axes:
        raise AssertionError(f"{name}: the figure is empty")
    axes = []
    for i, ax in enumerate(fig.axes):
        parts, labels = _drawn(ax), _labels(ax)
        if not parts:
            raise AssertionError(f"{name}: axes {i} draws nothing")
        if ax.axison and not (labels[0] and labels[1]):
            raise AssertionError(f"{name}: axes {i} has no label on x or on y")
        axes.append({"labels": labels, "parts": parts})
    _compare(file, name, {"axes": axes}, rtol, atol)
