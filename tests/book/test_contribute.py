"""The page that says how to add a topic is tried: its code is taken from it, added to a copy, and tested."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "book/contribute.md").read_text()


def block(language, start):
    """The page's one code block in `language` that starts with a text."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.S | re.M)
    found = [text for text in blocks if text.startswith(start)]
    assert len(found) == 1, f"{len(found)} blocks start with {start!r}"
    return found[0]


def test_the_example_passes_its_tests_and_every_law(tmp_path):
    shutil.copytree(ROOT / "coursekit", tmp_path / "coursekit", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tests/density").mkdir(parents=True)
    for name in ("tests/test_laws.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "coursekit/density/rayleigh.py").write_text(block("python", '"""The Rayleigh law: '))
    (tmp_path / "tests/density/test_rayleigh.py").write_text(block("python", '"""The Rayleigh law against'))
    init = tmp_path / "coursekit/density/__init__.py"
    init.write_text(init.read_text() + block("python", "from coursekit.density.rayleigh"))

    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", "Rayleigh or rayleigh"]
    done = subprocess.run(
        [*command, "tests/density/test_rayleigh.py", "tests/test_laws.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    passed = int(re.search(r"(\d+) passed", done.stdout).group(1))
    assert passed > 50  # its own tests, the laws, and scikit-learn's checks

    where = "import coursekit.density as d; print(d.Rayleigh.__module__, d.__file__)"
    out = subprocess.run(
        [sys.executable, "-c", where],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert out.startswith("coursekit.density.rayleigh")
    assert str(tmp_path) in out


def test_the_line_for_the_table_of_contents_fits_into_it():
    line = block("yaml", "      - file: density/rayleigh")
    toc = (ROOT / "_toc.yml").read_text()
    anchor = "      - file: density/kde\n"
    assert anchor in toc
    parts = yaml.safe_load(toc.replace(anchor, anchor + line))["parts"]
    assert {"file": "density/rayleigh"} in [entry for part in parts for entry in part["chapters"]]


def test_the_example_chapter_has_the_topic_as_its_label():
    chapter = re.search(r"^````markdown\n(.*?)^````$", PAGE, re.S | re.M).group(1)
    assert "\n(rayleigh)=\n# " in chapter


def test_every_make_target_that_the_pages_name_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    for page in ("book/contribute.md", "book/use.md", "README.md"):
        named = set(re.findall(r"(?:`|\$ )make ([a-z]+)", (ROOT / page).read_text()))
        assert named
        assert named <= targets, page
