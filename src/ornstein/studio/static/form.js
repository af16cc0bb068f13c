// The form of a model, made from what the server says of its fields. It knows no field of science; of the engine it
// knows `n` and `seed`, which stand beside the button that draws, with room for one word.

import * as api from "./api.js";
import { button, el, say, tab } from "./dom.js";
import { read, written } from "./examples.js";
import { fieldControl } from "./fields.js";

const BESIDE = { n: "Samples", seed: "Seed" };

export class Form {
  /** `draw(request)` starts a job; `studio` has data() and runs(), what the server offers beside uploads. */
  constructor(root, draw, studio) {
    Object.assign(this, {
      root,
      draw,
      studio,
      controls: new Map(),
      groups: [],
      said: null,
      opened: tab.get("open", {}),
    });
    this.trouble = el("div", { class: "notice error", role: "alert", hidden: true });
    root.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.submit();
    });
  }

  /** The form of a model, with values; those of fields that it does not have are told, not dropped in silence. */
  async load(model, values = {}) {
    const loading = (this.loading = Symbol(model)); // of two models chosen in a row the later counts
    const said = await api.form(model);
    if (this.loading !== loading) return;
    this.said = said;
    this.controls.clear();
    this.groups = [];
    this.render();
    this.fill(values);
  }

  get name() {
    return this.said.model;
  }

  get fields() {
    return this.said.groups.flatMap((group) => group.fields);
  }

  render() {
    const context = {
      model: () => this.name,
      values: () => this.values(),
      changed: () => this.changed(),
      data: this.studio.data,
      runs: this.studio.runs,
    };
    const bar = el("div", { class: "draw-bar" });
    const parts = this.said.groups.map((group, k) => this.group(group, k === 0, context));
    for (const [name, title] of Object.entries(BESIDE)) {
      const field = this.fields.find((one) => one.name === name);
      if (field) bar.append(this.control({ placeholder: "auto", title, ...field }, context).node);
    }
    bar.append(this.buttons());
    this.root.replaceChildren(this.trouble, this.examples(), ...parts.filter(Boolean), bar);
    this.trouble.hidden = true;
  }

  buttons() {
    const dice = button("↻", () => this.newSeed(), {
      class: "dice",
      "aria-label": "New seed",
      title: "New seed: other samples of the same",
    });
    this.button = button("Draw", () => this.submit(), { class: "primary", id: "draw", title: "Ctrl + Enter" });
    return el("div", { class: "draw-buttons" }, this.controls.has("seed") ? dice : null, this.button);
  }

  control(field, context) {
    const control = fieldControl(field, context);
    this.controls.set(field.name, control);
    return control;
  }

  group(group, first, context) {
    const fields = group.fields.filter((field) => !(field.name in BESIDE));
    if (!fields.length) return null;
    const badge = el("span", { class: "badge chosen", hidden: true });
    const controls = fields.map((field) => this.control(field, context));
    const key = `${this.said.domain}: ${group.title}`;
    const details = el(
      "details",
      { class: "group", open: this.opened[key] ?? first },
      el("summary", {}, el("span", { class: "group-title" }, group.title), badge),
      controls.map((control) => control.node),
    );
    details.addEventListener("toggle", () => {
      this.opened[key] = details.open;
      tab.set("open", this.opened);
    });
    this.groups.push({ details, badge, controls });
    return details;
  }

  examples() {
    const mine = this.said.examples.filter((line) => line.startsWith("sample "));
    if (!mine.length) return el("div", { hidden: true });
    return el(
      "details",
      { class: "examples", open: true },
      el("summary", {}, "Examples"),
      el(
        "ul",
        {},
        mine.map((line) =>
          el(
            "li",
            {},
            button(written(line, this.fields).replace(`${this.name} `, ""), () => this.example(line), {
              class: "quiet example",
            }),
          ),
        ),
      ),
    );
  }

  /** Fills in an example; files that it names are the user's to give, which is said at their fields. */
  async example(line) {
    let found = read(line, this.fields);
    if (found.model !== this.name && this.studio.models().includes(found.model)) {
      await this.studio.choose(found.model);
      found = read(line, this.fields);
    }
    const { values, files } = this.parted(found.values);
    this.fill(values);
    for (const [name, file] of files) {
      this.controls.get(name).fail(`The example has a file here, ${file}: give your own.`);
      this.reveal(this.controls.get(name));
    }
    say("The example is filled in");
  }

  /** Values, and those that name files which only the example's author has. */
  parted(values) {
    const isPath = ([name, value]) => this.controls.get(name).field.kind === "file" || this.looksLikeFile(name, value);
    const entries = Object.entries(values);
    return { values: Object.fromEntries(entries.filter((one) => !isPath(one))), files: entries.filter(isPath) };
  }

  looksLikeFile(name, value) {
    return [value]
      .flat()
      .some((one) => this.controls.get(name).field.suffixes?.some((end) => end && String(one).endsWith(end)));
  }

  /** Sets all fields: those that are not in `values` to nothing said. */
  fill(values) {
    for (const [name, control] of this.controls) {
      control.set(values[name] ?? null);
      control.fail(null);
    }
    for (const { details, controls } of this.groups) if (controls.some((one) => one.isSet())) details.open = true;
    this.changed();
    const unknown = Object.keys(values).filter((name) => !this.controls.has(name));
    this.tell(unknown.length ? `${this.name} has no field ${unknown.join(", ")}: left out` : null);
  }

  /** What is said, by name. */
  values() {
    const entries = [...this.controls].map(([name, control]) => [name, control.get()]);
    return Object.fromEntries(entries.filter(([, value]) => value !== null));
  }

  changed() {
    for (const { badge, controls } of this.groups) {
      const set = controls.filter((control) => control.isSet()).length;
      badge.hidden = !set;
      badge.textContent = `${set} set`;
    }
    tab.set("form", { model: this.name, values: this.values() });
  }

  newSeed() {
    this.controls.get("seed").set(crypto.getRandomValues(new Uint32Array(1))[0] % 1000000);
    this.changed();
  }

  async submit() {
    this.controls.forEach((control) => control.fail(null));
    this.tell(null);
    this.button.disabled = true;
    try {
      await this.draw({ model: this.name, ...this.values() });
    } catch (refusal) {
      this.refused(refusal);
    } finally {
      this.button.disabled = false;
    }
  }

  /** The server's words at the top and at the field that they are of. */
  refused(refusal) {
    const control = [...this.controls.values()].find((one) => one.field.option === refusal.flag);
    this.tell(refusal.message);
    if (!control) return this.trouble.scrollIntoView({ block: "nearest" });
    control.fail(refusal.message);
    this.reveal(control);
    control.focus();
  }

  /** Marks the field that an error of a job begins with: what only the model knew was wrong. */
  blame(message) {
    const first = String(message).split(/[:\s]/)[0];
    const control = [...this.controls.values()].find(({ field }) => [field.option, field.name].includes(first));
    control?.fail(message);
  }

  tell(message) {
    this.trouble.textContent = message ?? "";
    this.trouble.hidden = !message;
  }

  reveal(control) {
    const group = this.groups.find(({ controls }) => controls.includes(control));
    if (group) group.details.open = true;
    control.node.scrollIntoView({ block: "center" });
  }
}
