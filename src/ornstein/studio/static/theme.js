// Light, dark or as the system has it. A classic script at the head, so that no page flashes in the wrong colours.
(() => {
  const order = ["auto", "light", "dark"];
  const kept = () => {
    const found = localStorage.getItem("theme");
    return order.includes(found) ? found : "auto";
  };
  const apply = (theme) => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  };
  const name = (button) => {
    button.querySelector("output").textContent = kept();
    button.title = "Colours: as the system has them, light, or dark";
  };

  apply(kept());
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    name(button);
    button.addEventListener("click", () => {
      const next = order[(order.indexOf(kept()) + 1) % order.length];
      localStorage.setItem("theme", next);
      apply(next);
      name(button);
    });
  });
})();
