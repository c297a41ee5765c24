"""Each button of a chapter leads to a notebook that exists, opens and runs."""

from __future__ import annotations

import json
import re
import subprocess
from html.parser import HTMLParser
from urllib.parse import parse_qs, urlsplit

import book_pages
import launch
import nbformat
import notebooks
import pytest

ROOT = book_pages.ROOT
SETTINGS = launch.Launch(
    hub_url="https://hub.example.edu/",
    repository="https://github.com/example/students",
    branch="main",
    package="https://example.edu/coursekit.whl",
)
CHAPTERS = notebooks.chapters()
LABS = [path.name for path in (ROOT / "labs" / "source").iterdir() if path.is_dir()]


@pytest.fixture(scope="session")
def students(tmp_path_factory):
    """The students' repository; a lab has there the name that it has in the source."""
    folder = tmp_path_factory.mktemp("students")
    notebooks.write(folder, package=SETTINGS.package)
    for lab in LABS:
        (folder / lab).mkdir()
        (folder / lab / f"{lab}.ipynb").touch()
    return folder


class Links(HTMLParser):
    """Every link of the buttons, with its label."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag == "a":
            named = dict(attributes)
            self.found.append((named["aria-label"], named["href"]))


def buttons(page, settings=SETTINGS):
    has_lab = page.split("/")[-1] in LABS
    file = f"../notebooks/{page}.ipynb"
    return Links(launch.bar(settings, page, file=file, has_lab=has_lab)).found


def test_the_chapters_are_those_of_the_book():
    assert len(CHAPTERS) > 10
    assert all((ROOT / "book" / f"{page}.md").exists() for page in CHAPTERS)


@pytest.mark.parametrize("page", CHAPTERS)
def test_each_button_of_a_chapter_has_its_target(page, students):
    found = dict(buttons(page))
    kinds = {"This chapter as a notebook": f"chapters/{page}.ipynb"}
    topic = page.split("/")[-1]
    if topic in LABS:
        kinds["Its lab"] = f"{topic}/{topic}.ipynb"
    assert len(found) == 3 * len(kinds)
    for what, path in kinds.items():
        assert (students / path).exists()
        hub = urlsplit(found[f"{what}: on the hub"])
        query = {name: value for name, (value,) in parse_qs(hub.query).items()}
        assert (
            f"{hub.scheme}://{hub.netloc}{hub.path}" == "https://hub.example.edu/hub/user-redirect/git-pull"
        )
        assert query == {
            "repo": SETTINGS.repository,
            "branch": "main",
            "targetpath": launch.FOLDER,
            "urlpath": f"lab/tree/{launch.FOLDER}/{path}",
        }
        colab = f"https://colab.research.google.com/github/example/students/blob/main/{path}"
        assert found[f"{what}: in Colab"] == colab


@pytest.mark.parametrize("page", CHAPTERS)
def test_each_chapter_is_a_valid_notebook_without_the_book_s_own_markup(page, students):
    notebook = nbformat.read(students / "chapters" / f"{page}.ipynb", as_version=4)
    nbformat.validate(notebook)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert len(code) > 5
    assert not re.findall(r"\{[a-z:]+\}`|^[`:]{3,}\{.*|^\([\w-]+\)=$", text, re.M)
    assert text.count("```") % 2 == 0
    assert "myst_nb" not in "\n".join(code)
    assert "newcommand" in text
    for source in code[1:]:  # the first has a magic of IPython
        compile(source, page, "exec")


@pytest.mark.parametrize("page", CHAPTERS)
def test_the_code_of_the_notebook_is_the_code_of_the_chapter(page):
    chapter = (ROOT / "book" / f"{page}.md").read_text(encoding="utf-8")
    cells = [cell for cell in notebooks.notebook(page)["cells"] if cell["cell_type"] == "code"]
    assert len(cells) == chapter.count("```{code-cell}")
    lines = {line for cell in cells for line in cell["source"].splitlines() if line.strip()}
    missing = lines - set(chapter.splitlines()) - set(notebooks.OWN_GLUE.splitlines())
    assert not missing


def test_a_notebook_runs_in_the_students_repository(students):
    """As a student runs it: in its own folder, with nothing of the book around it."""
    folder = students / "chapters" / "density"
    code = """
import json, sys
cells = json.load(open("inverse_cdf.ipynb"))["cells"]
names = {"display": lambda *arguments: None}
for cell in [cell for cell in cells if cell["cell_type"] == "code"][1:]:
    exec(compile(cell["source"], cell["id"], "exec"), names)
assert not [name for name in sys.modules if name.startswith(("myst_nb", "sphinx"))]
"""
    import sys

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_what_is_not_set_has_no_button():
    page = CHAPTERS[1]
    assert [label for label, _ in buttons(page, launch.Launch())] == ["This chapter as a notebook: download"]
    no_hub = launch.Launch(repository=SETTINGS.repository, package="x")
    assert not any("hub" in label for label, _ in buttons(page, no_hub))
    elsewhere = launch.Launch(hub_url="https://h", repository="https://git.example.edu/a/b", package="x")
    assert {label.split(": ")[1] for label, _ in buttons(page, elsewhere)} == {"on the hub", "download"}


def test_an_address_cannot_break_out_of_its_button():
    evil = launch.Launch(hub_url='https://h"><script>', repository="https://github.com/a/b")
    assert "<script>" not in launch.bar(evil, "density/kde", file="x", has_lab=True)


@pytest.mark.parametrize("page", CHAPTERS)
def test_the_built_page_has_its_buttons_and_its_notebook(page, book):
    text = (book / f"{page}.html").read_text(encoding="utf-8")
    (bar,) = re.findall(r'<nav class="ck-launch".*?</nav>', text, re.S)
    (link,) = [href for label, href in Links(bar).found if label.endswith("notebook: download")]
    target = (book / page).parent / link
    assert json.loads(target.read_text(encoding="utf-8"))["nbformat"] == 4
