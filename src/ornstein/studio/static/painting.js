// A mask painted over a picture, pixel by pixel: marks = { png }, white where it was painted.

import { button, el } from "./dom.js";

const UNDO = 40;

export function painting(backdrop) {
  const { width, height } = backdrop;
  const mask = new Uint8Array(width * height);
  const past = [];
  const canvas = el("canvas", {
    width,
    height,
    tabindex: "0",
    role: "img",
    class: "paint",
    "aria-describedby": "paint-help",
    "aria-label": "The mask over the picture. Arrow keys move the brush, space paints.",
  });
  const tools = toolbar(Math.max(1, Math.round(Math.min(width, height) / 12)), Math.ceil(Math.min(width, height) / 2));
  const layer = new ImageData(width, height);
  const paper = canvas.getContext("2d");

  const save = () => {
    past.push(mask.slice());
    if (past.length > UNDO) past.shift();
  };
  const draw = () => {
    for (let k = 0; k < mask.length; k++) tint(layer.data, k, mask[k], width);
    paper.putImageData(layer, 0, 0);
    tools.count(mask);
  };
  const brush = outline(width, height, tools);
  const dab = (x, y) => {
    disc(mask, width, height, x, y, tools.size() / 2, tools.erases() ? 0 : 1);
  };

  pointer(canvas, { save, dab, draw, brush, width, height });
  keys(canvas, { save, dab, draw, brush, width, height, undo: () => undo() });
  const undo = () => {
    if (past.length) mask.set(past.pop());
    draw();
  };
  const all = (value) => {
    save();
    if (value === "invert") mask.forEach((now, k) => (mask[k] = 1 - now));
    else mask.fill(value);
    draw();
  };
  tools.node.append(
    button("Undo", undo, { class: "small" }),
    button("Invert", () => all("invert"), { class: "small" }),
    button("Clear", () => all(0), { class: "small" }),
  );
  draw();

  const stage = el(
    "div",
    { class: "stage" },
    backdrop.image
      ? el("img", {
          src: backdrop.image,
          alt: "The picture that is painted over",
          class: Math.max(width, height) <= 256 ? "crisp" : null,
        })
      : null,
    canvas,
    brush.node,
  );
  stage.style.aspectRatio = `${width} / ${height}`;
  stage.style.setProperty("--wide", width / height);
  return {
    node: el(
      "div",
      {},
      tools.node,
      stage,
      el(
        "p",
        { class: "help", id: "paint-help" },
        `${width} × ${height} pixels. What is orange is painted. Keys: arrows move, space paints, Ctrl + Z undoes.`,
      ),
    ),
    marks: () => ({ png: png(mask, width, height).split(",")[1] }),
    picture: () => png(mask, width, height),
  };
}

function toolbar(size, most) {
  const range = el("input", {
    type: "range",
    min: 1,
    max: most,
    value: size,
    "aria-label": "Size of the brush in pixels",
  });
  const shown = el("output", {}, `${size} px`);
  range.addEventListener("input", () => (shown.textContent = `${range.value} px`));
  const brush = button("Brush", () => choose(false), { class: "small", "aria-pressed": "true" });
  const eraser = button("Eraser", () => choose(true), { class: "small", "aria-pressed": "false" });
  const choose = (erase) => {
    brush.setAttribute("aria-pressed", String(!erase));
    eraser.setAttribute("aria-pressed", String(erase));
  };
  const counted = el("span", { class: "muted counted" });
  return {
    node: el(
      "div",
      { class: "row tools" },
      brush,
      eraser,
      el("label", { class: "row" }, "Size", range, shown),
      counted,
    ),
    size: () => Number(range.value),
    erases: () => eraser.getAttribute("aria-pressed") === "true",
    count: (mask) =>
      (counted.textContent = `${Math.round((100 * mask.reduce((a, b) => a + b, 0)) / mask.length)} % painted`),
  };
}

/** Colour and stripes, so that neither a colour of the picture nor an eye hides what is painted. */
function tint(data, k, painted, width) {
  const stripe = ((k % width) + Math.floor(k / width)) % 4 < 2;
  data.set(
    painted ? [stripe ? 230 : 250, stripe ? 80 : 150, stripe ? 0 : 60, stripe ? 190 : 150] : [0, 0, 0, 0],
    4 * k,
  );
}

/** A ring that shows where the brush would paint, and how much. */
function outline(width, height, tools) {
  const node = el("span", { class: "brush", hidden: true });
  return {
    node,
    at: [Math.floor(width / 2) + 0.5, Math.floor(height / 2) + 0.5],
    show(x, y) {
      this.at = [x, y];
      const size = Math.max(1, tools.size());
      const part = (share) => `${100 * share}%`;
      Object.assign(node.style, {
        left: part((x - size / 2) / width),
        top: part((y - size / 2) / height),
        width: part(size / width),
        height: part(size / height),
      });
      node.hidden = false;
    },
    hide: () => (node.hidden = true),
  };
}

function disc(mask, width, height, x, y, radius, value) {
  for (let row = Math.max(0, Math.floor(y - radius)); row <= Math.min(height - 1, y + radius); row++)
    for (let column = Math.max(0, Math.floor(x - radius)); column <= Math.min(width - 1, x + radius); column++)
      if ((column + 0.5 - x) ** 2 + (row + 0.5 - y) ** 2 <= Math.max(radius, 0.71) ** 2)
        mask[row * width + column] = value;
}

function pointer(canvas, { save, dab, draw, brush, width, height }) {
  let last = null;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height];
  };
  const line = ([x, y]) => {
    const steps = Math.max(1, Math.ceil(Math.hypot(x - last[0], y - last[1])));
    for (let k = 1; k <= steps; k++) dab(last[0] + ((x - last[0]) * k) / steps, last[1] + ((y - last[1]) * k) / steps);
    last = [x, y];
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    save();
    last = place(event);
    dab(...last);
    draw();
  });
  canvas.addEventListener("pointermove", (event) => {
    brush.show(...place(event));
    if (!last) return;
    event.getCoalescedEvents?.().forEach((one) => line(place(one)));
    line(place(event));
    draw();
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => (last = null));
  canvas.addEventListener("pointerleave", () => brush.hide());
}

function keys(canvas, { save, dab, draw, brush, width, height, undo }) {
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  canvas.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 8 : 1;
    if (event.key === "z" && (event.ctrlKey || event.metaKey)) undo();
    else if (event.key === " ") {
      save();
      dab(...brush.at);
    } else if (moves[event.key]) {
      const within = (value, most) => Math.min(most - 0.5, Math.max(0.5, value));
      const [x, y] = moves[event.key];
      brush.show(within(brush.at[0] + step * x, width), within(brush.at[1] + step * y, height));
    } else return;
    event.preventDefault();
    draw();
  });
  canvas.addEventListener("blur", () => brush.hide());
}

function png(mask, width, height) {
  const canvas = el("canvas", { width, height });
  const data = new ImageData(width, height);
  mask.forEach((painted, k) => data.data.set(painted ? [255, 255, 255, 255] : [0, 0, 0, 255], 4 * k));
  canvas.getContext("2d").putImageData(data, 0, 0);
  return canvas.toDataURL("image/png");
}
