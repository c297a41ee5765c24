"""One name opens four doors, arrows point down, and every public model is in the catalogue."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from coursekit.base import Likelihood, catalogue, topic_modules

ROOT = Path(__file__).parents[1]
PARTS = ["density", "autoencoders", "latent", "adversarial", "flows", "gaussianization", "disentangling"]
WITHOUT_MODULE = {"foundations", "practice"}  # parts about what all models share
HELPERS = {"discrete", "marginals", "rotations"}  # modules that several topics share and no chapter teaches
SHARED = ["base", "check", "train", "metrics", "data", "plot", "nn", "lab", "workbench"]
TOP_LEVEL = {
    *("README.md", "Makefile", "pyproject.toml", "requirements.txt", "_config.yml", "_toc.yml"),
    *("LICENSE", "CITATION.cff", "CONTRIBUTING.md", "CHANGELOG.md", ".ci", ".github", ".gitignore"),
    *("book", "labs", "coursekit", "tests", "deploy", "benchmarks", "results"),
}


def toc_pages():
    """Every page that the table of contents lists, in order."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())

    def walk(node):
        if isinstance(node, dict):
            if "file" in node:
                yield node["file"]
            for value in node.values():
                yield from walk(value)
        elif isinstance(node, list):
            for item in node:
                yield from walk(item)

    return [toc["root"], *walk(toc)]


CHAPTERS = [page for page in toc_pages() if page.split("/")[0] in {*PARTS, *WITHOUT_MODULE}]
MODULES = {name: module for name, module in topic_modules().items() if name not in HELPERS}


def tracked():
    out = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [Path(line) for line in out.stdout.splitlines()]


def test_top_level_holds_what_the_plan_names():
    assert {path.parts[0] for path in tracked()} <= TOP_LEVEL


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_chapter_has_its_module_and_tests(chapter):
    part, topic = chapter.split("/")
    assert (ROOT / f"book/{part}/{topic}.md").is_file()
    if part not in WITHOUT_MODULE:
        assert (ROOT / f"coursekit/{part}/{topic}.py").is_file()
    assert (ROOT / f"tests/{part}/test_{topic}.py").is_file()


@pytest.mark.parametrize("topic", MODULES)
def test_every_module_has_its_chapter(topic):
    part = MODULES[topic].split(".")[1]
    assert f"{part}/{topic}" in CHAPTERS


def test_every_page_is_in_the_table_of_contents():
    """The pages of the reference (api/coursekit*) are generated, and listed by a pattern."""
    written = [path for path in tracked() if path.parts[0] == "book" and path.suffix == ".md"]
    assert {path.relative_to("book").with_suffix("").as_posix() for path in written} == set(toc_pages())


def test_every_lab_is_named_after_a_topic():
    topics = {chapter.split("/")[1] for chapter in CHAPTERS}
    labs = [folder.name for folder in (ROOT / "labs/source").iterdir() if folder.is_dir()]
    assert labs
    assert set(labs) <= topics
    for lab in labs:
        assert (ROOT / f"labs/source/{lab}/{lab}.ipynb").is_file()
        assert (ROOT / f"labs/expected/{lab}.json").is_file()
        assert (ROOT / f"tests/labs/{lab}").is_dir()


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_chapter_label_is_the_topic(chapter):
    text = (ROOT / f"book/{chapter}.md").read_text()
    assert f"({chapter.split('/')[1]})=\n" in text


def imports(path):
    """Modules of coursekit that a file imports, inside functions too."""
    package = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*package.split(".")[: -node.level], base]).rstrip(".")
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (name for name in names if name.startswith("coursekit."))


def order_of(module):
    """Place of a topic in the book; helpers stand before every topic."""
    parts = module.split(".")
    page = "/".join(parts[1:3])
    return CHAPTERS.index(page) if page in CHAPTERS else -1


@pytest.mark.parametrize("path", sorted((ROOT / "coursekit").rglob("*.py")), ids=lambda p: p.stem)
def test_imports_point_down(path):
    parts = path.relative_to(ROOT / "coursekit").with_suffix("").parts
    for name in imports(path):
        target = name.split(".")[1]
        if parts[0] == "cli":
            continue
        assert target != "cli", f"{path}: nothing imports the command line"
        if parts[0] != "grading":
            assert target != "grading", f"{path}: models and shared code know nothing of grading"
        if parts[0] in SHARED:
            assert target not in PARTS, f"{path}: shared code must not know a topic ({name})"
        if parts[0] in PARTS and target in PARTS and parts[-1] != "__init__":
            own, other = ".".join(["coursekit", *parts]), ".".join(name.split(".")[:3])
            if own != other and len(name.split(".")) > 2:
                assert order_of(other) <= order_of(own), f"{own} imports {other}, a later topic"


def public_classes():
    """Every public class of the topics that can be fitted and evaluated or sampled."""
    for topic, name in topic_modules().items():
        module = importlib.import_module(name)
        for cls_name, cls in inspect.getmembers(module, inspect.isclass):
            if cls.__module__ == name and not cls_name.startswith("_"):
                verbs = [verb for verb in ("fit", "loss", "log_prob", "sample", "elbo") if hasattr(cls, verb)]
                if {"fit", "loss"} & set(verbs) and len(verbs) >= 2:
                    yield topic, cls


@pytest.mark.parametrize(("topic", "cls"), [pytest.param(t, c, id=c.__name__) for t, c in public_classes()])
def test_every_public_model_is_in_the_catalogue_with_the_stated_likelihood(topic, cls):
    """The topic's tests state the likelihood too: no model escapes by calling itself a bound."""
    entry = catalogue().get(cls.__name__)
    assert entry is not None, f"{cls.__name__} is a public model and not in the catalogue"
    assert entry.cls is cls
    part = topic_modules()[topic].split(".")[1]
    source = (ROOT / f"tests/{part}/test_{topic}.py").read_text()
    stated = [
        ast.literal_eval(node.value)
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == "LIKELIHOOD"
    ]
    assert stated, f"tests/{part}/test_{topic}.py must state LIKELIHOOD"
    assert Likelihood(stated[0][cls.__name__]) is cls.likelihood


def test_parts_reexport_their_models():
    for name, entry in catalogue().items():
        assert getattr(importlib.import_module(f"coursekit.{entry.part}"), name) is entry.cls


def test_importing_the_package_is_quick_and_loads_no_torch():
    modules = ["base", "check", "data", "density", "plot"]
    names = ", ".join(f"coursekit.{name}" for name in modules)
    command = [sys.executable, "-W", "error::UserWarning", "-c"]
    command.append(f"import sys, {names}; sys.exit('torch' in sys.modules)")
    assert subprocess.run(command, check=False).returncode == 0


def test_no_file_is_larger_than_two_mebibytes():
    assert [p for p in tracked() if (ROOT / p).is_file() and (ROOT / p).stat().st_size > 2 * 2**20] == []
