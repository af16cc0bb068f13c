"""Compiles the network for molecules to one graph, in training too, and compares it with the plain one."""

import torch

from ornstein import Keys
from ornstein.networks import MolecularConfig, MolecularTransformer

N, ELEMENTS = 9, 4


def compare(recalls: bool) -> None:
    torch.manual_seed(0)
    config = MolecularConfig(width=32, layers=3, heads=4, pairs=16, vectors=8, recalls=recalls)
    made, keys = MolecularTransformer(config, ELEMENTS + 1, ELEMENTS), Keys.of(3, 3)
    with torch.no_grad():
        for parameter in made.parameters():  # what starts at zero must not stay there
            parameter.add_(0.1 * torch.randn_like(parameter))
    mask = torch.arange(N) < torch.tensor([9, 5, 7])[:, None]
    x = {"positions": keys.normal(N, 3).float(), "atoms": keys.uniform(N).mul(ELEMENTS).long()}
    said = {"mask": mask}
    if recalls:
        said |= {"last positions": x["positions"], "last atoms": torch.full((3, N, ELEMENTS + 1), 0.2)}
    compiled = torch.compile(made, fullgraph=True, backend="aot_eager")
    ends, slopes = [], []
    for run in (made, compiled):
        out = run(x, torch.full((3,), 0.5), said)
        made.zero_grad()
        (out["positions"][mask].sum() + out["atoms"][mask].square().sum()).backward()
        ends.append({name: part[mask].detach() for name, part in out.items()})
        slopes.append(made.atoms.weight.grad)
    torch.testing.assert_close(ends[0], ends[1], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(slopes[0], slopes[1], atol=1e-4, rtol=1e-4)
    print("same numbers, same gradient")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for recalls in (False, True):
        compare(recalls)
