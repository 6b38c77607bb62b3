/**
 * The transport doctor of a page: a button, and a dialog that shows what `diagnose` found, in words, with a report to copy.
 * It brings its own style sheet. Everything that it shows is set as text.
 */
import { diagnose, grouped, reportText } from "./doctor-diagnosis.js";
import { worst } from "./doctor-words.js";

export { diagnose, reportText };

const OUTCOMES = {
  good: "All is well.",
  note: "All is well, with something to know.",
  warning: "It works, with something to mend.",
  bad: "Something is wrong.",
};

/**
 * @typedef {Parameters<typeof diagnose>[0]} DiagnoseOptions
 * @param {{button?: HTMLElement, host?: HTMLElement} & Partial<DiagnoseOptions> & {settings?: () => DiagnoseOptions}} options those of
 *   diagnose, or `settings`, which is asked for them at each check. `button` opens the dialog; without one it is made, inside of `host`
 * @returns {{element: HTMLDialogElement, open: () => void, close: () => void, findings: import("./doctor-words.js").Finding[]}}
 */
export function createDoctorDialog({ button, host, settings, ...fixed }) {
  const view = createView();
  let findings = [];
  let running = null;

  async function check() {
    const run = (running = new AbortController());
    const options = { ...fixed, ...settings?.() };
    view.starts(options.seconds ?? 20);
    try {
      const found = await diagnose({ ...options, signal: run.signal, onProgress: view.progressed });
      if (run === running) show(found);
    } catch (error) {
      if (run === running) view.failed(error);
    }
    if (run === running) running = null;
  }

  function show(found) {
    findings = found;
    view.shows(found);
  }

  function finish() {
    running?.abort();
  }

  function open() {
    if (view.element.open) return;
    view.element.showModal();
    check();
  }

  view.again.addEventListener("click", check);
  view.finish.addEventListener("click", finish);
  view.copy.addEventListener("click", () => copyText(reportText(findings, aboutPage()), view));
  view.element.addEventListener("close", () => {
    const run = running;
    running = null; // what it still finds is not shown
    run?.abort();
  });
  if (host && !button) {
    button = make("button", { type: "button", className: "button" }, "Check the connection");
    host.append(button);
  }
  button?.addEventListener("click", open);
  addStyleSheet();
  // In the body, where no layout of a host reaches it.
  document.body.append(view.element);

  return {
    element: view.element,
    open,
    close: () => view.element.close(),
    get findings() {
      return findings;
    },
  };
}

// --- the dialog

function createView() {
  const title = make("h2", { id: "doctor-title", tabIndex: -1, autofocus: true }, "Connection check");
  const close = make("button", { type: "button", className: "button small" }, "Close");
  const about = make("p", { className: "doctor-about" }, "");
  const progress = make("progress", { max: 1, value: 0 });
  progress.setAttribute("aria-label", "Time watched");
  const status = make("p", { className: "doctor-status" });
  status.setAttribute("role", "status");
  const results = make("div", { className: "doctor-results" });
  const report = make("textarea", { className: "doctor-report", readOnly: true, hidden: true, rows: 8 });
  report.setAttribute("aria-label", "Report");
  const again = make("button", { type: "button", className: "button" }, "Check again");
  const finish = make("button", { type: "button", className: "button" }, "Finish now");
  const copy = make("button", { type: "button", className: "button" }, "Copy report");
  const element = make("dialog", { className: "doctor" });
  element.setAttribute("aria-labelledby", title.id);
  const head = make("header", { className: "doctor-head" });
  head.append(title, close);
  const tools = make("div", { className: "doctor-tools" });
  tools.append(finish, again, copy);
  element.append(head, about, progress, status, results, report, tools);
  close.addEventListener("click", () => element.close());

  function phase(running) {
    // The button that has the focus may be one that is hidden now.
    if (element.open && element.contains(document.activeElement)) title.focus();
    element.dataset.phase = running ? "running" : "done";
    progress.hidden = finish.hidden = !running;
    again.hidden = copy.hidden = running;
    report.hidden = true;
  }

  return {
    element,
    again,
    finish,
    copy,
    report,
    starts(seconds) {
      phase(true);
      progress.value = 0;
      results.replaceChildren();
      about.textContent = `Both transports are opened on the way that this page takes to its server, and watched for at most ${seconds} s.`;
      status.textContent = "Watching both transports …";
    },
    progressed: (part) => (progress.value = Math.min(1, part)),
    shows(findings) {
      phase(false);
      results.replaceChildren(...grouped(findings).map(([name, group]) => section(name, group)));
      status.textContent = OUTCOMES[worst(findings)];
      element.dataset.level = worst(findings);
    },
    failed(error) {
      phase(false);
      copy.hidden = true;
      status.textContent = `The check could not be made: ${error.message}`;
    },
    says: (sentence) => (status.textContent = sentence),
  };
}

function section(name, findings) {
  const list = make("ul", { className: "doctor-findings" });
  list.append(...findings.map(item));
  const element = make("section");
  element.append(make("h3", {}, name), list);
  return element;
}

function item({ id, level, title, detail, advice, measured }) {
  const element = make("li");
  Object.assign(element.dataset, { finding: id, level });
  const head = make("p", { className: "doctor-finding" });
  head.append(make("span", { className: "doctor-level" }, level), " ", make("strong", {}, title));
  if (measured) head.append(" ", make("span", { className: "doctor-measured" }, measured));
  element.append(head, make("p", {}, detail));
  if (advice) {
    const line = make("p", { className: "doctor-advice" });
    // What stands between backticks is to be typed somewhere.
    line.append(...advice.split("`").map((part, index) => (index % 2 ? make("code", {}, part) : part)));
    element.append(line);
  }
  return element;
}

function make(tag, properties = {}, text = "") {
  const element = Object.assign(document.createElement(tag), properties);
  if (text) element.textContent = text;
  return element;
}

/** Beside the module, so that a page needs one import; a second dialog finds it there. */
function addStyleSheet() {
  const { href } = new URL("./doctor.css", import.meta.url);
  const there = [...document.querySelectorAll("link[rel=stylesheet]")].some((link) => link.href === href);
  if (!there) document.head.append(make("link", { rel: "stylesheet", href }));
}

// --- the report

function aboutPage() {
  return [`page     ${location.origin}${location.pathname}`, `time     ${new Date().toISOString()}`, `browser  ${navigator.userAgent}`];
}

/** Where there is no clipboard, as on a page of plain http, the text is shown and selected instead. */
async function copyText(text, view) {
  try {
    await navigator.clipboard.writeText(text);
    view.says("The report is copied.");
  } catch {
    Object.assign(view.report, { value: text, hidden: false });
    view.report.select();
    view.says(document.execCommand?.("copy") ? "The report is copied." : "The report is selected: copy it with the keyboard.");
  }
}
