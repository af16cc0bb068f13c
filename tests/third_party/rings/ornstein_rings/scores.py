"""How a ring is judged: by its radius."""

from torch import Tensor

from ornstein.tasks.figures import Score


def judged(x: Tensor, radius: float) -> list[Score]:
    """The mean distance from the origin beside that of the data, and the height of the points' mean."""
    return [
        Score("radius", x.norm(dim=1).mean().item(), "closer", "mean distance from the origin", radius),
        Score("height", x[:, 1].mean().item(), "closer", "mean of y", 0.0),
    ]
