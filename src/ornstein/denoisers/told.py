"""What a model of diffusers may be told, by our names, and what it must be told that we have no name for."""

from collections.abc import Mapping
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError

MODELS = (
    "UNet2DModel",
    "UNet2DConditionModel",
    "DiTTransformer2DModel",
    "PixArtTransformer2DModel",
    "SD3Transformer2DModel",
)
"""Those whose call is (x, timestep, conditions), with timesteps that count the levels of the scheduler."""
ARGUMENTS = {"caption": "encoder_hidden_states", "label": "class_labels", "pooled": "pooled_projections"}
"""What the models call our conditions."""
ADDED = {"pooled": "text_embeds", "sizes": "time_ids"}
"""The same for what the larger UNets take beside."""
USUAL = {
    "class_embed_type": (None,),
    "time_embedding_type": (None, "positional"),
    "addition_embed_type": (None, "text_time"),
    "encoder_hid_dim_type": (None, "text_proj"),
    "time_cond_proj_dim": (None,),
    "attention_type": (None, "default"),
    "use_additional_conditions": (None, False),
}
"""The settings with which a model takes no more than that: no image, no hint, no box and no scale of its guidance."""


def config(model: Any, name: str) -> Any:
    return model.config.get(name)


def require_uniform(model: Any) -> None:
    """InputError, if the model must be told what we have no name for."""
    name = type(model).__name__
    if name not in MODELS:
        raise InputError(f"a model of class {name}; expected {', '.join(MODELS)}")
    said = {key: config(model, key) for key in USUAL}
    said["use_additional_conditions"] = getattr(model, "use_additional_conditions", None)  # by its size, if not said
    found = [f"{key} {said[key]!r}" for key, usual in USUAL.items() if said[key] not in usual]
    into, out = config(model, "in_channels"), config(model, "out_channels")
    found += [f"{into} channels in and {out} out"] if out is not None and out < into else []
    if found:
        raise InputError(f"{name} with {', '.join(found)}: there are no names for what it must be told")


def unsaid(model: Any, shape: tuple[int, int, int]) -> dict[str, Tensor]:
    """What the model may be told, and the value of each that stands for nothing; −1 where there is no such class."""
    takes, config = signature(model.forward).parameters, model.config
    unsaid: dict[str, Tensor] = {}
    widths = ("caption_channels", "joint_attention_dim", "encoder_hid_dim", "cross_attention_dim")
    width = next((config[name] for name in widths if config.get(name) is not None), None)
    if "encoder_hidden_states" in takes and width is not None:
        unsaid["caption"] = torch.zeros(1, width if isinstance(width, int) else width[0])
    if "class_labels" in takes and (config.get("num_class_embeds") or config.get("num_embeds_ada_norm")):
        unsaid["label"] = torch.tensor(config.get("num_embeds_ada_norm") or -1)
    if "pooled_projections" in takes:
        unsaid["pooled"] = torch.zeros(config["pooled_projection_dim"])
    if config.get("addition_embed_type") == "text_time":
        whole = config["projection_class_embeddings_input_dim"] - 6 * config["addition_time_embed_dim"]
        height, width = (8.0 * side for side in shape[1:])  # of the pictures that such latents stand for
        unsaid |= {"pooled": torch.zeros(whole), "sizes": torch.tensor([height, width, 0, 0, height, width])}
    return unsaid


def require_said(condition: Mapping[str, Tensor]) -> None:
    if "label" in condition and (condition["label"] < 0).any():
        raise InputError(
            "this model must be told a label: condition={'label': ...}; if one of its classes stands for none, "
            "load it with unconditional={'label': torch.tensor(...)}"
        )


def classes(model: Any) -> int:
    """How many labels there are, that for none included; 0 where there are none."""
    table, extra = config(model, "num_class_embeds"), config(model, "num_embeds_ada_norm")
    return table or (extra + 1 if extra and "class_labels" in signature(model.forward).parameters else 0)


def require_class(condition: Mapping[str, Tensor], classes: int) -> None:
    """InputError for a label that there is not."""
    if "label" in condition and classes and bool((condition["label"] >= classes).any()):
        raise InputError(
            f"condition 'label' holds {int(condition['label'].max())}, expected whole numbers from 0 to {classes - 1}"
        )
