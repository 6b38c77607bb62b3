/**
 * The dashboard itself: status, figures with their last minutes, activities. It reads from one feed at a time, and when that feed is
 * not live it says how old this is. Everything that came over a wire goes into the page as text, never as markup.
 */
import { fieldsOf, write } from "./fields.js";
import { UNKNOWN, age, clock, figure, grade } from "./format.js";
import { createReader } from "./reader.js";
import { createSparkline } from "./sparkline.js";
import { FIGURES, readUpdate } from "./update.js";

const LABELS = { cpu: "CPU", memory: "Memory", disk: "Disk", network: "Network", response_time: "Response time" };
const UNITS = { network: "Mbit/s", response_time: "ms" };
const SPARKLINE_SECONDS = 120; // as far back as the charts below

/**
 * @param {HTMLElement} element
 * @param {{position: string, snapshot: unknown, now: () => number, wallNow: () => number}} options `snapshot`: the update at `position`, that
 *   the page was drawn with; clocks in ms
 */
export function createDashboard(element, { position, snapshot, now, wallNow }) {
  const fields = fieldsOf(element);
  const sparklines = createSparklines(element);
  const reader = createReader({ position, latest: readUpdate(snapshot ?? {}), onFigures: plot });
  let listed = null;

  function plot(figures, at) {
    for (const [name, line] of Object.entries(sparklines)) {
      if (figures[name] !== null) line.add(at, figures[name]);
    }
  }

  function list(activities) {
    if (activities === listed) return;
    listed = activities;
    // Most updates bring the list that is there already: to replace it would lose a selection, and the place of a screen reader.
    const signature = JSON.stringify(activities);
    if (fields.activities.dataset.signature === signature) return;
    fields.activities.dataset.signature = signature;
    fields.activities.replaceChildren(...activities.map(activityItem));
  }

  if (reader.latest.figures) plot(reader.latest.figures, now());

  return {
    /** Keep what `feed` has brought, to be drawn later: the sparklines hold all of it. */
    take: reader.take,
    draw(feed) {
      const { status, figures, activities } = reader.latest;
      element.dataset.state = feed.state;
      write(fields["as-of"], freshness(feed, now() - reader.takenAt, wallNow()));
      if (status) drawStatus(fields, status);
      if (figures) drawFigures(fields, figures);
      if (activities) list(activities);
      for (const line of Object.values(sparklines)) line.draw(now());
    },
  };
}

function createSparklines(element) {
  const lines = {};
  for (const host of element.querySelectorAll("[data-sparkline]")) {
    const name = host.dataset.sparkline;
    const unit = UNITS[name] ?? "%";
    const max = unit === "%" ? 100 : undefined;
    lines[name] = createSparkline(host, { label: LABELS[name], unit, seconds: SPARKLINE_SECONDS, max });
  }
  return lines;
}

/** A figure without its age would look like the present. */
function freshness(feed, old, at) {
  if (Number.isNaN(old)) return feed.isLive ? `${feed.title}: no update yet` : `${feed.title} is ${feed.state}: no update yet`;
  const updated = `as of ${clock(at - old)}, ${age(old)}`;
  return feed.isLive ? `${feed.title}, ${updated}` : `${feed.title} is ${feed.state}: ${updated}`;
}

function drawStatus(fields, { health, message, uptime, checkedAt }) {
  fields.health.dataset.health = health ?? "unknown";
  write(fields.status, health ?? UNKNOWN);
  write(fields.message, message);
  write(fields.uptime, uptime === null ? UNKNOWN : `${figure(uptime, 2)} %`);
  write(fields.checked, clock(checkedAt));
}

function drawFigures(fields, figures) {
  for (const name of FIGURES) {
    write(fields[name], figure(figures[name]));
    fields[name].dataset.grade = grade(name, figures[name]);
  }
}

function activityItem({ at, message, level }) {
  const item = document.createElement("li");
  const time = document.createElement("time");
  const text = document.createElement("span");
  item.dataset.level = level;
  if (at !== null) time.dateTime = new Date(at).toISOString();
  time.textContent = clock(at);
  text.textContent = message;
  if (level !== "info") text.prepend(levelMark(level));
  item.append(time, text);
  return item;
}

/** The level as a word: colour alone would not reach everyone (WCAG 1.4.1). */
function levelMark(level) {
  const mark = document.createElement("strong");
  mark.textContent = level;
  return mark;
}
