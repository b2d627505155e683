"""The page: one HTML file with its scripts, styles and data in it, that asks for nothing else.

The scripts are those of `web/`, one concept each, after three.js. What is not ours (names of files,
messages) goes into the page as JSON without any `<`, and from there into texts, never into markup;
the page's policy lets no other script run and nothing be fetched.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from pathlib import Path
from typing import Any

from posetx.errors import FieldError
from posetx.files.atomic import write_bytes_atomic
from posetx.report.view.content import content_of
from posetx.report.view.subject import View

WEB = Path(__file__).parent / "web"

#: In the order in which they build on each other; all but three.js are one function's body.
SCRIPTS = (
    "data.js", "shading.js", "skin.js", "figure.js", "coarse.js", "colours.js", "stage.js",
    "bar.js", "keys.js", "main.js",
)  # fmt: skip

SUFFIXES = (".html", ".htm")


def check_page_suffix(path: Path, field: str = "output") -> None:
    """Raises FieldError for a page that is not called one; call before the work starts."""
    if path.suffix.lower() not in SUFFIXES:
        raise FieldError(field, path, "a page is HTML; name it something.html")


def write_page(path: Path, view: View) -> int:
    """Write a page, whole or not at all, over what is there; returns its bytes.

    Raises
    ------
    PosetxError
        there is nothing to be shown, or the page cannot be written
    """
    data = page_of(content_of(view)).encode("utf-8", "backslashreplace")
    write_bytes_atomic(path, data)
    return len(data)


def page_of(content: dict[str, Any]) -> str:
    """The page's text, of what :func:`content_of` made."""
    library = _part("three.min.js")
    own = "\n".join(_part(name) for name in SCRIPTS)
    own = f'(function () {{\n"use strict";\n{own}\n}})();'
    style = _part("style.css")
    parts = {
        "policy": _policy([library, own], style),
        "title": html.escape(content["title"]),
        "style": style,
        "data": in_script(content),
        "library": library,
        "script": own,
    }
    page = []
    for piece in _part("page.html").split("{{"):
        name, found, rest = piece.partition("}}")
        page.append(parts[name] + rest if found else piece)
    return "".join(page)


def in_script(content: Any) -> str:
    """JSON that ends no script element and begins no comment in it, whatever its texts are."""
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _policy(scripts: list[str], style: str) -> str:
    """These scripts and styles alone, images out of the page itself, nothing from elsewhere."""
    ours = " ".join(_hash(script) for script in scripts)
    return (
        f"default-src 'none'; script-src {ours}; style-src {_hash(style)}; img-src blob: data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _part(name: str) -> str:
    return (WEB / name).read_text(encoding="utf-8").strip()
