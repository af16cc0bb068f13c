// Some of the marks of a file: marks = { chosen: [0, 3, 4] }. Click or press one; drag a box around several.

import { button, el, svg } from "./dom.js";
import { plane } from "./plane.js";

export function picking(backdrop) {
  const { marks } = backdrop;
  const chosen = new Set();
  const board = plane(backdrop, "Things to pick: click one, or drag a box around several");
  const counted = el("output", { class: "muted" });
  const radius = Math.max(6, Math.min(12, 60 / Math.sqrt(marks.length + 1)));
  const nodes = marks.map((mark, k) => {
    const [x, y] = board.to(mark.x, mark.y);
    const disc = svg("circle", { r: radius });
    disc.style.fill = mark.colour || "#7a8594";
    const node = svg(
      "g",
      {
        class: "mark",
        tabindex: "0",
        role: "checkbox",
        "aria-label": `${mark.label || "mark"} ${k + 1}`,
        transform: `translate(${x} ${y})`,
      },
      svg("circle", { r: radius + 4, class: "ring" }),
      disc,
      svg("text", { "text-anchor": "middle", dy: ".35em" }, mark.label || String(k + 1)),
      svg("text", { class: "tickmark", x: radius * 0.75, y: -radius * 0.75, "text-anchor": "middle" }, "✓"),
    );
    node.addEventListener("keydown", (event) => {
      if (event.key !== " " && event.key !== "Enter") return;
      event.preventDefault();
      turn(k);
    });
    return node;
  });
  board.layer.append(...nodes);

  const render = () => {
    nodes.forEach((node, k) => node.setAttribute("aria-checked", String(chosen.has(k))));
    counted.textContent = `${chosen.size} of ${marks.length} picked`;
  };
  const turn = (k) => {
    chosen.has(k) ? chosen.delete(k) : chosen.add(k);
    render();
  };
  const every = (want) => {
    marks.forEach((_, k) => (want(k) ? chosen.add(k) : chosen.delete(k)));
    render();
  };
  box(
    board,
    nodes,
    marks,
    (found) => {
      found.forEach((k) => chosen.add(k));
      render();
    },
    turn,
  );
  render();
  return {
    node: el(
      "div",
      {},
      board.node,
      el(
        "div",
        { class: "row" },
        counted,
        button("All", () => every(() => true), { class: "small" }),
        button("None", () => every(() => false), { class: "small" }),
        button(
          "The others",
          () => {
            const before = new Set(chosen);
            every((k) => !before.has(k));
          },
          { class: "small" },
        ),
      ),
    ),
    marks: () => ({ chosen: [...chosen].sort((a, b) => a - b) }),
  };
}

/** A click turns one mark; a drag calls `several` with those in the box. */
function box(board, nodes, marks, several, one) {
  const frame = svg("rect", { class: "box", visibility: "hidden" });
  let start = null;
  board.layer.append(frame);
  board.node.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    start = {
      at: board.from(event),
      x: event.clientX,
      y: event.clientY,
      k: nodes.findIndex((node) => node.contains(event.target)),
    };
    board.node.setPointerCapture(event.pointerId);
  });
  board.node.addEventListener("pointermove", (event) => {
    if (!start || !moved(start, event)) return;
    const [a, b] = [board.to(...start.at), board.to(...board.from(event))];
    const sides = {
      x: Math.min(a[0], b[0]),
      y: Math.min(a[1], b[1]),
      width: Math.abs(a[0] - b[0]),
      height: Math.abs(a[1] - b[1]),
      visibility: "visible",
    };
    for (const [name, value] of Object.entries(sides)) frame.setAttribute(name, value);
  });
  board.node.addEventListener("pointerup", (event) => {
    if (!start) return;
    if (!moved(start, event)) start.k >= 0 && one(start.k);
    else several(within(marks, start.at, board.from(event)));
    start = null;
    frame.setAttribute("visibility", "hidden");
  });
}

const moved = (start, event) => Math.hypot(event.clientX - start.x, event.clientY - start.y) > 6;

function within(marks, a, b) {
  const between = (value, p, q) => value >= Math.min(p, q) && value <= Math.max(p, q);
  return marks.flatMap((mark, k) => (between(mark.x, a[0], b[0]) && between(mark.y, a[1], b[1]) ? [k] : []));
}
