"""Small models and folders of samples of each domain, made without training: what a stranger may send."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ornstein.config import to_dict, update
from ornstein.denoisers.base import NeuralDenoiser, Origin
from ornstein.files import plain, read_json
from ornstein.tasks import runs
from ornstein.tasks.registry import task
from ornstein.tasks.samples import Samples
from ornstein.training import checkpoints

_ENERGIES: dict[str, Any] = {
    "source": "none",
    "system": "gmm-40",
    "shape": [2],
    "centered": False,
    "kinds": [],
    "std": 23.3,
    "records": 10,
    "gradients": 10,
    "code": {},
}
_SMALL: dict[str, dict[str, Any]] = {
    "energies": {"network": {"mlp": {"width": 8, "layers": 1, "frequencies": 2}}},
    "images": {"network": {"channels": 4, "multipliers": [1], "blocks": 1, "attention": []}},
    "sequences": {"network": {"width": 8, "layers": 1, "heads": 1}},
    "molecules": {"network": {"width": 8, "layers": 1, "heads": 1, "pairs": 4, "vectors": 2}},
    "mri": {"network": {"channels": 4, "multipliers": [1], "blocks": 1, "attention": [], "patch": 2}},
    "poisson": {"network": {"channels": 4, "multipliers": [1], "blocks": 1, "attention": []}},
    "weather": {"network": {"channels": 4, "multipliers": [1], "blocks": 1, "attention": []}},
}
"""Networks that cost nothing."""
_SHIPPED = {"images": "digits", "sequences": "riboswitch", "molecules": "qm9", "mri": "brain", "poisson": "gaussian"}
"""Whose data samples speak of."""


def origin(domain: str, name: str = "small", **changes: Any) -> Origin:
    """Where samples of a domain come from: a shipped model, but for its network, or a made one of energies."""
    if domain == "energies":
        config = update(task(domain).config(), _SMALL[domain] | changes, "test")
        system = {"system": changes["system"]} if "system" in changes else {}
        return Origin(domain, name, to_dict(config), {**_ENERGIES, **system}, "0" * 64)
    if domain == "weather":
        config = update(task(domain).config(), _SMALL[domain] | changes, "test")
        return Origin(domain, name, to_dict(config), _of_weather(), "0" * 64)
    _, meta = checkpoints.load(runs.locate(f"{domain}/{_SHIPPED[domain]}"), "model")
    return Origin(domain, name, {**meta["config"], **_SMALL[domain], **changes}, meta["facts"], "0" * 64)


@cache
def _of_weather() -> dict[str, Any]:
    """Metadata of a few days of temperature and rain on a small grid."""
    from ornstein.domains.weather.data import split
    from ornstein.domains.weather.files.opened import opened
    from small_weather import fields

    told = {"files": {"forecast": ["raw.nc"], "truth": ["truth.nc"]}, "source": "a test"}
    data, _ = split(opened(*fields()), (6, 9), leads="joint", memory=10**8, cycles=(), told=told)
    return plain(data.metadata)


def _ensemble(domain: str, n: int) -> dict[str, Any]:
    """What the settings of n samples say besides: of weather, which times they are members of."""
    if domain != "weather":
        return {}
    from ornstein.domains.weather.results.frame import ENSEMBLE, axis_of
    from small_weather import STEPS

    times = np.array(["2020-01-01"], "datetime64[ns]")
    steps = np.array(STEPS, "timedelta64[h]").astype("timedelta64[ns]")
    said = {"members": n, "times": axis_of(times), "steps": axis_of(steps), "attrs": {}, "factors": None}
    return {ENSEMBLE: said}


def states(domain: str, n: int) -> tuple[Any, dict[str, Tensor]]:
    """n states and conditions that could have been drawn."""
    torch.manual_seed(0)
    if domain == "energies":
        return 20 * torch.randn(n, 2), {}
    if domain == "images":
        return (torch.rand(n, 1, 8, 8) * 255).round() / 127.5 - 1, {"label": torch.arange(n) % 10}
    if domain == "sequences":
        return torch.randint(4, (n, 108)), {}
    if domain == "poisson":
        return torch.randn(n, 1, 64, 64), {}
    if domain == "mri":
        return torch.randn(n, 2, 64, 64), {}
    if domain == "weather":
        return torch.randn(n, 4, 8, 16).abs(), {}
    from ornstein.domains.molecules.data import reference
    from ornstein.domains.molecules.data import states as of_molecules

    return of_molecules(reference("qm9")[:n], origin(domain).metadata)


def saved(folder: Path, domain: str, n: int = 6, **changes: Any) -> Path:
    """A folder of n samples."""
    x, condition = states(domain, n)
    settings = {"seed": 0, "first": 0, "steps": 3, "note": "plain", **_ensemble(domain, n)}
    return Samples(x, condition, origin(domain, **changes), (), 3, 0.1, settings).save(folder)


def run(folder: Path, domain: str = "energies", **changes: Any) -> Path:
    """A run folder with a model of random weights."""
    made = origin(domain, **changes)
    this = task(domain)
    model = this.model(update(this.config(), made.config, "test"), made.metadata)
    assert isinstance(model, NeuralDenoiser)
    meta = {"domain": domain, "name": made.name, "config": made.config, "facts": made.metadata, "step": 1}
    checkpoints.save(folder / "model.safetensors", "model", model.network.state_dict(), meta)
    return folder


def manifest(folder: Path) -> dict[str, Any]:
    """What the manifest of samples says but for the times, with the SHA-256 of all native files."""
    said = read_json(folder / "manifest.json", "a manifest")
    return {name: value for name, value in said.items() if name not in ("created", "seconds")}
