// What came out: how exact it is first, then figures, metrics, settings, files, and how to do it again.

import * as api from "./api.js";
import { button, bytes, coded, copy, date, el, named, pairs, seconds, sentence } from "./dom.js";
import { figures } from "./figures.js";

/** The parts of a result, `replay` of its frames among them; `start` is called once they are on the page. */
export function result(job, studio, replay) {
  const found = job.result;
  const drawn = figures(found.figures);
  const metrics = el("div", {}, metricTable(found.metrics));
  const judged = el("div", { role: "status" });
  const node = el(
    "article",
    { class: "result" },
    el("p", { class: "muted" }, facts(found)),
    exactness(found.exactness),
    actions(job, studio, metrics, judged),
    judged,
    drawn.node,
    replay,
    metrics,
    again(found),
    el("details", {}, el("summary", {}, "Settings"), pairs(found.settings)),
    files(found),
  );
  return { node, start: drawn.start };
}

function facts(found) {
  const work = found.nfe ? `${Number(found.nfe.toPrecision(4))} network evaluations a sample` : null;
  const slopes = found.gradients ? `${Number(found.gradients.toPrecision(4))} gradients a sample` : null;
  const time = found.seconds ? seconds(found.seconds) : null;
  return [`${found.n} ${found.n === 1 ? "sample" : "samples"}`, work, slopes, time, date(found.created)]
    .filter(Boolean)
    .join(" · ");
}

/** What a reader must know first, with a sign as well as a colour where it is good or bad news. */
function verdictLine(text, holds) {
  const [sign, kind] = SIGNS.get(holds ?? null);
  return el("p", { class: `verdict ${kind}` }, holds == null ? "" : `${sign} `, coded(text));
}

/** The verdict, its numbers, and what the user should know. */
export function exactness({ verdict, holds, rows, notes }) {
  return el(
    "section",
    { class: "exactness", "aria-label": "Exactness" },
    el("h2", {}, "Exactness"),
    verdictLine(verdict, holds),
    rows.length ? el("div", { class: "scroll" }, pairs(rows)) : null,
    notes.length
      ? el(
          "ul",
          { class: "notes" },
          notes.map((note) => el("li", {}, coded(sentence(named(note))))),
        )
      : null,
  );
}

export function metricTable(metrics) {
  if (!metrics.length) return el("div");
  const head = ["Metric", "Value", "Yardstick"].map((name) => el("th", { scope: "col" }, name));
  const rows = metrics.map((metric) =>
    el(
      "tr",
      {},
      el("td", {}, metric.name, el("p", { class: "help" }, sentence(`${metric.better} is better. `), coded(sentence(metric.meaning)))),
      el("td", { class: "number" }, metric.measured),
      el("td", {}, metric.yardstick || "–"),
    ),
  );
  return el(
    "section",
    {},
    el("h2", {}, "Metrics"),
    el(
      "div",
      { class: "scroll" },
      el("table", { class: "metrics" }, el("thead", {}, el("tr", {}, head)), el("tbody", {}, rows)),
    ),
  );
}

function actions(job, studio, metrics, judged) {
  const { id, model } = job.result;
  const evaluate = async () => {
    const answer = await api.evaluate(id);
    metrics.replaceChildren(metricTable(answer));
    metrics.scrollIntoView({ block: "nearest" });
  };
  const trust = async () => judged.replaceChildren(trusted(await api.trust(id)));
  const asked = job.asked ?? job.result.asked;
  return el(
    "div",
    { class: "row actions" },
    asked ? button("Use these settings", () => studio.use(asked, model)) : null,
    working("Evaluate", "Evaluating…", evaluate, judged, "Measure these samples as the model's card does"),
    working("Trust report", "Judging…", trust, judged, "How far to trust these samples, and on what basis"),
    el("a", { class: "button", href: api.archive(id), download: `${id}.zip` }, "Download all"),
  );
}

/** A button whose work takes a while; what fails is said in `place`. */
function working(text, meanwhile, action, place, title) {
  const node = button(
    text,
    async () => {
      node.disabled = true;
      node.textContent = meanwhile;
      place.replaceChildren();
      try {
        await action();
      } catch (refusal) {
        place.replaceChildren(el("p", { class: "notice error", role: "alert" }, refusal.message));
      }
      node.disabled = false;
      node.textContent = text;
    },
    { title },
  );
  return node;
}

const SIGNS = new Map([
  [true, ["✓", "holds", "Holds: "]],
  [false, ["✕", "fails", "Does not hold: "]],
  [null, ["·", "", ""]],
]);

/** The trust report: statements by section, each with what it rests on. */
function trusted({ verdict, trusted, statements }) {
  const sections = Map.groupBy ? Map.groupBy(statements, (one) => one.section) : grouped(statements);
  return el(
    "section",
    { class: "trusted", "aria-label": "Trust report" },
    el("h2", {}, "Trust report"),
    verdictLine(verdict, trusted),
    [...sections].map(([section, list]) => [
      section ? el("h3", {}, section) : null,
      el("ul", { class: "statements" }, list.map(statement)),
    ]),
  );
}

function grouped(statements) {
  const found = new Map();
  for (const one of statements) found.set(one.section, [...(found.get(one.section) ?? []), one]);
  return found;
}

function statement({ holds, text, basis }) {
  const [sign, kind, words] = SIGNS.get(holds ?? null) ?? SIGNS.get(null);
  return el(
    "li",
    { class: kind },
    el("span", { "aria-hidden": "true" }, sign),
    words ? el("b", { class: "unseen" }, words) : null,
    text,
    basis ? el("small", { class: "muted" }, ` (${basis})`) : null,
  );
}

/** The same on the command line and in Python, seed and all. */
function again({ command, python }) {
  const part = (title, text, what) => {
    const place = el("div");
    const copied = button(
      `Copy as ${what}`,
      async () => {
        if (!(await copy(text, place))) return;
        copied.textContent = "Copied ✓";
        setTimeout(() => (copied.textContent = `Copy as ${what}`), 1500);
      },
      { class: "small" },
    );
    return el(
      "div",
      {},
      el("div", { class: "row between" }, el("h3", {}, title), copied),
      el("pre", { tabindex: "0" }, el("code", {}, text)),
      place,
    );
  };
  return el(
    "section",
    { class: "again" },
    el("h2", {}, "Draw the same again"),
    command ? part("Command line", command, "command line") : null,
    python ? part("Python", python, "Python") : null,
  );
}

function files(found) {
  const rows = found.files.map(({ name, size, url }) =>
    el(
      "li",
      {},
      el("a", { href: url, download: name.split("/").pop() }, name),
      el("small", { class: "muted" }, ` ${bytes(size)}`),
    ),
  );
  return el(
    "details",
    { open: found.files.length <= 12 },
    el("summary", {}, `Files (${found.files.length + (found.more_files ?? 0)})`),
    el("ul", { class: "file-list" }, rows),
    found.more_files
      ? el("p", { class: "muted" }, `and ${found.more_files} more, all of them in “Download all”`)
      : null,
    el("p", { class: "muted" }, "in ", el("code", {}, found.folder)),
  );
}
