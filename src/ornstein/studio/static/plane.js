// A picture with axes in the user's units, on which things stand. Shared by placing and picking.

import { svg } from "./dom.js";

const MARGIN = { left: 52, right: 14, top: 10, bottom: 28 };
const LONG = 420; // of the longer side, in the drawing's own units; the page scales it

/** The drawing: { node, layer, to(x, y), from(event) } between the user's units and places in it. */
export function plane(backdrop, label) {
  const [left, right, bottom, top] = backdrop.extent;
  const ratio = backdrop.width / backdrop.height;
  const [width, height] = ratio > 1 ? [LONG, LONG / ratio] : [LONG * ratio, LONG];
  const to = (x, y) => [
    MARGIN.left + ((x - left) / (right - left)) * width,
    MARGIN.top + ((y - top) / (bottom - top)) * height,
  ];
  const layer = svg("g");
  const frame = { x: MARGIN.left, y: MARGIN.top, width, height };
  const node = svg(
    "svg",
    {
      class: "plane",
      role: "group",
      "aria-label": label,
      viewBox: `0 0 ${width + MARGIN.left + MARGIN.right} ${height + MARGIN.top + MARGIN.bottom}`,
    },
    svg("rect", { ...frame, class: "ground" }),
    backdrop.image
      ? svg("image", {
          ...frame,
          href: backdrop.image,
          preserveAspectRatio: "none",
          class: backdrop.width <= 256 ? "crisp" : null,
        })
      : null,
    axis(left, right, (x) => to(x, bottom), true),
    axis(bottom, top, (y) => to(left, y), false),
    svg("rect", { ...frame, class: "border" }),
    layer,
  );
  const from = (event) => {
    const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(node.getScreenCTM().inverse());
    const within = (share) => Math.min(1, Math.max(0, share));
    return [
      left + within((place.x - MARGIN.left) / width) * (right - left),
      top + within((place.y - MARGIN.top) / height) * (bottom - top),
    ];
  };
  const digits = (span) => Math.max(0, 3 - Math.floor(Math.log10(Math.abs(span))));
  const rounded = ([x, y]) => [Number(x.toFixed(digits(right - left))), Number(y.toFixed(digits(top - bottom)))];
  return { node, layer, to, from, rounded };
}

function axis(first, last, place, across) {
  return ticks(Math.min(first, last), Math.max(first, last)).map((value) => {
    const [x, y] = place(value);
    const text = across ? { x, y: y + 19, "text-anchor": "middle" } : { x: x - 9, y: y + 4, "text-anchor": "end" };
    const line = across ? { x1: x, x2: x, y1: y, y2: y + 5 } : { x1: x - 5, x2: x, y1: y, y2: y };
    return svg("g", { class: "tick" }, svg("line", line), svg("text", text, String(value)));
  });
}

/** About five round numbers in a range. */
export function ticks(low, high) {
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((one) => one >= rough);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++)
    found.push(Number((k * step).toPrecision(12)));
  return found;
}
