// Two results side by side: rows of the same name stand in one line, and what differs is marked.

import * as api from "./api.js";
import { button, date, el, shown } from "./dom.js";
import { figures } from "./figures.js";

/** Shows the comparison of two results in `root`; `studio` has use(asked, model). */
export async function show(root, ids, studio) {
  root.replaceChildren(el("p", { class: "muted", role: "status" }, "Opening both…"));
  const both = await Promise.all(ids.map(opened));
  const drawn = both.map(({ result }) => figures(result.figures));
  root.replaceChildren(
    el(
      "article",
      { class: "comparison" },
      el("h1", {}, "Two results"),
      el("div", { class: "scroll" }, table(both, studio)),
      el(
        "div",
        { class: "two" },
        drawn.map(({ node }, k) =>
          el("section", { "aria-label": `Figures of ${ids[k]}` }, el("h2", {}, heading(both[k].result, k)), node),
        ),
      ),
    ),
  );
  drawn.forEach(({ start }) => start());
}

async function opened(id) {
  const status = await api.status(id);
  if (!status.result) throw new api.Refusal(`${id}: ${status.state}, so that there is nothing to compare yet`);
  return status;
}

const heading = (result, k) => `${"AB"[k]} · ${result.model}`;

function table(both, studio) {
  const results = both.map((status) => status.result);
  const head = both.map(({ result, asked }, k) =>
    el(
      "th",
      { scope: "col" },
      el("a", { href: `#/result/${encodeURIComponent(result.id)}` }, heading(result, k)),
      el("br"),
      el("small", { class: "muted" }, `${date(result.created)}`),
      el("br"),
      button("Use these settings", () => studio.use(asked ?? result.asked, result.model), { class: "quiet small" }),
    ),
  );
  const part = (title, lists) => {
    const rows = aligned(lists);
    return rows.length
      ? [el("tr", { class: "part" }, el("th", { colspan: 3, scope: "rowgroup" }, title)), rows.map(line)]
      : [];
  };
  return el(
    "table",
    { class: "compare" },
    el("thead", {}, el("tr", {}, el("th", {}, el("span", { class: "unseen" }, "What")), head)),
    el(
      "tbody",
      {},
      part(
        "Exactness",
        results.map(({ exactness }) => [
          ["verdict", exactness.verdict],
          ...exactness.rows,
          ...exactness.notes.map((note, k) => [`note ${k + 1}`, note]),
        ]),
      ),
      part(
        "Metrics",
        results.map(({ metrics }) => metrics.map(({ name, measured }) => [name, measured])),
      ),
      part(
        "Effort",
        results.map(({ nfe, gradients, seconds }) => [
          ["network evaluations a sample", nfe],
          ["gradients a sample", gradients],
          ["seconds", seconds],
        ]),
      ),
      part("Settings", both.map(settings)),
    ),
  );
}

/** What was asked for, and how it was drawn. */
function settings({ asked, result }) {
  const said = Object.entries({ n: result.n, ...(asked ?? result.asked) }).map(([name, value]) => [
    name.replaceAll("_", " "),
    value,
  ]);
  return [...said, ...result.settings];
}

/** Rows (name, one value, the other), in the order of the first list, with those that only the second has behind. */
function aligned([first, second]) {
  const [a, b] = [new Map(first), new Map(second)];
  return [...new Set([...a.keys(), ...b.keys()])].map((name) => [name, shown(a.get(name)), shown(b.get(name))]);
}

function line([name, a, b]) {
  const differs = a !== b;
  return el(
    "tr",
    { class: differs ? "differs" : null },
    el("th", { scope: "row" }, differs ? el("span", { class: "mark-differs", title: "differs" }, "≠ ") : null, name),
    el("td", {}, a),
    el("td", {}, b),
  );
}
