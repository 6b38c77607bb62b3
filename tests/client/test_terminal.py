"""What may reach a terminal: nothing that it obeys, nothing wider than it is, nothing that its encoding lacks."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import unicodedata
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard_rt.client.terminal import cut, display_width, echo, encodable, printable, terminal_columns

FORBIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", r"\u001b[2J"),
        ("a\nb\r\tc\0", r"a\u000ab\u000d\u0009c\u0000"),
        ("\x7f\x9b31m\x85", r"\u007f\u009b31m\u0085"),
        ("\u202egnp\u2066\u200f", r"\u202egnp\u2066\u200f"),
        ("\u2028\u2029\u200b\ufeff\xad", r"\u2028\u2029\u200b\ufeff\u00ad"),
        ("\U000e0041", r"\udb40\udc41"),
        ("\udc80", r"\udc80"),
        ("né 日本 👍🏽 e\u0301\u3000\xa0", "né 日本 👍🏽 e\u0301\u3000\xa0"),
    ],
)
def test_what_a_terminal_obeys_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text())
def test_json_stays_the_same_json(text: str) -> None:
    update = json.dumps({"text": text}, ensure_ascii=False)
    for encoding in ("utf-8", "latin-1", "ascii"):
        shown = encodable(printable(update), encoding)
        assert not [c for c in shown if unicodedata.category(c) in FORBIDDEN]
        assert json.loads(shown.encode(encoding).decode(encoding)) == {"text": text}


@pytest.mark.parametrize(
    ("text", "columns", "shown"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("日本", 4, "日本"),
        ("日本語", 5, "日本…"),
        ("日本語", 4, "日…"),
        ("a日", 2, "a…"),
        ("e\u0301e\u0301e\u0301", 3, "e\u0301e\u0301e\u0301"),
        ("e\u0301e\u0301e\u0301", 2, "e\u0301…"),
        ("❤\ufe0f!", 2, "❤…"),
        ("abc", 0, ""),
    ],
)
def test_a_line_is_cut_by_columns_and_not_by_characters(text: str, columns: int, shown: str) -> None:
    assert cut(text, columns) == shown


@given(st.text(), st.integers(0, 12), st.sampled_from(["…", "..."]))
def test_a_cut_line_never_wraps(text: str, columns: int, ellipsis: str) -> None:
    line = cut(printable(text), columns, ellipsis)
    assert sum(map(display_width, line)) <= columns


ENCODINGS = pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])


def echoed(encoding: str, *lines: str, columns: int | None = None) -> str:
    """What a terminal of this encoding is sent."""
    written = io.BytesIO()
    with redirect_stdout(io.TextIOWrapper(written, encoding, newline="\n")):
        for line in lines:
            echo(line, columns=columns)
        return written.getvalue().decode(encoding)


@ENCODINGS
def test_a_line_is_written_in_the_encoding_of_the_terminal(encoding: str) -> None:
    assert (
        echoed(encoding, "né\x9b", "日本\x1b")
        == {
            "utf-8": "né\\u009b\n日本\\u001b\n",
            "latin-1": "né\\u009b\n\\u65e5\\u672c\\u001b\n",
            "ascii": "n\\u00e9\\u009b\n\\u65e5\\u672c\\u001b\n",
        }[encoding]
    )


@ENCODINGS
def test_a_line_that_is_cut_tells_so(encoding: str) -> None:
    first, second = echoed(encoding, "0123456789", "a" + "\u0301" * 1_000_000, columns=8).splitlines()
    assert first == ("0123456…" if encoding == "utf-8" else "01234...")
    assert len(second) <= 80


# ---- real processes: the standard streams at the start

PROGRAM = """
import os, sys
from dashboard_rt.client.terminal import open_standard_streams
open_standard_streams()
print("caf\\u00e9 \\u65e5")
taken = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
sys.exit(0 if taken > 2 and sys.stdin.read() == "" else 1)
"""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_no_file_takes_the_place_of_a_closed_stream(closed: str, tmp_path: Path) -> None:
    command = f'"$0" -c "$1" "$2" {closed}'
    arguments = [sys.executable, PROGRAM, f"{tmp_path}/file"]
    done = subprocess.run(
        ["sh", "-c", command, *arguments], stdin=subprocess.DEVNULL, timeout=20, check=False
    )
    assert done.returncode == 0
    assert os.path.getsize(f"{tmp_path}/file") == 0


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_library_that_prints_does_not_fail_either(encoding: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, f"{tmp_path}/file"],
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.endswith(b"\\u65e5\n")


@pytest.mark.parametrize(("columns", "width"), [("50", 50), ("0", None), ("abc", None), ("-1", None)])
def test_the_width_of_the_terminal(columns: str, width: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    with redirect_stdout(Terminal()):
        assert (terminal_columns() or 0) > 0
        assert width is None or terminal_columns() == width
    with redirect_stdout(io.StringIO()):
        assert terminal_columns() is None


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True
