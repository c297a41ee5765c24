"""The leak scan: no solution and no hidden test in anything that a student can open.

A secret is a run of words that stands in a lab's solutions, hidden tests or mark schemes and in
no text that everybody may read. The scan looks for such runs, and for the marks that fence them
in, wherever they may turn up: in notebooks, pages, search indexes, scripts and archives, and
however they are written there: escaped, coloured, numbered, on one line or on many.

Taught in :ref:`instructor`.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import html
import io
import itertools
import json
import re
import tarfile
import textwrap
import tokenize
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

Gram = tuple[str, ...]

LENGTH = 10  # words or signs in a row, short enough for one line,
WORDS = 5  # of which so many are words or numbers: long enough to be nobody's idiom
MARKERS = (
    "### BEGIN SOLUTION",
    "### END SOLUTION",
    "### BEGIN HIDDEN TESTS",
    "### END HIDDEN TESTS",
    "### BEGIN MARK SCHEME",
    "### END MARK SCHEME",
    "# property:",
)

_KINDS = {"SOLUTION": "solution", "HIDDEN TESTS": "hidden test", "MARK SCHEME": "mark scheme"}
_REGION = re.compile(
    r"^[^\n]*BEGIN (SOLUTION|HIDDEN TESTS|MARK SCHEME)[^\n]*\n(.*?)^[^\n]*END \1", re.S | re.M
)
_WORD = re.compile(r"\d[\d_]*(?:\.\d*)?(?:e[+-]?\d+)?|\w+|[^\w\s]")
_QUOTES = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "`": " ", "\u00ad": None, "\u200b": None})
_NUMBERS_OF_LINES = re.compile(r'<(span|td|div)[^>]*class="[^"]*\blinenos?\b[^"]*"[^>]*>.*?</\1>', re.S)
_INLINE = re.compile(r"</?(?:span|a|b|i|u|em|strong|code|mark|font|wbr|tt|kbd|var|sub|sup)\b[^<>]*>", re.I)
_TAG = re.compile(r"<(?:/?[a-zA-Z][^<>]*|!--|!doctype[^<>]*)>?|-->", re.I)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|([ntr\"'/\\]))")
_ENCODED = re.compile(r"[A-Za-z0-9+/_-]{80,}={0,2}")
_READABLE = re.compile(rb"[\t\n\r\x20-\x7e]{16,}")
_DEEPEST = 4
_LARGEST = 256 << 20
_SHARE = 0.2  # of a secret in a public file: up to here idioms, beyond it a leak
_OWN_SHARE = 0.05  # the same for a cell that is released with the lab: hidden tests resemble visible ones
_AROUND = 3  # words beside a mark that tell where it stands


@dataclass(frozen=True)
class Leak:
    """Something that a student must not see, and where it is.

    Attributes
    ----------
    file : str
        Path; of a file inside an archive, the archive's path, ``!`` and the path inside.
    place : str
        Line, or part of a notebook.
    kind : str
        ``"marker"``, ``"solution"``, ``"hidden test"``, ``"mark scheme"``, or ``"name"`` (a word that
        only secrets use, in a search index).
    of : str
        Lab and cell that it comes from; empty for a marker.
    text : str
        The words.
    """

    file: str
    place: str
    kind: str
    of: str
    text: str

    def __str__(self) -> str:
        origin = f" of {self.of}" if self.of else ""
        return f"{self.file}, {self.place}: {self.kind}{origin}: {self.text}"


@dataclass(frozen=True)
class Secrets:
    """What must not be seen.

    Attributes
    ----------
    grams : dict
        Run of words -> (kind, lab and cell).
    names : dict
        Word that only secrets use -> (kind, lab and cell).
    known_marks : frozenset
        Surroundings of marks in public text: the grader's own source names them.
    """

    grams: Mapping[Gram, tuple[str, str]] = field(default_factory=dict)
    names: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    known_marks: frozenset[tuple[str, Gram]] = frozenset()

    def __or__(self, other: Secrets) -> Secrets:
        return Secrets(
            {**self.grams, **other.grams},
            {**self.names, **other.names},
            self.known_marks | other.known_marks,
        )

    def without(
        self, texts: Iterable[str], *, kinds: Iterable[str] | None = None, share: float = 1.0
    ) -> Secrets:
        """Take out what stands in public text.

        Parameters
        ----------
        texts : iterable of str
            Texts that everybody may read.
        kinds : iterable of str, optional
            Kinds of secrets that these texts make public; all by default.
        share : float
            A text that holds more than this share of one secret makes none of it public: that is no
            common idiom, but a leak.

        Returns
        -------
        Secrets
            The rest.
        """
        wanted = set(_KINDS.values()) if kinds is None else set(kinds)
        size = Counter(self.grams.values())
        grams: set[Gram] = set()
        words: set[str] = set()
        marks = set(self.known_marks)
        for text in texts:
            found = words_of(text)
            shared = self._in(found) | self._in(words_of(_uncommented(text)))
            parts = Counter(self.grams[gram] for gram in shared)
            grams |= {gram for gram in shared if parts[self.grams[gram]] <= share * size[self.grams[gram]]}
            words.update(found)
            marks.update(_mark_sides(found))
        return Secrets(
            {gram: of for gram, of in self.grams.items() if gram not in grams or of[0] not in wanted},
            {name: of for name, of in self.names.items() if name not in words or of[0] not in wanted},
            frozenset(marks),
        )

    def _in(self, words: Sequence[str]) -> set[Gram]:
        return {gram for gram in _grams(words) if gram in self.grams}


# --- words ------------------------------------------------------------------------------------


def words_of(text: str) -> list[str]:
    """Take a text apart into words and signs, whatever its spaces, quotes and capitals.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    list of str
        Words and single signs, in small letters.
    """
    return _WORD.findall(_normal(text))


def _normal(text: str) -> str:
    return unicodedata.normalize("NFKC", text).translate(_QUOTES).casefold()


def _grams(words: Sequence[str]) -> Iterator[Gram]:
    return zip(*(words[start:] for start in range(LENGTH)), strict=False)


def _tells(gram: Gram) -> bool:
    """Whether a run has words enough to come from one place only."""
    return sum(word[0].isalnum() or word[0] == "_" for word in gram) >= WORDS


def _uncommented(text: str) -> str:
    """Drop what follows a ``#``; code whose comments were taken out or added is the same code."""
    return re.sub(r"#[^\n]*", "", text) if "#" in text else text


_MARK_WORDS = [(mark, words_of(mark)) for mark in MARKERS]


def _marks_at(words: Sequence[str]) -> Iterator[tuple[int, str, int]]:
    """Positions of marks: start, mark, end."""
    for start, word in enumerate(words):
        if word == "#":
            for mark, parts in _MARK_WORDS:
                if list(words[start : start + len(parts)]) == parts:
                    yield start, mark, start + len(parts)


def _sides(words: Sequence[str], start: int, mark: str, end: int) -> list[tuple[str, Gram]]:
    before, after = words[max(start - _AROUND, 0) : start], words[end : end + _AROUND]
    return [(f"{mark}<", tuple(before)), (f"{mark}>", tuple(after))]


def _mark_sides(words: Sequence[str]) -> Iterator[tuple[str, Gram]]:
    for start, mark, end in _marks_at(words):
        yield from _sides(words, start, mark, end)


# --- secrets ----------------------------------------------------------------------------------


def secrets_of(notebook: Path | Any, *, lab: str = "") -> Secrets:
    """Collect what a lab's notebook must keep to itself.

    Parameters
    ----------
    notebook : Path or NotebookNode
        The instructor's notebook.
    lab : str
        Name of the lab, for reports; the file's by default.

    Returns
    -------
    Secrets
        Runs of words that stand in solutions, hidden tests, mark schemes and model answers. What a
        cell's released part shares with them is no secret, as long as it is little.
    """
    if isinstance(notebook, str | Path):
        import nbformat

        lab = lab or Path(notebook).stem
        notebook = nbformat.read(notebook, as_version=4)
    grams: dict[Gram, tuple[str, str]] = {}
    names: dict[str, tuple[str, str]] = {}
    for cell in notebook.cells:
        of = f"{lab}/{cell.metadata.get('nbgrader', {}).get('grade_id') or cell.get('id', '')}"
        for kind, text in _secret_texts(cell):
            for view in dict.fromkeys((text, _without_comments(text))):
                words = words_of(view)
                grams.update(dict.fromkeys(filter(_tells, _grams(words)), (kind, of)))
                names.update((word, (kind, of)) for word in words if _telling(word))
    return Secrets(grams, names).without(public_part(notebook), share=_OWN_SHARE)


def _telling(word: str) -> bool:
    """Whether a word can only be a name that somebody gave."""
    return "_" in word.strip("_") and len(word) >= 8


def _secret_texts(cell: Any) -> Iterator[tuple[str, str]]:
    """Yield kind and text of each secret of a cell."""
    regions = list(_REGION.finditer(cell.source))
    if not regions and _is_model_answer(cell):
        yield "solution", cell.source
    for region in regions:
        yield _KINDS[region[1]], region[2]


def _is_model_answer(cell: Any) -> bool:
    """Whether this is a solution cell; one without marked regions is cleared as a whole."""
    return bool(cell.metadata.get("nbgrader", {}).get("solution"))


def public_part(notebook: Any) -> list[str]:
    """Give the text of an instructor's notebook that is released.

    Parameters
    ----------
    notebook : NotebookNode
        The instructor's notebook.

    Returns
    -------
    list of str
        The cells without their secret regions.
    """
    parts = []
    for cell in notebook.cells:
        if _REGION.search(cell.source):
            parts.append(_REGION.sub("", cell.source))
        elif not _is_model_answer(cell):
            parts.append(cell.source)
    return parts


def _without_comments(source: str) -> str:
    """Python without its comments; other text as it is."""
    try:
        lines = [f"{line}\n" for line in textwrap.dedent(source).splitlines()]
        tokens = list(tokenize.generate_tokens(iter([*lines, ""]).__next__))
    except (tokenize.TokenError, SyntaxError):
        return _uncommented(source)
    skipped = {tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT, tokenize.NL, tokenize.NEWLINE}
    return " ".join(token.string for token in tokens if token.type not in skipped)


def course_secrets(source: Path, *, public: Iterable[Path] = (), chapters: Iterable[Path] = ()) -> Secrets:
    """Collect the secrets of all labs of a course.

    Parameters
    ----------
    source : Path
        Folder with one folder per lab.
    public : iterable of Path
        Files or folders that everybody may read, such as the package's source. A line that a file
        shares with a secret is an idiom, and public; a file that holds more than a fifth of a secret
        is a leak.
    chapters : iterable of Path
        The same for files that teach, and for solutions alone: hidden tests have no business there.

    Returns
    -------
    Secrets
        Of all notebooks below `source`.

    Raises
    ------
    ValueError
        If there is no lab: a scan without secrets would find nothing, whatever is there.
    """
    import nbformat

    files = sorted(Path(source).glob("*/*.ipynb"))
    if not files:
        raise ValueError(f"source: there is no lab in {source}; expected {source}/LAB/LAB.ipynb")
    books = [(file, nbformat.read(file, as_version=4)) for file in files]
    found = Secrets()
    for file, book in books:
        found |= secrets_of(book, lab=file.parent.name)
    released = [text for _, book in books for text in public_part(book)]
    found = found.without(released, share=_OWN_SHARE).without(_texts(public), share=_SHARE)
    return found.without(_texts(chapters), kinds=["solution"], share=_SHARE)


def _texts(paths: Iterable[Path]) -> Iterator[str]:
    endings = {".py", ".md", ".txt", ".toml", ".js"}
    for path in paths:
        for file in _files(Path(path)):
            if file.suffix in endings:
                yield file.read_text(encoding="utf-8", errors="replace")


# --- reading ----------------------------------------------------------------------------------


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise FileNotFoundError(f"paths: {path} does not exist, so that it cannot be scanned")
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def _pieces(name: str, content: bytes, depth: int = 0) -> Iterator[tuple[str, str, str]]:
    """Yield file, place and text of everything that is inside a file."""
    yield name, "name", name
    if depth < _DEEPEST:
        inner = _unpacked(name, content)
        if inner is not None:
            for path, data in inner:
                yield from _pieces(f"{name}!{path}", data, depth + 1)
            return
    text = _text(content)
    if name.endswith((".ipynb", ".json")):
        try:
            tree = json.loads(text)
        except (ValueError, RecursionError):
            pass  # a broken notebook is read as text
        else:
            yield from ((name, place, piece) for place, piece in _leaves(tree, ""))
            return
    yield name, "", text


def _text(content: bytes) -> str:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", errors="replace")
    if b"\0" in content[:4096]:  # pictures, arrays, databases: what can be read in them
        return "\n".join(run.decode("ascii") for run in _READABLE.findall(content))
    return content.decode("utf-8", errors="replace")


def _unpacked(name: str, content: bytes) -> list[tuple[str, bytes]] | None:
    """Contents of an archive, or None if this is none."""
    if content.startswith(b"PK"):
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                small = [i for i in archive.infolist() if not i.is_dir() and i.file_size < _LARGEST]
                comment = [("(comment)", archive.comment)] if archive.comment else []
                return comment + [(item.filename, archive.read(item)) for item in small]
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, zlib.error, EOFError):
            return None
    if content.startswith(b"# Sphinx inventory") and content.count(b"\n") >= 4:
        with_names = content.split(b"\n", 4)[4]
        try:
            return [("names", zlib.decompress(with_names))]
        except zlib.error:
            return None
    try:
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
            if content[257:262] != b"ustar":
                return [("content", content)]
        if content[257:262] == b"ustar":
            with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                members = [member for member in archive.getmembers() if member.isfile()]
                streams = [(member.name, archive.extractfile(member)) for member in members]
                return [(path, stream.read()) for path, stream in streams if stream is not None]
    except (OSError, EOFError, tarfile.TarError, zlib.error):
        return None
    return None


def _leaves(node: Any, place: str) -> Iterator[tuple[str, str]]:
    """Yield place and text of every string in a tree; lists of strings are lines of one text."""
    if isinstance(node, str):
        yield place.strip(), node
    elif isinstance(node, dict):
        for key, value in node.items():
            yield place.strip(), str(key)
            yield from _leaves(value, place if key == "cells" else f"{place} {key}")
    elif isinstance(node, list):
        if node and all(isinstance(item, str) for item in node):
            yield place.strip(), "".join(node)
            yield place.strip(), "\n".join(node)
        else:
            for number, item in enumerate(node):
                called = "" if place else "cell"
                yield from _leaves(item, f"{place} {called} {number}".replace("  ", " "))


def _views(text: str) -> Iterator[str]:
    """Yield a text as it is, and as it reads once tags, entities, escapes and base64 are undone."""
    seen, layer = {text}, [text]
    yield text
    for _ in range(_DEEPEST):
        fresh: list[str] = []
        for view in layer:
            for other in _decoded(view):
                if other not in seen:
                    seen.add(other)
                    fresh.append(other)
                    yield other
        if not fresh:
            return
        layer = fresh


def _decoded(text: str) -> Iterator[str]:
    if "&" in text:
        yield html.unescape(text)
    if "<" in text:
        bare = _NUMBERS_OF_LINES.sub("", text) if "lineno" in text else text
        yield html.unescape(_TAG.sub(_newlines, _INLINE.sub("", bare)))
    if "\\" in text:
        yield _ESCAPE.sub(_unescaped, text)
    if "%" in text and re.search(r"%(?:20|0A|23|28)", text, re.I):
        yield unquote(text)


def _embedded(text: str) -> Iterator[str]:
    """Yield the texts that stand in a text as base64."""
    for match in _ENCODED.finditer(text):
        plain = _from_base64(match[0])
        if plain:
            yield plain


def _newlines(match: re.Match[str]) -> str:
    return " " + "\n" * match[0].count("\n")


def _unescaped(match: re.Match[str]) -> str:
    code = match[1] or match[2]
    if code:
        return chr(int(code, 16))
    return {"n": "\n", "t": "\t", "r": "\n"}.get(match[3], match[3])


def _from_base64(text: str) -> str:
    """Text behind a base64 string; nothing if that is a picture or no base64 at all."""
    text = text.rstrip("=")
    try:
        plain = base64.b64decode(
            text + "=" * (-len(text) % 4), altchars=b"-_" if set("-_") & set(text) else None
        )
        return plain.decode("utf-8")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""


# --- scanning ---------------------------------------------------------------------------------


def scan(paths: Iterable[Path], secrets: Secrets, *, strict: bool = False) -> list[Leak]:
    """Look for secrets in files and folders.

    Parameters
    ----------
    paths : iterable of Path
        Files, folders and archives.
    secrets : Secrets
        Of `secrets_of` or `course_secrets`.
    strict : bool
        Let no mark pass, even where public text has the same one.

    Returns
    -------
    list of Leak
        What was found: for each file, each secret once, where it was seen first.

    Raises
    ------
    FileNotFoundError
        If one of the paths is not there.
    """
    found: list[Leak] = []
    for path in paths:
        for file in _files(Path(path)):
            for name, place, text in _pieces(str(file), file.read_bytes()):
                found += _scan_text(name, place, text, secrets, strict)
    return _distinct(found)


def _distinct(leaks: Iterable[Leak]) -> list[Leak]:
    """Drop the same find in another view of the same text."""
    first: dict[tuple[str, ...], Leak] = {}
    for leak in leaks:
        key = (
            (leak.file, leak.kind, leak.of or leak.text) if leak.kind != "marker" else (leak.file, leak.text)
        )
        first.setdefault(key, leak)
    return list(first.values())


def scan_text(text: str, secrets: Secrets, *, name: str = "text", strict: bool = True) -> list[Leak]:
    """Look for secrets in one text.

    Parameters
    ----------
    text : str
        The text.
    secrets : Secrets
        Of `secrets_of` or `course_secrets`.
    name : str
        What the text is called in the report.
    strict : bool
        Let no mark pass, even where public text has the same one.

    Returns
    -------
    list of Leak
        What was found.
    """
    return _distinct(_scan_text(name, "", text, secrets, strict))


def _scan_text(
    name: str, place: str, text: str, secrets: Secrets, strict: bool, depth: int = 0
) -> Iterator[Leak]:
    strict = strict or ".ipynb" in name
    marks: list[list[Leak]] = []
    inner: dict[str, None] = {}
    for view in _views(text):
        for plain in dict.fromkeys((view, _uncommented(view))):
            words = words_of(plain)
            found = _marks_in(name, place, plain, words, secrets, strict)
            if found is not None:
                marks.append(found)
            told = set()
            for gram in _grams(words):
                if gram in secrets.grams and secrets.grams[gram] not in told:
                    kind, of = secrets.grams[gram]
                    told.add((kind, of))  # the first run of each secret is enough
                    yield Leak(name, _line(place, plain, gram), kind, of, " ".join(gram))
        if name.endswith(".js"):
            for word in secrets.names.keys() & set(words_of(view)):
                kind, of = secrets.names[word]
                yield Leak(name, place or "search index", "name", of, word)
        inner.update(dict.fromkeys(_embedded(view)))
    # What stands beside a mark can be told only where tags and escapes are undone: one view is enough.
    if all(marks):
        yield from (leak for found in marks for leak in found)
    for other in inner if depth < _DEEPEST else ():
        yield from _scan_text(name, place, other, secrets, strict, depth + 1)


def _marks_in(
    name: str, place: str, text: str, words: Sequence[str], secrets: Secrets, strict: bool
) -> list[Leak] | None:
    """List the marks that public text does not have in these surroundings; None if there is no mark."""
    places = list(_marks_at(words))
    if not places:
        return None
    return [
        Leak(name, _line(place, text, words[start:end]), "marker", "", mark)
        for start, mark, end in places
        if strict or not any(side in secrets.known_marks for side in _sides(words, start, mark, end))
    ]


def _line(place: str, text: str, words: Sequence[str]) -> str:
    """Say in which line a run of words begins."""
    found = re.search(r"\s*".join(map(re.escape, words)), _normal(text))
    if found is None:
        return place or "somewhere"
    line = f"line {_normal(text).count(chr(10), 0, found.start()) + 1}"
    return f"{place}, {line}" if place else line


def report(leaks: Sequence[Leak], *, most: int = 20) -> str:
    """Say in a few lines what was found.

    Parameters
    ----------
    leaks : sequence of Leak
        Of `scan`.
    most : int
        How many to list.

    Returns
    -------
    str
        One line for each.
    """
    lines = [str(leak) for leak in itertools.islice(leaks, most)]
    more = len(leaks) - len(lines)
    return "\n".join([*lines, *([f"and {more} more"] if more else [])])
