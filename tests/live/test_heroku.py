"""The files that Heroku reads name what there is. tests/dyno runs them."""

from __future__ import annotations

from dashboard_rt.settings import described
from tests.dyno.app import MANIFEST, PROCFILE


def test_the_files_name_settings_that_exist() -> None:
    names = {name for _, name, _ in described()}
    assert set(MANIFEST["env"]) <= names
    words = [word.partition("=")[0] for line in PROCFILE.values() for word in line.split() if "=" in word]
    assert set(words) <= names | {"PYTHONPATH"}
    assert set(PROCFILE) == {"web", "worker", "release"} >= set(MANIFEST["formation"])
