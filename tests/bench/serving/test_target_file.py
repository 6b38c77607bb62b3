"""bench/serving/target_file.py and bench/serving/table.py: every key, and one sentence for every fault."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from bench.serving import target_file
from bench.serving.broadcast import CommandPublish, HttpPublish, RedisPublish
from bench.serving.build import Build
from bench.serving.need import Need
from bench.serving.table import TargetError
from bench.serving.target_type import CableEnd, Deflate, Outside, SseEnd, Target

SMALL = 'start = ["serve"]\ntransports = ["sse"]\n'
FULL = """
about = "all of it"
start = ["{binary}", "--port", "{port}", "{here}/x", "{python}"]
transports = ["sse", "cable", "cable+ext", "cable+deflate"]
ready_path = "/up"
services = ["redis"]
resumes = true
keeps_state = true
loop_lag_metric = "lag"
processes = 2

[environment]
REDIS_URL = "{redis_url}"

[sse]
path = "/s"
ready = "open"
envelope = "pub.data"
headers = { X-A = "1" }

[cable]
path = "/c"
identifier = '{"channel":"$pubsub"}'
headers = { X-B = "2" }

[deflate]
environment = { DEFLATE = "on" }
arguments = ["--deflate"]

[publish.http]
path = "/p"
token = ""
headers = { X-C = "3" }
body = '{"data":{text}}'
content_type = "text/plain"
batch = "each"
accepted = [200, 202]

[build]
directory = "{here}"
command = ["make", "{binary}"]

[[needs]]
program = "make"
get = "apt install make"

[[needs]]
module = "x"
get = "pip install x"
"""


def read(tmp_path: Path, text: str) -> Target:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return target_file.read(path)


def refused(tmp_path: Path, text: str) -> str:
    with pytest.raises(TargetError) as caught:
        read(tmp_path, text)
    sentence = str(caught.value)
    assert sentence.startswith(f"{tmp_path / 'mine.toml'}: ")
    assert "\n" not in sentence
    return sentence.removeprefix(f"{tmp_path / 'mine.toml'}: ")


def test_every_key_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, FULL) == Target(
        name="mine",
        about="all of it",
        command=("{binary}", "--port", "{port}", f"{tmp_path}/x", sys.executable),
        environment={"REDIS_URL": "{redis_url}"},
        transports=("sse", "cable", "cable+ext", "cable+deflate"),
        sse=SseEnd("/s", "open", "pub.data", {"X-A": "1"}),
        cable=CableEnd("/c", '{"channel":"$pubsub"}', {"X-B": "2"}),
        ready_path="/up",
        broadcast=HttpPublish("/p", "", {"X-C": "3"}, '{"data":{text}}', "text/plain", "each", (200, 202)),
        services=("redis",),
        deflate=Deflate({"DEFLATE": "on"}, ("--deflate",)),
        resumes=True,
        keeps_state=True,
        loop_lag_metric="lag",
        processes=2,
        build=Build("mine", ("make", "{binary}"), tmp_path),
        needs=(
            Need("program", "redis-server", "apt install redis-server"),
            Need("program", "make", "apt install make"),
            Need("module", "x", "pip install x"),
        ),
    )


def test_a_small_file_has_the_defaults_of_a_target(tmp_path: Path) -> None:
    assert read(tmp_path, SMALL) == Target(name="mine", command=("serve",), transports=("sse",))


def test_a_server_that_runs_already(tmp_path: Path) -> None:
    found = read(tmp_path, 'url = "http://localhost:4000"\npid = 4711\ntransports = ["sse"]\n')
    assert found.outside == Outside("127.0.0.1", 4000, 4711)
    assert found.command == ()


@pytest.mark.parametrize(
    ("text", "publish"),
    [
        ("[publish.redis]\n", RedisPublish("bench", "{json}")),
        (
            '[publish.redis]\nchannel = "__any__"\nmessage = \'{"data":{text}}\'\n',
            RedisPublish("__any__", '{"data":{text}}'),
        ),
        ('[publish]\ncommand = ["{here}/p", "{port}"]\n', None),
    ],
)
def test_other_ways_to_publish(tmp_path: Path, text: str, publish: RedisPublish | None) -> None:
    found = read(tmp_path, SMALL + 'services = ["redis"]\n' + text)
    assert found.broadcast == (publish or CommandPublish((f"{tmp_path}/p", "{port}")))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("start = [", "cannot be read as TOML: "),
        ('transports = ["sse"]', "start or url must be there, one of the two"),
        (SMALL + 'url = "http://127.0.0.1:1"\npid = 1', "start or url must be there, one of the two"),
        (
            'start = ["x"]',
            "transports is missing: name what it speaks, of sse, cable, cable+ext, cable+deflate",
        ),
        (
            'start = ["x"]\ntransports = ["ws"]',
            "transports has 'ws'; there are sse, cable, cable+ext, cable+deflate",
        ),
        ('start = "x"\ntransports = ["sse"]', "start must be a list of texts in quotes, not 'x'"),
        ('start = [1]\ntransports = ["sse"]', "start must be a list of texts in quotes, not [1]"),
        (
            'start = ["x", "{prot}"]\ntransports = ["sse"]',
            "start has the place {prot} that nobody fills; there are port, directory, kind,",
        ),
        (SMALL + "redy_path = '/up'", "redy_path is not a key that is known here: did you mean ready_path?"),
        (SMALL + "zzz = 1", "zzz is not a key that is known here: there are "),
        (SMALL + "[sse]\nredy = 'open'", "sse.redy is not a key that is known here: did you mean ready?"),
        (SMALL + "[cable]\npth = '/'", "cable.pth is not a key that is known here: did you mean path?"),
        (SMALL + "[deflate]\nargs = []", "deflate.args is not a key that is known here: "),
        (SMALL + "[publish]\nftp = {}", "publish.ftp is not a key that is known here: "),
        (SMALL + "[publish.http]\nurl = ''", "publish.http.url is not a key that is known here: "),
        (SMALL + "ready_path = 1", "ready_path must be a text in quotes, not 1"),
        (SMALL + "resumes = 'yes'", "resumes must be true or false, not 'yes'"),
        (SMALL + "keeps_state = 1", "keeps_state must be true or false, not 1"),
        (SMALL + "sse = 1", "sse must be a table, not 1"),
        (SMALL + "[environment]\nPORT = 1", "environment.PORT must be a text in quotes, not 1"),
        (SMALL + 'services = ["mysql"]', "services has 'mysql'; there are redis, postgres"),
        (
            'transports = ["sse"]\nurl = "http://127.0.0.1:1"',
            "pid is missing: add the process id of the server",
        ),
        (SMALL + "pid = 1", "pid is for a server that runs: add its url, or leave out pid"),
        ('transports = ["sse"]\nurl = "http://127.0.0.1:1"\npid = 0', "pid must be above zero, not 0"),
        (
            'transports = ["sse"]\nurl = "http://127.0.0.1:1"\npid = "1"',
            "pid must be a whole number, not '1'",
        ),
        (
            'transports = ["sse"]\nurl = "http://127.0.0.1:1"\npid = 1\nservices = ["redis"]',
            "url is of a server that runs: it cannot have services or a build",
        ),
        (
            SMALL + '[build]\ndirectory = "/"\ncommand = ["{binary}"]',
            "build and {binary} in start belong together",
        ),
        ('start = ["{binary}"]\ntransports = ["sse"]', "build and {binary} in start belong together"),
        (
            SMALL + '[build]\ndirectory = "/"\ncommand = ["make"]',
            "build.command must be a list of words with {binary}",
        ),
        (SMALL + '[build]\ncommand = ["{binary}"]', "build.directory is missing: add it, a text in quotes"),
        (
            SMALL + '[build]\ndirectory = "/no"\ncommand = ["{binary}"]',
            "build.directory is no directory: /no",
        ),
        (SMALL + "[publish]\nhttp = {}\ncommand = ['x']", "publish.command beside http is one too many"),
        (SMALL + "[publish.redis]\n", 'publish.redis needs a Redis: add services = ["redis"]'),
        (
            SMALL + "[publish.http]\nbatch = 'array'",
            "publish.http.batch must be one of ndjson, each, not 'array'",
        ),
        (
            SMALL + "[publish.http]\naccepted = []",
            "publish.http.accepted must be a list of whole numbers, not []",
        ),
        (
            SMALL + "[publish.http]\naccepted = 200",
            "publish.http.accepted must be a list of whole numbers, not 200",
        ),
        (
            SMALL + "[publish.http]\nbody = 'update'",
            "publish.http.body must hold the update, as {json} or {text} or {form}, not 'update'",
        ),
        ('start = []\ntransports = ["sse"]', "start must begin with a program, not []"),
        ('start = [""]\ntransports = ["sse"]', "start must begin with a program, not ['']"),
        ('start = ["x", "\\u0000"]\ntransports = ["sse"]', "start holds a zero byte"),
        ('start = ["x"]\ntransports = ["sse", "sse"]', "transports has 'sse' 2 times: name it once"),
        (SMALL + 'services = ["redis", "redis"]', "services has 'redis' 2 times: name it once"),
        (SMALL + 'about = "a\\nb"', "about must be one line of plain characters, not 'a\\nb'"),
        (
            SMALL + 'ready_path = "up"',
            "ready_path must be a path that begins with / and has no blanks, not 'up'",
        ),
        (SMALL + '[sse]\npath = "/a b"', "sse.path must be a path that begins with /"),
        (SMALL + '[sse]\npath = "/a\\r\\nX: y"', "sse.path must be one line of plain characters"),
        (SMALL + '[sse]\npath = "/\\u00e4"', "sse.path must be a path that begins with /"),
        (SMALL + '[cable]\npath = ""', "cable.path must be a path that begins with /"),
        (SMALL + '[publish.http]\npath = "p"', "publish.http.path must be a path that begins with /"),
        (
            SMALL + '[publish.http]\ntoken = "a\\nb"',
            "publish.http.token must be one line of plain characters",
        ),
        (
            SMALL + '[sse]\nenvelope = "pub..data"',
            "sse.envelope must be keys with dots between, such as pub.data",
        ),
        (SMALL + '[sse.headers]\n"a b" = "c"', "sse.headers.a b is no name of a header"),
        (
            SMALL + '[cable.headers]\nX-A = "\\u20ac"',
            "cable.headers.X-A must be one line of plain characters",
        ),
        (SMALL + '[environment]\n"A=B" = "c"', "environment.A=B is no name of a variable"),
        (SMALL + '[environment]\n"" = "c"', "environment. is no name of a variable"),
        (
            SMALL + "[publish.http]\naccepted = [20]",
            "publish.http.accepted must be a list of HTTP statuses, 200 to 599",
        ),
        (SMALL + "[publish]\ncommand = []", "publish.command must begin with a program, not []"),
        (SMALL + "needs = 1", "needs must be a list of tables, [[needs]] each, not 1"),
        (SMALL + "needs = [1]", "needs must be a list of tables, [[needs]] each, not [1]"),
        (SMALL + "[[needs]]\nget = 'x'", "needs[0].program or module must be there, one of the two"),
        (SMALL + "[[needs]]\nprogram = 'x'", "needs[0].get is missing: add it, a text in quotes"),
        (
            SMALL + "[[needs]]\nprogram = 'x'\nget = 'y'\nhow = ''",
            "needs[0].how is not a key that is known here: ",
        ),
    ],
)
def test_a_bad_file_is_refused_with_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    assert refused(tmp_path, text).startswith(sentence)


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1:4000",
        "http://127.0.0.1",
        "http://10.0.0.1:80",
        "http://example.org:80",
        "http://[::1]:80",
        "127.0.0.1:80",
        "http://127.0.0.1:0",
        "http://127.0.0.1:65536",
        "http://127.0.0.1:-1",
        "http://127.0.0.1:80/app",
        "http://127.0.0.1:80?x=1",
        "http://me@127.0.0.1:80",
        "http://[::1",
    ],
)
def test_load_stays_on_loopback(tmp_path: Path, url: str) -> None:
    said = refused(tmp_path, f'url = "{url}"\npid = 1\ntransports = ["sse"]')
    assert said == f"url must be http://127.0.0.1:PORT, loopback only, not {url!r}"


def test_a_target_has_a_name_that_a_row_can_have(tmp_path: Path) -> None:
    path = tmp_path / "my server.toml"
    path.write_text(SMALL)
    with pytest.raises(TargetError, match="letters, digits, dots and dashes only"):
        target_file.read(path)


def test_a_file_with_a_fault_is_listed_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target_file, "FOLDER", tmp_path)
    (tmp_path / "bad.toml").write_text("start = 5\n")
    (tmp_path / "good.toml").write_text(SMALL)
    bad, good = target_file.listing()[-2:]
    assert not bad.runnable and "start must be a list" in bad.missing
    assert good.runnable


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=r"none\.toml: cannot be read as TOML: .*No such file"):
        target_file.read(tmp_path / "none.toml")


@pytest.mark.parametrize("name", target_file.names())
def test_the_files_of_the_folder_are_good(name: str) -> None:
    found = target_file.read(target_file.FOLDER / f"{name}.toml")
    assert found.about
    assert found.transports


def keys_of(values: dict[str, Any], at: str = "") -> set[str]:
    """Dotted keys; the tables whose keys are free to choose are one key each."""
    found: set[str] = set()
    for key, value in values.items():
        inner = isinstance(value, dict) and key not in ("environment", "headers")
        found |= keys_of(value, f"{at}{key}.") if inner else {f"{at}{key}"}
    return found


def test_the_readme_documents_every_key_and_no_other() -> None:
    _, _, section = (target_file.FOLDER / "README.md").read_text().partition("### Keys")
    documented = set(re.findall(r"`([a-z_.]+)`", "".join(re.findall(r"^\| (`[^|]+) \|", section, re.M))))
    others = {"url", "pid", "publish.redis.channel", "publish.redis.message", "publish.command"}
    assert documented == keys_of(tomllib.loads(FULL)) | others
