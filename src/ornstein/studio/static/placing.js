// Points with numbers on a plane: marks = { points: [[x, y, value, …], …] }, in the order of the backdrop's columns,
// of which the first two are the place. What is not said of a point is null: the domain knows its default.

import { button, el, svg, words } from "./dom.js";
import { plane } from "./plane.js";

export function placing(backdrop) {
  const { columns } = backdrop;
  const points = [];
  const board = plane(
    backdrop,
    "Points on the plane: click to add one, drag to move it; the table below does the same by keys",
  );
  const rows = el("tbody");
  const table = el(
    "table",
    { class: "points" },
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        el("th", {}, "#"),
        columns.map(({ name, unit }) =>
          el("th", { scope: "col" }, words(name), unit ? el("small", {}, ` ${unit}`) : null),
        ),
        el("th"),
      ),
    ),
    rows,
  );

  const add = (x, y) => {
    const before = points.at(-1);
    points.push([
      x,
      y,
      ...columns.slice(2).map((column, k) => before?.[k + 2] ?? column.default ?? column.choices[0] ?? ""),
    ]); // likely alike
    render();
    rows.lastElementChild.querySelectorAll("input")[2]?.select();
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
    const node = svg(
      "g",
      { class: "point", transform: `translate(${x} ${y})` },
      svg("circle", { r: 16, class: "reach" }),
      svg("circle", { r: 7 }),
      svg("text", { x: 10, y: -8 }, String(k + 1)),
    );
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
    const cells = columns.map((column, c) =>
      el(
        "td",
        {},
        cell(column, point[c], `${words(column.name)} of point ${k + 1}`, (value) => {
          point[c] = value;
          if (c < 2) drawAll();
        }),
      ),
    );
    return el(
      "tr",
      {},
      el("td", { class: "number" }, String(k + 1)),
      cells,
      el(
        "td",
        {},
        button("×", () => remove(k), { class: "quiet icon", "aria-label": `Remove point ${k + 1}` }),
      ),
    );
  }

  board.node.addEventListener("pointerdown", (event) => {
    event.preventDefault(); // the focus goes to the new point's value
    add(...board.rounded(board.from(event)));
  });
  render();
  const [left, right, bottom, top] = backdrop.extent;
  return {
    node: el(
      "div",
      {},
      board.node,
      el("div", { class: "scroll" }, table),
      el(
        "div",
        { class: "row" },
        button("+ Add a point", () => add(...board.rounded([(left + right) / 2, (bottom + top) / 2])), {
          class: "small",
        }),
        button("Clear", () => (points.splice(0), render()), { class: "quiet small" }),
      ),
    ),
    marks: () => ({
      points: points.map((point) => point.map((value, c) => (columns[c].choices.length ? value : number(value)))),
    }),
  };
}

/** A choice or a number, as it is typed. */
function cell({ choices }, value, label, change) {
  if (!choices.length)
    return el("input", {
      type: "text",
      value,
      inputmode: "decimal",
      "aria-label": label,
      oninput: (event) => change(event.target.value),
    });
  const options = choices.map((choice, k) => el("option", { value: k, selected: choice === value }, String(choice)));
  return el(
    "select",
    { "aria-label": label, onchange: (event) => change(choices[Number(event.target.value)]) },
    options,
  );
}

/** A number where it is one; other text as it is, which the server refuses in words; null where nothing is said. */
function number(value) {
  if (String(value).trim() === "") return null;
  return Number.isNaN(Number(value)) ? value : Number(value);
}
