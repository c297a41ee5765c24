"""The build: a broken page fails it, nothing runs twice, what changes runs again, budgets hold."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import coursebook
import execution
import nbformat
import pytest
from book_pages import ROOT

PAGE = """---
jupytext:
  text_representation: {{extension: .md, format_name: myst}}
kernelspec: {{display_name: Python 3, language: python, name: python3}}
---
# A page

```{{code-cell}} ipython3
{code}
```
"""
TOC = "format: jb-book\nroot: index\nparts:\n- caption: All\n  chapters:\n  - file: times\n"


@pytest.fixture
def tree(tmp_path):
    """A book of two pages with this project's settings and extensions."""
    ignore = shutil.ignore_patterns("__pycache__")
    for folder in ("_ext", "_static", "_inventories"):
        shutil.copytree(ROOT / "book" / folder, tmp_path / "book" / folder, ignore=ignore)
    shutil.copy(ROOT / "_config.yml", tmp_path)
    shutil.copy(ROOT / "book" / "times.md", tmp_path / "book")
    (tmp_path / "book" / "references.bib").touch()
    (tmp_path / "_toc.yml").write_text(TOC)
    shutil.copytree(ROOT / "results", tmp_path / "results")  # figures show some of its numbers
    return tmp_path


def build(tree: Path, code: str, **environment: str) -> subprocess.CompletedProcess:
    """Build the small book with this code in its page."""
    (tree / "book" / "index.md").write_text(PAGE.format(code=code))
    settings = dict(os.environ, PYTHONPATH=str(ROOT), **environment)
    command = [sys.executable, str(tree / "book" / "_ext" / "build.py")]
    return subprocess.run(command, env=settings, capture_output=True, text=True, timeout=300)


def test_a_book_builds_once_and_runs_again_only_what_changed(tree):
    first = build(tree, "print(6 * 7)")
    assert first.returncode == 0, first.stdout + first.stderr
    html = tree / "_build" / "html"
    assert "<span></span>42" in (html / "index.html").read_text()
    assert f"Open {html / 'index.html'}" in first.stdout
    times = json.loads((tree / "_build" / "execution_times.json").read_text())
    assert set(times) == {"index"}
    assert 0 < times["index"]["cpu"] < 45
    assert "A page" in (html / "times.html").read_text()
    second = build(tree, "print(6 * 7)")
    assert second.returncode == 0
    assert "running 1 page" in first.stdout
    assert "running 1 page" not in second.stdout
    (tree / "results" / "new.json").write_text("{}")
    assert "running 1 page" in build(tree, "print(6 * 7)").stdout


@pytest.mark.parametrize(
    ("code", "complaint", "times"),
    [
        ("1 / 0", "ZeroDivisionError", 1),
        ("import warnings; warnings.warn('careful')", "careful", 1),
        # Also the second time, when Sphinx has read the page already and nothing has changed.
        ("1\n```\n\n{ref}`nowhere`\n\n```{code-cell}\n2", "undefined label: 'nowhere'", 2),
    ],
    ids=["error", "warning", "dead-reference"],
)
def test_a_broken_page_fails_the_build_each_time(tree, code, complaint, times):
    for _ in range(times):
        broken = build(tree, code)
        assert broken.returncode != 0
        assert complaint in broken.stdout + broken.stderr


def test_a_page_above_its_budget_fails_the_build(tree):
    slow = build(tree, "sum(range(10**7))", COURSEKIT_TIME_SLACK="0.001")
    assert slow.returncode != 0
    assert "its budget is" in slow.stdout + slow.stderr
    assert slow.stdout.count("running 1 page") == 2  # it had a second chance


def test_a_page_that_was_slow_once_is_judged_by_its_second_run(tree):
    mark = tree / "ran"
    code = f"""import pathlib, time
mark = pathlib.Path({str(mark)!r})
end = time.process_time() + (0 if mark.exists() else 30)
mark.touch()
while time.process_time() < end: pass"""
    slack = 5 / 45  # of the budget: a page may take 5 s on a quiet core
    first = build(tree, code, COURSEKIT_TIME_SLACK=str(slack))
    assert first.returncode == 0, first.stdout + first.stderr
    assert first.stdout.count("running 1 page") == 2


def test_budget_is_that_of_the_longest_matching_start():
    budgets = {"": 45, "density/": 10}
    assert coursebook.budget_of("density/kde", budgets) == 10
    assert coursebook.budget_of("flows/planar", budgets) == 45
    times = {name: {"cpu": 16.0, "slowness": 1.0} for name in ("density/kde", "flows/planar")}
    assert [line.split()[0] for line in coursebook.over_budget(times, budgets, 1.5)] == ["density/kde"]
    times["density/kde"]["slowness"] = 1.2  # the core was slow, not the page
    assert coursebook.over_budget(times, budgets, 1.5) == []


@pytest.mark.parametrize(
    ("python", "exponential", "slowness"),
    [(1.0, 1.0, 1.0), (0.5, 0.5, 1.0), (2.0, 2.0, 2.0), (1.0, 3.0, 2.0), (3.0, 1.0, 2.0)],
)
def test_slowness_is_the_mean_of_python_s_and_of_arithmetic_s(monkeypatch, python, exponential, slowness):
    spent = (python * execution.PYTHON_SECONDS, exponential * execution.EXPONENTIAL_SECONDS)
    monkeypatch.setattr(execution, "yardstick", lambda: spent)
    assert execution.slowness() == pytest.approx(slowness)


def test_cpu_time_is_that_of_the_page():
    notebook = nbformat.v4.new_notebook()
    code = (
        "import time\nstart = time.process_time()\nwhile time.process_time() - start < 1: pass\ntime.sleep(1)"
    )
    notebook.cells = [nbformat.v4.new_code_cell(code)]
    result = execution.run_notebook(nbformat.writes(notebook), str(ROOT), 60)
    assert result["error"] is None
    assert 1 <= result["cpu"] < result["wall"]
    assert result["slowness"] >= 1


def test_a_cell_that_hangs_is_stopped():
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell("import time; time.sleep(60)")]
    assert "timed out" in execution.run_notebook(nbformat.writes(notebook), str(ROOT), 2)["error"]


def test_the_cache_knows_the_package_and_the_results(tmp_path):
    for name in ("coursekit/a.py", "results/a.json", "requirements.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1")
    keys = {execution.state_key(tmp_path)}
    for name in ("coursekit/a.py", "results/a.json", "requirements.txt"):
        (tmp_path / name).write_text("2")
        keys.add(execution.state_key(tmp_path))
    assert len(keys) == 4
    (tmp_path / "unrelated.txt").write_text("3")
    (tmp_path / "coursekit" / "cli.py").write_text("3")
    assert execution.state_key(tmp_path) in keys


def test_an_old_address_leads_to_the_new_one(tmp_path):
    (tmp_path / "density").mkdir()
    (tmp_path / "density" / "kde.html").write_text("<html></html>")
    coursebook.write_redirect(tmp_path, "old/parzen", "density/kde")
    page = (tmp_path / "old" / "parzen.html").read_text()
    assert 'content="0; url=../density/kde.html"' in page
    with pytest.raises(coursebook.ExtensionError, match="no page of the book"):
        coursebook.write_redirect(tmp_path, "old/parzen", "density/nowhere")
    with pytest.raises(coursebook.ExtensionError, match="is a page of the book"):
        coursebook.write_redirect(tmp_path, "density/kde", "density/kde")


def test_no_page_of_the_built_book_is_without_its_script_or_style(book):
    text = (book / "index.html").read_text(encoding="utf-8")
    assert text.count("course.css") == text.count("course.js") == 1
    assert (book / "_static" / "mathjax" / "tex-chtml.js").exists()


def test_inventories_hold_the_names_that_chapters_use():
    from sphinx.util.inventory import InventoryFile

    wanted = {
        "numpy": "numpy.ndarray",
        "scipy": "scipy.stats.gaussian_kde",
        "sklearn": "sklearn.neighbors.KernelDensity",
        "python": "ValueError",
        "torch": "torch.Tensor",
        "matplotlib": "matplotlib.figure.Figure",
    }
    for project, name in wanted.items():
        with (ROOT / "book" / "_inventories" / f"{project}.inv").open("rb") as file:
            names = InventoryFile.load(file, "https://example.org", lambda a, b: f"{a}/{b}")
        assert any(name in kind for kind in names.values()), (project, name)


def test_chapters_import_nothing_that_the_cache_leaves_out():
    for page in (ROOT / "book").rglob("*.md"):
        code = page.read_text(encoding="utf-8").split("```{code-cell}")[1:]
        for cell in code:
            body = cell.split("```")[0]
            assert "coursekit.grading" not in body.replace("coursekit.grading.sandbox", ""), page
            assert "coursekit.cli" not in body, page
            assert "coursekit.workbench" not in body, page
