"""Prompts that the tour, the documents and the benchmarks share."""

PROMPTS = (
    "a green apple", "a red heart", "a smiling face", "a blue car", "a tree", "a cat", "a yellow star", "a strawberry",
    "a purple heart", "a fish", "a rocket", "a hot drink", "a full moon", "a house", "a flower", "a dog",
    "blue heart with stars", "cat with sunglasses", "green apple with a face", "a purple octopus", "a pink rabbit",
    "a yellow fish", "a green heart", "a blue apple", "a smiling strawberry", "an orange cat", "a red fish",
    "a blue tree", "a black heart", "a white flower", "a golden key",
)  # fmt: skip
"""What to draw on a wall: first what emoji show, then what none of them does."""

_THINGS = (
    "cat face", "red heart", "sunglasses", "red apple", "crown", "star", "fish", "house", "rose", "sun", "banana",
    "rocket", "hamburger", "umbrella", "snowflake", "guitar", "key", "mushroom", "bicycle", "frog", "butterfly",
    "alarm clock", "rainbow", "lemon", "penguin",
)  # fmt: skip


def _pairs() -> tuple[tuple[str, str], ...]:
    """Each thing with the second and the seventh after it."""
    count = len(_THINGS)
    return tuple((_THINGS[k], _THINGS[(k + apart) % count]) for apart in (2, 7) for k in range(count))


TWO = _pairs()
"""Fifty pairs of things that no emoji shows together."""
