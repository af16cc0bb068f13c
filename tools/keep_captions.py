"""python tools/keep_captions.py: what MiniLM says of the names of all emoji and of the examples of prompts.

Writes vision/captions.safetensors, so that the shipped models draw and are judged without the encoder.
"""

import json

import torch
from safetensors.torch import save_file

from ornstein.domains.images.vision import captions, emoji
from ornstein.domains.images.vision.examples import PROMPTS, TWO

if __name__ == "__main__":
    two = [text for a, b in TWO for text in (a, b, f"{a} and {b}")]
    texts = list(dict.fromkeys([*emoji.names().values(), *PROMPTS, *two]))
    states = captions.computed(texts)
    tensors = {"states": torch.cat(states).half(), "words": torch.tensor([len(one) for one in states])}
    save_file(tensors, captions.KEPT, {"captions": json.dumps(texts, ensure_ascii=False)})
    print(f"{len(texts)} captions, {captions.KEPT.stat().st_size / 1e6:.1f} MB")
