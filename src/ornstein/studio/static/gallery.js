// Earlier results: a click opens one, two that are chosen are compared.

import * as api from "./api.js";
import { button, date, el } from "./dom.js";
import { modelName } from "./files.js";
import { badge, percent } from "./job.js";

const PAGE = 24;
const EVERY = 4000; // ms after which it is asked what else was drawn
const chosen = []; // the ids of at most two

/** Shows the gallery in `root`; what is drawn meanwhile joins it. Returns how to stop that. */
export async function show(root) {
  const wall = el("ul", { class: "gallery" });
  const others = el("div");
  const more = el("div", { class: "row" });
  const compare = el("div", { class: "compare-bar", role: "status" });
  const none = empty();
  root.replaceChildren(others, el("h1", {}, "Results"), none, wall, more, compare);

  async function load(before) {
    const { jobs, results } = await api.earlier(PAGE, before);
    wall.append(...fresh(jobs, results));
    more.replaceChildren(...(results.length === PAGE ? [button("Earlier ones", () => load(results.at(-1).id))] : []));
    mark();
  }

  async function refresh() {
    if (document.hidden) return;
    const { jobs, results } = await api.earlier(PAGE).catch(() => ({ jobs: [], results: [] })); // not now: the next time
    wall.prepend(...fresh(jobs, results));
  }

  /** The cards of results that are not shown yet; those of others are brought up to date, and the queue is. */
  function fresh(jobs, results) {
    others.replaceChildren(...others_of(jobs));
    const now = new Set(jobs.map((job) => job.id)); // of which a beginning may be there
    const there = new Map([...wall.children].map((one) => [one.dataset.id, one]));
    now.forEach((id) => there.get(id)?.remove());
    const cards = results.filter((one) => !now.has(one.id) && !there.has(one.id)).map((one) => card(one, choose));
    for (const one of results)
      if (there.has(one.id) && there.get(one.id).dataset.cover !== covered(one))
        there.get(one.id).replaceWith(card(one, choose));
    none.hidden = wall.children.length + cards.length > 0;
    return cards;
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
  const timer = setInterval(refresh, EVERY);
  return () => clearInterval(timer);
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

const covered = (one) => one.cover ?? one.error ?? one.unfinished ?? "";

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
    { class: "card", "data-id": one.id, "data-cover": covered(one) },
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
