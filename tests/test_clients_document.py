"""docs/clients.md says all that the types of the client have, and shows what the examples hold."""

from __future__ import annotations

import re

import pytest

from tests.live.clients_document import DOCUMENT, ROOT, SECTIONS, block

TYPES = (ROOT / "web" / "client" / "index.d.ts").read_text()
INTERFACES = dict(re.findall(r"^export interface (\w+)[^\n]*\{\n(.*?)^\}", TYPES, re.MULTILINE | re.DOTALL))
OPTIONS = [name for name in INTERFACES if name.endswith("Options") and "Source" not in name]

OTHERS = [
    "Callbacks",
    "Loss",
    "Verdict",
    "UpdateDetail",
    "Stats",
    "Platform",
    "Client",
    "SwitchingClient",
    "SharedClient",
]


def members(interface: str) -> list[str]:
    return re.findall(r"^  (?:readonly )?(\w+)\??[(:]", INTERFACES[interface], re.MULTILINE)


@pytest.mark.parametrize("interface", [*OPTIONS, *OTHERS])
def test_every_member_is_documented(interface: str) -> None:
    assert members(interface)
    for member in members(interface):
        assert re.search(rf"[`{{.\s,]{member}\b", DOCUMENT), member


def test_every_reason_is_documented() -> None:
    (comment,) = re.findall(r"/\*\*((?:(?!\*/).)*)\*/\s*reason: string", INTERFACES["Loss"], re.DOTALL)
    reasons = re.findall(r"`(\w+)`", comment)
    assert "silence" in reasons
    for reason in reasons:
        assert f"`{reason}`" in SECTIONS["When something is wrong"], reason


def test_the_hook_is_that_of_the_example() -> None:
    assert block("React", "jsx") == (ROOT / "examples" / "react" / "src" / "use-stream.js").read_text()
