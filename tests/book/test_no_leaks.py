"""No solution and no hidden test of a lab is in the built book or in the package that is installed."""

from __future__ import annotations

import html
import shutil
import subprocess
import sys
import zipfile

import book_pages
import nbformat
import pytest

from coursekit.grading import leaks

ROOT = book_pages.ROOT


@pytest.fixture(scope="session")
def secrets():
    """What no page may show; a chapter may share an idiom with a solution, but nothing with a hidden test."""
    public, chapters = [ROOT / "coursekit"], [ROOT / "book"]
    found = leaks.course_secrets(ROOT / "labs" / "source", public=public, chapters=chapters)
    assert len(found.grams) > 2000
    return found


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The package as `pip` builds it, from a copy of the tree."""
    copy = tmp_path_factory.mktemp("tree")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "coursekit", copy / "coursekit", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "-q", "-w", str(copy / "dist"), str(copy)], check=True)
    (file,) = (copy / "dist").glob("*.whl")
    return file


def a_hidden_test() -> str:
    for file in sorted((ROOT / "labs" / "source").glob("*/*.ipynb")):
        for cell in nbformat.read(file, as_version=4).cells:
            _, _, hidden = cell.source.partition("### BEGIN HIDDEN TESTS\n")
            if hidden:
                return "\n".join(hidden.splitlines()[1:6])
    raise AssertionError("no lab has hidden tests")


def test_the_book_is_free_of_leaks(book, secrets):
    assert list(book.rglob("searchindex.js"))
    found = leaks.scan([book], secrets)
    assert not found, leaks.report(found)


def test_the_wheel_is_free_of_leaks(wheel, secrets):
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
    assert "coursekit/grading/leaks.py" in names
    assert "coursekit/grading/feedback.html.jinja" in names
    assert not [name for name in names if name.endswith(".ipynb") or name.startswith(("labs", "tests"))]
    found = leaks.scan([wheel], secrets)
    assert not found, leaks.report(found)


@pytest.mark.parametrize("place", ["page", "index", "source", "wheel"])
def test_a_hidden_test_in_any_of_them_is_found(book, wheel, secrets, tmp_path, place):
    leaked = a_hidden_test()
    if place == "wheel":
        file = tmp_path / wheel.name
        shutil.copy(wheel, file)
        with zipfile.ZipFile(file, "a") as packed:
            packed.writestr("coursekit/notes.py", leaked)
    else:
        name = {"page": "index.html", "index": "searchindex.js", "source": "_sources/index.md.txt"}[place]
        file = tmp_path / name.replace("/", "-")
        before = (book / name).read_text() if (book / name).exists() else ""
        file.write_text(before + (html.escape(leaked) if place == "page" else leaked))
    found = leaks.scan([file], secrets)
    assert "hidden test" in {leak.kind for leak in found}
