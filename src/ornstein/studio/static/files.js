// A field that takes a file: dropped, chosen, pasted, made by hand, one of the server's own, or a run.

import * as api from "./api.js";
import { button, bytes, el, say, tab, words } from "./dom.js";
import { byHand } from "./hands.js";

const PREVIEW = 8e6; // bytes up to which a picture is shown

/** What is known of the files that were sent: reference → { name, size, from }; pictures are kept apart, by reference. */
const kept = tab.get("files", {});
const pictures = new Map();

export function rememberFile(answer, more = {}) {
  kept[answer.file] = { name: answer.name, size: answer.size, ...more };
  tab.set("files", kept);
}

/** The name of a file that a value stands for. */
export function fileName(value) {
  return (
    kept[value]?.name ??
    String(value)
      .replace(/^(data|runs):/, "")
      .split("/")
      .pop()
  );
}

/** The name of a model: its own, or that of the file or the folder that it is. */
export const modelName = (name) => (/^(file:|\/|\w:\\)/.test(name ?? "") ? fileName(name) : name);

const isFile = (value) => /^(file|data|runs):/.test(value ?? "") || (value ?? "").includes("/");

/** The control; `entry` is that of typed values, for a field that takes either. */
export function fileControl(field, form, id, entry) {
  let value = null;
  const place = el("div", { class: "file" });
  const setFile = (next) => {
    value = next;
    render();
    form.changed();
  };
  const render = () => {
    const parts = value === null ? emptied() : [chip(field, value, form, setFile)];
    place.replaceChildren(...parts);
  };
  const emptied = () => [entry?.node, dropZone(field, form, id, !entry, setFile)].filter(Boolean);
  render();
  return {
    node: place,
    get: () => value ?? entry?.get() ?? null,
    set: (next) => {
      value = next !== null && (!entry || isFile(String(next))) ? String(next) : null;
      entry?.set(value === null ? next : null);
      render();
    },
    focus: () => place.querySelector("input, button")?.focus(),
  };
}

function chip(field, value, form, setFile) {
  const about = kept[value] ?? {};
  const picture = pictures.get(value);
  const remove = () => {
    if (value.startsWith("file:")) api.forget(value).catch(() => {}); // it is removed at the end in any case
    setFile(null);
  };
  return el(
    "div",
    { class: "chip" },
    picture ? el("img", { src: picture, alt: `The file ${about.name}`, class: "preview", onload: crisp }) : null,
    el(
      "span",
      { class: "chip-name" },
      fileName(value),
      about.size ? el("small", { class: "muted" }, ` ${bytes(about.size)}`) : null,
    ),
    field.hand && about.by
      ? button("Anew…", () => open(field, form, setFile, about.from), { class: "quiet small" })
      : null,
    field.hand && !about.by && over(field)
      ? button(verb(field), () => open(field, form, setFile, value), { class: "quiet small" })
      : null,
    button("×", remove, { class: "quiet icon", "aria-label": `Remove ${fileName(value)}` }),
  );
}

const crisp = (event) => event.target.classList.toggle("crisp", event.target.naturalWidth <= 128);
const over = (field) => field.hand.over === field.name;
const verb = (field) => ({ painted: "Paint…", placed: "Place…", picked: "Pick…" })[field.hand.kind];

function dropZone(field, form, id, only, setFile) {
  const note = el("p", { class: "error", role: "alert", hidden: true });
  const accept = field.suffixes?.filter(Boolean).join(",") || null;
  const input = el("input", {
    type: "file",
    id: only ? id : null,
    accept,
    multiple: true,
    class: "unseen",
    "aria-label": `${words(field.name)}: choose a file`,
  });
  const label = el("label", { class: "button small" }, "Choose a file", input);
  const zone = el(
    "div",
    { class: "zone", tabindex: "0", role: "group", "aria-label": `${words(field.name)}: drop or paste a file` },
    label,
    field.hand ? button(verb(field), () => open(field, form, setFile, null), { class: "small" }) : null,
    el("span", { class: "help" }, `or drop or paste ${kinds(field)} here`),
  );
  const send = (files) => sendAll([...files], field, form, { zone, note, setFile });
  input.addEventListener("change", () => send(input.files));
  for (const name of ["dragover", "dragleave", "drop"])
    zone.addEventListener(name, (event) => {
      event.preventDefault();
      zone.classList.toggle("over", name === "dragover");
      if (name === "drop" && event.dataTransfer.files.length) send(event.dataTransfer.files);
    });
  zone.addEventListener("paste", (event) => {
    const files = pasted(event.clipboardData, field);
    if (files.length) send(files);
    event.preventDefault();
  });
  return el("div", { class: "file-way" }, zone, onServer(field, form, setFile), note);
}

/** The kinds of files that a field takes, as far as there is room. */
function kinds(field) {
  const all = field.suffixes?.filter(Boolean) ?? [];
  return all.length ? `${all.slice(0, 4).join(", ")}${all.length > 4 ? " …" : ""}` : "it";
}

/** Files of the clipboard; text becomes a file of the first kind that the field takes. */
function pasted(clipboard, field) {
  if (clipboard.files.length) return clipboard.files;
  const text = clipboard.getData("text/plain");
  return text ? [new File([text], `pasted${field.suffixes?.find(Boolean) ?? ".txt"}`)] : [];
}

/** What need not be sent: files in the server's folder, and runs where the field takes them. */
function onServer(field, form, setFile) {
  const fits = (name) =>
    !field.suffixes?.filter(Boolean).length || field.suffixes.some((end) => end && name.endsWith(end));
  const data = field.runs
    ? []
    : form
        .data()
        .filter(fits)
        .map((name) => [`data:${name}`, name]);
  const runs = field.runs ? form.runs().map((name) => [name.startsWith("runs:") ? name : `runs:${name}`, name]) : [];
  const all = [...data, ...runs];
  if (!all.length) return null;
  return el(
    "select",
    {
      class: "small",
      "aria-label": `${words(field.name)}: of the server`,
      onchange: (event) => event.target.value && setFile(event.target.value),
    },
    el("option", { value: "" }, field.runs ? "one of your runs…" : "a file on the server…"),
    all.map(([value, name]) => el("option", { value }, name)),
  );
}

async function sendAll(files, field, form, { zone, note, setFile }) {
  note.hidden = true;
  const bar = el("progress", { max: 1, value: 0, "aria-label": `Sending ${files[0].name}` });
  const line = el("div", { class: "sending" }, el("span", {}, files.map((file) => file.name).join(", ")), bar);
  zone.after(line);
  try {
    let answer = null;
    for (const file of files) {
      const about = { model: form.model(), field: field.name, ...(answer ? { with: answer.file } : {}) };
      const sending = api.upload(file, about, (share) => (bar.value = share));
      line.append(button("Stop", sending.stop, { class: "quiet small" }));
      answer = await sending.done;
      rememberFile(answer);
      await keepPicture(answer.file, file);
    }
    say(`${answer.name} is sent`);
    setFile(answer.file);
  } catch (refusal) {
    note.textContent = refusal.message;
    note.hidden = refusal.message === "cancelled";
  } finally {
    line.remove();
  }
}

function keepPicture(reference, file) {
  if (!file.type.startsWith("image/") || file.size > PREVIEW) return null;
  return new Promise((resolve) => {
    const reader = new FileReader();
    reader.onload = () => resolve(pictures.set(reference, reader.result));
    reader.onerror = () => resolve(null);
    reader.readAsDataURL(file);
  });
}

/** Makes the file with a pointer; `from` is the file that this field had before, if it is made of that. */
async function open(field, form, setFile, from) {
  const given = { ...form.values(), ...(from ? { [field.name]: from } : {}) };
  if (!from) delete given[field.name];
  const made = await byHand(field, form.model(), given);
  if (!made) return;
  rememberFile(made.answer, { by: "hand", from });
  if (made.picture) pictures.set(made.answer.file, made.picture);
  setFile(made.answer.file);
}
