"""How the text of an environment variable becomes a value. Pure: knows no variable by name.

A reader takes the text, without white space around it, and returns the value. It raises `ValueError` with the end of
the sentence "NAME must be ..."; `Variable.value` puts the name in front.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from ipaddress import IPv6Address, ip_address, ip_network
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
# Schemes that browsers send for no page; of local files they send `null`, or `file://` without a host.
NO_ORIGINS = ("", "ws", "wss", "file", "data", "blob", "about", "javascript")


# ---- variables


class Derived(NamedTuple):
    """A default that depends on other variables or on the machine.

    `text` describes it in docs/settings.md; `compute` gets the fields that were read before it.
    """

    text: str
    compute: Callable[[Mapping[str, Any]], object]


class Variable(NamedTuple):
    """One variable: its default, written as in the environment, its reader, and one sentence on what it does.

    `name` is given where it is not the field's name in capitals, `on` and `off` where True and False are written with
    other words.
    """

    default: str | Derived
    read: Callable[[str], object]
    description: str
    name: str = ""
    on: str = "on"
    off: str = "off"
    secret: bool = False

    def value(self, name: str, environ: Mapping[str, str], seen: Mapping[str, Any]) -> object:
        """Read the variable, or its default where it is not set or empty. Raises BadSetting.

        `seen` holds the fields that were read before, for derived defaults.
        """
        text = environ.get(name, "").strip()
        if not text and isinstance(self.default, Derived):
            return self.default.compute(seen)
        try:
            return self.read(text or str(self.default))
        except ValueError as error:
            got = "" if self.secret else f", not {repeatable(text)!r}"
            raise BadSetting(f"{name} must be {error}{got}.") from None

    def masked(self, value: object) -> object:
        """Return a value as JSON can hold it, with the words of the environment, secrets and passwords masked."""
        match value:
            case bool():
                return self.on if value else self.off
            case None | int() | float():
                return value
            case tuple():
                return list(value)
            case Mapping():
                return dict(value)
            case _:
                return MASK if self.secret else without_password(str(value))


def without_password(url: str) -> str:
    """Mask the password of a URL (RFC 3986 §3.2.1); other text is returned as it is."""
    # Up to the last @: a password that should have been escaped may hold any character.
    return re.sub(r"(?<=://)([^/@:]*):.*@", rf"\1:{MASK}@", url)


def repeatable(text: str) -> str:
    """Return what a variable holds for a complaint about it, without what may be a password.

    In a URL that is no URL (`postgres:/user:password@host`, `host=… password=…`) it may stand anywhere.
    """
    text = re.sub(r"(?i)(pass\w*|pwd)=.*", rf"\1={MASK}", text)
    masked = without_password(text)
    if masked != text or re.match(r"\W?[a-z+]+://[^/@:]*(@|$)", text):
        return masked
    return re.sub(r".*@", f"{MASK}@", text)


# ---- readers: numbers and words


def whole(least: int, most: int = 10**12) -> Callable[[str], int]:
    """Return a reader of whole numbers in ASCII digits from `least` to `most`; ValueError for anything else."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,13}", text) or not least <= int(text) <= most:
            raise ValueError(f"a whole number from {least} to {most}")
        return int(text)

    return read


def seconds(least: float, most: float) -> Callable[[str], float]:
    """Return a reader of seconds from `least` to `most`, such as `15` or `0.5`; ValueError for anything else."""

    def read(text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) or not least <= float(text) <= most:
            raise ValueError(f"a number of seconds from {least:g} to {most:g}")
        return float(text)

    return read


def size(least: int) -> Callable[[str], int]:
    """Return a reader of bytes, such as `65536`, `64 KiB` or `8 MiB`; ValueError for anything else or less."""

    def read(text: str) -> int:
        match = re.fullmatch(r"([0-9]{1,12}) ?(KiB|MiB|)", text)
        if match is None or int(match[1]) * UNITS[match[2]] < least:
            raise ValueError(f"a number of bytes of at least {least}, such as 8388608 or 8 MiB")
        return int(match[1]) * UNITS[match[2]]

    return read


def one_of(*words: str) -> Callable[[str], str]:
    """Return a reader of `words`, which are in lower case, in any case; ValueError for any other."""

    def read(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(" or ".join(words))
        return text.lower()

    return read


def switch(text: str) -> bool:
    """Accept `on` or `off`, also as other programs write it, in any case. ValueError for anything else."""
    if text.lower() not in WORDS_FOR_ON + WORDS_FOR_OFF:
        raise ValueError("on or off")
    return text.lower() in WORDS_FOR_ON


def inline_or_off(text: str) -> bool:
    """Accept `inline`, which is True, or `off`. ValueError for anything else."""
    return one_of("inline", "off")(text) == "inline"


def required_or_none(text: str) -> bool:
    """Accept `required`, which is True, or `none`. ValueError for anything else."""
    return one_of("required", "none")(text) == "required"


def limit_or_off(text: str) -> int | None:
    """Accept a whole number of at least 1, or `off`, which is None. ValueError for anything else."""
    if text.lower() == "off":
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,11}", text):
        raise ValueError("off or a whole number of at least 1")
    return int(text)


def token(text: str) -> str:
    """Accept printable ASCII without spaces, which any header can carry. ValueError for anything else."""
    if not re.fullmatch(r"[!-~]+", text):
        raise ValueError("printable ASCII without spaces")
    return text


def signing_secret(text: str) -> str:
    """Accept a token of at least 32 characters: HS256 wants a key as long as its hash (RFC 7518 §3.2). ValueError."""
    if len(text) < 32 or not re.fullmatch(r"[!-~]+", text):
        raise ValueError("at least 32 characters of printable ASCII without spaces")
    return text


# ---- readers: hosts, addresses and URLs


def host(text: str) -> str:
    """Accept a host name or an IP address; brackets around IPv6 are dropped. ValueError, also for a port."""
    bare = text.removeprefix("[").removesuffix("]")
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,253}", bare) and not is_address(bare):
        raise ValueError("a host name or an IP address, without a port")
    return bare


def is_address(text: str) -> bool:
    """Tell whether `text` is an IPv4 or IPv6 address, without brackets."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def is_loopback(name: str) -> bool:
    """Tell whether `name` is `localhost` or a loopback address (RFC 1122 §3.2.1.3, RFC 4291 §2.5.3).

    Also an IPv4 one as sockets that speak both versions show it, `::ffff:127.0.0.1`.
    """
    if name.lower() == "localhost":
        return True
    address = ip_address(name) if is_address(name) else None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address is not None and (mapped or address).is_loopback


def hosts(text: str) -> tuple[str, ...]:
    """Accept host names, `*.name` and `*` with commas between, in lower case. ValueError for anything else.

    Brackets around IPv6 are dropped, and a dot at the end. A port is refused, because none is compared.
    """
    return tuple(_host_pattern(part.strip().lower()) for part in text.split(","))


def _host_pattern(text: str) -> str:
    bare = text.removeprefix("[").removesuffix("]")
    if is_address(bare):
        return str(ip_address(bare))
    if text != "*" and not re.fullmatch(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?", text):
        raise ValueError(
            "host names such as example.org or *.example.org with commas between them, without scheme and port, or *"
        )
    return text.removesuffix(".")


def addresses(text: str) -> tuple[str, ...]:
    """Accept IP addresses, networks and `*` with commas between. ValueError for anything else."""
    found = tuple(part.strip() for part in text.split(","))
    try:
        for part in found:
            _ = part == "*" or ip_network(part, strict=False)
    except ValueError:
        raise ValueError("IP addresses or networks with commas between them, or *") from None
    return found


def path(text: str) -> str:
    """Accept the path of a URL, without host, query or fragment. ValueError for anything else.

    Quotes and angle brackets are refused, because the path is put into the page; a second slash at the start would
    name another host.
    """
    if not re.fullmatch(r"/(?![/\\])[!-~]*", text) or set(text) & set("?#\"'<>\\"):
        raise ValueError("a path that starts with one slash")
    return text


def root_path(text: str) -> str:
    """Accept a path without a slash at its end, such as `/dash`. ValueError for anything else.

    Only characters that no URL has to escape (RFC 3986 §2.3), because it is compared with paths and put into pages.
    """
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", text) or {".", ".."} & set(text.split("/")):
        raise ValueError("a path such as /dash, without a slash at its end")
    return text


def channel(text: str) -> str:
    """Accept the name of a Redis channel, any printable text. ValueError for anything else."""
    if not text.isprintable() or len(text) > 255:
        raise ValueError("the name of a Redis channel: 1 to 255 printable characters")
    return text


def printable(most: int) -> Callable[[str], str]:
    """Return a reader of printable text of up to `most` characters; ValueError for anything else."""

    def read(text: str) -> str:
        if not text.isprintable() or len(text) > most:
            raise ValueError(f"printable text of at most {most} characters")
        return text

    return read


def origins(text: str) -> tuple[str, ...]:
    """Accept origins with commas between, in the form in which browsers send them. ValueError for anything else."""
    return tuple(origin(part.strip()) for part in text.split(",") if part.strip())


def origin(text: str) -> str:
    """Accept one origin (RFC 6454 §6.2) and return it in lower case. ValueError for anything else.

    A default port and a slash at the end are dropped, because browsers send neither. Apps in a web view and browser
    extensions have schemes of their own. `null` is refused, because it is the origin of every sandboxed frame and of
    every local file; so are schemes that no page can have.
    """
    complaint = ValueError(
        "origins such as https://example.org or capacitor://localhost with commas between them, never null or *"
    )
    try:
        parts = urlsplit(text.lower())
        port = parts.port
    except ValueError:
        raise complaint from None
    bare = f"{parts.scheme}://{parts.netloc}"
    if parts.scheme in NO_ORIGINS or not parts.hostname or text.lower().rstrip("/") != bare:
        raise complaint
    if "@" in parts.netloc or not re.fullmatch(r"[a-z0-9_.:\[\]-]+", parts.netloc):
        raise complaint
    own = {"http": 80, "https": 443}.get(parts.scheme)
    return bare.removesuffix(f":{port}") if port == own else bare


# ---- readers: streams


def streams(text: str) -> Mapping[str, Kind]:
    """Accept `name:kind` pairs with commas between, each name once. ValueError for anything else.

    Names may hold colons: the last one is in front of the kind.
    """
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
