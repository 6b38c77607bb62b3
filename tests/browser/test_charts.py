"""The page's charts, sparklines and clock offset, each for itself, in a real Chromium under the page's own policy.

Their arithmetic is held by tests/js. Here: what is really drawn, when it is not, and what stays behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import Browser, CDPSession, Page, Route, expect

from tests.browser.opened_page import OpenedPage
from tests.live.server import Server
from tests.live.wire import until

SHEETS = ["page.css", "vendor/uplot/uPlot.min.css", "chart.css"]
LINKS = "".join(f'<link rel="stylesheet" href="/static/{sheet}">' for sheet in SHEETS)
HTML = f'<!doctype html><html lang="en"><head><title>charts</title>{LINKS}</head><body></body></html>'
WIDTH = 600
UNKNOWN = "\u2013"

# `parts` holds the modules, `clock.now` the time that charts are given; `hide` does what a tab in the background does.
PREPARE = """async () => {
  const names = ["chart", "samples", "scale", "sparkline", "clock-offset"];
  const modules = await Promise.all(names.map((name) => import(`/static/${name}.js`)));
  window.parts = Object.assign({}, ...modules);
  window.clock = { now: 1_000_000 };
  const now = () => clock.now;
  const LAGS = [1, 2, 3].map((tone) => ({ key: ["p50", "p95", "p99"][tone - 1], label: `p${tone}`, tone }));
  window.lagChart = (more) => {
    const host = document.createElement("div");
    document.body.append(host);
    return parts.createChart(host, { title: "Delivery lag", unit: "ms", series: LAGS, now, ...more });
  };
  window.series = (p50, p95 = p50.map(() => null), p99 = p95) => {
    return { x: p50.map((_, index) => index - p50.length), p50, p95, p99 };
  };
  window.flat = (value) => Array(120).fill(value);
  window.hide = (hidden) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
    document.dispatchEvent(new Event("visibilitychange"));
  };
  window.frames = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  // The rows and columns of a canvas, in its own pixels, that have pixels of a colour (or nearly: edges are blended).
  window.inked = (chart, tone) => {
    const canvas = chart.element.querySelector("canvas");
    const { color } = getComputedStyle(chart.element.querySelector(`.tone-${tone}`));
    const [r, g, b] = color.match(/[0-9.]+/g).map(Number);
    const { width, height } = canvas;
    const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    copy.drawImage(canvas, 0, 0);
    const { data } = copy.getImageData(0, 0, width, height);
    const found = { rows: new Set(), columns: new Set(), width, height };
    for (let at = 0; at < data.length; at += 4) {
      const near = Math.abs(data[at] - r) + Math.abs(data[at + 1] - g) + Math.abs(data[at + 2] - b) < 24;
      if (!near || data[at + 3] < 200) continue;
      found.rows.add(Math.floor(at / 4 / width));
      found.columns.add((at / 4) % width);
    }
    const sorted = (numbers) => [...numbers].sort((a, b) => a - b);
    return { ...found, rows: sorted(found.rows), columns: sorted(found.columns) };
  };
}"""


@pytest.fixture(scope="module")
def opened(browser: Browser, server: Server) -> Iterator[OpenedPage]:
    """An empty document with the style sheets, at the server's origin and under the policy of its page."""
    context = browser.new_context(viewport={"width": WIDTH, "height": 800})
    opened = OpenedPage(context.new_page())
    origin = server.address.origin

    def fulfil(route: Route) -> None:
        policy = route.fetch(url=f"{origin}/dashboard").headers["content-security-policy"]
        headers = {"content-security-policy": policy, "content-type": "text/html"}
        route.fulfill(body=HTML, headers=headers)

    opened.page.route(f"{origin}/charts", fulfil)
    opened.page.goto(f"{origin}/charts")
    opened.page.evaluate(PREPARE)
    yield opened
    context.close()


@pytest.fixture
def page(opened: OpenedPage) -> Iterator[Page]:
    """That document, emptied after the test, which must not have left a word on the console."""
    page = opened.page
    yield page
    page.evaluate("document.body.replaceChildren()")
    assert opened.errors == []


def counters(page: Page) -> dict[str, int]:
    """How many nodes and listeners the browser holds for this page, after a garbage collection."""
    with_collection(page, session := page.context.new_cdp_session(page))
    found: dict[str, int] = session.send("Memory.getDOMCounters")
    session.detach()
    return {name: found[name] for name in ("nodes", "jsEventListeners")}


def with_collection(page: Page, session: CDPSession) -> None:
    page.evaluate("frames()")  # what waits for a frame holds what it will draw
    session.send("HeapProfiler.enable")
    for _ in range(2):  # what the first one finalizes holds others
        session.send("HeapProfiler.collectGarbage")


# --- charts


def test_the_same_height_is_the_same_value_in_charts_of_one_scale(page: Page) -> None:
    found: dict[str, Any] = page.evaluate("""async () => {
      const scale = parts.createScale({ least: 5 });
      const [low, high, own] = [lagChart({ scale }), lagChart({ scale }), lagChart()];
      low.draw(series(flat(10)));
      own.draw(series(flat(10)));
      await frames();
      const before = inked(low, 1);
      high.draw(series(flat(10), flat(90)));
      await frames();
      const found = { before, low: inked(low, 1), high: inked(high, 1), highest: inked(high, 2), own: inked(own, 1) };
      high.destroy();
      await frames();
      return { ...found, after: inked(low, 1) };
    }""")
    assert found["low"]["rows"] == found["high"]["rows"] != []
    assert found["low"]["rows"][0] > found["before"]["rows"][-1], (
        "the chart that was there moved to the new scale"
    )
    assert found["before"]["rows"] == found["own"]["rows"] == found["after"]["rows"]
    assert found["highest"]["rows"][-1] < found["high"]["rows"][0]


def test_a_gap_in_the_data_is_a_gap_in_the_line_and_a_lone_value_a_point(page: Page) -> None:
    columns: list[int] = page.evaluate("""async () => {
      const chart = lagChart();
      const values = flat(10);
      values.fill(null, 30, 90);
      values[60] = 10;
      values.fill(undefined, 100, 110);
      chart.draw(series(values));
      await frames();
      return inked(chart, 1).columns;
    }""")
    missing = [(a + 1, b) for a, b in pairwise(columns) if b - a > 1]
    whole = columns[-1] - columns[0]
    assert len(missing) == 2, "two gaps, with a point between them; silent seconds are none"
    for start, end in missing:
        assert 0.2 < (end - start) / whole < 0.27
    assert 1 <= missing[1][0] - missing[0][1] < 10


def test_it_follows_light_and_dark(page: Page) -> None:
    page.emulate_media(color_scheme="light")
    page.evaluate("""async () => {
      window.shown = lagChart();
      shown.draw(series(flat(10)));
      await frames();
    }""")
    colour = "getComputedStyle(shown.element.querySelector('.tone-1')).color"
    inked = "frames().then(() => inked(shown, 1).columns.length)"
    colours = [page.evaluate(colour)]
    assert page.evaluate(inked) > WIDTH / 2
    page.emulate_media(color_scheme="dark")
    colours.append(page.evaluate(colour))
    assert page.evaluate(inked) > WIDTH / 2
    page.evaluate("document.documentElement.dataset.theme = 'light'")
    colours.append(page.evaluate(colour))
    assert page.evaluate(inked) > WIDTH / 2
    assert colours[0] == colours[2] != colours[1]
    page.evaluate("delete document.documentElement.dataset.theme")
    page.emulate_media(color_scheme="light")


def test_nothing_is_drawn_while_hidden_and_the_newest_when_seen_again(page: Page) -> None:
    found = page.evaluate("""async () => {
      const [chart, first] = [lagChart(), lagChart()];
      const host = document.createElement("div");
      document.body.append(host);
      const line = parts.createSparkline(host, { label: "CPU", now: () => clock.now });
      chart.draw(series(flat(4)));
      await frames();
      const before = inked(chart, 1).rows;
      let strokes = 0;
      const stroke = CanvasRenderingContext2D.prototype.stroke;
      CanvasRenderingContext2D.prototype.stroke = function (...path) {
        strokes += 1;
        return stroke.apply(this, path);
      };
      hide(true);
      for (const value of [1, 2, 3]) {
        chart.draw(series(flat(value)));
        first.draw(series(flat(value)));
        line.add(clock.now, value);
        line.draw(clock.now);
        await frames();
      }
      const count = ({ element }, selector) => element.querySelectorAll(selector).length;
      const hidden = [strokes, count(first, "canvas"), count(line, "[d]")];
      const kept = inked(chart, 1).rows;
      hide(false);
      await frames();
      CanvasRenderingContext2D.prototype.stroke = stroke;
      return { hidden, before, kept, seen: inked(chart, 1).rows, first: inked(first, 1).rows };
    }""")
    assert found["hidden"] == [0, 0, 0] and found["before"] == found["kept"]
    assert found["seen"] != found["before"] and found["seen"] == found["first"]


def test_charts_of_one_group_share_the_cursor(page: Page) -> None:
    page.evaluate("""async () => {
      const rising = Array.from({ length: 120 }, (_, index) => index);
      window.shown = [lagChart({ sync: "one" }), lagChart({ sync: "one" }), lagChart({ sync: "another" })];
      shown.forEach((chart, which) => chart.draw(series(rising.map((value) => 200 * which + value))));
      await frames();
    }""")
    legends = page.locator(".chart-legend li:first-child .chart-value")
    expect(legends).to_have_text(["119 ms", "319 ms", "519 ms"])
    over = page.locator(".u-over").first
    box = over.bounding_box()
    assert box
    over.hover(position={"x": box["width"] / 2, "y": 20})
    expect(page.locator(".chart-moment")).to_have_text(["60 s ago", "60 s ago", ""])
    expect(legends).to_have_text(["60 ms", "260 ms", "519 ms"])
    page.mouse.move(0, 0)
    expect(legends).to_have_text(["119 ms", "319 ms", "519 ms"])


def test_its_words_are_renewed_every_ten_seconds(page: Page) -> None:
    page.evaluate("window.shown = lagChart({ of: 'SSE' })")
    canvas = page.get_by_role("img")
    expect(canvas).to_have_accessible_name("Delivery lag, SSE: nothing to draw yet")
    expect(page.get_by_text("Nothing to draw yet")).to_be_visible()
    page.evaluate("shown.draw(series([4, 8, 6], [null, null, null], [null, 9, undefined]))")
    words = (
        "Delivery lag, SSE, the last 3 seconds. "
        "p1: newest 6 ms, highest 8 ms; p2: nothing yet; p3: newest 9 ms, highest 9 ms."
    )
    expect(canvas).to_have_accessible_name(words)
    expect(page.get_by_text("Nothing to draw yet")).to_be_hidden()
    page.evaluate("clock.now += 9_999; shown.draw(series([4, 8, 7]))")
    expect(canvas).to_have_accessible_name(words)
    page.evaluate("clock.now += 1; shown.draw(series([4, 8, 7]))")
    expect(canvas).to_have_accessible_name(
        "Delivery lag, SSE, the last 3 seconds. p1: newest 7 ms, highest 8 ms; p2: nothing yet; p3: nothing yet."
    )


def test_the_table_behind_it_opens_by_keyboard(page: Page) -> None:
    page.evaluate("""async () => {
      window.shown = lagChart();
      shown.draw(series(Array.from({ length: 30 }, (_, index) => index), flat(7).slice(90)));
      await frames();
    }""")
    expect(page.get_by_role("table")).to_be_hidden()
    assert page.locator("td").count() == 0, "nothing is written into a table that is closed"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    table = page.get_by_role("table", name="Delivery lag")
    expect(table.get_by_role("columnheader")).to_have_text(["Seconds ago", "p1", "p2", "p3"])
    expect(table.get_by_role("rowheader")).to_have_text(["0 to 10", "10 to 20", "20 to 30"])
    cells = table.get_by_role("cell")
    expect(cells).to_have_text(["29 ms", "7 ms", "7 ms", "19 ms", "7 ms", "7 ms", "9 ms", "7 ms", "7 ms"])
    page.evaluate("window.cell = document.querySelector('td'); shown.draw(series([1, 2, 3]))")
    expect(cells.first).to_have_text("29 ms")
    page.evaluate("clock.now += 10_000; shown.draw(series(flat(5).slice(90)))")
    expect(cells).to_have_text(["5 ms", UNKNOWN, UNKNOWN] * 3)
    assert page.evaluate("cell === document.querySelector('td')"), "who reads a cell keeps the place"


FITS = """frames().then(() => {
  const [canvas, frame] = ["canvas", ".chart-frame"].map((selector) => document.querySelector(selector));
  return canvas.clientWidth === frame.clientWidth && canvas.clientHeight === frame.clientHeight;
})"""


def test_it_is_as_wide_as_its_place(page: Page) -> None:
    page.evaluate("window.shown = lagChart(); shown.draw(series(flat(10)))")
    widths = []
    for width in (360, 1000, WIDTH):
        page.set_viewport_size({"width": width, "height": 800})
        until(lambda: page.evaluate(FITS), "the canvas fits into its frame")
        widths.append(page.locator("canvas").evaluate("canvas => canvas.clientWidth"))
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert widths[0] < 360 < widths[2] < WIDTH < widths[1]
    left = "inked(shown, 1).columns[0]"
    before = page.evaluate(left)
    page.evaluate("async () => { document.documentElement.style.fontSize = '24px'; await frames(); }")
    until(lambda: page.evaluate(left) > before * 1.4, "the axis has room for larger numbers")
    assert page.locator("canvas").count() == 1
    page.evaluate("document.documentElement.removeAttribute('style')")
    page.evaluate("async () => { document.body.hidden = true; shown.draw(series(flat(2))); await frames(); }")
    page.evaluate("async () => { document.body.hidden = false; await frames(); }")
    assert page.evaluate("inked(shown, 1).rows.length"), "shown again it is drawn again"


def test_a_chart_that_is_destroyed_leaves_nothing(page: Page) -> None:
    come_and_go = """async (times) => {
      for (let time = 0; time < times; time += 1) {
        const scale = parts.createScale();
        const charts = [lagChart({ scale, sync: "one" }), lagChart({ scale, sync: "one" })];
        const host = document.createElement("div");
        document.body.append(host);
        const line = parts.createSparkline(host, { label: "CPU" });
        charts.forEach((chart) => chart.draw(series(flat(3))));
        line.add(0, 1);
        line.draw(0);
        await new Promise(requestAnimationFrame);
        charts.forEach((chart) => chart.draw(series(flat(4)))); // which uPlot has not done yet
        charts.forEach((chart) => chart.destroy());
        line.destroy();
        if (charts[0].element.isConnected || line.element.isConnected) throw new Error("still there");
        document.body.replaceChildren();
      }
    }"""
    page.evaluate(come_and_go, 20)
    before = counters(page)
    page.evaluate(come_and_go, 30)
    after = counters(page)
    # One chart of 60 nodes may be held by compiled code, at any time; of these 60 charts none must be.
    assert after["nodes"] - before["nodes"] < 200, (before, after)
    assert after["jsEventListeners"] - before["jsEventListeners"] < 20, (before, after)


def test_a_sparkline_says_its_range(page: Page) -> None:
    page.evaluate("""() => {
      const host = document.createElement("div");
      document.body.append(host);
      const options = { label: "CPU", unit: "%", seconds: 300, max: 100, now: () => clock.now };
      window.line = parts.createSparkline(host, options);
      line.draw();
    }""")
    image = page.get_by_role("img")
    expect(image).to_have_accessible_name("CPU: nothing yet")
    page.evaluate(
        "[[0, 12.5], [60_000, 61], [120_000, 40]].forEach(([at, value]) => line.add(clock.now + at, value))"
    )
    page.evaluate("clock.now += 120_000; line.draw()")
    expect(image).to_have_accessible_name("CPU, the last 5 minutes: from 12.5 % to 61 %, newest 40 %")
    path = page.locator(".sparkline-line").get_attribute("d") or ""
    assert path.count("M") == 3, "values a minute apart are no line"
    page.evaluate(
        "for (let n = 0; n < 10_000; n += 1) line.add(clock.now + n, n % 100); clock.now += 9_999; line.draw()"
    )
    expect(image).to_have_accessible_name("CPU, the last 5 minutes: from 12.5 % to 61 %, newest 40 %")
    page.evaluate("clock.now += 1; line.draw()")
    expect(image).to_have_accessible_name("CPU, the last 5 minutes: from 0 % to 99 %, newest 99 %")
    assert len(page.locator(".sparkline-line").get_attribute("d") or "") < 2000


# --- the offset of the clocks

MEASURE = """async () => {
  const anchor = Date.now() - performance.now();
  const now = () => anchor + performance.now();
  const clocks = parts.createClockOffset({ url: "/dashboard/time", now });
  await clocks.measure();
  const { offset, error, measured, failures } = clocks;
  return { offset, error, measured, failures };
}"""


def test_a_page_on_the_servers_machine_takes_the_plain_difference(page: Page) -> None:
    found = page.evaluate(MEASURE)
    assert (found["failures"], found["offset"]) == (0, 0)
    assert 0 < abs(found["measured"]) <= found["error"] < 1000


@pytest.mark.parametrize("shift", [5000.0, -3_600_000.0])
def test_a_server_with_another_clock(page: Page, shift: float) -> None:
    def shifted(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json={"time_ms": answer.json()["time_ms"] + shift})

    page.route("**/dashboard/time", shifted)
    found = page.evaluate(MEASURE)
    page.unroute("**/dashboard/time")
    assert found["failures"] == 0
    assert abs(found["offset"] - shift) <= found["error"] < 3000


# --- an hour

HOUR = """async ({ from, to }) => {
  for (let second = from; second < to; second += 1) {
    for (const { samples, charts, line } of panels) {
      for (let n = 0; n < 100; n += 1) samples.add(second * 1000 + n * 10, 2 + ((second * 37 + n * 11) % 50) / 10);
      line.add(second * 1000, second % 100);
      clock.now = (second + 1) * 1000;
      const found = samples.series(clock.now);
      samples.percentiles(clock.now);
      charts.forEach((chart) => chart.draw(found));
      line.draw(clock.now);
    }
    // uPlot draws in a microtask; frames let the browser tidy up.
    await (second % 50 ? Promise.resolve() : frames());
  }
}"""


@pytest.mark.slow  # an hour of 100 updates a second for each of two panels
@pytest.mark.nightly
def test_an_hour_does_not_grow_the_heap(page: Page) -> None:
    page.evaluate("""() => {
      const [lags, rates] = [parts.createScale(), parts.createScale()];
      const series = [{ key: "rate", label: "updates", tone: 1, shape: "steps" }];
      const rate = { title: "Updates", unit: "/s", series };
      window.panels = ["sse", "cable"].map(() => {
        const host = document.createElement("div");
        document.body.append(host);
        return {
          samples: parts.createSamples(),
          charts: [lagChart({ sync: "one", scale: lags }), lagChart({ sync: "one", scale: rates, ...rate })],
          line: parts.createSparkline(host, { label: "CPU", unit: "%", now: () => clock.now }),
        };
      });
    }""")
    page.evaluate("document.querySelectorAll('summary').forEach((summary) => summary.click())")
    session = page.context.new_cdp_session(page)
    sizes = []
    for start in range(0, 3600, 600):
        page.evaluate(HOUR, {"from": start, "to": start + 600})
        with_collection(page, session)
        usage = session.send("Runtime.getHeapUsage")
        sizes.append(usage["usedSize"] + usage.get("backingStorageSize", 0))
    session.detach()
    page.evaluate("delete window.panels")
    # Until then compiled code grows by some ten KB. What two panels keep for a second is there 2,400 times in the rest,
    # for an update 240,000 times.
    assert sizes[-1] - sizes[3] < 32 * 1024, sizes
