"""The leak scan finds every kind of secret in every kind of container, and nothing in clean ones."""

from __future__ import annotations

import base64
import gzip
import html
import io
import json
import re
import tarfile
import zipfile
import zlib

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from coursekit.grading import leaks

SOLUTION = """    weights = np.exp(scores - scores.max(axis=0))  # no overflow
    return weights @ values / weights.sum(axis=0)"""
HIDDEN = """# property: shift invariance
shifted_scores = rng.normal(size=(7, 3)) + 1e4
assert np.allclose(student.attend(shifted_scores, values), expected_answer, rtol=1e-9)"""
ANSWER = "The largest score is taken out first, because the exponential of a thousand is not a number."
RUBRIC = "Two points for the reason, one point for naming the largest number that a double can hold."


def marks(name: str, **flags: object) -> dict:
    return {"nbgrader": {"grade_id": name, "grade": False, "solution": False, "locked": False, **flags}}


def notebook() -> nbformat.NotebookNode:
    task = f"Explain it.\n### BEGIN MARK SCHEME\n{RUBRIC}\n### END MARK SCHEME"
    return new_notebook(
        cells=[
            new_markdown_cell("# A lab\n\nWrite a weighted mean, and mind numbers that are too large."),
            new_code_cell(
                f'def attend(scores, values):\n    """A weighted mean."""\n    ### BEGIN SOLUTION\n'
                f"{SOLUTION}\n    ### END SOLUTION",
                metadata=marks("attend", solution=True),
            ),
            new_code_cell(
                "assert student.attend(np.zeros((2, 2)), np.ones(2)).shape == (2,)\n"
                f"### BEGIN HIDDEN TESTS\n{HIDDEN}\n### END HIDDEN TESTS",
                metadata=marks("attend-test", grade=True, locked=True),
            ),
            new_markdown_cell(ANSWER, metadata=marks("why", grade=True, solution=True)),
            new_markdown_cell(task, metadata=marks("task", task=True)),
        ]
    )


PLANTS = {
    "solution": SOLUTION,
    "hidden test": HIDDEN.partition("\n")[2],  # without the property's mark
    "model answer": ANSWER,
    "mark scheme": RUBRIC,
    "marker": "    ### BEGIN SOLUTION",
    "property": "# property: shift invariance",
}
KIND = {"model answer": "solution", "property": "marker"}


@pytest.fixture(scope="module")
def secrets():
    return leaks.secrets_of(notebook(), lab="attention")


# --- every way in which a secret can be written ------------------------------------------------


def coloured(text: str) -> str:
    return highlight(text, PythonLexer(), HtmlFormatter())


def numbered(text: str) -> str:
    return highlight(text, PythonLexer(), HtmlFormatter(linenos="inline"))


def markdown_notebook(text: str) -> str:
    return nbformat.writes(new_notebook(cells=[new_markdown_cell("Hello."), new_markdown_cell(text)]))


def output_notebook(output) -> str:
    return nbformat.writes(new_notebook(cells=[new_code_cell("1", outputs=[output])]))


def zipped(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("harmless.txt", "nothing here")
        archive.writestr(name, content)
    return stream.getvalue()


def tarred(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def metadata_notebook(text: str) -> str:
    return nbformat.writes(new_notebook(metadata={"notes": [{"draft": text}]}))


CONTAINERS = {
    "page.html": lambda t: f"<html><body><pre>{html.escape(t)}</pre></body></html>",
    "coloured.html": lambda t: f"<html><body>{coloured(t)}</body></html>",
    "numbered.html": lambda t: f"<html><body>{numbered(t)}</body></html>",
    "twice.html": lambda t: f"<p>{html.escape(html.escape(t))}</p>",
    "numeric.html": lambda t: "<p>" + "".join(f"&#{ord(c)};" for c in t) + "</p>",
    "comment.html": lambda t: f"<p>fine</p><!-- {t} -->",
    "attribute.html": lambda t: f'<img src="a.png" alt="{html.escape(t)}">',
    "paragraphs.html": lambda t: "".join(f"<p>{html.escape(line)}</p>" for line in t.splitlines()),
    "typeset.html": lambda t: f"<p>{t.replace(' ', chr(160)).replace(chr(34), chr(8220))}</p>",
    "data.html": lambda t: f'<a href="data:text/plain;base64,{b64(t + " " * 99)}">file</a>',
    "quoted.html": lambda t: f'<a href="data:text/plain,{percent(t)}">file</a>',
    "_sources/page.md.txt": lambda t: f"# A page\n\n```python\n{t}\n```\n",
    "flat.txt": lambda t: " ".join(t.split()),
    "loud.txt": lambda t: t.upper(),
    "spread.txt": lambda t: re.sub(r"(\W)", r" \1 ", t).replace("#  #  #", "###"),
    "searchindex.js": lambda t: f"Search.setIndex({json.dumps({'titles': ['Start', t]})})",
    "code.js": lambda t: "const text = " + json.dumps("<pre>" + html.escape(t) + "</pre>") + ";",
    "data.json": lambda t: json.dumps({"a": [1, {"b": t}]}),
    "source.ipynb": markdown_notebook,
    "stream.ipynb": lambda t: output_notebook(new_output("stream", text=t)),
    "error.ipynb": lambda t: output_notebook(
        new_output("error", ename="E", evalue="", traceback=t.split("\n"))
    ),
    "html.ipynb": lambda t: output_notebook(new_output("display_data", data={"text/html": coloured(t)})),
    "metadata.ipynb": metadata_notebook,
    "broken.ipynb": lambda t: markdown_notebook(t)[:-1],
    "utf16.txt": lambda t: t.encode("utf-16"),
    "lab.zip": lambda t: zipped("lab/lab.ipynb", markdown_notebook(t).encode()),
    "nested.zip": lambda t: zipped("inner.zip", zipped("page.html", coloured(t).encode())),
    "coursekit-1-py3-none-any.whl": lambda t: zipped("coursekit/density/kde.py", t.encode()),
    "coursekit-1.tar.gz": lambda t: tarred("coursekit-1/notes.md", t.encode()),
    "page.html.gz": lambda t: gzip.compress(html.escape(t).encode()),
    "objects.inv": lambda t: b"# Sphinx inventory version 2\n#\n#\n#\n" + zlib.compress(t.encode()),
    "book.db": lambda t: b"SQLite format 3\0\1\2" + t.encode() + b"\0",
}


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def percent(text: str) -> str:
    from urllib.parse import quote

    return quote(text)


@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize("container", CONTAINERS)
def test_each_kind_is_found_in_each_container(plant, container, secrets, tmp_path):
    file = tmp_path / "out" / container
    file.parent.mkdir(parents=True)
    content = CONTAINERS[container](PLANTS[plant])
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    (tmp_path / "out" / "clean.txt").write_text("nothing")
    found = leaks.scan([tmp_path / "out"], secrets)
    assert KIND.get(plant, plant) in {leak.kind for leak in found}
    assert {leak.file.partition("!")[0] for leak in found} == {str(file)}


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_container_of_public_text_is_clean(container, secrets, tmp_path):
    content = CONTAINERS[container](
        "def attend(scores, values):\n    return scores @ values  # weights\n" + "It is a weighted mean. " * 9
    )
    (tmp_path / container.replace("/", "-")).write_bytes(
        content if isinstance(content, bytes) else content.encode()
    )
    assert leaks.scan([tmp_path], secrets) == []


@pytest.mark.parametrize(
    "text",
    [
        SOLUTION.splitlines()[0].partition("#")[0],
        SOLUTION.replace("  # no overflow", ""),
        SOLUTION.replace("\n", "  # a remark\n"),
        HIDDEN.splitlines()[-1],
        "x = 1\n" + HIDDEN.splitlines()[1].replace("1e4", "1E4"),
        ANSWER.replace(" ", "\n"),
        re.sub(r"([=(.@])", r"\1  # a remark\n", SOLUTION.replace("# no overflow", "")),
        json.dumps(ANSWER.replace(" ", "\n")),
    ],
    ids=[
        *("first line", "no comments", "other comments", "last line", "capital", "one word per line"),
        *("a remark everywhere", "escaped line ends"),
    ],
)
def test_a_part_in_another_dress_is_found(text, secrets):
    assert leaks.scan_text(text, secrets)


def test_the_report_says_file_place_kind_and_origin(secrets, tmp_path):
    book = new_notebook(cells=[new_markdown_cell("Hi."), new_markdown_cell(f"Hi.\n\n{SOLUTION}")])
    nbformat.write(book, tmp_path / "lab.ipynb")
    (tmp_path / "page.txt").write_text("one\ntwo\n" + HIDDEN)
    found = {leak.file.rpartition("/")[2]: leak for leak in leaks.scan([tmp_path], secrets) if leak.of}
    assert (found["lab.ipynb"].place, found["lab.ipynb"].kind) == ("cell 1 source, line 3", "solution")
    assert (found["page.txt"].place, found["page.txt"].of) == ("line 3", "attention/attend-test")
    text = leaks.report(list(found.values()), most=1)
    assert "cell 1 source, line 3: solution of attention/attend: weights" in text
    assert text.endswith("and 1 more")


# --- what is public ----------------------------------------------------------------------------


def test_what_a_released_cell_shares_is_an_idiom_if_it_is_little():
    book = notebook()
    line = HIDDEN.splitlines()[-1]
    long = [
        f"first{i}, second{i}, third{i} = student.attend(scores_{i}, values), {i}, {i}.5" for i in range(40)
    ]
    book.cells[2].source = book.cells[2].source.replace(HIDDEN, "\n".join([HIDDEN, *long]))
    book.cells[0].source += f"\n```python\n{line}\n```"
    assert not leaks.scan_text(line, leaks.secrets_of(book))
    assert leaks.scan_text(HIDDEN, leaks.secrets_of(book))


def test_a_lab_that_says_its_own_secret_is_a_leak():
    book = notebook()
    book.cells[0].source += f"\n```python\n{SOLUTION}\n```"
    found = leaks.scan_text(book.cells[0].source, leaks.secrets_of(book, lab="attention"))
    assert {(leak.kind, leak.of) for leak in found} == {("solution", "attention/attend")}


@pytest.fixture
def course(tmp_path):
    (tmp_path / "source" / "attention").mkdir(parents=True)
    nbformat.write(notebook(), tmp_path / "source" / "attention" / "attention.ipynb")
    (tmp_path / "public").mkdir()
    return tmp_path


IDIOM = SOLUTION.splitlines()[0].partition("#")[0].rstrip()


def test_a_line_that_public_code_shares_is_an_idiom(course):
    long = notebook()
    long.cells[1].source = long.cells[1].source.replace(SOLUTION, SOLUTION + "\n" + 12 * NEW_LINE)
    nbformat.write(long, course / "source" / "attention" / "attention.ipynb")
    (course / "public" / "module.py").write_text(IDIOM)
    assert leaks.scan_text(IDIOM, leaks.course_secrets(course / "source"))
    secrets = leaks.course_secrets(course / "source", public=[course / "public"])
    assert not leaks.scan_text(IDIOM, secrets)
    assert leaks.scan_text(SOLUTION, secrets)


NEW_LINE = "".join(
    f"    first{i}, second{i}, third{i}, fourth{i} = scores, values, weights, first\n" for i in range(3)
)


def test_public_code_that_holds_a_whole_solution_is_a_leak(course):
    (course / "public" / "module.py").write_text(SOLUTION)
    secrets = leaks.course_secrets(course / "source", public=[course / "public"])
    assert leaks.scan([course / "public"], secrets)


def test_a_chapter_makes_no_hidden_test_public(course):
    long = notebook()
    long.cells[2].source = long.cells[2].source.replace(HIDDEN, f"{HIDDEN}\n{4 * NEW_LINE}")
    nbformat.write(long, course / "source" / "attention" / "attention.ipynb")
    line = HIDDEN.splitlines()[-1]
    (course / "public" / "chapter.md").write_text(line)
    assert not leaks.scan_text(line, leaks.course_secrets(course / "source", public=[course / "public"]))
    assert leaks.scan_text(line, leaks.course_secrets(course / "source", chapters=[course / "public"]))


def test_source_that_names_a_mark_may_be_published_but_no_notebook_may(course):
    text = 'START = "### BEGIN SOLUTION"  # where a region starts\n'
    (course / "public" / "module.py").write_text(text)
    secrets = leaks.course_secrets(course / "source", public=[course / "public"])
    assert not leaks.scan([course / "public"], secrets)
    assert leaks.scan([course / "public"], secrets, strict=True)
    (course / "public" / "page.ipynb").write_text(markdown_notebook(text))
    assert [leak.kind for leak in leaks.scan([course / "public"], secrets)] == ["marker"]
    (course / "public" / "page.ipynb").unlink()
    (course / "public" / "other.py").write_text("def f():\n    ### BEGIN SOLUTION\n    return 1\n")
    assert [leak.kind for leak in leaks.scan([course / "public"], secrets)] == ["marker"]


def test_a_name_that_only_hidden_tests_use_is_found_in_a_search_index(secrets, tmp_path):
    (tmp_path / "searchindex.js").write_text('Search.setIndex({"terms":{"shifted_scores":[3],"mean":0}})')
    (leak,) = leaks.scan([tmp_path], secrets)
    assert (leak.kind, leak.text) == ("name", "shifted_scores")


# --- a scan that cannot find anything must not pass -----------------------------------------------


def test_a_course_without_labs_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="there is no lab"):
        leaks.course_secrets(tmp_path)


def test_a_path_that_is_not_there_is_an_error(secrets, tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        leaks.scan([tmp_path / "nothing"], secrets)


def test_every_secret_of_the_notebook_is_known(secrets):
    cells = {of for _, of in secrets.grams.values()}
    assert cells >= {"attention/attend", "attention/attend-test", "attention/why", "attention/task"}
    assert {kind for kind, _ in secrets.grams.values()} == {"solution", "hidden test", "mark scheme"}
    assert "shifted_scores" in secrets.names
