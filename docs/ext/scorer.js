// Which of the pages that a search finds stand first: those that answer a question before those that list what there is.
var Scorer = {
  score: ([docname, , , , score]) =>
    score + (/^(which-method|how-exact|how-to\/)/.test(docname) ? 3 : /^(changes|benchmarks|contributing)/.test(docname) ? -3 : 0),
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
