"""How the text of an environment variable becomes a value. Pure: knows no variable by name.

A reader takes the text and returns the value, or raises `ValueError` with the end of the sentence
"NAME must be ..."; a Variable puts the name in front.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address, ip_network
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from .errors import BadSetting
from .types import Kind

STREAM_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,63}")
UNITS = {"": 1, "KiB": 1024, "MiB": 1024**2}
WORDS_FOR_ON = ("on", "true", "yes", "1")
WORDS_FOR_OFF = ("off", "false", "no", "0")
MASK = "***"


class Derived(NamedTuple):
    """A default that follows from other variables or the machine: how the docs put it, how it is found."""

    shown: str
    value: Callable[[Mapping[str, Any]], object]


class Variable(NamedTuple):
    """One variable: its default (as it would be written in the environment), its reader, what it does."""

    default: str | Derived
    read: Callable[[str], object]
    says: str
    name: str = ""  # where it is not the field's name in capitals
    secret: bool = False

    def shown(self, value: object) -> object:
        """A value as JSON can hold it, the way the environment would say it; what is secret stays secret."""
        match value:
            case bool():
                return (
                    ("inline" if value else "off") if self.read is inline_or_off else "on" if value else "off"
                )
            case None | int() | float():
                return value
            case tuple():
                return list(value)
            case Mapping():
                return dict(value)
            case _:
                return MASK if self.secret else without_password(str(value))

    def value(self, name: str, environ: Mapping[str, str], seen: Mapping[str, Any]) -> object:
        """Read the variable, or its default where it is not set or empty. Raises BadSetting."""
        text = environ.get(name, "").strip()
        if not text and isinstance(self.default, Derived):
            return self.default.value(seen)
        try:
            return self.read(text or str(self.default))
        except ValueError as error:
            got = "" if self.secret else f", not {without_password(text)!r}"
            raise BadSetting(f"{name} must be {error}{got}.") from None


def without_password(url: str) -> str:
    """The same text with the password of a URL masked."""
    return re.sub(r"(?<=://)([^/@]*):[^/@]*@", rf"\1:{MASK}@", url)


def whole(least: int, most: int = 10**12) -> Callable[[str], int]:
    """A whole number from `least` to `most`."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,13}", text) or not least <= int(text) <= most:
            raise ValueError(f"a whole number from {least} to {most}")
        return int(text)

    return read


def seconds(least: float, most: float) -> Callable[[str], float]:
    """A number of seconds from `least` to `most`; fractions are allowed."""

    def read(text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) or not least <= float(text) <= most:
            raise ValueError(f"a number of seconds from {least:g} to {most:g}")
        return float(text)

    return read


def size(least: int) -> Callable[[str], int]:
    """Bytes: a whole number, with or without KiB or MiB behind it."""

    def read(text: str) -> int:
        match = re.fullmatch(r"([0-9]{1,12}) ?(KiB|MiB|)", text)
        if match is None or int(match[1]) * UNITS[match[2]] < least:
            raise ValueError(f"a number of bytes of at least {least}, such as 8388608 or 8 MiB")
        return int(match[1]) * UNITS[match[2]]

    return read


def one_of(*words: str) -> Callable[[str], str]:
    """One of a few words, in any case."""

    def read(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(" or ".join(words))
        return text.lower()

    return read


def switch(text: str) -> bool:
    """`on` or `off`, also as other programs write it."""
    if text.lower() not in WORDS_FOR_ON + WORDS_FOR_OFF:
        raise ValueError("on or off")
    return text.lower() in WORDS_FOR_ON


def inline_or_off(text: str) -> bool:
    """Whether something runs inside this process."""
    return one_of("inline", "off")(text) == "inline"


def limit_or_off(text: str) -> int | None:
    """A limit of at least 1, or None for `off`."""
    if text.lower() == "off":
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,11}", text):
        raise ValueError("off or a whole number of at least 1")
    return int(text)


def host(text: str) -> str:
    """A host name or an IP address without a port; the brackets of an IPv6 address are dropped."""
    bare = text.removeprefix("[").removesuffix("]")
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,253}", bare) and not is_address(bare):
        raise ValueError("a host name or an IP address, without a port")
    return bare


def is_address(text: str) -> bool:
    """Whether this is an IPv4 or IPv6 address."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def is_loopback(name: str) -> bool:
    """Whether only this machine can reach the host."""
    return name.lower() == "localhost" or (is_address(name) and ip_address(name).is_loopback)


def path(text: str) -> str:
    """The path of a URL, without host, query or fragment."""
    if not re.fullmatch(r"/(?![/\\])[!-~]*", text) or set(text) & set("?#\"'<>\\"):
        raise ValueError("a path that starts with one slash")
    return text


def token(text: str) -> str:
    """A secret that travels in a header."""
    if not re.fullmatch(r"[!-~]+", text):
        raise ValueError("printable ASCII without spaces")
    return text


def database_url(text: str) -> str:
    """A SQLite file. Not one in memory: each connection of ours would see a database of its own."""
    if not re.fullmatch(r"sqlite:///[^?#]+", text) or text == "sqlite:///:memory:":
        raise ValueError("the URL of a SQLite file, such as sqlite:///./dashboard.db")
    return text


def broker_url(text: str) -> str:
    """The bell between processes; SQLite's processes hear of each other through the database itself."""
    if text != "memory://":
        raise ValueError("memory://")
    return text


def addresses(text: str) -> tuple[str, ...]:
    """IP addresses or networks with commas between them, or `*`."""
    found = tuple(part.strip() for part in text.split(","))
    try:
        for part in found:
            _ = part == "*" or ip_network(part, strict=False)
    except ValueError:
        raise ValueError("IP addresses or networks with commas between them, or *") from None
    return found


def origins(text: str) -> tuple[str, ...]:
    """Origins with commas between them, in the form in which browsers send them (RFC 6454 §6.2)."""
    return tuple(origin(part.strip()) for part in text.split(",") if part.strip())


def origin(text: str) -> str:
    """One origin: scheme, host in lower case, and the port unless it is the scheme's own."""
    complaint = ValueError("origins such as https://example.org with commas between them")
    try:
        parts = urlsplit(text.lower())
        port = parts.port
    except ValueError:
        raise complaint from None
    bare = f"{parts.scheme}://{parts.netloc}"
    if parts.scheme not in ("http", "https") or not parts.hostname or text.lower().rstrip("/") != bare:
        raise complaint
    if "@" in parts.netloc or not re.fullmatch(r"[a-z0-9_.:\[\]-]+", parts.netloc):
        raise complaint
    own = {"http": 80, "https": 443}[parts.scheme]
    return bare.removesuffix(f":{port}") if port == own else bare


def streams(text: str) -> Mapping[str, Kind]:
    """`name:kind` pairs with commas between them. Names may hold colons: the last one divides."""
    found: dict[str, Kind] = {}
    for part in text.split(","):
        name, _, kind = part.strip().rpartition(":")
        if kind not in tuple(Kind) or not STREAM_NAME.fullmatch(name) or name in found:
            raise ValueError(
                "name:kind pairs with commas between them, such as dashboard_updates:state,events:log: each "
                "name once, 1 to 63 letters, digits, _ - . and :, each kind state or log"
            )
        found[name] = Kind(kind)
    return MappingProxyType(found)
