"""Chapters as notebooks that open anywhere: in a hub, in Colab, on the reader's machine.

A chapter is a notebook in Markdown that only the book understands: directives, labels, citations. Here it
becomes plain Markdown cells and code cells, without outputs: what the book draws, the reader runs.

``python book/_ext/notebooks.py DIR`` writes ``DIR/chapters/PART/TOPIC.ipynb``, and the stored results that
chapters read, into the students' repository. The book has the same notebooks under ``notebooks/``.
"""

from __future__ import annotations

import argparse
import ast
import functools
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"
NOT_CHAPTERS = {"api"}
FENCE = re.compile(r"^(?P<marks>`{3,}|:{3,})\{(?P<name>[\w:-]+)\}[ \t]*(?P<title>.*)$")
ROLE = re.compile(r"\{(?P<name>[a-z:]+)\}`(?P<text>[^`]+)`")
GLUE = re.compile(r"^from myst_nb import glue$", re.M)
OWN_GLUE = """def glue(name, value, **options):
    print(f"{name}: {value}")  # the book shows it in its text
"""
BOXES = {
    "definition",
    "theorem",
    "proposition",
    "lemma",
    "corollary",
    "proof",
    "remark",
    "example",
    "algorithm",
}


def chapters() -> list[str]:
    """Every page of a part of the book that has code, in the order of the table of contents."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    names = [entry["file"] for part in toc["parts"] for entry in part["chapters"] if "file" in entry]
    return [name for name in names if "/" in name and name.split("/")[0] not in NOT_CHAPTERS]


# --- words for labels and citations --------------------------------------------------------------------


@functools.cache
def titles() -> dict[str, str]:
    """What a label stands for: the heading below it, or the title of the box that has it."""
    found = {}
    for path in sorted(BOOK.rglob("*.md")):
        text = path.read_text(encoding="utf-8")
        found |= {label: title.strip() for label, title in re.findall(r"^\((\S+)\)=\n#+ (.*)$", text, re.M)}
        box = r"^[`:]{3,}\{(?:prf:)?(\w+)\}[ \t]*(.*)\n(?::[\w-]+:.*\n)*?:label: (\S+)$"
        for kind, title, label in re.findall(box, text, re.M):
            found[label] = f"{kind} ({title})" if title else f"the {kind} above"
    return found


@functools.cache
def citations() -> dict[str, tuple[str, str]]:
    """First author and year of everything in the bibliography."""
    found = {}
    for entry in re.split(r"^@", (BOOK / "references.bib").read_text(encoding="utf-8"), flags=re.M)[1:]:
        key = re.match(r"\w+\{([^,\s]+)", entry)
        author = re.search(r"author\s*=\s*[{\"](.+?)[}\"],?\s*$", entry, re.M | re.S)
        year = re.search(r"year\s*=\s*[{\"]?(\d{4})", entry)
        if key and author:
            people = [person.strip() for person in re.split(r"\s+and\s+", author[1])]
            names = [re.sub(r"[{}\\]", "", p.split(",")[0] if "," in p else p.split()[-1]) for p in people]
            who = (
                names[0]
                if len(names) == 1
                else " and ".join(names)
                if len(names) == 2
                else f"{names[0]} et al."
            )
            found[key[1]] = (who, year[1] if year else "n.d.")
    return found


def _role(match: re.Match[str]) -> str:
    name, text = match["name"], match["text"]
    named = re.fullmatch(r"(.*?)\s*<(.+)>", text, re.S)
    words, target = (named[1], named[2]) if named else ("", text)
    if name in ("ref", "doc", "numref", "prf:ref"):
        return words or f"*{titles().get(target, target.strip('/').replace('-', ' '))}*"
    if name == "term":
        return words or target
    if name in ("cite:t", "cite:p", "cite"):
        pairs = [citations().get(key.strip(), (key.strip(), "")) for key in target.split(",")]
        if name == "cite:t":
            return ", ".join(f"{who} ({year})" for who, year in pairs)
        return "(" + "; ".join(f"{who}, {year}" for who, year in pairs) + ")"
    if name == "eq":
        return f"(*{target}*)"
    if name == "math":
        return f"${target}$"
    if name.startswith("py:"):
        return f"`{words or target.lstrip('~')}`"
    if name.startswith("glue"):
        return f"*[{target.split(':')[0]}: printed by its cell]*"
    return words or target


# --- directives ----------------------------------------------------------------------------------------


def _options(lines: list[str]) -> tuple[dict[str, str], list[str]]:
    """Take the options off a directive's body: ``:name: value`` lines, or a block between dashes."""
    if lines and lines[0].strip() == "---":
        end = next(i for i, line in enumerate(lines[1:], 1) if line.strip() == "---")
        return yaml.safe_load("\n".join(lines[1:end])) or {}, lines[end + 1 :]
    options = {}
    while lines and (found := re.match(r"^:([\w-]+):\s*(.*)$", lines[0])):
        options[found[1]] = found[2]
        lines = lines[1:]
    return options, lines


def _included(path: Path, options: dict[str, str]) -> str:
    """The part of a module that a chapter shows."""
    source = path.read_text(encoding="utf-8")
    node: Any = ast.parse(source)
    for name in filter(None, options.get("pyobject", "").split(".")):
        node = next(child for child in ast.walk(node) if getattr(child, "name", None) == name)
    text = (ast.get_source_segment(source, node) if options.get("pyobject") else source) or ""
    if "lines" in options:
        lines, kept = text.splitlines(), []
        for part in str(options["lines"]).split(","):
            first, dash, last = part.partition("-")
            kept += lines[int(first or 1) - 1 : int(last or (len(lines) if dash else first))]
        text = "\n".join(kept)
    return f"From `{path.relative_to(ROOT)}`:\n\n```python\n{text}\n```"


def _directive(name: str, title: str, body: list[str], page: Path) -> str:
    options, body = _options(body)
    kind = name.removeprefix("prf:")
    if name == "math":
        tag = f" \\tag{{{options['label']}}}" if "label" in options else ""
        return "$$\n" + "\n".join(body).strip() + tag + "\n$$"
    if name == "literalinclude":
        return _included((page.parent / title).resolve(), options)
    if name == "raw":
        return "*(Here the book has a figure that moves.)*"
    inside = plain("\n".join(body), page).strip()
    if name == "solution" or "dropdown" in str(options.get("class", "")):
        label = "Solution" if name == "solution" else plain(title, page)
        return f"<details><summary>{label}</summary>\n\n{inside}\n\n</details>"
    if name == "exercise":
        return f"**Exercise{f' ({title})' if title else ''}.** {inside}"
    if kind in BOXES:
        return f"**{kind.capitalize()}{f' ({plain(title, page)})' if title else ''}.** {inside}"
    return f"**{plain(title, page)}**\n\n{inside}" if title else inside


def _blocks(text: str) -> Iterator[tuple[str, str, list[str]]]:
    """Split Markdown into directives (name, title, body) and the text between them (name is empty)."""
    lines, between = text.splitlines(), []
    i = 0
    while i < len(lines):
        found = FENCE.match(lines[i])
        if found is None:
            between.append(lines[i])
            i += 1
            continue
        end = next((j for j in range(i + 1, len(lines)) if lines[j].rstrip() == found["marks"]), len(lines))
        yield "", "", between
        yield found["name"], found["title"], lines[i + 1 : end]
        between, i = [], end + 1
    yield "", "", between


def plain(text: str, page: Path) -> str:
    """Write a chapter's Markdown in the Markdown that every notebook shows."""
    parts = []
    for name, title, body in _blocks(text):
        if name:
            parts.append("\n" + _directive(name, title, body, page) + "\n\n")
        else:
            kept = "\n".join(line for line in body if not re.match(r"^\([\w-]+\)=$", line))
            parts.append(ROLE.sub(_role, kept))
    return "\n".join(parts)


# --- a notebook ----------------------------------------------------------------------------------------


def macros() -> str:
    """The notation's macros, as a cell that defines them."""
    settings = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["sphinx"]["config"]
    lines = []
    for name, value in settings["mathjax3_config"]["tex"]["macros"].items():
        text, *count = value if isinstance(value, list) else [value]
        lines.append(f"\\newcommand{{\\{name}}}{f'[{count[0]}]' if count else ''}{{{text}}}")
    return "$" + "\n".join(lines) + "$"


def notebook(name: str, *, package: str = "") -> dict[str, Any]:
    """Make a chapter's notebook.

    Parameters
    ----------
    name : str
        The page, such as ``density/kde``.
    package : str
        What pip installs where ``coursekit`` is missing, as on Colab; nothing if empty.

    Returns
    -------
    dict
        Version 4.5 of the notebook format.
    """
    page = BOOK / f"{name}.md"
    text = re.sub(r"\A---\n.*?\n---\n", "", page.read_text(encoding="utf-8"), flags=re.S)
    cells: list[tuple[str, str]] = []
    if package:
        start = (
            "# Where the course's package is missing (on Colab), this installs it.\nimport importlib.util\n\n"
        )
        cells.append(
            (
                "code",
                f'{start}if importlib.util.find_spec("coursekit") is None:\n    %pip install -q "{package}"',
            )
        )
    pieces: list[tuple[str, str]] = []
    for kind, title, body in _blocks(text):
        if kind == "code-cell":
            source = "\n".join(_options(body)[1]).strip("\n")
            pieces.append(("code", GLUE.sub(lambda _: OWN_GLUE, source)))
        elif kind:
            pieces.append(("markdown", "\n\n" + _directive(kind, title, body, page) + "\n\n"))
        else:
            pieces.append(("markdown", plain("\n".join(body), page)))
    for kind, source in pieces:
        if kind == "markdown" and cells and cells[-1][0] == "markdown":
            cells[-1] = ("markdown", cells[-1][1] + source)
        elif source.strip():
            cells.append((kind, source))
    place = 1 if package else 0
    cells[place] = ("markdown", f"{cells[place][1].strip()}\n\n{macros()}")
    return {
        "cells": [_cell(kind, source.strip("\n"), i) for i, (kind, source) in enumerate(cells)],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _cell(kind: str, source: str, number: int) -> dict[str, Any]:
    source = re.sub(r"\n{3,}", "\n\n", source) if kind == "markdown" else source
    cell: dict[str, Any] = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}, "source": source}
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def to_text(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def write(folder: Path, *, package: str = "") -> list[Path]:
    """Write every chapter, and the results that chapters read, into the students' repository."""
    written = []
    for name in chapters():
        path = folder / "chapters" / f"{name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(to_text(notebook(name, package=package)), encoding="utf-8")
        written.append(path)
    # A chapter reads "../../results", which from chapters/PART/ is the folder beside chapters/.
    shutil.copytree(ROOT / "results", folder / "results", dirs_exist_ok=True)
    return written


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DIR", help="the students' repository")
    parser.add_argument(
        "--package", default="", help="what pip installs on Colab, such as the address of a wheel"
    )
    options = parser.parse_args()
    print(f"{len(write(options.folder, package=options.package))} chapters in {options.folder / 'chapters'}")
