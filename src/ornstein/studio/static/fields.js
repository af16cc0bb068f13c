// One control for a field of a form. Every control has { node, get(), set(value), focus() }; get() is null where
// nothing is said. Values stay the text that was typed: the server reads them as the command line does.

import { button, coded, el, sentence, words } from "./dom.js";
import { fileControl } from "./files.js";

let count = 0;

/** A labelled field with its help and its error. `form` knows the model, the other values and what to do on a change. */
export function fieldControl(field, form) {
  const id = `field-${++count}`;
  const control = several(field, form, id);
  const error = el("p", { class: "error", id: `${id}-error`, hidden: true });
  const node = el(
    "div",
    { class: "field", "data-field": field.name },
    el(
      "div",
      { class: "field-head" },
      el(
        control.group ? "span" : "label",
        control.group ? { id: `${id}-label`, class: "label" } : { for: id },
        field.title ?? words(field.name),
      ),
      el("code", {}, field.option),
    ),
    control.node,
    error,
    field.text ? el("p", { class: "help", id: `${id}-help` }, coded(sentence(field.text))) : null,
  );
  if (control.group) {
    control.node.setAttribute("role", "group");
    control.node.setAttribute("aria-labelledby", `${id}-label`);
  }
  const fail = (message) => {
    error.textContent = message ?? "";
    error.hidden = !message;
    node.classList.toggle("failed", Boolean(message));
    node
      .querySelectorAll("input, select")
      .forEach((input) => input.setAttribute("aria-invalid", message ? "true" : "false"));
  };
  node.addEventListener("input", () => fail(null)); // what was refused is being changed
  return { ...control, field, node, fail, isSet: () => control.get() !== null };
}

function several(field, form, id) {
  if (field.many) return list(field, form, id);
  if (field.count) return row(field, form, id);
  return single(field, form, id);
}

function single(field, form, id) {
  if (field.kind === "switch") return toggle(field, form, id);
  if (field.kind === "choice") return choice(field, form, id);
  if (field.kind === "file") return fileControl(field, form, id, null);
  if (field.kind === "number-or-file" || field.suffixes?.length)
    return fileControl(field, form, id, entry(field, form, id));
  return entry(field, form, id);
}

const described = (id) => ({ id, "aria-describedby": `${id}-help ${id}-error` });

function entry(field, form, id) {
  const mode = { integer: "numeric", number: "decimal", "number-or-file": "decimal" }[field.kind];
  const input = el("input", {
    ...described(id),
    type: "text",
    inputmode: mode,
    autocomplete: "off",
    spellcheck: "false",
    autocapitalize: "off",
    placeholder: placeholder(field),
    oninput: form.changed,
  });
  return {
    node: input,
    get: () => (input.value === "" ? null : input.value),
    set: (value) => (input.value = value ?? ""),
    focus: () => input.focus(),
  };
}

/** What holds if nothing is said, else what kind of value there may be. */
function placeholder(field) {
  const value = field.default;
  if (value !== null && value !== undefined && value !== "" && !Array.isArray(value)) return String(value);
  return (
    field.placeholder ??
    { integer: "a whole number", number: "a number", "number-or-file": "a number" }[field.kind] ??
    ""
  );
}

function choice(field, form, id) {
  const none = field.default === null || field.default === undefined || field.default === "";
  const select = el(
    "select",
    { ...described(id), onchange: form.changed },
    el("option", { value: "" }, none ? "not said" : `${field.default} (as usual)`),
    field.choices
      .map(String)
      .filter((name) => name !== String(field.default))
      .map((name) => el("option", { value: name }, name)),
  );
  return {
    node: select,
    get: () => (select.value === "" ? null : select.value),
    set: (value) => (select.value = value === null || String(value) === String(field.default) ? "" : String(value)),
    focus: () => select.focus(),
  };
}

/** On or off; where the default is neither, a third state in which nothing is said. */
function toggle(field, form, id) {
  const usual = field.default ?? null;
  const states = usual === null ? [null, true, false] : [usual, !usual];
  let now = usual;
  const box = el("input", { ...described(id), type: "checkbox" });
  const text = el("span", { class: "muted" });
  const show = () => {
    box.checked = now === true;
    box.indeterminate = now === null;
    text.textContent = now === null ? "not said" : now ? "on" : "off";
  };
  box.addEventListener("click", () => {
    now = states[(states.indexOf(now) + 1) % states.length];
    setTimeout(show); // after the browser's own idea of the next state
    form.changed();
  });
  show();
  return {
    node: el("label", { class: "switch" }, box, text),
    get: () => (now === usual ? null : now),
    set: (value) => {
      now = value ?? usual;
      show();
    },
    focus: () => box.focus(),
  };
}

/** A fixed number of values side by side. */
function row(field, form, id) {
  const parts = Array.from({ length: field.count }, (_, k) =>
    single({ ...field, count: null }, form, k ? `${id}-${k}` : id),
  );
  parts.forEach((part, k) =>
    part.node.setAttribute("aria-label", `${words(field.name)}, value ${k + 1} of ${field.count}`),
  );
  return {
    group: true,
    node: el(
      "div",
      { class: "values" },
      parts.map((part) => part.node),
    ),
    get: () => {
      const values = parts.map((part) => part.get());
      return values.every((value) => value === null) ? null : values.map((value) => value ?? "");
    },
    set: (values) => parts.forEach((part, k) => part.set([values ?? []].flat()[k] ?? null)),
    focus: () => parts[0].focus(),
  };
}

/** As many values as one likes, one below the other. */
function list(field, form, id) {
  const parts = [];
  const rows = el("div", { class: "rows" });
  const add = (value = null) => {
    const part = single({ ...field, many: false }, form, parts.length ? `${id}-${parts.length}` : id);
    const remove = button("×", () => drop(part), { class: "quiet icon", "aria-label": "Remove this value" });
    part.row = el("div", { class: "value-row" }, part.node, remove);
    part.node.setAttribute("aria-label", `${words(field.name)}, value ${parts.length + 1}`);
    part.set(value);
    parts.push(part);
    rows.append(part.row);
    mark();
    return part;
  };
  const drop = (part) => {
    parts.splice(parts.indexOf(part), 1);
    part.row.remove();
    if (!parts.length) add();
    mark();
    form.changed();
  };
  const mark = () => rows.classList.toggle("alone", parts.length === 1);
  add();
  return {
    group: true,
    node: el(
      "div",
      {},
      rows,
      button("+ another value", () => add().focus(), { class: "quiet small" }),
    ),
    get: () => {
      const values = parts.map((part) => part.get()).filter((value) => value !== null);
      return values.length ? values : null;
    },
    set: (values) => {
      parts.splice(0).forEach((part) => part.row.remove());
      const all = [values ?? []].flat();
      (all.length ? all : [null]).forEach((value) => add(value));
    },
    focus: () => parts[0].focus(),
  };
}
