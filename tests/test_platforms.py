"""The files that platforms read: fields that exist, settings that exist and work, and time enough to stop.

What is run of them: tests/live/test_heroku.py, tests/test_packaging.py. The platforms themselves are out of reach here.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from dashboard_rt.__main__ import cli
from dashboard_rt.server.serve import GRACE_SECONDS, KILL_SECONDS
from dashboard_rt.settings import Settings, described

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
SETTINGS = {name for _, name, _ in described()}
DOCUMENT = (ROOT / "docs" / "platforms.md").read_text()
# From the signal to the end, at the latest.
STOP_SECONDS = Settings.read({}).drain_seconds + GRACE_SECONDS + KILL_SECONDS


def tracked(*patterns: str) -> list[str]:
    command = ["git", "-C", str(ROOT), "ls-files", "--", *patterns]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()


def object_of(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "required": list(required),
    }


# ---- Heroku

STRING = {"type": "string"}
VARIABLE = {
    "anyOf": [
        STRING,
        object_of(
            {
                "description": STRING,
                "value": STRING,
                "required": {"type": "boolean"},
                "generator": {"const": "secret"},
            }
        ),
    ]
}
# devcenter.heroku.com/articles/app-json-schema (2024-01-24).
COMMON = {
    "env": {"type": "object", "additionalProperties": VARIABLE},
    "scripts": object_of(
        {"postdeploy": STRING, "pr-predestroy": STRING, "test": STRING, "test-setup": STRING}
    ),
    "formation": {
        "type": "object",
        "additionalProperties": object_of({"quantity": {"type": "integer"}, "size": STRING}),
    },
    "addons": {
        "type": "array",
        "items": {
            "anyOf": [STRING, object_of({"plan": STRING, "as": STRING, "options": {"type": "object"}})]
        },
    },
    "buildpacks": {"type": "array", "items": object_of({"url": STRING}, "url")},
}
APP_SCHEMA = object_of(
    {
        **COMMON,
        **dict.fromkeys(
            ("name", "description", "website", "repository", "logo", "success_url", "stack", "image"), STRING
        ),
        "keywords": {"type": "array", "items": STRING},
        "environments": object_of(dict.fromkeys(("test", "review"), object_of(COMMON))),
    },
    "name",
)


def test_app_json_has_no_field_that_heroku_does_not_know() -> None:
    app = json.loads((ROOT / "app.json").read_text())
    jsonschema_rs.validate(APP_SCHEMA, app)
    for wrong in ({**app, "addon": []}, {**app, "environments": {"staging": {}}}):
        assert not jsonschema_rs.is_valid(APP_SCHEMA, wrong)


def test_review_apps_have_services_of_their_own_and_one_dyno() -> None:
    app = json.loads((ROOT / "app.json").read_text())
    review = app["environments"]["review"]
    assert review["addons"] == ["heroku-redis:mini", "heroku-postgresql:essential-0"]
    assert review["formation"] == {"web": {"quantity": 1, "size": "basic"}}


def test_the_buildpack_finds_exactly_one_list_of_packages() -> None:
    """Two are an error since its version 325, and so is an environment that is committed."""
    lists = ("requirements.txt", "Pipfile.lock", "poetry.lock", "uv.lock")
    assert tracked(*lists) == ["requirements.txt"]
    assert not tracked("runtime.txt", "Pipfile", "setup.py", ".venv/*", "venv/*")
    major, minor = (
        (ROOT / ".python-version").read_text().strip().split(".")
    )  # without a patch: it gets the newest
    assert int(major) == 3 and int(minor) in (11, 12, 13, 14)


# ---- GitHub


def test_the_workflows_run_what_there_is_on_each_python_that_is_promised() -> None:
    makefile = (ROOT / "Makefile").read_text()
    pythons = set()
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        text = path.read_text()
        pythons |= set(re.findall(r'"(3\.\d+)"', text))
        for job in yaml.safe_load(text)["jobs"].values():
            for command in [step["run"] for step in job["steps"] if "run" in step]:
                program, first, *_ = [*shlex.split(re.sub(r"^sudo \S+ ", "", command)), ""]
                if program == "make":
                    assert re.search(rf"^{first}:", makefile, re.MULTILINE), command
                else:
                    assert program == "python" or os.access(ROOT / program, os.X_OK), command
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    assert pythons == {each.rpartition(" ")[2] for each in classifiers if "Python :: 3." in each}


# ---- the others


def check_settings(env: dict[str, str]) -> None:
    """They exist, they work, and the document says what each is for."""
    assert set(env) <= SETTINGS
    Settings.read({**env, "HOST": "0.0.0.0"})
    for name in env:
        assert f"`{name}" in DOCUMENT, f"docs/platforms.md does not say why {name} is set"


def check_command(text: str) -> None:
    program, command = shlex.split(text)[:2]
    assert Path(program).name == "dashboard-rt" and command in cli.commands


def test_fly() -> None:
    fly = tomllib.loads((DEPLOY / "fly.toml").read_text())
    assert fly["kill_signal"] == "SIGTERM" and fly["kill_timeout"] >= STOP_SECONDS
    assert (DEPLOY / fly["build"]["dockerfile"]).resolve() == ROOT / "Dockerfile"
    check_command(fly["deploy"]["release_command"])
    check_settings(fly["env"])
    service = fly["http_service"]
    assert str(service["internal_port"]) == fly["env"]["PORT"]
    assert service["concurrency"]["type"] == "connections"
    (check,) = service["checks"]
    assert check["path"] == "/up" and check["headers"]["Host"] == "localhost"


def test_railway() -> None:
    railway = json.loads((DEPLOY / "railway.json").read_text())
    assert railway["build"] == {"builder": "DOCKERFILE", "dockerfilePath": "Dockerfile"}
    deploy = railway["deploy"]
    # Unless it is told otherwise it kills right behind SIGTERM.
    assert deploy["drainingSeconds"] >= STOP_SECONDS
    assert deploy["healthcheckPath"] == "/up"
    for command in deploy["preDeployCommand"]:
        check_command(command)


def test_render() -> None:
    render = yaml.safe_load((DEPLOY / "render.yaml").read_text())
    web, key_value = render["services"]
    assert web["runtime"] == "docker" and (ROOT / web["dockerfilePath"]).exists()
    assert web["maxShutdownDelaySeconds"] >= STOP_SECONDS and web["healthCheckPath"] == "/up"
    check_command(web["preDeployCommand"])
    sources = {each.pop("key"): each for each in web["envVars"]}
    assert set(sources) <= SETTINGS
    check_settings({name: source["value"] for name, source in sources.items() if "value" in source})
    assert sources["REDIS_URL"]["fromService"]["name"] == key_value["name"]
    assert sources["DATABASE_URL"]["fromDatabase"]["name"] == render["databases"][0]["name"]
    assert (
        Settings.read({"KEEP_ALIVE_SECONDS": sources["KEEP_ALIVE_SECONDS"]["value"]}).keep_alive_seconds
        >= 120
    )


def unit() -> dict[str, list[str]]:
    """The section Service; a name may stand in it several times."""
    text = (DEPLOY / "systemd" / "dashboard-rt.service").read_text()
    section = text.split("[Service]")[1].split("[Install]")[0]
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", section, re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def test_the_unit_of_systemd() -> None:
    service = unit()
    (command,) = service["ExecStart"]
    check_command(command)
    env = dict(each.split("=", 1) for each in service["Environment"])
    check_settings(env)
    assert env["DATABASE_URL"] == f"sqlite:///{service['WorkingDirectory'][0]}/dashboard.db"
    assert service["WorkingDirectory"] == [f"/var/lib/{service['StateDirectory'][0]}"]
    # `mixed`: the supervisor alone is told, and passes it on; whoever is left at the end is killed.
    assert service["KillSignal"] == ["SIGTERM"] and service["KillMode"] == ["mixed"]
    assert float(service["TimeoutStopSec"][0]) > STOP_SECONDS
    assert service["Type"] == ["exec"], "notify would need a word from the server"
    assert service["DynamicUser"] == ["yes"] and service["CapabilityBoundingSet"] == [""]
    # What the filter leaves out has to fail like any other call: the default ends the process.
    assert service["SystemCallErrorNumber"] == ["EPERM"]


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip(
            "SYSTEMD-ANALYZE IS MISSING, SO THE UNIT WAS NOT CHECKED. On Debian: apt install systemd."
        )
    copy = tmp_path / "dashboard-rt.service"
    text = (DEPLOY / "systemd" / "dashboard-rt.service").read_text()
    copy.write_text(text.replace("/opt/dashboard-rt/bin/dashboard-rt", "/bin/true"))
    verified = subprocess.run(
        ["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, timeout=30, check=False
    )
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")


@pytest.mark.parametrize("name", [path.relative_to(ROOT).as_posix() for path in sorted(DEPLOY.rglob("*.*"))])
def test_every_file_is_in_the_document(name: str) -> None:
    assert f"../{name}" in DOCUMENT
