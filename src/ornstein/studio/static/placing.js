// Points with numbers on a plane: marks = { points: [[x, y, value, …], …] }, in the order of the hand's columns.

import { button, el, svg, words } from "./dom.js";
import { plane } from "./plane.js";

export function placing(backdrop, hand) {
  const columns = hand.columns;
  const points = [];
  const board = plane(backdrop, "Points on the plane: click to add one, drag to move it; the table below does the same by keys");
  const rows = el("tbody");
  const table = el("table", { class: "points" },
    el("thead", {}, el("tr", {}, el("th", {}, "#"), columns.map((name) => el("th", { scope: "col" }, words(name))), el("th"))), rows);

  const add = (x, y) => {
    const before = points.at(-1);
    points.push([x, y, ...columns.slice(2).map((_, k) => before?.[k + 2] ?? "")]); // likely alike, such as a noise
    render();
    rows.lastElementChild.querySelectorAll("input")[2]?.focus();
  };
  const remove = (k) => {
    points.splice(k, 1);
    render();
  };
  const render = () => {
    drawAll();
    rows.replaceChildren(...points.map((point, k) => tableRow(point, k)));
    table.hidden = !points.length;
  };
  const drawAll = () => board.layer.replaceChildren(...points.map(drawOne));

  function drawOne(point, k) {
    const [x, y] = board.to(Number(point[0]), Number(point[1]));
    const node = svg("g", { class: "point", transform: `translate(${x} ${y})` },
      svg("circle", { r: 16, class: "reach" }), svg("circle", { r: 7 }), svg("text", { x: 10, y: -8 }, String(k + 1)));
    node.addEventListener("pointerdown", (event) => drag(event, point, k));
    return node;
  }

  function drag(event, point, k) {
    event.stopPropagation();
    const move = (next) => {
      [point[0], point[1]] = board.rounded(board.from(next));
      drawAll();
      const inputs = rows.children[k].querySelectorAll("input");
      [inputs[0].value, inputs[1].value] = [point[0], point[1]];
    };
    const end = () => {
      removeEventListener("pointermove", move);
      removeEventListener("pointerup", end);
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", end);
  }

  function tableRow(point, k) {
    const cells = columns.map((name, c) => {
      const input = el("input", { type: "text", value: point[c], inputmode: "decimal", "aria-label": `${words(name)} of point ${k + 1}` });
      input.addEventListener("input", () => {
        point[c] = input.value;
        drawAll();
      });
      return el("td", {}, input);
    });
    return el("tr", {}, el("td", { class: "number" }, String(k + 1)), cells,
      el("td", {}, button("×", () => remove(k), { class: "quiet icon", "aria-label": `Remove point ${k + 1}` })));
  }

  board.node.addEventListener("pointerdown", (event) => {
    event.preventDefault(); // the focus goes to the new point's value
    add(...board.rounded(board.from(event)));
  });
  render();
  const [left, right, bottom, top] = backdrop.extent;
  return {
    node: el("div", {}, board.node, el("div", { class: "scroll" }, table),
      el("div", { class: "row" },
        button("+ Add a point", () => add(...board.rounded([(left + right) / 2, (bottom + top) / 2])), { class: "small" }),
        button("Clear", () => (points.splice(0), render()), { class: "quiet small" }))),
    marks: () => ({ points: points.map((point) => point.map(number)) }),
  };
}

/** A number where it is one; text, such as the name of a variable, as it is; nothing where nothing is said. */
function number(value) {
  if (String(value).trim() === "") return null;
  return Number.isNaN(Number(value)) ? value : Number(value);
}
