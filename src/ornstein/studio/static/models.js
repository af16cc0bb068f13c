// Choosing a model: shipped ones by domain, own runs, a file of weights that is dropped.

import * as api from "./api.js";
import { button, coded, el } from "./dom.js";
import { modelName, rememberFile } from "./files.js";

/** The button that shows the model and opens the list; `choose(name)` is called with another one. */
export class Models {
  constructor(choose) {
    Object.assign(this, { choose, list: [], broken: [], now: null });
    this.name = el("strong", {});
    this.summary = el("span", { class: "help" });
    this.card = el(
      "details",
      { class: "model-card" },
      el("summary", {}, "About this model"),
      el("pre", { tabindex: "0" }),
    );
    this.button = el(
      "button",
      { type: "button", class: "model", id: "model", "aria-haspopup": "dialog", onclick: () => this.open() },
      el("span", {}, el("small", { class: "muted" }, "Model"), this.name, this.summary),
      el("span", { class: "change" }, "Change"),
    );
    this.node = el("div", {}, this.button, this.card);
  }

  async load() {
    const found = await api.models();
    this.list = found.models;
    this.broken = found.broken;
    this.first = found.first ?? this.names()[0];
  }

  names() {
    return this.list.map((model) => model.name);
  }

  runs(domain) {
    return this.list.filter((model) => model.kind === "run" && model.domain === domain).map((model) => model.name);
  }

  show(name, summary) {
    this.now = name;
    this.name.textContent = modelName(name);
    const card = this.list.find((model) => model.name === name)?.card;
    this.summary.replaceChildren(...coded(summary));
    this.card.hidden = !card;
    this.card.lastChild.textContent = card ?? "";
  }

  async open() {
    await this.load().catch(() => {}); // a run may have been trained meanwhile; else the list as it was
    const filter = el("input", {
      type: "search",
      placeholder: "Search",
      autofocus: true,
      "aria-label": "Search the models",
      autocomplete: "off",
    });
    const list = el("div", { class: "model-list" });
    const trouble = el("p", { class: "notice error", role: "alert", hidden: true });
    const dialog = el(
      "dialog",
      { class: "models", "aria-labelledby": "models-title" },
      el(
        "div",
        { class: "row between" },
        el("h2", { id: "models-title" }, "Choose a model"),
        button("Close", () => dialog.close(), { class: "quiet" }),
      ),
      filter,
      trouble,
      list,
      this.drop(trouble, (name) => this.take(dialog, name)),
      this.failures(),
    );
    const render = () =>
      list.replaceChildren(...this.sections(filter.value.toLowerCase(), (name) => this.take(dialog, name)));
    filter.addEventListener("input", render);
    render();
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  }

  take(dialog, name) {
    dialog.close();
    this.choose(name);
  }

  sections(wanted, take) {
    const fits = (model) => `${model.name} ${model.domain} ${model.summary}`.toLowerCase().includes(wanted);
    const title = (model) => (model.kind === "shipped" ? model.domain : model.kind === "run" ? "your runs" : "dropped");
    const found = this.list.filter(fits);
    const titles = [...new Set(found.map(title))];
    if (!titles.length) return [el("p", { class: "muted" }, "No model of that name.")];
    return titles.map((one) =>
      el(
        "section",
        {},
        el("h3", {}, one),
        el("p", { class: "help" }, coded(shared(found.filter((model) => title(model) === one)))),
        el(
          "ul",
          {},
          found.filter((model) => title(model) === one).map((model) => this.row(model, take)),
        ),
      ),
    );
  }

  row(model, take) {
    const name = modelName(model.name);
    return el(
      "li",
      {},
      el(
        "button",
        {
          type: "button",
          class: "quiet",
          "data-model": model.name,
          "aria-current": model.name === this.now ? "true" : null,
          onclick: () => take(model.name),
        },
        el("strong", {}, name, model.name === this.now ? " ✓" : ""),
        el("span", { class: "help" }, coded(line(model.card))),
      ),
    );
  }

  /** Weights of a model of one's own; the server reads them as numbers and runs nothing. */
  drop(trouble, take) {
    const bar = el("progress", { max: 1, value: 0, hidden: true, "aria-label": "Sending the weights" });
    const send = async (file) => {
      bar.hidden = false;
      trouble.hidden = true;
      try {
        const answer = await api.upload(file, { field: "model" }, (share) => (bar.value = share)).done;
        rememberFile(answer);
        if (!this.names().includes(answer.file))
          this.list.push({ name: answer.file, domain: "", summary: answer.name, kind: "upload" });
        take(answer.file);
      } catch (refusal) {
        trouble.textContent = refusal.message;
        trouble.hidden = false;
      }
      bar.hidden = true;
    };
    const input = el("input", {
      type: "file",
      accept: ".safetensors",
      class: "unseen",
      onchange: () => input.files[0] && send(input.files[0]),
    });
    const zone = el(
      "div",
      { class: "zone" },
      el("label", { class: "button small" }, "Choose weights", input),
      el("span", { class: "help" }, "or drop a .safetensors file of a model here"),
      bar,
    );
    for (const name of ["dragover", "dragleave", "drop"])
      zone.addEventListener(name, (event) => {
        event.preventDefault();
        zone.classList.toggle("over", name === "dragover");
        if (name === "drop" && event.dataTransfer.files[0]) send(event.dataTransfer.files[0]);
      });
    return zone;
  }

  failures() {
    if (!this.broken.length) return null;
    return el(
      "details",
      {},
      el(
        "summary",
        {},
        `${this.broken.length === 1 ? "One domain" : `${this.broken.length} domains`} cannot be loaded`,
      ),
      el(
        "ul",
        {},
        this.broken.map(({ domain, why }) => el("li", {}, el("strong", {}, domain), `: ${why}`)),
      ),
    );
  }
}

/** What all of these models are for, if that is one thing. */
function shared(models) {
  return models.every((model) => model.summary === models[0].summary) ? models[0].summary : "";
}

/** The first line of a model's card below its heading. */
function line(card) {
  return card?.split("\n").find((text) => text && !text.startsWith("#"));
}
