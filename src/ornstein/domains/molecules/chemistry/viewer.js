// Fills every grid of molecules on the page that is still empty. All views of a grid share one canvas, since browsers
// allow a page about sixteen.
(function () {
  function show(grid) {
    const { columns, rows, molecules, colours, spin } = JSON.parse(grid.dataset.molecules);
    const shape = { rows: rows, cols: columns, control_all: false };
    const views = $3Dmol.createViewerGrid(grid, shape, { backgroundColor: "white" }).flat();
    const scheme = { prop: "elem", map: colours };
    const style = { stick: { radius: 0.14, colorscheme: scheme }, sphere: { scale: 0.24, colorscheme: scheme } };
    views.forEach((view, k) => {
      if (k < molecules.length) {
        view.addModel(molecules[k].text, molecules[k].format);
        view.setStyle({}, style);
        view.zoomTo();
        if (spin) view.spin("y", 0.5, true);
      }
      view.render();
    });
  }

  for (const grid of document.querySelectorAll(".molecules:not([data-filled])")) {
    grid.dataset.filled = "";
    // The wheel scrolls the page; with Ctrl it comes nearer.
    grid.addEventListener("wheel", (event) => event.ctrlKey || event.stopPropagation(), { capture: true });
    try {
      show(grid);
    } catch (error) {
      grid.textContent = "Molecules to turn need a browser with WebGL (" + error + ").";
    }
  }
})();
