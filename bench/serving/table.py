"""A TOML table, read key by key: every fault is one sentence that names file, key and what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any, Self

from bench.errors import BenchError
from bench.serving.placeholder import PLACES, filled, unknown

TEMPLATES = ("{json}", "{text}", "{form}")  # bench/serving/broadcast.py says what they are


HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110 section 5.6.2, token


class TargetError(BenchError, KeyError):
    """There is no such target, or its file cannot be used; the message is one sentence."""

    def __str__(self) -> str:
        return str(self.args[0])


class Table:
    """Each value is asked for once, by key and kind; `done` refuses what nobody asked for."""

    def __init__(self, file: str, values: Mapping[str, Any], places: Mapping[str, str], at: str = "") -> None:
        self.file = file
        self.values = values
        self.at = at
        self.places = places
        self.asked: list[str] = []

    def fault(self, key: str, what: str) -> TargetError:
        """The error that says `what` is wrong with a key."""
        return TargetError(f"{self.file}: {self.at}{key} {what}")

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def _value(self, key: str) -> Any:
        self.asked.append(key)
        return self.values.get(key)

    def _of(self, key: str, kind: type, what: str) -> Any:
        value = self._value(key)
        if value is not None and type(value) is not kind:
            raise self.fault(key, f"must be {what}, not {value!r}")
        return value

    def _filled(self, key: str, text: str) -> str:
        if "\0" in text:
            raise self.fault(key, "holds a zero byte, which no program can be told")
        for name in unknown(text):
            raise self.fault(
                key, f"has the place {{{name}}} that nobody fills; there are {', '.join(PLACES)}"
            )
        return filled(text, self.places)

    def text(self, key: str, default: str | None = None) -> str:
        """A string with its places checked; without a default it must be there."""
        value = self._of(key, str, "a text in quotes")
        if value is None and default is None:
            raise self.fault(key, "is missing: add it, a text in quotes")
        return self._filled(key, value) if value is not None else str(default)

    def line(self, key: str, default: str | None = None) -> str:
        """A string that goes into a line of a protocol: of characters that can be shown, in Latin-1."""
        value = self.text(key, default)
        if not value.isprintable() or not _is_latin(value):
            raise self.fault(key, f"must be one line of plain characters, not {value!r}")
        return value

    def path(self, key: str, default: str) -> str:
        """The path of a URL, with its query, as it goes into a request."""
        value = self.line(key, default)
        if not value.startswith("/") or " " in value or not value.isascii():
            raise self.fault(key, f"must be a path that begins with / and has no blanks, not {value!r}")
        return value

    def header_pairs(self, key: str) -> dict[str, str]:
        """A table of header fields; empty when it is not there."""
        table = self.table(key)
        for name in table.values:
            if not HEADER_NAME.fullmatch(name):
                raise table.fault(name, "is no name of a header: letters, digits and dashes")
        return {name: table.line(name) for name in table.values}

    def template(self, key: str) -> str:
        """A string that holds the update; the update as it is when it is not there."""
        value = self._of(key, str, "a text in quotes") or TEMPLATES[0]
        if not any(place in value for place in TEMPLATES):
            raise self.fault(key, f"must hold the update, as {' or '.join(TEMPLATES)}, not {value!r}")
        return str(value)

    def one_of(self, key: str, allowed: tuple[str, ...], default: str) -> str:
        """One of a few words."""
        value = self.text(key, default)
        if value not in allowed:
            raise self.fault(key, f"must be one of {', '.join(allowed)}, not {value!r}")
        return value

    def flag(self, key: str) -> bool:
        """true or false; false when it is not there."""
        return bool(self._of(key, bool, "true or false"))

    def number(self, key: str) -> int | None:
        """A whole number above zero, or None when it is not there."""
        value = self._of(key, int, "a whole number")
        if value is not None and value < 1:
            raise self.fault(key, f"must be above zero, not {value}")
        return None if value is None else int(value)

    def numbers(self, key: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """A list of whole numbers."""
        value = self._of(key, list, "a list of whole numbers")
        if value is None:
            return default
        if not value or not all(type(item) is int for item in value):
            raise self.fault(key, f"must be a list of whole numbers, not {value!r}")
        return tuple(value)

    def statuses(self, key: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """A list of HTTP statuses."""
        found = self.numbers(key, default)
        if not all(200 <= one <= 599 for one in found):
            raise self.fault(key, f"must be a list of HTTP statuses, 200 to 599, not {list(found)}")
        return found

    def command(self, key: str) -> tuple[str, ...]:
        """A list of strings that begins with a program; empty when it is not there."""
        found = self.words(key)
        if (key in self and not found) or (found and not found[0].strip()):
            raise self.fault(key, f"must begin with a program, not {list(found)}")
        return found

    def words(self, key: str, allowed: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """A list of strings, each of them `allowed`, and once, when only some are; empty when it is not there."""
        value = self._of(key, list, "a list of texts in quotes")
        words = value or []
        if not all(isinstance(word, str) for word in words):
            raise self.fault(key, f"must be a list of texts in quotes, not {value!r}")
        for word in words if allowed is not None else ():
            if word not in (allowed or ()):
                raise self.fault(key, f"has {word!r}; there are {', '.join(allowed or ())}")
            if words.count(word) > 1:
                raise self.fault(key, f"has {word!r} {words.count(word)} times: name it once")
        return tuple(self._filled(key, word) for word in words)

    def pairs(self, key: str) -> dict[str, str]:
        """A table of strings; empty when it is not there."""
        table = self.table(key)
        for name in table.values:
            if not name or "=" in name or "\0" in name:
                raise table.fault(name, "is no name of a variable")
        return {name: table.text(name) for name in table.values}

    def table(self, key: str) -> Self:
        """A table in this one; an empty one when it is not there."""
        value = self._of(key, dict, "a table")
        return type(self)(self.file, value or {}, self.places, f"{self.at}{key}.")

    def tables(self, key: str) -> list[Self]:
        """A list of tables, `[[key]]` each."""
        value = self._of(key, list, f"a list of tables, [[{key}]] each")
        if not all(isinstance(item, dict) for item in value or []):
            raise self.fault(key, f"must be a list of tables, [[{key}]] each, not {value!r}")
        return [
            type(self)(self.file, item, self.places, f"{self.at}{key}[{number}].")
            for number, item in enumerate(value or [])
        ]

    def done(self) -> None:
        """Refuse what nobody asked for: a key that is misspelt must not be silently without effect."""
        for key in self.values:
            if key not in self.asked:
                near = difflib.get_close_matches(key, self.asked, 1)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(self.asked)}"
                raise self.fault(key, f"is not a key that is known here: {hint}")


def _is_latin(text: str) -> bool:
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True
