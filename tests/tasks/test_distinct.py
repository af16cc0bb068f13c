"""How many different texts there are, counted part by part."""

from ornstein.tasks.distinct import Distinct


def test_different_texts_are_counted_once_whatever_the_parts() -> None:
    texts = [f"C{'C' * (k % 7)}O" for k in range(50)] + ["", "\0", "\0\0", "ß"]
    together, apart = Distinct(), Distinct()
    together.add(texts)
    assert len(apart) == 0
    for k in range(0, len(texts), 3):
        apart.add(texts[k : k + 3])
    apart.add([])
    assert len(together) == len(apart) == len(set(texts)) == 11
