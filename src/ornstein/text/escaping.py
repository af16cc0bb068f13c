"""Text of others on a terminal and on a page: shown as what it is, never obeyed.

A name, a caption or a setting may come from somebody else's file. On a terminal a control character could move the
cursor, set the title or hide text; on a page markup could run.
"""

import re
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from html import escape

_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters but tab and line feed
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"  # line separators, and what turns the direction of writing
    "\ud800-\udfff]"  # halves of a character, which no file can hold
)


def printable(text: object) -> str:
    r"""Text for a terminal: control characters are spelled out, such as \x1b."""
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], str(text))


def html(text: object) -> str:
    """Text for a page, also in an attribute between quotes: it is shown as it is, markup included."""
    return escape(printable(text))


_ALLOWED = r"/?(?:b|br|code|em|i|li|p|small|strong|sub|sup|table|td|th|tr|ul)>|a href=\"(?:#|https://)[^\"<>]*\">|/a>"
_TAG = re.compile(f"<(?!{_ALLOWED})")


def phrases(text: str) -> str:
    """Phrases in HTML, of which only plain tags without attributes are left, and links; other markup is shown."""
    return _TAG.sub("&lt;", printable(text))


def document(
    title: str, body: str, style: str = "", scripts: Sequence[str] = (), reload: int | None = None, kind: str = ""
) -> str:
    """A whole page that fetches nothing and runs no script but these, by a content security policy.

    Args:
        title: plain text.
        body: HTML.
        style: CSS.
        scripts: JavaScript, run in this order at the end.
        reload: seconds after which the page loads itself anew; never if not given.
        kind: class of the body, to which the style may refer.
    """
    kept = [script.replace("\r\n", "\n").replace("\r", "\n") for script in scripts]  # as browsers read and hash it
    hashes = (b64encode(sha256(script.encode()).digest()).decode() for script in kept)
    allowed = " ".join(f"'sha256-{value}'" for value in hashes) or "'none'"
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {allowed}; "
        "base-uri 'none'; form-action 'none'"
    )
    run = "".join(f"<script>{script}</script>" for script in kept)
    refresh = "" if reload is None else f'<meta http-equiv="refresh" content="{reload:d}">'
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}"><title>{html(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{refresh}<style>{style}</style></head>'
        f'<body class="{html(kind)}">{body}{run}</body></html>\n'
    )
