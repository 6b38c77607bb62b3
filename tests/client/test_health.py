"""What a server says on /health, as `doctor` reads and prints it."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from dashboard_rt.client.doctor import doctor
from dashboard_rt.client.health import MAX_BYTES, MAX_SENTENCE_CHARS, MAX_SENTENCES, ServerHealth, read_health
from tests.fakes import Behaviour, serving


def run(health: str | None) -> Result:
    with serving(Behaviour(health=health)) as fake:
        return CliRunner().invoke(doctor, [fake.url, "--seconds", "0.5"])


def test_an_outage_is_a_finding_and_a_slow_setting_a_note() -> None:
    result = run(
        json.dumps({"degraded": ["The broker is away.", "It is slow."], "by_settings": ["It is slow."]})
    )
    assert "/health says\n  FINDING: The broker is away.\n  note: It is slow.\n\n1 finding." in result.output
    assert result.exit_code == 1


def test_a_slow_setting_alone_leaves_the_exit_code_at_0() -> None:
    result = run(json.dumps({"degraded": ["It is slow."], "by_settings": ["It is slow."]}))
    assert "  note: It is slow." in result.output
    assert (result.exit_code, "Both transports are healthy." in result.output) == (0, True)


@pytest.mark.parametrize(
    "health",
    [None, "", "hello", "[]", "{}", '{"degraded": 7}', '{"degraded": [7, null]}', "{" * 2 * MAX_BYTES],
)
def test_another_server_says_nothing(health: str | None) -> None:
    result = run(health)
    assert (result.exit_code, "says" in result.output) == (0, False)


def test_what_a_stranger_says_is_bounded() -> None:
    health = read_health({"degraded": ["x" * 10_000] * 1000, "by_settings": ["y"]})
    assert len(health.outages) == MAX_SENTENCES
    assert {len(sentence) for sentence in health.outages} == {MAX_SENTENCE_CHARS}
    assert health.by_settings == ("y",)
    assert read_health({}) == ServerHealth()
