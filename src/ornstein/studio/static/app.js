// The studio's page: the form on the left, and on the right what the address says: #/, #/result/ID, #/compare/A/B.

import * as api from "./api.js";
import * as compare from "./compare.js";
import { button, el, tab } from "./dom.js";
import { modelName } from "./files.js";
import { Form } from "./form.js";
import * as gallery from "./gallery.js";
import * as job from "./job.js";
import * as jobs from "./jobs.js";
import * as login from "./login.js";
import { Models } from "./models.js";

const [asked, results, view, strip, connection] = ["asked", "results", "view", "jobs", "connection"].map((id) =>
  document.getElementById(id),
);
const formPlace = el("div", { class: "form" });
const narrow = matchMedia("(max-width: 60rem)"); // where the results stand below the form
let data = [];
let leave = () => {};
let shown = null; // the id of the job on the page

const studio = {
  data: () => data,
  runs: () => models.runs(form.said.domain),
  models: () => models.names(),
  choose,
  use,
};
const models = new Models((name) => choose(name));
const form = new Form(formPlace, draw, studio);

/** Another model, with the values that are given, else none. */
async function choose(name, values = {}) {
  try {
    await form.load(name, values);
    models.show(name, form.said.summary);
    return true;
  } catch (refusal) {
    form.root.prepend(el("p", { class: "notice error", role: "alert" }, refusal.message));
    return false;
  }
}

/** Fills the form with what a result was asked for with. */
async function use(values, model) {
  if (model === form.said?.model) form.fill(values);
  else await choose(model, values);
  asked.scrollIntoView({ block: "start" });
  models.button.focus({ preventScroll: true });
}

async function draw(request) {
  const { id } = await jobs.draw(request);
  location.hash = `#/result/${encodeURIComponent(id)}`;
}

/** Shows what the address says. An address that is none of ours, such as that of a skip link, changes nothing. */
async function route() {
  if (location.hash && !location.hash.startsWith("#/")) return;
  const [page = "", ...ids] = location.hash.slice(2).split("/").map(decodeURIComponent);
  const here = location.hash;
  const seen = jobs.known(shown);
  if (seen && seen.id !== ids[0] && !jobs.unfinished(seen)) jobs.dismiss(seen.id); // the gallery has what it made
  shown = page === "result" ? ids[0] : null;
  leave();
  leave = () => {};
  document.body.classList.toggle("wide", page === "compare");
  const place = el("div"); // of its own: what comes late, after another address, is not seen
  view.replaceChildren(place);
  try {
    const stop = await opened(page, ids, place);
    if (location.hash === here) leave = stop ?? leave;
    else stop?.();
  } catch (refusal) {
    if (!(refusal instanceof api.Refusal)) throw refusal;
    place.replaceChildren(
      el("p", { class: "notice error", role: "alert" }, refusal.message),
      el("p", {}, el("a", { href: "#/" }, "All results")),
    );
  }
  if (page && narrow.matches) results.scrollIntoView({ block: "start" });
  title();
  showJobs();
}

/** Shows a page; returns how to stop what it does, if it does anything. */
function opened(page, ids, place) {
  if (page === "result") return job.show(place, ids[0], studio);
  if (page === "compare") return compare.show(place, ids, studio);
  return gallery.show(place);
}

/** The jobs of this tab: each with its state, to go to, to cancel or to put away. */
function showJobs() {
  const mine = jobs.mine();
  strip.hidden = mine.every((one) => location.hash === `#/result/${encodeURIComponent(one.id)}`); // which the page shows
  strip.replaceChildren(
    el(
      "ul",
      {},
      mine.map((one) => {
        const where = `#/result/${encodeURIComponent(one.id)}`;
        const away = jobs.unfinished(one)
          ? null
          : button("×", () => jobs.dismiss(one.id), { class: "quiet icon", "aria-label": `Put ${one.id} away` });
        const state =
          one.state === "running"
            ? el("span", { class: "badge chosen" }, `◐ ${job.percent(one)} %`)
            : job.badge(one.state);
        return el(
          "li",
          { class: location.hash === where ? "here" : null },
          el(
            "a",
            { href: where, "aria-current": location.hash === where ? "page" : null },
            modelName(one.model) ?? one.id,
            " ",
            state,
          ),
          away,
        );
      }),
    ),
  );
}

function title() {
  const running = jobs.mine().find((one) => one.state === "running");
  document.title = running ? `${job.percent(running)} % · ${modelName(running.model)} · Ornstein studio` : "Ornstein studio";
}

function onJob(one, what) {
  if (what === "frame") return;
  if (what === "state" && one.mine && one.state === "failed" && one.model === form.said?.model) form.blame(one.error);
  showJobs();
  title();
  const lost = jobs.mine().some((mine) => mine.lost && jobs.unfinished(mine));
  connection.hidden = !lost;
  connection.textContent = lost ? "No connection; trying again…" : "";
}

/** A file that is let go beside the fields would take the place of the page. */
function keepPage(event) {
  if (event.dataTransfer.types.includes("Files")) event.preventDefault();
}

async function start() {
  api.onTokenWanted(login.ask);
  await login.fromAddress();
  asked.replaceChildren(models.node, formPlace);
  jobs.listen(onJob);
  addEventListener("hashchange", route);
  for (const name of ["dragover", "drop"]) addEventListener(name, keepPage);
  document.querySelector("nav a").addEventListener("click", () => narrow.matches && results.scrollIntoView());
  try {
    [, data] = await Promise.all([
      models.load(),
      api.data().then(
        (found) => found.files ?? [],
        () => [],
      ),
    ]);
  } catch (refusal) {
    formPlace.replaceChildren(el("p", { class: "notice error", role: "alert" }, refusal.message));
  }
  await jobs.recall();
  const { model, values } = tab.get("form", {});
  if (!(model && (await choose(model, values))) && models.first) await choose(models.first);
  await route();
}

start();
