"""Text, HTML and pictures from anybody, made fit for a page: nothing runs, loads, links or styles.

Taught in :ref:`instructor`.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
from collections.abc import Mapping
from typing import Any

from coursekit.grading import leaks

_LONGEST = 20_000  # characters of one text
_LARGEST_PICTURE, _MOST_PIXELS = 4 << 20, 40_000_000
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
# Controls, and the signs that turn the direction of text round, so that it reads as something else.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_TAGS = {
    *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "dl", "dt", "dd", "blockquote"),
    *("pre", "code", "span", "div", "em", "strong", "b", "i", "u", "s", "sub", "sup", "del", "ins"),
    *("table", "thead", "tbody", "tfoot", "tr", "th", "td", "caption"),
}
_DROPPED = {"script", "style", "template", "noscript", "iframe", "svg", "math", "title"}  # with their content
_ATTRIBUTES = {"td": {"colspan", "rowspan"}, "th": {"colspan", "rowspan", "scope"}}
_PICTURES = {"image/png": "PNG", "image/jpeg": "JPEG"}
_FIGURE = re.compile(r"<Figure size \d+x\d+ with \d+ Axes>")  # what stands for one where none is drawn
_TEXTS = ("text/html", "text/markdown", "text/latex", "text/plain")


def plain(text: str) -> str:
    """Drop terminal controls and whatever else is no visible sign; keep the last of overwritten lines.

    Parameters
    ----------
    text : str
        Text from anybody.

    Returns
    -------
    str
        Visible text, cut where it is too long; it must still be escaped.
    """
    text = _ANSI.sub("", text)
    if "\r" in text:
        text = re.sub(r"[^\n]*\r(?!\n)", "", text)
    text = _CONTROLS.sub("", text)
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}\n[{len(text) - _LONGEST} more characters are not shown]"
    return text


def _escaped(text: str) -> str:
    import markupsafe

    return str(markupsafe.escape(plain(text)))


def sanitized(markup: str) -> str:
    """Keep the plain elements of text and tables; nothing that runs, loads, links or styles.

    Parameters
    ----------
    markup : str
        HTML from anybody.

    Returns
    -------
    str
        Harmless HTML.
    """
    import nh3

    return nh3.clean(
        plain(markup),
        tags=_TAGS,
        clean_content_tags=_DROPPED,
        attributes=_ATTRIBUTES,
        url_schemes=set(),
        strip_comments=True,
        link_rel=None,
    )


def markdown(text: str) -> str:
    """Render Markdown; what cannot be parsed is shown as it was written.

    Parameters
    ----------
    text : str
        Markdown from anybody.

    Returns
    -------
    str
        Harmless HTML.
    """
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    if not text.strip():
        return ""
    try:
        convert = MarkdownWithMath(renderer=IPythonRenderer(escape=False, exclude_anchor_links=True)).render
        return f'<div class="text">{sanitized(str(convert(plain(text))))}</div>'
    except Exception:  # nested or broken in a way that the parser does not survive
        return f"<pre>{_escaped(text)}</pre>"


def code(source: str) -> str:
    """Colour Python code.

    Parameters
    ----------
    source : str
        Code from anybody.

    Returns
    -------
    str
        Harmless HTML.
    """
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    text = plain(source)
    try:
        body = highlight(text, PythonLexer(), HtmlFormatter(nowrap=True))
    except Exception:  # a lexer that gives up
        body = _escaped(text)
    return f'<pre class="code" tabindex="0"><code>{body}</code></pre>'


def output(output: Mapping[str, Any], secrets: leaks.Secrets) -> str:
    """Show an output of a cell; one that repeats hidden tests is withheld.

    Parameters
    ----------
    output : dict
        As the notebook has it.
    secrets : Secrets
        What must not be shown.

    Returns
    -------
    str
        Harmless HTML; nothing for an empty output.
    """
    kind = output.get("output_type")
    if kind == "stream":
        texts: Mapping[str, Any] = {"text/plain": output.get("text", "")}
    elif kind == "error":
        trace = "\n".join(map(str, output.get("traceback") or []))
        texts = {"text/plain": trace or f"{output.get('ename')}: {output.get('evalue')}"}
    else:
        texts = dict(output.get("data") or {})
    for mime, encoding in _PICTURES.items():
        if mime in texts:
            return _picture(texts[mime], mime, encoding, output.get("metadata") or {})
    for mime in _TEXTS:
        if mime in texts:
            text = _joined(texts[mime])
            if _FIGURE.fullmatch(text.strip()):
                return '<p class="note">A figure, which is drawn in your own notebook.</p>'
            # Colour codes between words would hide them from the scan.
            if leaks.scan_text(f"{text}\n{plain(text)}", secrets, strict=False):
                return '<p class="note">An output is withheld: it repeats a part of the hidden checks.</p>'
            shown = {"text/html": sanitized, "text/markdown": markdown}.get(mime)
            if shown is not None:
                return f'<div class="output" tabindex="0">{shown(text)}</div>'
            classes = "output error" if kind == "error" else "output"
            return f'<pre class="{classes}" tabindex="0">{_escaped(text)}</pre>' if text.strip() else ""
    kinds = _escaped(", ".join(sorted(map(str, texts)))[:200])
    return f'<p class="note">An output of a kind that is not shown here: {kinds}.</p>' if texts else ""


def _joined(text: Any) -> str:
    return "".join(map(str, text)) if isinstance(text, list) else str(text)


def _picture(data: Any, mime: str, encoding: str, metadata: Mapping[str, Any]) -> str:
    """Decode a picture and write it anew: what a browser gets is pixels and nothing else."""
    from PIL import Image

    try:
        raw = base64.b64decode("".join(_joined(data).split()), validate=True)
        if len(raw) > _LARGEST_PICTURE:
            raise ValueError("too large")
        with Image.open(io.BytesIO(raw), formats=[encoding]) as picture:
            if picture.width * picture.height > _MOST_PIXELS:
                raise ValueError("too many pixels")
            pixels = picture.convert("RGB" if encoding == "JPEG" else "RGBA")
            width, height = pixels.size
            stream = io.BytesIO()
            pixels.save(stream, encoding, **({"quality": 90} if encoding == "JPEG" else {}))
    except (ValueError, OSError, SyntaxError, binascii.Error, Image.DecompressionBombError) as error:
        return f'<p class="note">A picture that cannot be shown: {_escaped(str(error)[:200])}.</p>'
    described = metadata.get(mime)
    alt = described.get("alt") if isinstance(described, dict) else metadata.get("alt")
    text = _escaped(str(alt or "A figure that the notebook made"))[:1000]
    content = base64.b64encode(stream.getvalue()).decode()
    return f'<img alt="{text}" width="{width}" height="{height}" src="data:{mime};base64,{content}">'
