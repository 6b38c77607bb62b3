"""The commands of `python -m bench` that measure nothing: they read result files, or look at this machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from bench import calculator, claims, compare, explain, figures, output, pictures, quotes, result, text
from bench.columns import in_columns
from bench.compare import Delta
from bench.errors import EXIT_ENVIRONMENT, Environment
from bench.html import page
from bench.measure.doctor import examine
from bench.result import Result
from bench.scenarios import SCENARIOS
from bench.serving import target_file
from bench.serving.target_file import Listed


def show(lines: Iterable[str]) -> None:
    """Print."""
    for one in lines:
        output.say(one)


def compared(before: Path, after: Path) -> list[str]:
    """Two results held against each other, or two folders, file by file. Raises Environment when they are of
    different scenarios, or when folders have no file in common."""
    if before.is_dir() and after.is_dir():
        return _folders(before, after)
    if before.is_dir() != after.is_dir():
        raise Environment(f"one of {before} and {after} is a folder: name two files, or two folders")
    then, now = result.read(before), result.read(after)
    if then.scenario != now.scenario:
        raise Environment(
            f"{before} is a {then.scenario}, {after} a {now.scenario}: there is nothing to compare"
        )
    return delta(then, now)


def delta(before: Result, after: Result) -> list[str]:
    """What is not the same about two results, and what of their figures differs. Raises Environment for results that
    have no row in common."""
    if not set(before.keys) & set(after.keys):
        raise Environment(
            f"{before.id} has the rows {', '.join(before.keys) or 'of nobody'}, {after.id} has "
            f"{', '.join(after.keys) or 'none'}: there is nothing to compare"
        )
    wanted = SCENARIOS[before.scenario].compared
    names = compare.shared(before, after, wanted)
    known = compare.known(before, after)
    notes = [f"not the same: {words}" for words in compare.differences(before, after)]
    lacking = [figures.of(name).title for name in wanted if name in known and name not in names]
    return [
        *notes,
        *(f"not compared, a result lacks it: {title}" for title in lacking),
        *_agreement(list(compare.deltas(before, after, names)), "figures"),
        *_agreement(list(compare.ratio_deltas(before, after, names)), "ratios within a result"),
    ]


def _agreement(found: list[Delta], what: str) -> list[str]:
    same, known = compare.agree(found)
    return [*(one.words for one in found), f"{same} of {known} {what} show no difference"]


def _folders(before: Path, after: Path) -> list[str]:
    names = sorted(
        {file.name for file in before.glob("*.json")} & {file.name for file in after.glob("*.json")}
    )
    if not names:
        raise Environment(f"{before} and {after} have no result file of the same name")
    lines: list[str] = []
    for name in names:
        lines += [f"== {name}", *compared(before / name, after / name), ""]
    return lines


def explained(path: Path) -> list[str]:
    """What a result's numbers are made of."""
    found = result.read(path)
    return [*explain.explained(found), *text.doubts(found), text.ending(found)]


def reported(paths: Sequence[Path], site: Path | None) -> list[str]:
    """Tables of all results, or the page that was written."""
    results = list(result.read_all(paths))
    if not results:
        where = ", ".join(map(str, paths))
        raise Environment(
            f"{where} holds no result (*.json): measure first, for example with python -m bench quick"
        )
    if site is not None:
        try:
            return [
                f"the report is in {page.write([(path, found.to_json()) for path, found in results], site)}"
            ]
        except OSError as error:
            raise Environment(
                f"the report cannot be written to {site} ({error.strerror}): name another folder with --html"
            ) from None
    lines: list[str] = []
    for path, found in results:
        lines += [f"== {path}", *text.summary(SCENARIOS[found.scenario], found), ""]
    return lines


def doctor() -> int:
    """All findings; 3 when nothing can be measured here."""
    worst = 0
    for finding in examine():
        remedy = f": {finding.remedy}" if finding.remedy else ""
        output.say(f"{finding.grade:<5} {finding.what}{remedy}")
        worst = max(worst, EXIT_ENVIRONMENT if finding.grade == "fail" else 0)
    return worst


def listing() -> list[str]:
    """What can be measured here."""
    rows = [["target", "here", "transports", "what it is"]]
    for one in target_file.listing():
        rows.append([one.name, "yes" if one.runnable else "no", " ".join(one.transports), _about(one)])
    return in_columns(rows)


def _about(one: Listed) -> str:
    return one.about if one.runnable else f"{one.about}; missing: {one.missing}"


def claims_(*, check: bool, write: bool, against: Path | None) -> int:
    """Print the verdicts; or hold the documents against the results; or another run against ours."""
    if write:
        for document in quotes.documents():
            document.write_text(quotes.written(_text(document)), encoding="utf-8")
    if check or write:
        found = [fault for one in quotes.documents() for fault in quotes.faults(one.name, _text(one))]
        show(found)
        return min(1, len(found))
    if against is not None:
        return _hold(against)
    show(claims.in_words(verdict) for verdict in claims.verdicts())
    return 0


def pictures_(*, write: bool) -> int:
    """Make the pictures, the tables and the report of our documents anew, or tell which are not what their results
    say."""
    if write:
        pictures.write()
        pictures.write_report()
        for document in quotes.documents():
            document.write_text(pictures.written(_text(document)), encoding="utf-8")
    tables = (fault for one in quotes.documents() for fault in pictures.table_faults(one.name, _text(one)))
    found = [*pictures.faults(), *pictures.report_faults(), *tables]
    show(found)
    return min(1, len(found))


def _text(document: Path) -> str:
    return document.read_text(encoding="utf-8")


def _hold(against: Path) -> int:
    wrong, held = 0, 0
    for claim in claims.load():
        here, there = claims.measure(claim), claims.measure(claim, against)
        if here is None or there is None:
            continue
        held += 1
        good = claims.holds_elsewhere(claim, here, there)
        wrong += not good
        word = "holds" if good else "DIFFERS"
        output.say(f"{word:<8} {claim.id}: {claims.shown(claim, here)} / {claims.shown(claim, there)}")
    if not held:
        raise Environment(
            f"{against} has nothing that the claims are about: name the folder that holds headline/"
        )
    return min(1, wrong)


def coefficients(*, check: bool, write: bool) -> int:
    """Print the calculator's coefficients; or write them where it finds them; or hold what is there against them."""
    if write:
        calculator.write()
    if not check and not write:
        show([calculator.table().strip()])
        return 0
    found = list(calculator.faults())
    show(found)
    return min(1, len(found))
