"""The fields of science, one package each, with the same five files: data, network, factors, scores, task."""
