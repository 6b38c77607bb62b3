"""An undocumented setting, endpoint, command, option, error or close code fails here."""

from __future__ import annotations

import pytest

from scripts.site import reference


@pytest.mark.parametrize("page", ["settings.md", "protocol.md", "cli.md", "errors.md"])
def test_a_reference_page_names_all_there_is(page: str) -> None:
    assert [told for told in reference.missing() if told.startswith(f"docs/{page}:")] == []
