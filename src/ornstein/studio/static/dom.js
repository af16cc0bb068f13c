// Elements in one call, and values as people read them. Text goes in as text: no markup is ever parsed here.

/** An element: properties are attributes, `on…` are listeners, null and false are left out, as among the children. */
export function el(tag, properties = {}, ...children) {
  return filled(document.createElement(tag), properties, children);
}

/** The same of SVG. */
export function svg(tag, properties = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), properties, children);
}

function filled(node, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** A button that does something and submits nothing. */
export function button(text, action, properties = {}) {
  return el("button", { type: "button", onclick: action, ...properties }, text);
}

/** A table of rows (name, value). */
export function pairs(rows) {
  const cells = rows.map(([name, value]) => el("tr", {}, el("td", {}, name), el("td", {}, shown(value))));
  return el("table", { class: "pairs" }, el("tbody", {}, cells));
}

/** A JSON value as a person reads it. */
export function shown(value) {
  if (value === null || value === undefined || value === "") return "–";
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(5)));
  if (Array.isArray(value)) return value.map(shown).join(", ");
  if (typeof value === "object")
    return Object.entries(value)
      .map(([name, one]) => `${name} ${shown(one)}`)
      .join(", ");
  return typeof value === "boolean" ? (value ? "yes" : "no") : String(value);
}

/** Plain text in which what stands between backticks is code. */
export function coded(text) {
  return String(text ?? "")
    .split("`")
    .map((part, k, all) => (k % 2 && k < all.length - 1 ? el("code", {}, part) : k % 2 ? `\`${part}` : part));
}

/** A text that continues its heading, as a sentence below it; what begins with a symbol or a name stays as it is. */
export function sentence(text) {
  return String(text ?? "").replace(/^[a-z](?=[a-z]*[ ,;:'’])/, (letter) => letter.toUpperCase());
}

/** Tells a screen reader. */
export function say(text) {
  document.getElementById("say").textContent = text;
}

/** A name of the program's, such as solution_sensors, in words. */
export function words(name) {
  const text = name.replaceAll("_", " ").replaceAll(".", ": ");
  return text.length === 1 ? text : text.charAt(0).toUpperCase() + text.slice(1); // a letter is a symbol
}

export function bytes(size) {
  if (size < 1000) return `${size} B`;
  const unit = size < 1e6 ? ["kB", 1e3] : size < 1e9 ? ["MB", 1e6] : ["GB", 1e9];
  return `${(size / unit[1]).toPrecision(3)} ${unit[0]}`;
}

export function seconds(value) {
  if (value < 10) return `${value.toFixed(1)} s`;
  if (value < 100) return `${Math.round(value)} s`;
  if (value < 5400) return `${Math.round(value / 60)} min`;
  return `${(value / 3600).toFixed(1)} h`;
}

export function date(text) {
  const when = new Date(text);
  if (Number.isNaN(when.getTime())) return text ?? "";
  const today = when.toDateString() === new Date().toDateString();
  const hour = when.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
  return `${today ? "today" : when.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" })}, ${hour}`;
}

/** Text to the clipboard; where a browser does not let us, the text itself, selected. */
export async function copy(text, near) {
  try {
    await navigator.clipboard.writeText(text);
    say("Copied");
    return true;
  } catch {
    const area = el("textarea", { readonly: true, rows: 6, "aria-label": "Text to copy" });
    area.value = text;
    near.replaceChildren(
      el("p", { class: "help" }, "The clipboard is closed to this page: copy the text from here."),
      area,
    );
    area.select();
    return false;
  }
}

/** JSON kept for this tab; nothing is lost where storage is refused but the memory of a reload. */
export const tab = {
  get(name, otherwise) {
    try {
      return JSON.parse(sessionStorage.getItem(name)) ?? otherwise;
    } catch {
      return otherwise;
    }
  },
  set(name, value) {
    try {
      sessionStorage.setItem(name, JSON.stringify(value));
    } catch {
      // full or refused: a reload begins anew
    }
  },
};
