"""Attacks on the grader: what each one earns, that it stays in its box, and that the next one is graded.

Each attack is a submission whose tasks are all answered wrong, unless it says otherwise. An attack
prints BREACH when it gets through, and TRIED once it has tried, so that one that never ran fails.
After each of them an honest submission is graded in the same session and gets full marks, and no
process of the attack is left.
"""

import contextlib
import copy
import re
import socket
from dataclasses import dataclass, field

import nbformat
import pytest
from arena import FULL, LIMITS, RIGHT, WRONG, ZERO, Arena, make_course
from nbformat.v4 import new_code_cell

from coursekit.grading.sandbox import run_folder
from coursekit.grading.session import Session

pytestmark = pytest.mark.needs("bwrap")


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    return make_course(tmp_path_factory.mktemp("course"))


@pytest.fixture(scope="module")
def arena(course):
    """Kernels forked from a warm process."""
    data = [course / "source" / "arena" / "numbers.csv"]
    with Session(data=data, limits=LIMITS, closed=["coursekit.density"]) as session:
        yield Arena(course, session)


@pytest.fixture(scope="module")
def direct(course):
    """Kernels started one by one."""
    data = [course / "source" / "arena" / "numbers.csv"]
    with Session(data=data, limits=LIMITS, closed=["coursekit.density"], prefork=False) as session:
        yield Arena(course, session)


def check(arena: Arena, graded, scores=ZERO, *, tried: bool = True) -> None:
    """What holds after every attack."""
    assert graded.scores == scores, (graded.reasons, graded.lost, graded.text[-1500:])
    breaches = [line for line in graded.text.splitlines() if line.startswith("BREACH")]
    assert not breaches, breaches
    if tried:
        assert "TRIED" in graded.text, graded.text[-1500:]
    for secret in arena.secrets():
        assert secret not in graded.text
    assert len(graded.text) < 1 << 20
    arena.honest()


def of(book: nbformat.NotebookNode, name: str) -> nbformat.NotebookNode:
    """The cell with this grade id."""
    return next(cell for cell in book.cells if cell.metadata.get("nbgrader", {}).get("grade_id") == name)


def checks_of(book: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in book.cells if cell.metadata.get("nbgrader", {}).get("grade")]


# --- the notebook is tampered with ------------------------------------------------------------


def tags(book):
    for cell in book.cells:
        cell.metadata.tags = ["skip-execution", "raises-exception", "remove-cell"]


def not_graded(book):
    for cell in checks_of(book):
        cell.metadata.nbgrader.update(grade=False, locked=False, solution=True)


def more_points(book):
    for cell in checks_of(book):
        cell.metadata.nbgrader.points = 1000


def without_tests(book):
    book.cells = [cell for cell in book.cells if cell not in checks_of(book)]


def everything_deleted(book):
    book.cells = []


def edited_tests(book):
    for cell in checks_of(book):
        cell.source = "1000.0"


def copied_tests(book):
    copies = [copy.deepcopy(cell) for cell in checks_of(book)]
    for cell in copies:
        cell.source = "1000.0"
    book.cells = [*copies, *book.cells, *copy.deepcopy(copies)]


def swapped_tests(book):
    """The ids of two test cells are exchanged, so that the easier one would count more."""
    one, two = of(book, "double-test"), of(book, "mean-test")
    one.metadata.nbgrader.grade_id, two.metadata.nbgrader.grade_id = "mean-test", "double-test"


def setup_edited(book):
    of(book, "setup").source = "import numpy as np\nnp.allclose = lambda *a, **k: True\nabs = lambda x: 0.0"


def setup_deleted(book):
    book.cells = [cell for cell in book.cells if cell is not of(book, "setup")]


def outputs_forged(book):
    for cell in checks_of(book):
        cell.outputs = [nbformat.v4.new_output("execute_result", data={"text/plain": "1000.0"})]


def another_kernel(book):
    book.metadata.kernelspec = {"name": "bash", "display_name": "Bash", "language": "bash"}
    book.metadata.language_info = {"name": "bash", "pygments_lexer": {"a": 1}}
    book.metadata.widgets = {"application/vnd.jupyter.widget-state+json": {"state": {}}}


def answers_as_text(book):
    for name in WRONG:
        of(book, name).cell_type = "markdown"


def strange_metadata(book):
    ids = [["double"], 7, None, "double-test" * 1000, "../../etc/passwd", {"a": 1}]
    for cell, name in zip(book.cells, ids, strict=False):
        cell.metadata.nbgrader = {"grade_id": name, "schema_version": 99, "points": "NaN", "grade": "yes"}
    book.cells[-1].metadata.nbgrader = "full marks"


def not_cells(book):
    book.cells += [{"cell_type": "tests", "source": "1000.0", "metadata": {}}]
    book.cells += [{"cell_type": "code", "source": {"a": 1}, "metadata": {}}]


def unwritable_text(book):
    book.cells.append(new_code_cell("x = '\ud800 \x00'\nprint(x)"))


NOTEBOOKS = [
    tags,
    not_graded,
    more_points,
    without_tests,
    everything_deleted,
    edited_tests,
    copied_tests,
    swapped_tests,
    setup_edited,
    setup_deleted,
    outputs_forged,
    another_kernel,
    answers_as_text,
    strange_metadata,
    not_cells,
    unwritable_text,
]


@pytest.mark.parametrize("tamper", NOTEBOOKS, ids=lambda tamper: tamper.__name__)
def test_a_notebook_that_was_tampered_with_earns_nothing(arena, tamper):
    book = arena.notebook()
    tamper(book)
    check(arena, arena.grade(book), tried=False)


@pytest.mark.parametrize("tamper", [without_tests, edited_tests, copied_tests, setup_deleted, not_graded])
def test_a_right_answer_counts_whatever_happened_to_the_lab_s_own_cells(arena, tamper):
    book = arena.notebook(RIGHT)
    tamper(book)
    check(arena, arena.grade(book), FULL, tried=False)


def test_cells_in_another_order_are_put_back(arena):
    book = arena.notebook(RIGHT)
    book.cells.reverse()
    check(arena, arena.grade(book), FULL, tried=False)


def test_of_two_answers_with_one_id_the_last_counts(arena):
    book = arena.notebook(RIGHT)
    book.cells.insert(1, copy.deepcopy(of(book, "double")))
    book.cells[1].source = WRONG["double"]
    assert arena.grade(book).scores == FULL
    book.cells[1].source, of(book, "setup").source = RIGHT["double"], ""
    for cell in book.cells[2:]:
        if cell.metadata.get("nbgrader", {}).get("grade_id") == "double":
            cell.source = WRONG["double"]
    assert arena.grade(book).scores == {**FULL, "double-test": 0.0}


# --- the kernel is tampered with --------------------------------------------------------------


@dataclass(frozen=True)
class Attack:
    """Code for an extra cell after the set-up, answers, and what is expected of it."""

    name: str
    first: str = ""
    answers: dict[str, str] = field(default_factory=dict)
    last: str = ""
    scores: dict[str, float] = field(default_factory=lambda: ZERO)
    tried: bool = True
    lost: str = "^$"  # why the kernel was lost
    reason: str = ""  # in the reason of some cell
    says: str = ""  # in what the notebook puts out
    cell_s: int = LIMITS.cell_s  # short for what never ends


def run(arena: Arena, attack: Attack):
    first = attack.first.replace("@COURSE@", str(arena.root)).replace("@RUN@", str(run_folder().parent))
    book = arena.notebook({**WRONG, **attack.answers}, first=first, last=attack.last)
    graded = arena.grade(book, cell_s=attack.cell_s)
    check(arena, graded, attack.scores, tried=attack.tried)
    assert re.search(attack.lost, graded.lost), graded.lost
    assert not attack.reason or any(re.search(attack.reason, r) for r in graded.reasons.values()), graded
    assert re.search(attack.says, graded.text), graded.text
    return graded


_LIAR = """
class Liar(float):
    def __getattr__(self, name):
        return lambda *a, **k: True
for name in ("abs sub rsub add radd mul rmul eq ne lt le gt ge bool float array array_ufunc len iter "
             "torch_function reduce reduce_ex index int round neg pow truediv rtruediv").split():
    answer = {"bool": True, "float": 0.0, "abs": 0.0, "array": np.zeros(()), "len": 0}.get(name)
    def method(self, *a, answer=answer, **k):
        return self if answer is None else answer
    setattr(Liar, f"__{name}__", method)
class Object:
    pass
for name in vars(Liar):
    if name not in ("__dict__", "__weakref__", "__module__", "__doc__", "__getattr__"):
        setattr(Object, name, vars(Liar)[name])
class Text(str):
    __eq__ = __ge__ = __le__ = lambda *a: True
    __hash__ = str.__hash__
class Array(np.ndarray):
    def __array_function__(self, *a): return True
    def __array_ufunc__(self, *a, **k): return np.zeros(())
print("TRIED")
"""

_FORGE = """
import time
kernel = get_ipython().kernel
sent = []
def reply(parent, count=1):
    content = {"status": "ok", "execution_count": count}
    line, ident = kernel.shell_stream.socket, kernel._parent_ident["shell"]
    sent.append(kernel.session.send(line, "execute_reply", content, parent=parent, ident=ident) is not None)
"""

# A cell that sends without end is interrupted; between two frames of a message, that tears the message.
_CUT_SHORT = "^$|could not be interrupted|more than can be taken in|sent what cannot be read"
KERNEL = [
    Attack(
        "an input transformer empties every cell",
        "get_ipython().input_transformers_post.append(lambda lines: ['None'])\nprint('TRIED')",
        lost="did not answer the tests",
    ),
    Attack(
        "an AST transformer removes assertions",
        """import ast
class Remover(ast.NodeTransformer):
    def visit_Assert(self, node):
        return ast.Pass()
get_ipython().ast_transformers.append(Remover())
print("TRIED")""",
    ),
    Attack(
        "hooks run before and after every cell",
        """def hook(*a):
    globals().update(points=1000.0, student=None)
    for name in ("double", "mean", "counter"):
        globals()[name] = lambda *a: 1000.0
for event in ("pre_execute", "pre_run_cell", "post_run_cell", "post_execute"):
    get_ipython().events.register(event, hook)
print("TRIED")""",
    ),
    Attack(
        "a number that lies about everything",
        _LIAR,
        {
            "double": "def double(x):\n    return Liar(7)",
            "mean": "def mean(v):\n    return Liar(7)",
            "counter": "def counter(s):\n    return Liar(7)",
        },
    ),
    Attack(
        "an object that lies about everything",
        _LIAR,
        {
            "double": "def double(x):\n    return Object()",
            "mean": "def mean(v):\n    return Object()",
            "counter": "def counter(s):\n    return Object",
        },
    ),
    Attack(
        "an array and a text that lie",
        _LIAR,
        {
            "double": "def double(x):\n    return np.full(np.shape(x), 7.0).view(Array)",
            "mean": "def mean(v):\n    return Text('7')",
            "counter": "def counter(s):\n    return lambda: Text('4')",
        },
    ),
    Attack(
        "a tensor that lies",
        """import torch
class Tensor(torch.Tensor):
    @classmethod
    def __torch_function__(cls, *a, **k):
        return True
    def detach(self): return self
    def cpu(self): return self
    def numpy(self): return np.zeros(3)
print("TRIED")""",
        {
            "double": "def double(x):\n    return torch.full((3, 4), 7.0).as_subclass(Tensor)",
            "mean": "def mean(v):\n    return torch.nan * torch.ones(())",
        },
    ),
    Attack(
        "not a number",
        "print('TRIED')",
        {
            "double": "def double(x):\n    return x * np.nan",
            "mean": "def mean(v):\n    return float('nan')",
            "counter": "def counter(s):\n    return lambda: float('nan')",
        },
    ),
    Attack(
        "infinite",
        "print('TRIED')",
        {
            "double": "def double(x):\n    return np.full(np.shape(x), np.inf)",
            "mean": "def mean(v):\n    return -float('inf')",
        },
    ),
    Attack(
        "no number at all",
        "print('TRIED')",
        {
            "double": "def double(x):\n    return {'x': [(), [], None, True, 'x', 1j]}",
            "mean": "def mean(v):\n    return True",
            "counter": "def counter(s):\n    return None",
        },
    ),
    Attack(
        "numbers without end",
        "print('TRIED')",
        {
            "double": "def double(x):\n    return 10 ** 5000",
            "mean": "def mean(v):\n    return 10 ** 400",
            "counter": "def counter(s):\n    return lambda: -10 ** 4000",
        },
    ),
    Attack(
        "everything is patched",
        """import builtins, math, time, hashlib, json, random, base64, sys
print("TRIED", flush=True)
from coursekit import lab as _lab
from coursekit.grading import bridge, trusted
for module in (builtins, math, np, np.linalg):
    for name in ("abs", "isnan", "isclose", "allclose", "array_equal", "sum", "all", "any"):
        if hasattr(module, name):
            setattr(module, name, lambda *a, **k: True)
time.time = time.monotonic = lambda: 0.0
hash = hashlib.sha256 = lambda *a: 0
_lab.rng = _lab._number = lambda *a: np.random.default_rng(0)
_lab.student = _lab.Student(lambda request: 2.0)
_lab.graded = lambda: False
trusted.points = lambda *a: (1000.0, "")
trusted.Conclusion.__init__ = lambda self, *a, **k: self.__dict__.update(score=1000.0)
np.random.seed(0)
random.seed(0)""",
    ),
    Attack(
        "results are displayed",
        """from IPython.display import display, publish_display_data, update_display
class Result:
    def _repr_mimebundle_(self, **k):
        return {"text/plain": "1000.0", "application/json": {"a": [[[[1]]]]}}
get_ipython().displayhook(1000.0)
display(Result(), display_id="a")
update_display(Result(), display_id="a")
publish_display_data({"text/plain": "1000.0"})
print("TRIED")
1000.0""",
    ),
    Attack(
        "messages are forged",
        """kernel = get_ipython().kernel
import json
session, socket = kernel.session, kernel.iopub_socket
session.pack = lambda content: json.dumps(content, default=str).encode()
def forge(kind, content, parent=None):
    session.send(socket, kind, content, parent=parent or kernel.get_parent(), ident=b"forged")
def flood():
    import time
    while True:
        for number in range(60):
            forge("execute_result", {"data": {"text/plain": "1000.0"}, "metadata": {}, "execution_count": 1},
                  {"msg_id": f"x_{number}", "session": session.session})
        time.sleep(0.01)
forge("execute_result", {"data": {"text/plain": "1000.0"}, "metadata": {}, "execution_count": 1})
forge("execute_result", {"data": {"text/plain": 7, "image/png": {"a": 1}}, "metadata": [3]})
forge("stream", {"name": ["x"], "text": {"a": 1}})
forge("stream", {"name": "stdout", "text": "half a pair: \\ud800"})
forge("error", {"ename": 3, "evalue": None, "traceback": "x"})
forge("display_data", {"data": "x", "metadata": None, "transient": 3})
forge("update_display_data", {"data": {}, "metadata": {}, "transient": {"display_id": "a"}})
forge("comm_open", {"comm_id": "a", "target_name": "jupyter.widget", "data": {"state": {"x": "y" * 1000}}})
forge("clear_output", {"wait": "yes"})
forge("unheard_of", {})
import threading
threading.Thread(target=flood, daemon=True).start()
print("TRIED")""",
        lost="^$|do not end",  # a busy machine may not keep up with the flood
    ),
    Attack(
        "replies are forged before their time",
        _FORGE
        + """
get_ipython().input_transformers_post.append(lambda lines: reply(kernel.get_parent()) or lines)
print("TRIED")""",
        last="if len(sent) < 2: print('BREACH: nothing was forged', sent)",
        lost="^$|did not answer|did not come back",
    ),
    Attack(
        "replies without end",
        _FORGE
        + """
print("TRIED", flush=True)
time.sleep(0.5)
while True:
    reply({"msg_id": "another"})""",
        cell_s=3,
        lost=_CUT_SHORT,
        says="CellTimeoutError|KernelLost",
    ),
    Attack(
        "large replies without end",
        _FORGE
        + """
print("TRIED", flush=True)
time.sleep(0.5)
while True:
    reply({"msg_id": "another"}, "x" * (16 << 20))""",
        cell_s=3,
        lost=_CUT_SHORT,
    ),
]


@pytest.mark.parametrize("attack", KERNEL, ids=lambda attack: attack.name)
def test_whatever_the_kernel_says_the_tests_conclude(arena, attack):
    run(arena, attack)


def test_points_that_were_earned_stay_whatever_the_kernel_displays(arena):
    code = next(attack.first for attack in KERNEL if attack.name == "messages are forged")
    code = code.replace("threading.Thread(target=flood, daemon=True).start()", "")  # that may cost points
    book = arena.notebook(RIGHT, first=code)
    check(arena, arena.grade(book), FULL)


# --- the replies to the tests are forged ------------------------------------------------------

_SERVE = """
import json, socket, struct, time, threading, os, base64
from coursekit.grading import bridge
def serve(path, namespace):
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(path)
        while True:
            head = line.recv(4)
            if not head:
                return
            size = struct.unpack(">I", head)[0]
            body = b""
            while len(body) < size:
                body += line.recv(size - len(body))
            request = json.loads(body)
            if request["do"] == "stop":
                return
            REPLY
bridge.serve = serve
def say(line, text):
    data = text if isinstance(text, bytes) else text.encode()
    line.sendall(struct.pack(">I", len(data)) + data)
def value(line, tree):
    say(line, json.dumps({"value": tree}))
print("TRIED")
"""

REPLIES = {
    "not JSON": "say(line, 'full marks')",
    "not text": "say(line, bytes(range(128, 256)))",
    "nothing": "say(line, b'')",
    "another form": "say(line, json.dumps([1, 2, 3]))",
    "more keys": "say(line, json.dumps({'value': 2.0, 'score': 1000.0}))",
    "a length of four gigabytes": "line.sendall(b'\\xff' * 4); time.sleep(60)",
    "a length just allowed, and then nothing": "line.sendall(struct.pack('>I', 32 << 20)); time.sleep(60)",
    "one byte a second": "[(line.sendall(b'\\0'), time.sleep(1)) for _ in range(60)]",
    "half a message, and the end": "line.sendall(b'\\0\\0'); return",
    "many answers to one question": "[value(line, 2.5) for _ in range(1000)]",
    "answers without being asked": "[value(line, 1000.0) for _ in range(3)]; line.recv(1); return",
    "a handle that does not exist": "value(line, {'handle': 12345678901234567890})",
    "a handle with a strange key": "value(line, {'handle': {'a': 1}})",
    "an object as a key": "value(line, {'dict': [[{'dict': []}, 1]]})",
    "a deep tree": "say(line, '{\"value\":' + '[' * 100000 + ']' * 100000 + '}')",
    "a deep tree of dicts": ("say(line, '{\"value\":' + '{\"list\":[' * 20000 + '1' + ']}' * 20000 + '}')"),
    "very many lists": "say(line, '{\"value\":{\"list\":[' + ','.join(['{\"list\":[]}'] * 300000) + ']}}')",
    "objects as dtype": "value(line, {'array': ['O', [1], base64.b64encode(bytes(8)).decode()]})",
    "a structured dtype": "value(line, {'array': ['i4,O', [1], base64.b64encode(bytes(12)).decode()]})",
    "a dtype without size": "value(line, {'array': ['V0', [0], '']})",
    "a shape without end": "value(line, {'array': ['<f8', [2 ** 70, 0], '']})",
    "a shape below zero": "value(line, {'array': ['<f8', [-1, -1], base64.b64encode(bytes(8)).decode()]})",
    "booleans that are neither": "value(line, {'array': ['|b1', [1], base64.b64encode(b'\\2').decode()]})",
    "a text beyond Unicode": "value(line, {'array': ['<U1', [], base64.b64encode(b'\\xff' * 4).decode()]})",
    "items of a gigabyte, none of them": "value(line, {'array': ['<U268435455', [0, 5], '']})",
    "bits that are no number": "value(line, {'array': ['<f16', [], '/' * 21 + 'w==']})",
    "a hundred dimensions": "value(line, {'array': ['<f8', [1] * 100, 'AAAAAAAAAAA=']})",
    "keys that all collide": ("value(line, {'dict': [[i * (2 ** 61 - 1), 0] for i in range(200000)]})"),
    "one key twice": 'say(line, \'{"value": 1000.0, "value": 2.5, "value": NaN}\')',
    "a number beyond any": "say(line, '{\"value\": 1e999}')",
    "an error that ends loops": "say(line, json.dumps({'error': ['StopIteration', '\\ud800']}))",
    "an error that says it is a success": "say(line, json.dumps({'error': ['AssertionError', '2.0']}))",
    "no base64": "value(line, {'array': ['<f8', [1], '\\x00 not base64 ']})",
    "a shape that is a text": "value(line, {'array': ['<f8', '1', base64.b64encode(bytes(8)).decode()]})",
    "a pickle": "say(line, __import__('pickle').dumps(os.getcwd))",
    "numbers of five thousand digits": "say(line, '{\"value\": ' + '9' * 5000 + '}')",
    "NaN in the JSON": "say(line, '{\"value\": NaN}')",
    "an error that ends processes": "say(line, json.dumps({'error': ['SystemExit', '0']}))",
    "an error that ends tests": "say(line, json.dumps({'error': ['KeyboardInterrupt', '']}))",
    "an error that is none": "say(line, json.dumps({'error': ['print', 'x']}))",
    "the control socket's words": "say(line, json.dumps({'cell': 'mean-test', 'score': 2.0, 'reason': ''}))",
    "descriptors": "socket.send_fds(line, [struct.pack('>I', 2) + b'{}'], [0, 1, 2])",
    "the kernel is killed while it answers": "os.abort()",
}


@pytest.mark.parametrize("reply", REPLIES.values(), ids=list(REPLIES))
def test_a_forged_reply_earns_nothing(arena, reply):
    graded = arena.grade(arena.notebook(first=_SERVE.replace("REPLY", reply)), cell_s=3)
    check(arena, graded)


def test_the_socket_is_the_graders_alone(arena):
    """Connecting early or twice, making files beside the sockets, and putting links in their place."""
    code = """
import glob, os, socket, threading, time
folder = glob.glob("@RUN@/ck-*/*/*")[0]
lines = []
def connect():
    while True:
        for path in glob.glob(folder + "/t*"):
            try:
                line = socket.socket(socket.AF_UNIX)
                line.connect(path)
                lines.append(line)
                line.sendall(b"\\0\\0\\0\\x0e" + b'{"value": 2.5}')
            except OSError:
                pass
        time.sleep(0.0005)
for i in range(2):
    threading.Thread(target=connect, daemon=True).start()
for attempt in (
    lambda: open(folder + "/t0", "w"),
    lambda: os.symlink("/run/other", folder + "/t0"),
    lambda: socket.socket(socket.AF_UNIX).bind(folder + "/t1"),
    lambda: os.rename(folder + "/k-1", folder + "/k-9"),
    lambda: os.unlink(folder + "/k-2"),
    lambda: os.chmod(folder, 0o777),
    lambda: os.mkdir(folder + "/x"),
    lambda: os.truncate(folder + "/kernel.json", 0),
    lambda: open(folder + "/../x", "w"),
):
    try:
        attempt()
    except OSError:
        pass
    else:
        print("BREACH")
print("TRIED", os.listdir(folder + "/..") == [os.path.basename(folder)])
"""
    code = code.replace("@RUN@", str(run_folder().parent))
    graded = arena.grade(arena.notebook(first=code))
    assert "TRIED True" in graded.text
    check(arena, graded)


# --- reading what is not one's own ------------------------------------------------------------

_SECRETS = """
import ctypes, glob, os, re, sys
def look(path):
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20)
    except OSError:
        return b""
"""

READING = [
    Attack(
        "files of the course and of the host",
        _SECRETS
        + """
found = []
for top in ("/", "/root", "/home", "/work", "/etc", "/var", "/run", "/srv", "/tmp", "/lab", "/opt", "/mnt",
            "/usr/local/share", "..", "/proc/1/root", "/proc/1/cwd", "/proc/self/root/..", "/course-data"):
    for parent, folders, files in os.walk(top):
        if parent.count("/") > 6 or parent.startswith(("/proc/", "/usr/lib", "/usr/share")):
            folders.clear()
        found += [os.path.join(parent, name) for name in files]
secret = r"gradebook\\.db|submitted|\\.course_key|arena.ipynb|/shadow$|nbgrader_config"
names = [path for path in found if re.search(secret, path)]
print("BREACH" if names else "TRIED", names, sorted(os.listdir("/")))
for path in ("@COURSE@/gradebook.db", "@COURSE@/.course_key", "@COURSE@/source/arena/arena.ipynb",
             "@COURSE@/submitted/other/arena/arena.ipynb", "/etc/shadow", "/etc/passwd", "/proc/kcore",
             "/dev/mem", "/dev/vda"):
    if look(path):
        print("BREACH", path)
""",
    ),
    Attack(
        "environments, descriptors and other processes",
        _SECRETS
        + """
for name in os.listdir("/proc"):
    if name.isdigit() and int(name) != os.getpid() and b"grader" in look(f"/proc/{name}/status"):
        print("BREACH", name)
names = {re.sub(rb"=.*", b"", item) for item in look("/proc/self/environ").split(b"\\0")} | set(os.environb)
allowed = (
    b"PATH PYTHONPATH HOME LANG MPLCONFIGDIR IPYTHONDIR JUPYTER_RUNTIME_DIR MPLBACKEND "
    b"OMP_NUM_THREADS OPENBLAS_NUM_THREADS MKL_NUM_THREADS PYTHONDONTWRITEBYTECODE "
    b"PYTHONHASHSEED NBGRADER_EXECUTION COURSEKIT_GRADING COURSEKIT_OFFLINE PWD "
    b"KERNEL_LAUNCH_TIMEOUT TERM CLICOLOR FORCE_COLOR CLICOLOR_FORCE PAGER GIT_PAGER "
    b"PYDEVD_USE_FRAME_EVAL JPY_SESSION_NAME "
).split()
if not names <= {b"", *allowed}:
    print("BREACH", names - set(allowed))
for fd in range(512):
    try:
        link = os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        try:
            link = str(os.fstat(fd))
        except OSError:
            continue
        import stat
        mode = os.fstat(fd).st_mode
        if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
            print("BREACH", fd, link)
        continue
    if link.startswith("/") and not link.startswith(("/dev/", "/proc/", "/tmp/", "@RUN@/ck-")):
        print("BREACH", fd, link)
print("TRIED")
""",
    ),
    Attack(
        "the seed of the tests, anywhere in memory",
        """
import ctypes, re, os
found, wanted = [], bytes([53, 99, 97, 49, 97, 98, 49, 101]) * 3  # the beginning of the seed, not as a text
half = wanted[:13], wanted[13:]
looked = 0
for line in open("/proc/self/maps"):
    match = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
    if not match or "[v" in line:
        continue
    start, end = (int(x, 16) for x in match.groups())
    if end - start > 1 << 28:
        continue
    data = ctypes.string_at(start, end - start)
    looked += len(data)
    at = data.find(half[0])
    while at >= 0:
        if data[at + 13 : at + 24] == half[1] and data[at + 24 : at + 64].isalnum():
            found.append(start + at)
        at = data.find(half[0], at + 1)
from coursekit import lab as _lab
print("BREACH" if found or looked < 1 << 20 else "TRIED", found, looked, os.environ.get("COURSEKIT_SEED"))
print(_lab.rng("double").normal())
""",
    ),
    Attack(
        "a closed module",
        _SECRETS
        + """
import importlib, importlib.machinery, importlib.util, gc, coursekit, types, runpy, zipimport
folder = os.path.join(os.path.dirname(coursekit.__file__), "density")
def source():
    exec(open(folder + "/kde.py").read(), {})
    if look(folder + "/kde.py"): return
    raise OSError
def machinery():
    loader = importlib.machinery.SourceFileLoader("other", folder + "/kde.py")
    loader.exec_module(types.ModuleType("other"))
def finder():
    sys.meta_path[:] = [f for f in sys.meta_path if type(f).__name__ != "_Closed"]
    sys.path_importer_cache.clear()
    importlib.import_module("coursekit.density.kde").KernelDensity
def compiled():
    paths = glob.glob(folder + "/__pycache__/*.pyc") + glob.glob(folder + "/*.pyc")
    importlib.machinery.SourcelessFileLoader("other", paths[0]).load_module()
def opened():
    from coursekit import lab
    lab._closed.names.clear()
    import coursekit.density.kde
for attempt in (source, machinery, compiled, opened, finder):
    try:
        attempt()
    except (OSError, ImportError, IndexError, AttributeError) as error:
        print("TRIED", attempt.__name__, type(error).__name__)
    else:
        print("BREACH", attempt.__name__)
if any(isinstance(o, type) and o.__module__.startswith("coursekit.density") for o in gc.get_objects()):
    print("BREACH in memory")
""",
    ),
]


@pytest.mark.parametrize("attack", READING, ids=lambda attack: attack.name)
def test_nothing_that_is_not_its_own_is_read(arena, attack):
    run(arena, attack)


# --- ways out ---------------------------------------------------------------------------------

_ATTEMPT = """
import ctypes, errno, os, signal, socket, subprocess, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def attempt(name, call, *allowed):
    try:
        result = call()
    except Exception as error:
        print("no", name, type(error).__name__)
    else:
        if result not in (-1, None):
            print("BREACH", name, result)
"""

ESCAPES = [
    Attack(
        "the network",
        _ATTEMPT
        + """
def tcp(family, address):
    with socket.socket(family) as line:
        line.settimeout(2)
        line.connect(address)
        return 1
attempt("tcp", lambda: tcp(socket.AF_INET, ("1.1.1.1", 53)))
attempt("tcp6", lambda: tcp(socket.AF_INET6, ("2606:4700:4700::1111", 53)))
attempt("localhost", lambda: tcp(socket.AF_INET, ("127.0.0.1", 22)))
attempt("name", lambda: socket.getaddrinfo("example.org", 80))
attempt("udp", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("1.1.1.1", 53)))
attempt("vsock", lambda: socket.socket(socket.AF_VSOCK).fileno())
attempt("packet", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).fileno())
attempt("alg", lambda: socket.socket(socket.AF_ALG).fileno())
attempt("bluetooth", lambda: socket.socket(31, socket.SOCK_RAW).fileno())
ours = "lo sit0 tunl0 ip6tnl0 gre0 erspan0 gretap0 ip_vti0 ip6_vti0 ip6gre0".split()
if [name for _, name in socket.if_nameindex() if name not in ours]:
    print("BREACH", socket.if_nameindex())
for name in open("/proc/net/unix").read().split()[8:]:
    if name.startswith("@"):
        print("BREACH abstract socket", name)
print("TRIED")
""",
    ),
    Attack(
        "namespaces, mounts and tracing",
        _ATTEMPT
        + """
for flag in (0x10000000, 0x20000, 0x20000000, 0x40000000, 0x2000000, 0x80):
    attempt("unshare", lambda: libc.unshare(flag))
attempt("mount", lambda: libc.mount(b"tmpfs", b"/tmp", b"tmpfs", 0, None))
attempt("bind", lambda: libc.mount(b"/", b"/tmp", None, 4096, None))
attempt("remount", lambda: libc.mount(None, b"/", None, 32, None))
attempt("umount", lambda: libc.umount2(b"/proc", 2))
attempt("pivot", lambda: libc.syscall(155, b"/tmp", b"/tmp"))
attempt("chroot", lambda: libc.chroot(b"/tmp"))
attempt("setns", lambda: libc.setns(os.open("/proc/self/ns/net", os.O_RDONLY), 0))
attempt("setns pid 1", lambda: libc.setns(os.open("/proc/1/ns/mnt", os.O_RDONLY), 0))
child = subprocess.Popen(["sleep", "20"])
attempt("ptrace", lambda: libc.ptrace(16, child.pid, 0, 0))
attempt("traceme", lambda: libc.ptrace(0, 0, 0, 0))
buffer = ctypes.create_string_buffer(8)
attempt("vm_readv", lambda: libc.syscall(310, child.pid, buffer, 1, buffer, 1, 0))
child.kill()
attempt("clone", lambda: libc.syscall(56, 0x10000011, 0, 0, 0, 0))
attempt("clone3", lambda: libc.syscall(435, buffer, 8))
attempt("io_uring", lambda: libc.syscall(425, 1, buffer))
attempt("bpf", lambda: libc.syscall(321, 0, buffer, 8))
attempt("keyctl", lambda: libc.syscall(250, 0, -3, 1))
attempt("add_key", lambda: libc.syscall(248, b"user", b"a", b"b", 1, -3))
attempt("perf", lambda: libc.syscall(298, buffer, 0, -1, -1, 0))
attempt("userfaultfd", lambda: libc.syscall(323, 0))
attempt("open_by_handle", lambda: libc.syscall(304, -100, buffer, 0))
attempt("memfd", lambda: os.memfd_create("x"))
attempt("shm", lambda: libc.shmget(0, 1 << 20, 0o1600))
attempt("klog", lambda: libc.klogctl(3, ctypes.create_string_buffer(4096), 4096))
attempt("personality", lambda: libc.personality(0x0040000))
commands = ("unshare -Ur id", "su -c id", "mount -t tmpfs x /tmp", "sudo id", "nsenter -t 1 -m id",
            "chroot / id", "newgrp root", "bwrap --bind / / id", "ping -c1 127.0.0.1")
for command in map(str.split, commands):
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        continue
    if done.returncode == 0:
        print("BREACH", command, done.stdout)
print("TRIED")
""",
    ),
    Attack(
        "rights, devices and settings of the kernel",
        _ATTEMPT
        + """
attempt("setuid", lambda: os.setuid(0))
attempt("setgid", lambda: os.setgroups([0]))
attempt("seteuid", lambda: os.setresuid(0, 0, 0))
attempt("mknod", lambda: os.mknod("/tmp/disk", 0o60666, os.makedev(254, 0)) or 1)
attempt("chown", lambda: os.chown("/lab", 1, 1) or 1)
attempt("hostname", lambda: socket.sethostname("x") or 1)
attempt("nice", lambda: os.nice(-10))
attempt("reboot", lambda: libc.reboot(0x1234567))
attempt("clock", lambda: time.clock_settime(time.CLOCK_REALTIME, 0) or 1)
for path in ("/proc/sys/kernel/hostname", "/proc/sys/user/max_user_namespaces",
             "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/1/oom_score_adj.x",
             "/sys/kernel/mm/x", "/dev/mem", "/dev/kmsg", "/x",
             "/usr/x", "/etc/x", "/etc/ld.so.cache", "/dev/x", "/lab/numbers.csv", sys.prefix + "/x",
             sys.executable, np.__file__, "/course-data/numbers.csv", "/proc/self/uid_map"):
    attempt(path, lambda: os.write(os.open(path, os.O_WRONLY | os.O_CREAT), b"1"))
import resource
for kind in (resource.RLIMIT_DATA, resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE, resource.RLIMIT_CPU):
    attempt("limit", lambda: resource.setrlimit(kind, (-1, -1)) or 1)
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
    if int(status[name], 16):
        print("BREACH", name, status[name])
if (status["NoNewPrivs"].strip(), status["Seccomp"].strip()) != ("1", "2"):
    print("BREACH", status["NoNewPrivs"], status["Seccomp"])
print("TRIED")
""",
    ),
    Attack(
        "signals, schedulers and terminals",
        _ATTEMPT
        + """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for pid in (*range(2, 300), -1):
    if not os.path.exists(f"/proc/self/task/{pid}"):
        try:
            os.kill(pid, 0 if pid == -1 else signal.SIGKILL)
        except OSError:
            pass
attempt("fifo", lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)) or 1)
attempt("ioprio", lambda: libc.syscall(251, 1, 0, 1 << 13))
attempt("oom", lambda: os.write(os.open("/proc/self/oom_score_adj", os.O_WRONLY), b"-1000"))
attempt("tty", lambda: os.open("/dev/tty", os.O_RDWR))
attempt("tiocsti", lambda: __import__("fcntl").ioctl(0, 0x5412, b"x"))
attempt("fanotify", lambda: libc.syscall(300, 0, 0))
attempt("abstract socket", lambda: socket.socket(socket.AF_UNIX).connect("\\0coursekit-host") or 1)
for folder in ("/sys", "/sys/fs/cgroup", "/run/user", "/var/run/docker.sock"):
    attempt(folder, lambda: os.listdir(folder) or None)
for name in os.listdir("/proc/self/fd"):
    try:
        path = os.readlink(f"/proc/self/fd/{name}")
        if path.startswith("/") and os.path.isdir(f"/proc/self/fd/{name}/.."):
            print("BREACH", path)
    except OSError:
        pass
print("TRIED")
""",
    ),
    Attack(
        "processes that want to outlive their box",
        _ATTEMPT
        + """
libc.prctl(1, 0, 0, 0, 0)  # not to be killed with the parent
for number in range(3):
    if os.fork() == 0:
        os.setsid()
        libc.prctl(1, 0, 0, 0, 0)
        for signum in range(1, 32):
            try:
                signal.signal(signum, signal.SIG_IGN)
            except OSError:
                pass
        if os.fork():
            os._exit(0)
        while True:
            time.sleep(1000)
subprocess.Popen(["setsid", "nohup", "sleep", "1000"], start_new_session=True)
print("TRIED")
""",
    ),
]


@pytest.fixture
def listener():
    """A socket of the host without a file: only a network of its own keeps a box away from it."""
    with socket.socket(socket.AF_UNIX) as line:
        with contextlib.suppress(OSError):  # another worker's tests may have it already
            line.bind("\0coursekit-host")
            line.listen()
        yield


@pytest.mark.parametrize("attack", ESCAPES, ids=lambda attack: attack.name)
def test_there_is_no_way_out(arena, attack, listener):
    run(arena, attack)


# --- too much of everything -------------------------------------------------------------------

EXHAUSTION = [
    Attack(
        "os._exit",
        "print('TRIED', flush=True)\nimport os, time\ntime.sleep(.3)\nos._exit(0)",
        lost="it ended",
    ),
    Attack(
        "a signal to itself",
        "print('TRIED', flush=True)\nimport os, time\ntime.sleep(.3)\nos.kill(os.getpid(), 11)\nos.abort()",
        lost="it ended",
    ),
    Attack("sys.exit", "print('TRIED')\nimport sys\nsys.exit(0)"),
    Attack("exit()", "print('TRIED')\nexit()", lost=".*"),
    Attack(
        "a crash in C",
        "print('TRIED', flush=True)\nimport ctypes, time\ntime.sleep(.3)\nctypes.string_at(0)",
        lost="it ended",
    ),
    Attack(
        "recursion",
        "print('TRIED')\ndef f(): f()\nf()",
        lost="^$|could not be interrupted",  # to write the error takes seconds
        says="RecursionError|CellTimeoutError",
    ),
    Attack(
        "a loop",
        "print('TRIED', flush=True)\nwhile True: pass",
        says="CellTimeoutError",
        cell_s=3,
    ),
    Attack(
        "a loop that cannot be interrupted",
        """print("TRIED", flush=True)
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
signal.signal(signal.SIGINT, signal.SIG_IGN)
while True:
    try:
        pow(3, 10 ** 7) and None
    except BaseException:
        pass""",
        lost="could not be interrupted",
        cell_s=3,
    ),
    Attack(
        "a sleep that holds the interpreter",
        "print('TRIED', flush=True)\nimport ctypes, time\ntime.sleep(.5)\nctypes.PyDLL(None).sleep(1000)",
        lost="could not be interrupted",
        cell_s=3,
    ),
    Attack(
        "a fork bomb",
        """import os, time
count = 0
try:
    while count < 5000:
        if os.fork() == 0:
            time.sleep(1000)
        count += 1
except OSError as error:
    print("BREACH" if count > 100 else "TRIED", count, error)""",
    ),
    Attack(
        "a bomb of threads",
        """import threading, time
count = 0
try:
    while count < 5000:
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
        count += 1
except RuntimeError as error:
    print("BREACH" if count > 100 else "TRIED", count, error)""",
        lost=".*",
    ),
    Attack(
        "memory of one process",
        """x = []
try:
    for i in range(100):
        x.append(np.ones(20 << 17))
except MemoryError:
    print("BREACH" if len(x) > 30 else "TRIED", len(x))
finally:
    del x""",
    ),
    Attack(
        "memory of many processes",
        """import os, time
print("TRIED", flush=True)
time.sleep(0.3)
children, over = [], 0
for i in range(6):
    children.append(os.fork())
    if children[-1] == 0:
        x = np.ones(38 << 20)  # 304 MiB
        time.sleep(1000)
def resident(pid):
    try:
        os.waitpid(pid, os.WNOHANG)
        text = open(f"/proc/{pid}/smaps_rollup").read()
        return int(text.partition("Private_Dirty:")[2].split()[0]) >> 10
    except (OSError, IndexError):
        return 0
for i in range(24):  # without control groups the grader looks a few times a second
    over = over + 1 if sum(map(resident, children)) > 1000 else 0
    if over > 10:
        print("BREACH", flush=True)
    time.sleep(0.1)""",
        lost="memory|it ended|^$",
    ),
    Attack(
        "memory that is shared",
        """import mmap, time
print("TRIED", flush=True)
time.sleep(0.3)
x = []
for i in range(40):
    x.append(mmap.mmap(-1, 32 << 20))
    x[-1].write(b"1" * (32 << 20))
time.sleep(1)  # without control groups the grader looks a few times a second
print("BREACH", flush=True)""",
        lost="memory|it ended|^$",  # or it was so slow that the cell took too long
    ),
    Attack(
        "files in every folder",
        """import os, glob
for folder in ("/tmp", "/lab", "/dev/shm", *glob.glob("@RUN@/ck-*/*/*"), "/var/tmp", "/run", "/"):
    written = 0
    try:
        for number in range(200):
            with open(f"{folder}/{number}", "wb") as file:
                file.write(bytes(4 << 20))
            written += 4
    except OSError as error:
        print("BREACH" if written > 40 else "TRIED", folder, written, error)
    else:
        print("BREACH", folder)
for number in range(200):
    try:
        os.unlink(f"/tmp/{number}")
    except OSError:
        pass
try:
    with open("/tmp/big", "wb") as file:
        file.truncate(1 << 30)
    print("BREACH: a large file")
except OSError as error:
    print(error)
""",
    ),
    Attack(
        "files without end",
        """try:
    for number in range(200_000):
        open(f"/tmp/{number}", "w").close()
    print("BREACH")
except OSError as error:
    print("TRIED", number, error)""",
    ),
    Attack(
        "descriptors",
        """import os
pipes = []
try:
    while len(pipes) < 100_000:
        pipes.append(os.pipe())
    print("BREACH")
except OSError as error:
    for pipe in pipes:
        for end in pipe:
            os.close(end)
    print("TRIED", error)""",
    ),
    Attack(
        "a flood of small outputs",
        "print('TRIED', flush=True)\nwhile True: print('x' * 500)",
        lost="without end",
    ),
    Attack(
        "one huge output",
        "print('TRIED', flush=True)\nimport time\ntime.sleep(.5)\nprint('TRIED' * (4 << 20))",
        lost="without end",
    ),
    Attack(
        "a flood of displays",
        """from IPython.display import display, HTML
print("TRIED", flush=True)
while True:
    display(HTML("<script>alert(1)</script>" * 10000))""",
        lost="without end",
    ),
    Attack(
        "a thread that never stops printing",
        """import threading
def talk():
    while True:
        print("x" * 200)
threading.Thread(target=talk, daemon=True).start()
print("TRIED")""",
        tried=False,
        lost=".*",
        says="dropped",
    ),
    Attack(
        "a message without end, straight into the grader's connections",
        """import os, stat, threading, time, socket
print("TRIED", flush=True)
time.sleep(0.5)
chunk = bytes([0x03]) + (8 << 20).to_bytes(8, "big") + bytes(8 << 20)  # one more part follows, says each
def pour(fd):
    data = memoryview(chunk)
    at = 0
    while True:
        try:
            at = (at + os.write(fd, data[at:])) % len(data)
        except BlockingIOError:
            time.sleep(0.001)
        except OSError:
            return
for fd in range(3, 200):
    try:
        if stat.S_ISSOCK(os.fstat(fd).st_mode):
            line = socket.socket(fileno=os.dup(fd))
            if line.family == socket.AF_UNIX and line.getpeername() is not None and line.getsockname():
                threading.Thread(target=pour, args=(fd,), daemon=True).start()
    except OSError:
        pass
time.sleep(30)""",
        lost=".",
    ),
    Attack(
        "comms without end",
        """kernel = get_ipython().kernel
print("TRIED", flush=True)
while True:
    kernel.session.send(kernel.iopub_socket, "comm_open", {"comm_id": "a", "target_name": "jupyter.widget",
        "data": {"state": {"x": "y" * 100000}}}, parent=kernel.get_parent())""",
        lost="without end",
    ),
    Attack(
        "a display nested a hundred thousand deep",
        """kernel = get_ipython().kernel
print("TRIED", flush=True)
import json, time
time.sleep(0.5)
kernel.session.pack = lambda content: b"[" * 100_000 + b"]" * 100_000 if content == {"a": 1} else json.dumps(
    content, default=str).encode()
kernel.session.send(kernel.iopub_socket, "display_data", {"a": 1}, parent=kernel.get_parent())
time.sleep(0.5)""",
        lost="cannot be read",
    ),
    Attack(
        "a deep display",
        """kernel = get_ipython().kernel
tree = []
for i in range(400):
    tree = [tree]
kernel.session.send(kernel.iopub_socket, "display_data", {"metadata": {"a": tree},
    "data": {"application/json": tree, "text/plain": "x"}}, parent=kernel.get_parent())
print("TRIED")""",
    ),
    Attack(
        "a function that never returns",
        "print('TRIED')",
        {**RIGHT, "double": "def double(x):\n    while True: pass"},
        scores={**FULL, "double-test": 0.0},
        reason="no answer within",
        cell_s=3,
    ),
    Attack(
        "a function that never returns and cannot be interrupted",
        "print('TRIED')\nimport signal",
        {
            **RIGHT,
            "mean": "def mean(v):\n    signal.signal(signal.SIGINT, signal.SIG_IGN)\n    while True: pass",
        },
        scores={**ZERO, "double-test": 2.0},
        lost="did not come back",
        reason="no answer within",
        cell_s=3,
    ),
    Attack(
        "a function that ends the process",
        "print('TRIED')\nimport os",
        {"double": "def double(x):\n    os._exit(0)"},
        lost="did not come back|ended",
        reason="ended",
    ),
    Attack(
        "functions that raise what should not be caught",
        "print('TRIED')\nimport sys",
        {
            "double": "def double(x):\n    raise KeyboardInterrupt",
            "mean": "def mean(v):\n    raise SystemExit(0)",
            "counter": "def counter(s):\n    raise GeneratorExit",
        },
    ),
    Attack(
        "a function that talks without end",
        "print('TRIED')",
        {"mean": "def mean(v):\n    for i in range(30000): print('x' * 1000)\n    return 1e9"},
        lost=".*",
    ),
    Attack(
        "an answer without end",
        "print('TRIED')",
        {
            "double": "def double(x):\n    return np.zeros(10 ** 7)",
            "mean": "def mean(v):\n    return 'x' * (40 << 20)",
            "counter": "def counter(s):\n    x = []\n    x.append(x)\n    return x",
        },
    ),
    Attack(
        "an error without end",
        "print('TRIED')",
        {"double": "def double(x):\n    raise ValueError('\\ud800' + 'x' * (40 << 20))"},
        reason="ValueError|hidden",
    ),
]


@pytest.mark.parametrize("attack", EXHAUSTION, ids=lambda attack: attack.name)
def test_what_takes_too_much_costs_its_own_points(arena, attack):
    graded = run(arena, attack)
    assert graded.seconds < 45


def test_what_was_earned_before_the_kernel_was_lost_counts(arena):
    graded = arena.grade(arena.notebook(RIGHT | {"mean": "import os\nos._exit(1)"}))
    check(arena, graded, {"double-test": 2.0, "mean-test": 0.0, "counter-test": 0.0}, tried=False)
    assert "kernel was lost: it ended" in graded.reasons["counter-test"]


def test_a_notebook_may_take_so_long_and_no_longer(arena):
    book = arena.notebook(RIGHT, first="import time\ntime.sleep(4)\nprint('TRIED')")
    graded = arena.grade(book, total_s=3)
    check(arena, graded)
    assert "ran longer than 3 s" in graded.lost


# --- the core of it without a warm process ----------------------------------------------------

_CORE = [
    *[attack for attack in KERNEL if attack.name in ("everything is patched", "messages are forged")],
    *READING,
    *ESCAPES,
    *[
        attack
        for attack in EXHAUSTION
        if attack.name
        in (
            "a fork bomb",
            "memory of many processes",
            "files in every folder",
            "os._exit",
            "a flood of small outputs",
        )
    ],
]


@pytest.mark.parametrize("attack", _CORE, ids=lambda attack: attack.name)
def test_kernels_that_are_started_one_by_one_hold_as_well(direct, attack):
    if attack.name == "a closed module":  # its import fails, and so do all that follow
        attack = Attack(**{**vars(attack), "first": attack.first.replace("sys.meta_path[:]", "_")})
    run(direct, attack)


# --- the same submission, the same score ------------------------------------------------------


def test_the_same_submission_gets_the_same_score_and_another_seed_other_inputs(arena):
    show = {"double": "def double(x):\n    seen.append(x)\n    return 2 * x"}
    book = arena.notebook(
        RIGHT | show, first="seen = []", last="print('seen', seen)\nprint(hash('a'), np.random.rand())"
    )
    first, again = arena.grade(book), arena.grade(book)
    other = arena.grade(book, seed="another")
    assert first.scores == again.scores == other.scores == FULL
    assert first.text == again.text
    assert first.text != other.text
