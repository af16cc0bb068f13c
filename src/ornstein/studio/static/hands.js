// Files made with a pointer: a dialog shows the domain's backdrop, the domain writes the file of what was done on it.

import * as api from "./api.js";
import { button, el, words } from "./dom.js";
import { painting } from "./painting.js";
import { picking } from "./picking.js";
import { placing } from "./placing.js";

const KINDS = { painted: ["Paint", painting], placed: ["Place", placing], picked: ["Pick", picking] };

/** Asks for marks and has the file written: { answer, picture } of it, or null if the user went away. */
export function byHand(field, model, given) {
  const [verb, make] = KINDS[field.hand.kind];
  const trouble = el("p", { class: "notice error", role: "alert", hidden: true });
  const body = el("div", { class: "hand" }, el("p", { class: "muted" }, "Preparing…"));
  const use = button("Use", () => {}, { class: "primary", disabled: true });
  const dialog = el(
    "dialog",
    { "aria-labelledby": "hand-title", class: "hand-dialog" },
    el("h2", { id: "hand-title" }, `${verb}: ${words(field.name)}`),
    trouble,
    body,
    el(
      "div",
      { class: "row end" },
      button("Cancel", () => dialog.close()),
      use,
    ),
  );
  const fail = (refusal) => {
    trouble.textContent = refusal.message;
    trouble.hidden = false;
  };
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(null); // after a use this comes too late to count
    });
    show().catch((refusal) => {
      body.replaceChildren(el("p", {}, missing(field, given) ?? "Nothing can be shown behind yet."));
      fail(refusal);
    });

    async function show() {
      const behind = await api.backdrop(model, field.name, given);
      const work = make(behind, field.hand);
      body.replaceChildren(
        ...[behind.note || field.hand.note].filter(Boolean).map((note) => el("p", {}, note)),
        work.node,
      );
      use.disabled = false;
      use.addEventListener("click", () => write(work));
    }

    async function write(work) {
      use.disabled = true;
      try {
        resolve({ answer: await api.hand(model, field.name, given, work.marks()), picture: work.picture?.() });
        dialog.close();
      } catch (refusal) {
        fail(refusal);
      }
      use.disabled = false;
    }
  });
}

function missing(field, given) {
  const { over } = field.hand;
  return over && given[over] === undefined ? `First give ${words(over)}: it is shown behind.` : null;
}
