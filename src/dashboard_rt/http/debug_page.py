"""/dashboard/debug for people: the JSON of that endpoint as a page without scripts, and who is shown which of the two.

Pure: it gets what the endpoint answers with, and asks nobody. Everything that it shows is escaped.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import Any

from starlette.responses import HTMLResponse

from ..settings import described
from .responses import COMMON_HEADERS

Report = Mapping[str, Any]
Row = tuple[str, object]
HEADERS = {
    **COMMON_HEADERS,
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "referrer-policy": "same-origin",
    "vary": "Accept",
}
BYTE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
NO_BREAK = "\N{NO-BREAK SPACE}"
# What has a section of its own, or a place in one; whatever else there is comes under "Figures".
PLACED = {"process", "verdicts", "transports", "streams"}
PAGE = """<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <title>{title}</title>
    <link rel="icon" type="image/svg+xml" href="{prefix}/static/favicon.svg">
    <link rel="stylesheet" href="{prefix}/static/debug.css">
  </head>
  <body>
    <header>
      <h1>{title}</h1>
      <p>{answered}</p>
      <nav aria-label="Other pages">
        <a href="{prefix}/dashboard">Dashboard</a>
        <a href="{prefix}/dashboard/stats">Figures as JSON</a>
      </nav>
    </header>
    <main>
{sections}
    </main>
  </body>
</html>
"""


# ---- who is shown the page


def prefers_html(accept: str | None) -> bool:
    """Tell whether the value of a header Accept asks for HTML rather than for JSON (RFC 9110 §12.5.1).

    Browsers do. Who likes both alike, as `curl` with its `*/*`, gets JSON.
    """
    ranges = dict(_ranges(accept or ""))
    return _quality(ranges, "text", "html") > _quality(ranges, "application", "json")


def _ranges(accept: str) -> Iterable[tuple[str, float]]:
    for part in accept.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        weights = [piece.removeprefix("q=").strip() for piece in parameters if piece.startswith("q=")]
        yield name, _weight(weights[0]) if weights else 1.0


def _weight(text: str) -> float:
    """Return a qvalue; 0, not acceptable, for what is none."""
    digits = text.replace(".", "", 1)
    return min(1.0, float(text)) if digits.isascii() and digits.isdigit() and len(text) <= 5 else 0.0


def _quality(ranges: Mapping[str, float], kind: str, subtype: str) -> float:
    """Return the weight of the most specific range that a media type is in."""
    for name in (f"{kind}/{subtype}", f"{kind}/*", "*/*"):
        if name in ranges:
            return ranges[name]
    return 0.0


# ---- the page


def debug_page(report: Report, prefix: str) -> HTMLResponse:
    """Return the page of what /dashboard/debug answers with. `prefix` stands in front of the app's paths in URLs."""
    stats: Report = report["stats"]
    sections = (
        _section("What is degraded", _degraded(report)),
        _section("Log", _log(report["log"], stats.get("streams", {}))),
        _section("Broker", _facts(report["broker"].items())),
        _section("Connections", _connections(stats)),
        _section("Figures", _facts(_figures(stats))),
        _section("Settings", _settings(report["settings"])),
    )
    process = stats.get("process", {})
    page = PAGE.format(
        title=f"dashboard-rt {html.escape(str(report['version']))}",
        prefix=html.escape(prefix),
        answered=html.escape(_who_answered(process)),
        sections="\n".join(sections),
    )
    return HTMLResponse(page, headers=HEADERS)


def _who_answered(process: Report) -> str:
    pid, processes = process.get("pid", "?"), process.get("processes", 1)
    if processes == 1:
        return f"Process {pid} answered. All figures are its own."
    return (
        f"Process {pid} answered, one of {processes} behind this port. All figures are its own; another process may "
        "answer the next time."
    )


def _degraded(report: Report) -> str:
    log = report["log"]
    sentences = [*([log["error"]] if "error" in log else []), *report["degraded"]]
    if not sentences:
        return '<p class="good">Nothing: this process has all that it needs.</p>'
    items = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences)
    return f'<ul class="degraded">{items}</ul>'


def _log(log: Report, streams: Report) -> str:
    if "error" in log:
        return f"<p>It cannot be read: {html.escape(log['error'])}</p>{_by_stream({}, streams)}"
    return _facts([("epoch", log["epoch"])]) + _by_stream(log["streams"], streams)


def _by_stream(bounds: Report, streams: Report) -> str:
    """One row for each stream: what the log has of it, and what this process has of it in memory."""
    rows = {name: {**bounds.get(name, {}), **_flat(streams.get(name, {}))} for name in [*bounds, *streams]}
    return _table("Stream", rows)


def _flat(figures: Report) -> dict[str, object]:
    """Return figures with those of a part beside the others: `tail_entries`."""
    flat: dict[str, object] = {}
    for name, value in figures.items():
        within = value.items() if isinstance(value, Mapping) else ()
        flat |= {f"{name}_{inner}": part for inner, part in within} if within else {name: value}
    return flat


def _connections(stats: Report) -> str:
    verdicts = stats.get("verdicts", {})
    rows = {
        name: {
            **figures,
            **{f"verdict_{verdict}": count for verdict, count in verdicts.get(name, {}).items()},
        }
        for name, figures in stats.get("transports", {}).items()
    }
    return _table("Transport", rows)


def _figures(stats: Report) -> Iterable[Row]:
    process = {
        name: value for name, value in stats.get("process", {}).items() if name not in ("pid", "processes")
    }
    others = {name: value for name, value in stats.items() if name not in PLACED}
    return [*process.items(), *_flat(others).items()]


def _settings(settings: Report) -> str:
    meaning = {name: variable.description for _, name, variable in described()}
    body = "".join(
        f'<tr><th scope="row"><code>{html.escape(name)}</code></th><td><code>{_value(name, value)}</code></td>'
        f"<td>{_prose(meaning.get(name, ''))}</td></tr>"
        for name, value in settings.items()
    )
    head = "<tr><th>Variable</th><th>In force</th><th>What it does</th></tr>"
    return (
        f'<div class="wide"><table class="settings"><thead>{head}</thead><tbody>{body}</tbody></table></div>'
    )


# ---- parts of it


def _prose(text: str) -> str:
    """Return a sentence, escaped, with what stands between backticks as code."""
    parts = enumerate(html.escape(text).split("`"))
    return "".join(f"<code>{part}</code>" if number % 2 else part for number, part in parts)


def _section(title: str, content: str) -> str:
    name = title.lower().replace(" ", "-")
    return f'<section aria-labelledby="{name}"><h2 id="{name}">{title}</h2>{content}</section>'


def _facts(rows: Iterable[Row]) -> str:
    items = "".join(
        f"<div><dt>{_label(name)}</dt><dd>{_value(name, value)}</dd></div>" for name, value in rows
    )
    return f"<dl>{items}</dl>"


def _table(first: str, rows: Mapping[str, Mapping[str, object]]) -> str:
    """A table with a row for each name, and a column for each figure that any of them has."""
    columns = list(dict.fromkeys(column for figures in rows.values() for column in figures))
    head = "".join(f"<th>{_label(column)}</th>" for column in columns)
    body = "".join(
        f'<tr><th scope="row">{html.escape(name)}</th>'
        + "".join(f"<td>{_value(column, figures.get(column))}</td>" for column in columns)
        + "</tr>"
        for name, figures in rows.items()
    )
    return _wide(
        f"By {first}", f"<table><thead><tr><th>{first}</th>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _wide(name: str, table: str) -> str:
    """Return a table that scrolls by itself where the window is narrow, by keyboard too."""
    return f'<div class="wide" role="region" aria-label="{name}" tabindex="0">{table}</div>'


def _label(name: str) -> str:
    for unit in ("_bytes", "_seconds", "_ms"):
        name = name.removesuffix(unit)
    return html.escape(name.replace("_", " "))


def _value(name: str, value: object) -> str:
    """Return a value as people read it, escaped. The name tells its unit."""
    match value:
        case None:
            text = "\N{EN DASH}"
        case bool():
            text = "yes" if value else "no"
        case int() | float() if name.endswith("_bytes") or name == "bytes_sent":
            text = _bytes(value)
        case float() if name.endswith("_ms"):
            text = f"{value:.1f}{NO_BREAK}ms"
        case int() | float() if name.endswith("uptime_seconds"):
            text = _uptime(value)
        case str():
            text = value or "(empty)"
        case Mapping():
            text = ", ".join(f"{key}: {inner}" for key, inner in value.items()) or "(none)"
        case list() | tuple():
            text = ", ".join(map(str, value)) or "(none)"
        case _:
            text = str(value)
    return html.escape(text)


def _bytes(count: float) -> str:
    power = 0
    while count >= 1024 and power < len(BYTE_UNITS) - 1:
        count, power = count / 1024, power + 1
    return f"{count:.1f}{NO_BREAK}{BYTE_UNITS[power]}" if power else f"{count:.0f}{NO_BREAK}B"


def _uptime(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"), (rest, "s"))
    shown = [f"{count}{NO_BREAK}{unit}" for count, unit in parts if count]
    return " ".join(shown[:2]) or f"0{NO_BREAK}s"
