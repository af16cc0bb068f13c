// Earlier results: a click opens one, two that are chosen are compared.

import * as api from "./api.js";
import { button, date, el } from "./dom.js";
import { modelName } from "./files.js";
import { badge, percent } from "./job.js";

const PAGE = 24;
const chosen = []; // the ids of at most two

/** Shows the gallery in `root`. */
export async function show(root) {
  const wall = el("ul", { class: "gallery" });
  const others = el("div");
  const more = el("div", { class: "row" });
  const compare = el("div", { class: "compare-bar", role: "status" });
  root.replaceChildren(others, el("h1", {}, "Results"), wall, more, compare);

  async function load(before) {
    const { jobs, results } = await api.earlier(PAGE, before);
    if (!before) others.replaceChildren(...others_of(jobs));
    const now = new Set(jobs.map((job) => job.id)); // of which a beginning may be there
    wall.append(...results.filter((one) => !now.has(one.id)).map((one) => card(one, choose)));
    more.replaceChildren(...(results.length === PAGE ? [button("Earlier ones", () => load(results.at(-1).id))] : []));
    if (!wall.children.length) wall.replaceWith(empty());
    mark();
  }

  function choose(id) {
    if (chosen.includes(id)) chosen.splice(chosen.indexOf(id), 1);
    else chosen.push(id);
    if (chosen.length > 2) chosen.shift();
    mark();
  }

  function mark() {
    wall.querySelectorAll("input").forEach((box) => (box.checked = chosen.includes(box.value)));
    const [a, b] = chosen;
    compare.hidden = !a;
    compare.replaceChildren(
      ...(b
        ? [
            el(
              "a",
              { class: "button primary", href: `#/compare/${encodeURIComponent(a)}/${encodeURIComponent(b)}` },
              "Compare the two",
            ),
          ]
        : [el("span", {}, "Choose one more to compare.")]),
    );
  }

  await load();
}

function empty() {
  return el("p", { class: "muted" }, "Nothing has been drawn yet. Choose an example on the left, then Draw.");
}

/** What is being drawn by anybody. */
function others_of(jobs) {
  if (!jobs.length) return [];
  const row = (job) =>
    el(
      "li",
      {},
      el("a", { href: `#/result/${encodeURIComponent(job.id)}` }, modelName(job.model) ?? job.id),
      " ",
      badge(job.state),
      job.place ? ` place ${job.place}` : job.total ? ` ${percent(job)} %` : "",
    );
  return [el("h2", {}, "In the queue"), el("ul", { class: "queue" }, jobs.map(row))];
}

function card(one, choose) {
  const where = `#/result/${encodeURIComponent(one.id)}`;
  const box = el("input", {
    type: "checkbox",
    value: one.id,
    "aria-label": `Compare ${one.id}`,
    onchange: () => choose(one.id),
  });
  const cover = one.cover
    ? el("img", { src: one.cover, alt: "", loading: "lazy", onload: crisp })
    : el(
        "span",
        { class: "no-cover" },
        one.error ? "cannot be read" : one.unfinished ? "not finished" : "not looked at yet",
      );
  const count = one.n ? `${one.n} ${one.n === 1 ? "sample" : "samples"}` : null;
  return el(
    "li",
    { class: "card" },
    el("a", { href: where, title: one.id }, cover, el("strong", {}, one.model ?? one.id)),
    el("p", { class: "muted" }, [count, date(one.created)].filter(Boolean).join(" · ")),
    el(
      "p",
      { class: one.error ? "error" : "verdict-words", title: one.verdict },
      one.error ?? one.unfinished ?? first(one.verdict),
    ),
    one.error || one.unfinished ? null : el("label", { class: "muted" }, box, "compare"),
  );
}

const crisp = (event) => event.target.classList.toggle("crisp", event.target.naturalWidth < 256);

/** The first words of a verdict, up to where it explains itself. */
function first(verdict) {
  return (verdict ?? "").split(/[:;,(]/)[0];
}
