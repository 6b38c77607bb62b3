"""bench/measure/doctor.py: each thing that would spoil a measurement is named with its remedy."""

from __future__ import annotations

import pytest

from bench.measure import doctor
from bench.measure.doctor import Finding
from bench.measure.noise import Noise


@pytest.mark.parametrize(
    ("finding", "grade", "words"),
    [
        (doctor.of_cores(1), "fail", "two cores"),
        (doctor.of_cores(2), "ok", "2 cores"),
        (doctor.of_files(1024), "warn", "ulimit -Hn"),
        (doctor.of_files(20_000), "ok", "20000 open files"),
        (doctor.of_ports("32768\t33000"), "warn", "ip_local_port_range"),
        (doctor.of_ports("32768\t60999"), "ok", "28231 local ports"),
        (doctor.of_ports(""), "warn", "0 local ports"),
        (doctor.of_backlog(128), "warn", "somaxconn=4096"),
        (doctor.of_backlog(4096), "ok", "4096"),
        (doctor.of_governor("powersave"), "warn", "performance"),
        (doctor.of_governor("performance"), "ok", "performance"),
        (doctor.of_governor(""), "ok", "virtual machine"),
        (doctor.of_disk("tmpfs"), "warn", "TMPDIR"),
        (doctor.of_disk("ext4"), "ok", "ext4"),
        (doctor.of_interrupts(None), "warn", "unknown"),
        (doctor.of_interrupts(False), "ok", "receiving side"),
        (doctor.of_noise(Noise("quiet", 0, 0, 0, 0, 0, ())), "ok", "quiet"),
        (doctor.of_noise(Noise("void", 0, 0, 0, 0, 0, ("loud",))), "warn", "void: loud"),
    ],
)
def test_findings(finding: Finding, grade: str, words: str) -> None:
    assert finding.grade == grade
    assert words in f"{finding.what} {finding.remedy}"
    assert finding.remedy or grade == "ok", "a finding says what to do"


def test_busy_programs_are_named() -> None:
    (one,) = doctor.of_neighbours([("browser", 7, 42.0)])
    assert (one.grade, one.what) == ("warn", "browser (pid 7) uses 42 % of a core")
    assert [found.grade for found in doctor.of_neighbours([])] == ["ok"]


def test_this_machine_is_examined_whole() -> None:
    found = list(doctor.examine())
    assert len(found) >= 9 and {one.grade for one in found} <= {"ok", "warn", "fail"}
