"""The book's own Sphinx extension: what the book does beyond Jupyter Book.

* writes one API page per public module of ``coursekit`` (``book/api/coursekit*.rst``);
* runs the chapters in parallel before they are read (``execution.py``);
* ``{execution-times}`` and ``{execution-slack}``: the table of execution times, and what the build tolerates;
* writes the data of the interactive figures, and loads their script only where a figure is;
* writes every chapter as a notebook, and the buttons that open it (``launch.py``, ``notebooks.py``);
* keeps every page readable offline and old addresses alive.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import execution
import launch
import notebooks
from docutils import nodes
from myst_nb.core.read import create_nb_reader
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

ROOT = execution.ROOT
LOG = logging.getLogger("coursebook")
# Execute these pages only (comma-separated), for a quick look while writing.
ONLY = [name for name in os.environ.get("COURSEKIT_BOOK_ONLY", "").split(",") if name]
JOBS = int(os.environ.get("COURSEKIT_BOOK_JOBS", "0")) or min(os.cpu_count() or 1, 8)
SLACK = float(os.environ.get("COURSEKIT_TIME_SLACK", "1.5"))


# --- settings that depend on the state of the tree ---------------------------------------------------


def prepare(app: Sphinx, config: Config) -> None:
    """Before anything is read: API pages, figure data, the cache's folder, our scripts and styles."""
    build = Path(app.outdir).parent
    write_api_pages(Path(app.srcdir) / "api")
    config.nb_execution_cache_path = str(execution.cache_folder(build))
    # Jupyter Book loads every script and style that it finds on every page; we say which, and where.
    config.html_js_files = ["course.js"]
    config.html_css_files = ["course.css"]
    generated = build / "generated"
    write_figure_data(generated / "figure_data.js")
    config.html_static_path = [*config.html_static_path, str(generated)]


def public_modules() -> list[str]:
    """Every module of ``coursekit`` whose name has no leading underscore, packages first."""
    package = importlib.import_module("coursekit")
    names = ["coursekit"]
    for module in pkgutil.walk_packages(package.__path__, "coursekit."):
        if not any(part.startswith("_") for part in module.name.split(".")):
            names.append(module.name)
    return sorted(names)


def write_api_pages(folder: Path) -> None:
    """One page per public module, made from its docstrings; pages of vanished modules are removed."""
    names = public_modules()
    for name in names:
        execution.write_if_new(folder / f"{name}.rst", API_PAGE.format(name=name, bar="=" * (len(name) + 4)))
    for page in folder.glob("coursekit*.rst"):
        if page.stem not in names:
            page.unlink()


# reStructuredText: a Markdown page with a block of it would keep a copy of Sphinx's whole environment.
API_PAGE = """\
.. _api-{name}:

``{name}``
{bar}

.. automodule:: {name}
   :members:
   :ignore-module-all:
   :show-inheritance:
   :exclude-members: set_fit_request, set_score_request, set_transform_request, set_predict_request
"""


def write_figure_data(path: Path) -> None:
    """Data of the interactive figures as a script, because a page opened from disk cannot fetch."""
    import figure_data

    execution.write_if_new(path, figure_data.script())


def public_bases(app: Sphinx, name: str, obj: type, options: Any, bases: list[type]) -> None:
    """Show the nearest ancestors of a class that can be linked to: public ones, of projects with a list."""
    linked = {"coursekit", *app.config.intersphinx_mapping, *sys.stdlib_module_names}
    shown: list[type] = []
    for base in bases:
        ancestors = getattr(base, "__mro__", (tuple,))  # typing.NamedTuple is a function
        public = next(
            cls
            for cls in ancestors
            if not cls.__name__.startswith("_") and cls.__module__.split(".")[0] in linked
        )
        if public not in shown:
            shown.append(public)
    bases[:] = shown


def follow_reexport(app: Sphinx, env: BuildEnvironment, node: nodes.Element, content: nodes.Element) -> Any:
    """Lead ``coursekit.data.SwissRoll`` to where the class is documented: the module that defines it."""
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py" or not target.startswith("coursekit."):
        return None
    obj: Any = sys.modules["coursekit"]
    for part in target.split(".")[1:]:
        obj = getattr(obj, part, None)
    home = f"{getattr(obj, '__module__', None)}.{getattr(obj, '__qualname__', None)}"
    if obj is None or home == target:
        return None
    domain = env.get_domain("py")
    return domain.resolve_xref(env, node["refdoc"], app.builder, node["reftype"], home, node, content)


# --- execution ---------------------------------------------------------------------------------------


def read_notebooks(app: Sphinx, env: BuildEnvironment) -> tuple[dict[str, Any], dict[str, Path]]:
    """Every page with code, as myst-nb reads it (the cache's key depends on the reader)."""
    notebooks, files = {}, {}
    for name in sorted(env.found_docs):
        if ONLY and name not in ONLY:
            continue
        path = Path(env.doc2path(name))
        text = path.read_text(encoding="utf-8")
        reader = create_nb_reader(str(path), env.myst_config, env.mystnb_config, text)
        if reader is None:
            continue
        notebook = reader.read(text)
        if any(cell.cell_type == "code" for cell in notebook.cells):
            notebooks[name], files[name] = notebook, path
    return notebooks, files


def exclude_others(app: Sphinx) -> None:
    """With COURSEKIT_BOOK_ONLY, show the other pages without running them."""
    if ONLY:
        others = set(app.project.discover()) - set(ONLY)
        app.config.nb_execution_excludepatterns = [
            app.project.doc2path(name, False) for name in sorted(others)
        ]


def run_chapters(app: Sphinx, env: BuildEnvironment, docnames: list[str]) -> None:
    """Fill the cache in parallel, and write down what each page cost."""
    if app.config.nb_execution_mode != "cache":
        return
    notebooks, files = read_notebooks(app, env)
    cache = Path(app.config.nb_execution_cache_path)
    execute(app, notebooks, files, cache, JOBS)
    times = execution.measured(notebooks, cache)
    late = [name for name in times if over_budget({name: times[name]}, app.config.course_budget_seconds)]
    if late:  # perhaps for want of a quiet machine, or of warm files: once more, alone
        execution.forget([notebooks[name] for name in late], cache)
        execute(app, {name: notebooks[name] for name in late}, files, cache, 1)
        times = execution.measured(notebooks, cache)
    execution.write_if_new(times_file(app), execution.to_json(times))
    changed = env.metadata.get("times", {}).get("shown") != times
    if "times" in env.found_docs and "times" not in docnames and changed:
        docnames.append("times")


def execute(app: Sphinx, pages: dict[str, Any], files: dict[str, Path], cache: Path, jobs: int) -> None:
    """Execute pages that the cache lacks; stop on an error."""
    timeout = app.config.nb_execution_timeout
    failures = execution.execute(pages, files, cache, jobs=jobs, timeout=timeout, say=LOG.info)
    if failures:
        report = "\n\n".join(f"{name}\n{'-' * len(name)}\n{error}" for name, error in failures.items())
        raise ExtensionError(f"{len(failures)} page(s) failed to execute: {', '.join(failures)}\n\n{report}")


def times_file(app: Sphinx) -> Path:
    """File with the measured seconds of each page."""
    return Path(app.outdir).parent / "execution_times.json"


def budget_of(name: str, budgets: dict[str, float]) -> float:
    """Budget of a page in CPU seconds: that of the longest matching start of its name."""
    return budgets[max((start for start in budgets if name.startswith(start)), key=len)]


def over_budget(times: dict[str, Any], budgets: dict[str, float], slack: float = SLACK) -> list[str]:
    """One sentence for each page that took more than `slack` times its budget on a quiet core."""
    found = []
    for name, seconds in sorted(times.items()):
        budget, quiet = budget_of(name, budgets), quiet_seconds(seconds)
        if quiet > slack * budget:
            found.append(
                f"{name} took {seconds['cpu']:.1f} s of CPU, {quiet:.1f} on a quiet core; "
                f"its budget is {budget:g} s (x {slack:g})"
            )
    return found


def quiet_seconds(seconds: dict[str, float]) -> float:
    """CPU seconds, less what a crowded or slow core added to them."""
    return seconds["cpu"] / seconds["slowness"]


def check_budgets(app: Sphinx, error: Exception | None) -> None:
    """Fail the build when a page is above its budget."""
    if error is None and app.config.nb_execution_mode == "cache" and times_file(app).exists():
        slow = over_budget(json.loads(times_file(app).read_text()), app.config.course_budget_seconds)
        if slow:
            raise ExtensionError("above budget:\n  " + "\n  ".join(slow))


class ExecutionTimes(SphinxDirective):
    """``{execution-times}``: a table of what each page cost."""

    def run(self) -> list[nodes.Node]:
        """Make the table from the measured seconds."""
        path = times_file(self.env.app)
        times = json.loads(path.read_text()) if path.exists() else {}
        self.env.metadata[self.env.docname]["shown"] = times
        rows = []
        for name, seconds in sorted(times.items()):
            budget = budget_of(name, self.config.course_budget_seconds)
            quiet = quiet_seconds(seconds)
            verdict = "within" if quiet <= budget else "above"
            numbers = f"{seconds['wall']:.1f} | {seconds['cpu']:.1f} | {quiet:.1f} | {budget:g}"
            rows.append(f"| {{doc}}`/{name}` | {numbers} | {verdict} |")
        header = [
            "| page | elapsed seconds | CPU seconds | on a quiet core | budget | verdict |",
            "| --- | ---: | ---: | ---: | ---: | --- |",
        ]
        total = sum(seconds["cpu"] for seconds in times.values())
        lines = (
            [*header, *rows, f"| all pages | | {total:.1f} | | | |"] if rows else ["No page was executed."]
        )
        return self.parse_text_to_nodes("\n".join(lines))


class ExecutionSlack(SphinxRole):
    """``{execution-slack}``: how many times its budget a page may take before the build fails."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Write the number and the word that was given."""
        return [nodes.Text(f"{SLACK:g} {self.text}")], []


# --- pages -------------------------------------------------------------------------------------------


def per_page(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document) -> None:
    """Colour of the part, and the figures' scripts on the pages that have a figure."""
    colour = course_colours().get(page.split("/")[0])
    if colour:
        context["metatags"] += f"<style>html {{ --part-colour: {colour}; }}</style>"
    if page in notebooks.chapters() and app.builder.format == "html":
        context["body"] = with_buttons(app, page, context["body"])
    if "data-figure=" in (context.get("body") or ""):
        app.add_js_file("figure_data.js")
        app.add_js_file("figures.js")


def launch_settings(config: Config) -> launch.Launch:
    """The one place for addresses: ``course_launch`` in ``_config.yml``."""
    unknown = set(config.course_launch) - set(launch.Launch.__dataclass_fields__)
    if unknown:
        raise ExtensionError(f"course_launch: unknown {sorted(unknown)}")
    return launch.Launch(**config.course_launch)


def with_buttons(app: Sphinx, page: str, body: str) -> str:
    """Write the page's notebook, and put the buttons that open it below the title."""
    settings = launch_settings(app.config)
    target = Path(app.outdir) / "notebooks" / f"{page}.ipynb"
    target.parent.mkdir(parents=True, exist_ok=True)
    text = notebooks.to_text(notebooks.notebook(page, package=settings.package))
    execution.write_if_new(target, text)
    file = os.path.relpath(target, (Path(app.outdir) / f"{page}.html").parent).replace(os.sep, "/")
    topic = page.split("/")[-1]
    has_lab = (ROOT / "labs" / "source" / topic / f"{topic}.ipynb").exists()
    buttons = launch.bar(settings, page, file=file, has_lab=has_lab)
    head, end, rest = body.partition("</h1>")
    return f"{head}{end}{buttons}{rest}"


SUMMARY = '<summary aria-label="Show or hide the pages below this one">'


def course_colours() -> dict[str, str]:
    """One colour per part: those of the figures."""
    return importlib.import_module("coursekit.plot").COLOR


def finish(app: Sphinx, error: Exception | None) -> None:
    """Redirects of old addresses, pages that open from disk, and no unused part of MathJax."""
    if error is not None or app.builder.format != "html":
        return
    # Fonts cannot be preloaded from disk, where every file is an origin of its own: an error on each page.
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        text = re.sub(r'<link rel="preload" as="font"[^>]*>\n?', "", text)
        # The sidebar's arrows are pictures; a screen reader needs words.
        text = text.replace('<summary><span class="toctree-toggle"', f'{SUMMARY}<span class="toctree-toggle"')
        # docutils calls this a list, but its children no list items.
        text = text.replace('<div role="list" class="citation-list">', '<div class="citation-list">')
        execution.write_if_new(page, text)
    (Path(app.outdir) / ".nojekyll").touch()  # a web host that would leave out folders such as _static
    for old, new in app.config.course_redirects.items():
        write_redirect(Path(app.outdir), old, new)
    mathjax = Path(app.outdir) / "_static" / "mathjax"
    for path in mathjax.glob("*.js"):
        if path.name not in {"tex-chtml.js"}:
            path.unlink()
    for unused in ("sre", "output/svg", "input/mml", "input/asciimath.js", "adaptors"):
        target = mathjax / unused
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)


def write_redirect(out: Path, old: str, new: str) -> None:
    """A page at the old address that leads to the new one, by a relative link."""
    if not (out / f"{new}.html").exists():
        raise ExtensionError(f"course_redirects: {old!r} leads to {new!r}, which is no page of the book")
    target = out / f"{old}.html"
    if target.exists() and 'http-equiv="refresh"' not in target.read_text(encoding="utf-8"):
        raise ExtensionError(f"course_redirects: {old!r} is a page of the book; it cannot lead elsewhere")
    link = os.path.relpath(out / f"{new}.html", target.parent).replace(os.sep, "/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Moved</title>'
        f'<meta http-equiv="refresh" content="0; url={link}"><link rel="canonical" href="{link}"></head>'
        f'<body><p>This page has moved: <a href="{link}">{link}</a>.</p></body></html>\n',
        encoding="utf-8",
    )


def setup(app: Sphinx) -> dict[str, Any]:
    """Register everything with Sphinx."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    app.add_config_value("course_budget_seconds", {"": 45}, "env")
    app.add_config_value("course_redirects", {}, "")
    app.add_config_value("course_launch", {}, "html")
    app.add_config_value("comments_config", {}, "")  # Jupyter Book sets it whether or not it is used
    app.add_directive("execution-times", ExecutionTimes)
    app.add_role("execution-slack", ExecutionSlack())
    app.connect("config-inited", prepare, priority=100)
    app.connect("builder-inited", exclude_others, priority=100)
    app.connect("env-before-read-docs", run_chapters)
    app.connect("autodoc-process-bases", public_bases)
    app.connect("missing-reference", follow_reexport, priority=400)
    app.connect("html-page-context", per_page)
    app.connect("build-finished", finish, priority=900)
    app.connect("build-finished", check_budgets, priority=950)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
