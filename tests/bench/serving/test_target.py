"""bench/serving/target.py, target_type.py, builtin.py: targets by name, and as they are started and opened."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.errors import Environment
from bench.load.wire import Wire
from bench.serving import target, target_file
from bench.serving.broadcast import RedisPublish
from bench.serving.builtin import BUILT_IN
from bench.serving.need import Need
from bench.serving.placeholder import filled, unknown
from bench.serving.target import TargetError
from bench.serving.target_type import CableEnd, Deflate, SseEnd, Target

PLAIN = Target(name="mine", command=("serve",))


@pytest.mark.parametrize("name", BUILT_IN)
def test_what_is_built_in_is_found_by_its_name(name: str) -> None:
    assert target.by_name(name).name == name


def test_a_target_of_the_folder_is_found_by_the_name_of_its_file() -> None:
    found = target.by_name("by-hand")
    assert (found.name, found.sse.ready) == ("by-hand", "connected")


def test_a_target_is_found_by_the_path_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('start = ["serve"]\ntransports = ["sse"]\n')
    assert target.by_name(str(path)) == replace(PLAIN, transports=("sse",), file=str(path))


@pytest.mark.parametrize("name", ["nothing", "no/such/file.toml", "floor.py"])
def test_an_unknown_name_is_a_key_error_that_tells_the_others(name: str) -> None:
    with pytest.raises(KeyError) as caught:
        target.by_name(name)
    assert isinstance(caught.value, TargetError)
    sentence = str(caught.value)
    assert sentence.startswith(
        f"no target '{name}'; there are app, app-plain, app-redis-postgres, app-redis-postgres-one, "
        "floor, floor-joined, anycable, "
    )
    assert sentence.endswith(", and any path of a .toml file")


def test_the_app_deflates_only_for_the_row_that_asks_for_it() -> None:
    app = target.app()
    assert "WS_COMPRESSION" not in app.speaking("cable").environment
    assert app.speaking("cable+deflate").environment["WS_COMPRESSION"] == "on"
    assert app.speaking("cable+deflate").environment["PORT"] == "{port}"


def test_words_are_added_for_deflate() -> None:
    deflating = replace(PLAIN, transports=("cable+deflate",), deflate=Deflate({}, ("--deflate",)))
    assert deflating.speaking("cable+deflate").command == ("serve", "--deflate")


def test_what_is_not_spoken_is_refused() -> None:
    with pytest.raises(Environment, match=r"floor does not speak cable\+ext; it speaks sse, cable$"):
        target.floor().speaking("cable+ext")


def test_the_plain_app_is_the_app_without_the_handover() -> None:
    plain, app = target.by_name("app-plain"), target.app()
    assert plain.environment == {**app.environment, "HANDOVER": "off"}
    assert plain.command == app.command == (sys.executable, "-m", "dashboard_rt", "serve")


def test_the_two_forms_over_redis_and_postgres_differ_in_their_processes_only() -> None:
    two, one = target.by_name("app-redis-postgres"), target.by_name("app-redis-postgres-one")
    assert (two.processes, one.processes) == (2, 1)
    assert replace(one, name=two.name, about=two.about, processes=2) == replace(
        two, environment={**two.environment, "WEB_CONCURRENCY": "1"}
    )
    assert [need.name for need in two.needs] == ["redis-server", "postgres"]


def test_the_wires_hold_what_the_file_says() -> None:
    mine = replace(
        PLAIN, sse=SseEnd("/s", "open", "a.b", {"X-A": "1"}), cable=CableEnd("/c", '{"id":1}', {"X-B": "2"})
    )
    assert mine.wire("sse", "127.0.0.1", 9) == Wire(
        "sse", "127.0.0.1", 9, "/s", ready="open", envelope="a.b", headers=(("X-A", "1"),)
    )
    assert mine.wire("cable", "127.0.0.1", 9) == Wire(
        "cable", "127.0.0.1", 9, "/c", '{"id":1}', headers=(("X-B", "2"),)
    )
    assert mine.wire("cable+ext", "127.0.0.1", 9).subprotocol == "actioncable-v1-ext-json"


def test_places_are_filled_and_other_braces_are_left_alone() -> None:
    mine = replace(
        PLAIN, command=("serve", "{port}", '{"a":{}}', "{nobody}"), environment={"AT": "{directory}/x"}
    )
    command, environment = mine.filled(port="1", directory="/run")
    assert command == ["serve", "1", '{"a":{}}', "{nobody}"]
    assert environment == {"AT": "/run/x"}


def test_what_is_filled_in_is_not_filled_again() -> None:
    assert filled("{a}{b}", {"a": "{b}", "b": "1"}) == "{b}1"


def test_places_that_nobody_fills_are_found() -> None:
    assert unknown('{port} {prot} {"channel":"x"} {directory}') == ["prot"]


def test_only_http_is_published_to_over_http() -> None:
    assert PLAIN.http_publish == PLAIN.broadcast
    assert replace(PLAIN, broadcast=RedisPublish()).http_publish is None


def test_what_is_missing_is_named_with_its_remedy() -> None:
    needs = (
        Need("program", "no-such-program", "build it"),
        Need("module", "no_such_module", "pip it"),
        Need("module", "orjson", "never"),
        Need("program", "sh", "never"),
    )
    missing = replace(PLAIN, needs=needs).missing
    assert missing == "no-such-program: build it; no_such_module: pip it"


def test_all_targets_are_listed() -> None:
    listed = {row.name: row for row in target_file.listing()}
    assert list(listed)[: len(BUILT_IN)] == list(BUILT_IN)
    assert set(listed) == {*BUILT_IN, *target_file.names()}
    assert listed["app"] == target_file.Listed("app", True, "", target.app().about, target.app().transports)
    for row in listed.values():
        assert row.about
        assert row.runnable == (not row.missing)


def test_a_target_that_cannot_run_is_listed_with_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    listed = {row.name: row for row in target_file.listing()}
    assert listed["go-gorilla"].missing == (
        "redis-server: apt install redis-server; go: install Go 1.26 or newer"
    )
    assert listed["by-hand"].runnable
