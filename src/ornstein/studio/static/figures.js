// Figures of a result: pictures, and what a reader takes in hand.

import { el } from "./dom.js";

const SMALL = 256; // pixels below which a picture is enlarged, pixel by pixel
const WANTED = 512; // of the page, up to which

/** A picture that shows its own pixels where these are few. */
export function picture(src, alt, width = null) {
  const image = el("img", { src, alt, decoding: "async" });
  image.addEventListener("load", () => enlarge(image, width));
  return image;
}

function enlarge(image, width) {
  const few = !/svg/.test(image.src.slice(0, 24)) && image.naturalWidth < SMALL;
  const times = few ? Math.max(1, Math.floor(WANTED / Math.max(image.naturalWidth, image.naturalHeight))) : 1;
  image.classList.toggle("crisp", few || (width ?? 0) > image.naturalWidth);
  const wanted = width ?? (few ? times * image.naturalWidth : null);
  image.style.width = wanted ? `${wanted}px` : "";
}

/** Figures, and the scripts that bring the interactive ones among them to life once they are on the page. */
export function figures(list) {
  const nodes = list.map((figure) => (figure.kind === "interactive" ? interactive(figure) : still(figure)));
  const scripts = [...new Set(list.filter((figure) => figure.kind === "interactive").map((figure) => figure.script))];
  const start = () =>
    scripts.forEach((src) => document.body.append(el("script", { src, onload: (event) => event.target.remove() })));
  return { node: el("div", { class: "figures" }, nodes), start };
}

/** A picture, which a click shows by itself, as large as the window. */
function still({ src, caption, alt, width }) {
  const large = { href: src, target: "_blank", class: "whole", title: "Open it alone, as large as the window" };
  return el("figure", {}, el("a", large, picture(src, alt || caption, width)), el("figcaption", {}, caption));
}

/** The only markup that is put in as such: the domain that is installed on the server made it, and no user. */
function interactive({ fragment, caption }) {
  const place = el("div");
  place.innerHTML = fragment;
  return el("figure", { class: "interactive" }, place, el("figcaption", {}, caption));
}
