"""A key and a self-signed certificate for 127.0.0.1, made with openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.needs import openssl


class Certificate(NamedTuple):
    """The paths of two PEM files."""

    key: Path
    certificate: Path


def self_signed(directory: Path) -> Certificate:
    """Make both in `directory`."""
    made = Certificate(directory / "key.pem", directory / "certificate.pem")
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    files = ["-keyout", str(made.key), "-out", str(made.certificate)]
    subprocess.run([openssl(), "req", "-x509", *kind, *subject, *files], check=True, capture_output=True)
    return made
