r"""What reaches the terminal: text of strangers made visible and harmless, cut to the width, in its encoding.

An update, a header or a close reason may hold what a terminal obeys (escape sequences, C1 controls), what turns text
around (bidirectional controls), ends a line, or cannot be seen at all. All of it is shown as JSON writes it
(`\u001b`), so that the JSON of an update is still the same JSON. In a pipe too: what is piped is read on a terminal
later. Imports nothing of ours.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import unicodedata
from typing import TextIO

SPACES = frozenset(
    "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
)
EMOJI_SELECTOR = (
    "\ufe0f"  # makes the character before it an emoji, which most terminals then draw in two columns
)
MAX_CHARS_PER_COLUMN = 8  # of a line that is cut: marks take no column, and one letter may carry thousands


# ---- pure


def printable(text: str) -> str:
    r"""Return `text` with all that is no visible character or space as `\uXXXX`, and a line's end as one, too."""
    return text if text.isprintable() else re.sub(r"[^ -~]+", lambda match: _printable_run(match[0]), text)


def _printable_run(text: str) -> str:
    return "".join(c if c.isprintable() or c in SPACES else _escape(c) for c in text)


def _escape(character: str) -> str:
    """Return JSON's escape (RFC 8259 §7): two for what is beyond U+FFFF."""
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))


def encodable(text: str, encoding: str) -> str:
    r"""Return `text` in ASCII, everything else as `\uXXXX`, where `encoding` cannot write all of it."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return re.sub(r"[^\x00-\x7f]", lambda match: _escape(match[0]), text)
    return text


def display_width(character: str) -> int:
    """Return the columns that a terminal gives to a printable character (Unicode Annex 11): 0, 1 or 2.

    Where terminals differ it is the larger number: a line that is cut must never wrap.
    """
    if character.isascii() or character == EMOJI_SELECTOR:
        return 1
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def cut(text: str, columns: int, ellipsis: str = "…") -> str:
    """Cut printable text so that it takes at most `columns`; `ellipsis` stands for what is left out."""
    room = columns - len(ellipsis)
    width = end = 0  # `end`: how many characters fit beside the ellipsis
    for character in text:
        width += display_width(character)
        if width > columns:
            return text[:end] + ellipsis[:columns]
        end += width <= room
    return text


# ---- the standard streams


def echo(text: str = "", *, err: bool = False, columns: int | None = None) -> None:
    """Print one line, flushed: escaped, in the encoding of the stream, and cut to `columns` where they are given.

    Not click's: where the encoding is ASCII that writes UTF-8, whose bytes an 8-bit terminal takes for controls.
    Raises OSError when it cannot be written.
    """
    stream = sys.stderr if err else sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    most = len(text) if columns is None else columns * MAX_CHARS_PER_COLUMN
    line = encodable(printable(text[:most]), encoding)
    if columns is not None:
        ellipsis = "…" if encodable("…", encoding) == "…" else "..."
        left_out = " " * columns if len(text) > most else ""  # so that the ellipsis tells of it
        line = cut(line + left_out, columns, ellipsis)
    print(line, file=stream, flush=True)


def terminal_columns() -> int | None:
    """Return the width of the terminal at stdout now; None when stdout is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout is not None and sys.stdout.isatty() else None


def open_standard_streams() -> None:
    """Make the standard streams usable, however this process was started.

    A closed one (`>&-`) becomes /dev/null: otherwise the next file to be opened, the database perhaps, would take
    its number, and libuv, which refuses to close such a file, aborts. What the encoding of the terminal lacks is
    escaped, also where a library prints.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this one
            os.set_inheritable(number, True)  # as the real ones are, for the workers
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115  open as long as the process
    for stream in (sys.stdout, sys.stderr):
        _escape_what_is_lacking(stream)


def drop_unwritten_output() -> None:
    """Give up what cannot be written: the interpreter would try it again at its end, and change the exit status."""
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)


def _escape_what_is_lacking(stream: TextIO) -> None:
    reconfigure = getattr(stream, "reconfigure", None)  # a replacement of the stream may have none
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
