// The token of a studio that is open to other machines.

import * as api from "./api.js";
import { button, el } from "./dom.js";

/** Takes the token out of the address, where it would stay in the history, and logs in with it. */
export async function fromAddress() {
  const found = new URLSearchParams(location.hash.replace(/^#/, "")).get("token");
  if (!found) return;
  history.replaceState(null, "", location.pathname);
  await api.login(found).catch(() => {}); // a wrong one: the next request asks for another
}

/** Asks until the server takes it. */
export function ask() {
  return new Promise((resolve) => {
    const input = el("input", { type: "password", id: "token", autocomplete: "current-password", required: true });
    const trouble = el("p", { class: "error", role: "alert" });
    const enter = async () => {
      try {
        await api.login(input.value);
        dialog.close();
        dialog.remove();
        resolve();
      } catch (refusal) {
        trouble.textContent = refusal.message;
        input.select();
      }
    };
    const dialog = el(
      "dialog",
      { class: "login", "aria-labelledby": "login-title", oncancel: (event) => event.preventDefault() },
      el("h2", { id: "login-title" }, "This studio asks for a token"),
      el("p", { class: "help" }, "It was printed where `ornstein studio` was started."),
      el("label", { for: "token" }, "Token"),
      input,
      trouble,
      el("div", { class: "row end" }, button("Enter", enter, { class: "primary" })),
    );
    input.addEventListener("keydown", (event) => event.key === "Enter" && enter());
    document.body.append(dialog);
    dialog.showModal();
  });
}
