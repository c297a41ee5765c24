"""Where the buttons of a page lead: the course's hub, Colab, the file itself.

One address each is set in ``_config.yml`` (``course_launch``): of the hub, of the repository that students
pull, of its branch, and of what pip installs on Colab. What is not set has no button.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from urllib.parse import quote, urlencode

# In a student's home: nbgrader looks for labs in a folder with the course's name, and hands them in from it.
FOLDER = "generative-models"
GITHUB = re.compile(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?$")


def hub_link(hub: str, repository: str, branch: str, path: str) -> str:
    """Address that logs in, starts the reader's server, pulls the repository and opens one notebook of it."""
    query = {
        "repo": repository,
        "branch": branch,
        "targetpath": FOLDER,
        "urlpath": f"lab/tree/{FOLDER}/{path}",
    }
    return f"{hub.rstrip('/')}/hub/user-redirect/git-pull?{urlencode(query, quote_via=quote)}"


def colab_link(repository: str, branch: str, path: str) -> str | None:
    """Address that opens a notebook of a repository on GitHub in Colab; None for another host."""
    found = GITHUB.match(repository)
    return found and f"https://colab.research.google.com/github/{found[1]}/blob/{branch}/{quote(path)}"


def file_link(repository: str, branch: str, path: str) -> str | None:
    """Address of a file of a repository on GitHub; None for another host."""
    found = GITHUB.match(repository)
    return found and f"https://github.com/{found[1]}/raw/{branch}/{quote(path)}"


@dataclass(frozen=True)
class Launch:
    """Where notebooks are to be had.

    Attributes
    ----------
    hub_url : str
        The hub, such as ``https://hub.example.edu``.
    repository : str
        What students pull: released labs, and chapters as notebooks. Never the instructors' repository.
    branch : str
        Its branch.
    package : str
        What pip installs on Colab, such as the address of a wheel.
    """

    hub_url: str = ""
    repository: str = ""
    branch: str = "main"
    package: str = ""

    def links(self, path: str) -> list[tuple[str, str]]:
        """Open a notebook of the repository: label and address of each way that is set."""
        found: list[tuple[str, str | None]] = []
        if self.repository and self.hub_url:
            found.append(("on the hub", hub_link(self.hub_url, self.repository, self.branch, path)))
        if self.repository and self.package:  # without the package a notebook cannot run there
            found.append(("in Colab", colab_link(self.repository, self.branch, path)))
        return [(label, link) for label, link in found if link]


def bar(launch: Launch, page: str, *, file: str, has_lab: bool) -> str:
    """The buttons of a chapter.

    Parameters
    ----------
    launch : Launch
        The settings.
    page : str
        The page, such as ``density/kde``.
    file : str
        Its notebook in the book, relative to the page.
    has_lab : bool
        Whether the topic has a lab.

    Returns
    -------
    str
        HTML.
    """
    topic = page.split("/")[-1]
    rows = [("This chapter as a notebook", [*launch.links(f"chapters/{page}.ipynb"), ("download", file)])]
    if has_lab:
        path = f"{topic}/{topic}.ipynb"
        lab = launch.links(path)
        if launch.repository and (link := file_link(launch.repository, launch.branch, path)):
            lab.append(("download", link))
        if lab:
            rows.append(("Its lab", lab))
    lines = []
    for what, links in rows:
        ways = " ".join(
            f'<a class="ck-launch-button" href="{html.escape(link)}"{" download" if link == file else ""}'
            f' aria-label="{what}: {label}">{label}</a>'
            for label, link in links
        )
        lines.append(f'<span class="ck-launch-row"><span>{what}:</span> {ways}</span>')
    return f'<nav class="ck-launch" aria-label="Open as a notebook">{"".join(lines)}</nav>'
