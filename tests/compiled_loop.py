"""Compiles whole sampling loops and compares ends and gradients with the plain ones; fails if anything differs."""

import torch
from torch import Tensor

from ornstein import Heun, Keys, Predictor, Sampler
from ornstein.sampling import grids
from ornstein.sampling.kernels import Kernel
from worlds import smooth


def compare(kernel: Kernel) -> None:
    world, keys = smooth(), Keys.of(2, 3)
    sampler = Sampler(grids.uniform(4), (kernel,))

    def endpoint(x: Tensor) -> Tensor:
        return sampler.run(world, keys, start=x)

    compiled = torch.compile(endpoint, fullgraph=True, dynamic=False, backend="aot_eager")
    start = keys.normal(2).requires_grad_()
    ends = [run(start) for run in (endpoint, compiled)]
    slopes = [torch.autograd.grad(end.sum(), start)[0] for end in ends]
    torch.testing.assert_close(ends[0], ends[1], atol=1e-12, rtol=0)
    torch.testing.assert_close(slopes[0], slopes[1], atol=1e-10, rtol=0)
    print(f"{kernel}: same end, same gradient")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for kernel in (Predictor(0.0, 3, correct=True), Predictor(1.0, 2), Heun()):
        compare(kernel)
