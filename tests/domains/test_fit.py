"""Factors of a field fit the model that they are put on, or are refused: no field's numbers are read as another's."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import ornstein as on
from ornstein import InputError, Keys
from ornstein.denoisers.oracles import gaussian_mixture
from ornstein.domains.images import factors as images
from ornstein.domains.molecules import factors as molecules
from ornstein.domains.molecules.chemistry.molecule import Molecule
from ornstein.domains.molecules.chemistry.pockets import Pocket
from ornstein.domains.molecules.network import space as atoms_space
from ornstein.domains.sequences import factors as sequences
from ornstein.guidance.measurements import Fixed, Measurement
from ornstein.spaces import Categorical, Euclidean, Product
from ornstein.tasks.strength import StrengthSearch
from worlds import Blank, rejected

QM9, CARBON_FIRST = (1, 6, 7, 8, 9), (6, 7, 8, 1)
PICTURES = Blank(Euclidean((1, 8, 8)), {"classes": 10, "shape": [1, 8, 8]})
COLOURS = Blank(Euclidean((3, 8, 8)), {"classes": 2, "labels": ["cat", "dog"], "caption": 512})
RNA = Blank(Categorical.masked((6,), 4), {"alphabet": "ACGU", "kind": "rna", "length": 6, "lengths": {}})
PLANE = gaussian_mixture(torch.zeros(1, 2), torch.eye(2)[None])


def molecular(elements: tuple[int, ...], length: int = 5, **metadata: Any) -> Blank:
    known = {"elements": list(elements), "length": length, "std": 1.4, "properties": [], **metadata}
    return Blank(atoms_space(known), known)


ATOMS = molecular(QM9)
ONE = Molecule(np.array([6]), np.zeros((1, 3)))
POCKET = Pocket(np.array([8]), np.zeros((1, 3)), np.zeros(3))


def first(guided: Any) -> Any:
    return guided.factors[0]


# Molecules --------------------------------------------------------------------------------------------

WATERS = ((8, 1, 8), [[0.0, 0, 0], [0.97, 0, 0], [2.8, 0, 0]])  # O–H···O in a line
DECOY = ((1, 6, 1), WATERS[1])  # the same places, which QM9's columns would read as C, N, C's of CARBON_FIRST


def code(atoms: Any, elements: tuple[int, ...]) -> dict[str, torch.Tensor]:
    numbers, positions = atoms
    kinds = torch.zeros(1, len(numbers), len(elements) + 1)
    kinds[0, torch.arange(len(numbers)), [elements.index(z) for z in numbers]] = 1
    return {"positions": torch.tensor([positions]), "atoms": kinds}


def assert_bonded(elements: tuple[int, ...], read_as: tuple[int, ...]) -> None:
    """The bond of a model's own molecules, by the factor of the elements read."""
    log_g = first(molecular(read_as) & molecules.hydrogen_bond()).factor.log_g
    assert log_g(code(WATERS, elements)).item() > -1
    assert log_g(code(DECOY, elements)).item() < -3


def test_a_hydrogen_bond_is_of_the_models_own_elements() -> None:
    assert_bonded(QM9, QM9)
    assert_bonded(CARBON_FIRST, CARBON_FIRST)
    rejected(assert_bonded, CARBON_FIRST, (1, 6, 7, 8))  # as QM9's columns would read them


def test_carbon_is_not_read_as_hydrogen() -> None:
    with pytest.raises(InputError, match=r"the model's elements have \[6, 7, 8\] protons, expected 1 and 7 or 8"):
        _ = molecular((6, 7, 8)) & molecules.hydrogen_bond()
    own = Blank(atoms_space({"elements": CARBON_FIRST, "length": 5, "std": 1.4}))
    assert first(own & molecules.hydrogen_bond(elements=CARBON_FIRST)).factor.elements == CARBON_FIRST
    with pytest.raises(InputError, match="hydrogen_bond: needs a model that knows its elements; this one is Blank"):
        _ = own & molecules.hydrogen_bond()
    with pytest.raises(InputError, match="hydrogen_bond: 5 elements are said, the model tells 4 apart"):
        _ = own & molecules.hydrogen_bond(elements=QM9)
    with pytest.raises(InputError, match="hydrogen_bond: elements are said to be"):
        _ = molecular(CARBON_FIRST) & molecules.hydrogen_bond(elements=(1, 6, 7, 8))


def test_donors_and_acceptors_are_of_the_elements_asked_for() -> None:
    amide = ((7, 1, 8), WATERS[1])
    log_g = {
        (donor, acceptor): first(ATOMS & molecules.hydrogen_bond(1.0, donor, acceptor)).factor.log_g(code(amide, QM9))
        for donor in ("N", "O", None)
        for acceptor in ("N", "O", None)
    }
    bonded = {pair for pair, value in log_g.items() if value.item() > -1}
    assert bonded == {("N", "O"), ("N", None), (None, "O"), (None, None)}
    record = (ATOMS & molecules.hydrogen_bond(donor="N")).provenance[0]
    assert (record["donors"], record["acceptors"]) == (["N"], ["N", "O"])
    with pytest.raises(InputError, match="hydrogen_bond: donor is 'C', expected N or O"):
        molecules.hydrogen_bond(donor="C")
    with pytest.raises(InputError, match="hydrogen_bond: the model does not know N, only H, C, O"):
        _ = molecular((1, 6, 8)) & molecules.hydrogen_bond(acceptor="N")


def test_heavy_atoms_are_the_models_own() -> None:
    clash = ((6, 1), [[0.0, 0, 0], [0.5, 0, 0]])
    crash = ((6, 8), [[0.0, 0, 0], [0.5, 0, 0]])
    for elements in (QM9, CARBON_FIRST):
        log_g = first(molecular(elements) & molecules.clash_penalty()).log_g
        assert log_g(code(clash, elements)).item() == 0
        assert log_g(code(crash, elements)).item() < -10


def test_fixed_atoms_are_the_models_own() -> None:
    guided: Any = molecular(CARBON_FIRST) & molecules.fixed(Molecule(np.array([8, 1]), np.eye(2, 3)))
    atoms = next(factor for factor in guided.factors if factor.part == "atoms").factor
    assert atoms.value[:2].tolist() == [2, 3]
    assert atoms.where.tolist() == [True, True, False, False, False]
    with pytest.raises(InputError, match=r"does not know the elements with \[16\] protons"):
        _ = ATOMS & molecules.fixed(Molecule(np.array([16]), np.zeros((1, 3))))
    with pytest.raises(InputError, match="5 atoms, expected at most 4"):
        _ = ATOMS & molecules.fixed(Molecule(np.full(5, 6), np.zeros((5, 3))))


def test_elements_that_a_formula_has_no_numbers_for_are_refused() -> None:
    with pytest.raises(InputError, match=r"Vina has no radius of the elements with \[14\] protons"):
        _ = molecular((1, 6, 14)) & molecules.docking_energy(POCKET)
    with pytest.raises(InputError, match=r"not of \[14\] protons"):
        _ = molecular((1, 6, 14)) & molecules.energy()


def test_properties_are_those_that_the_model_was_told() -> None:
    told = molecular(QM9, properties={"gap": [6.0, 2.0]})
    with pytest.raises(InputError, match="property 'mu': this model knows gap"):
        _ = told & molecules.property_condition({"mu": 1.0})
    with pytest.raises(InputError, match="wanted: needs a model that knows its properties; this one is tests/blank"):
        _ = ATOMS & molecules.property_condition({"gap": 1.0})


def test_knobs_are_of_a_model_that_foresees_them() -> None:
    with pytest.raises(InputError, match="counted: the model does not know S, only H, C, N, O, F"):
        StrengthSearch(ATOMS, molecules.element_count("S"), 8)
    with pytest.raises(InputError, match="counted: the model does not know an element 'Xy'"):
        StrengthSearch(ATOMS, molecules.element_count("Xy"), 8)
    with pytest.raises(InputError, match="counted: asks a network what it foresees, and Blank has none"):
        StrengthSearch(ATOMS, molecules.element_count("N"), 8)
    with pytest.raises(InputError, match="counted: needs a model that knows its elements"):
        StrengthSearch(RNA, molecules.element_count("N"), 8)


# Sequences --------------------------------------------------------------------------------------------


def test_letters_are_the_models_own() -> None:
    for alphabet, expected in (("ACGU", [0, 3, 0]), ("UGCA", [3, 0, 3])):
        own = Blank(Categorical.masked((6,), 4))
        fixed = first(own & sequences.fixed("AUA???", alphabet=alphabet))
        assert fixed.value[:3].tolist() == expected
    assert first(RNA & sequences.motif("TATA")).pattern.columns.double().argmax(1).tolist() == [3, 0, 3, 0]  # T as U
    with pytest.raises(InputError, match="motif: 20 letters are said, the model tells 4 apart"):
        _ = Blank(Categorical.masked((6,), 4)) & sequences.motif("C-x-H", alphabet="ACDEFGHIKLMNPQRSTVWY")
    with pytest.raises(InputError, match="fixed: alphabet are said to be UGCA"):
        _ = RNA & sequences.fixed("AUA???", alphabet="UGCA")


def test_a_motif_can_be_of_one_part_of_a_joint_model() -> None:
    both = Blank(Product({"x": Euclidean((2,)), "letters": Categorical.masked((6,), 4)}))
    assert first(both & sequences.motif("GA", alphabet="ACGU").on("letters")).part == "letters"
    with pytest.raises(InputError, match="motif: is about sequences of letters, this model draws Product"):
        _ = both & sequences.motif("GA", alphabet="ACGU")


# Pictures ---------------------------------------------------------------------------------------------


def said(guided: Any) -> Any:
    return guided.fixed_condition["label"].item()


def test_classes_are_said_by_number_or_name() -> None:
    assert said(PICTURES & images.label(7)) == 7
    assert (
        said(COLOURS & images.label("dog"))
        == said(COLOURS & images.label("Dog"))
        == said(COLOURS & images.label("1"))
        == 1
    )
    assert said(PLANE & images.label("dog", classes=["cat", "dog"])) == 1
    assert said(PLANE & images.label(3, classes=4)) == 3
    assert (PICTURES & images.label()).provenance[0]["prompt"] == {"label": "each sample's own"}


@pytest.mark.parametrize("wrong", [17, -1, "three", 10])
def test_classes_that_there_are_not_are_refused(wrong: Any) -> None:
    with pytest.raises(InputError, match=f"label {wrong}: this model knows the classes 0 to 9"):
        _ = PICTURES & images.label(wrong)
    with pytest.raises(InputError, match="this model knows cat, dog"):
        _ = COLOURS & images.label(wrong)


PICTURE = Keys.of(0, 1).normal(3, 8, 8)[0]
SEEN = torch.arange(64).reshape(8, 8) % 3 == 0
MASKS: dict[str, Any] = {
    "(h, w)": SEEN,
    "(1, h, w)": SEEN[None],
    "(c, h, w)": SEEN.expand(3, 8, 8),
    "integers": SEEN.long(),
    "floats": SEEN.float(),
    "NumPy": SEEN.numpy(),
    "NumPy bytes": SEEN.numpy().astype(np.uint8),
}


@pytest.mark.parametrize("name", MASKS)
def test_masks_come_in_every_shape_and_type(name: str) -> None:
    for picture in (PICTURE, PICTURE.numpy()):
        exact = first(COLOURS & images.inpainted(picture, MASKS[name], noise=0.0))
        assert isinstance(exact, Fixed)
        assert exact.where.equal(SEEN.expand(3, 8, 8))
        seen = first(COLOURS & images.inpainted(picture, MASKS[name]))
        assert isinstance(seen, Measurement)
        assert seen.y.equal(PICTURE[SEEN.expand(3, 8, 8)])


def test_a_grey_picture_needs_no_axis_of_channels() -> None:
    assert first(PICTURES & images.inpainted(PICTURE[0], SEEN)).y.equal(PICTURE[0][SEEN])


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (SEEN[:4], r"the mask is \(4, 8\), expected \(8, 8\) or \(3, 8, 8\) like the picture"),
        (SEEN.expand(2, 8, 8), r"the mask is \(2, 8, 8\)"),
        (SEEN.flatten(), r"the mask is \(64,\)"),
        (0.5 * SEEN, "holds more than 0"),
        (255 * SEEN.long(), "holds more than 0"),
        (~SEEN & SEEN, "no pixel that was seen"),
    ],
)
def test_masks_that_do_not_fit_are_refused(mask: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"inpainted: .*{message}"):
        images.inpainted(PICTURE, mask)


def test_pictures_that_are_none_are_refused() -> None:
    hole = PICTURE.clone()
    hole[:, 0, 1] = torch.nan
    assert first(COLOURS & images.inpainted(hole, SEEN)).y.isfinite().all()  # there nothing was seen
    with pytest.raises(InputError, match="pixels that were seen and are no finite numbers"):
        images.inpainted(hole, torch.ones(8, 8))
    for make in (images.blurred, images.coarse):
        with pytest.raises(InputError, match="pixels that are no finite numbers"):
            make(hole, 2)
    with pytest.raises(InputError, match=r"the picture is \(8, 8\) of torch.int64, expected"):
        images.inpainted(SEEN.long(), SEEN)


def test_measured_pictures_are_of_the_models_size() -> None:
    small = PICTURE[:, :4, :4]
    assert isinstance(first(COLOURS & images.coarse(small, 2)), Measurement)
    wrong: list[Callable[[], Any]] = [
        lambda: COLOURS & images.coarse(PICTURE, 2),
        lambda: COLOURS & images.blurred(small, 1.0),
        lambda: COLOURS & images.inpainted(small, SEEN[:4, :4]),
        lambda: PICTURES & images.inpainted(PICTURE, SEEN),
    ]
    for put in wrong:
        with pytest.raises(InputError, match=r"is about pictures of shape .*, this model draws \(\d, 8, 8\)"):
            put()


# Every factor on every model that it is not for ---------------------------------------------------------

REGRESSOR = "molecules/qm9-regressor"
FIELDS: dict[str, dict[str, Callable[[], on.Guide]]] = {
    "molecules": {
        "hydrogen_bond": molecules.hydrogen_bond,
        "apart": molecules.clash_penalty,
        "bound": lambda: molecules.docking_energy(POCKET),
        "fixed": lambda: molecules.fixed(ONE),
        "relaxed": molecules.energy,
        "wanted": lambda: molecules.property_condition({"gap": 5.0}),
        "predicted": lambda: molecules.property_regressor({"gap": 5.0}, by=REGRESSOR),
    },
    "sequences": {
        "fixed": lambda: sequences.fixed("GA????"),
        "motif": lambda: sequences.motif("GA"),
        "structure": lambda: sequences.structure("((..))"),
        "fold": lambda: sequences.fold("(....)"),
        "fraction": lambda: sequences.fraction("GC=0.5"),
    },
    "images": {
        "label": lambda: images.label(1),
        "prompt": lambda: images.prompt("a cat"),
        "inpainted": lambda: images.inpainted(PICTURE, SEEN),
        "blurred": lambda: images.blurred(PICTURE, 1.0),
        "coarse": lambda: images.coarse(PICTURE, 2),
        "Brightness": lambda: images.Brightness(0.4),
    },
}
MODELS = {"molecules": ATOMS, "sequences": RNA, "images": PICTURES, "none": PLANE}
ILL = [
    (field, name, other) for field, guides in FIELDS.items() for name in guides for other in MODELS if other != field
]


@pytest.mark.parametrize(("field", "name", "other"), ILL)
def test_what_is_of_another_field_is_refused(field: str, name: str, other: str) -> None:
    with pytest.raises(InputError, match=f"^{name}|^Brightness"):
        _ = MODELS[other] & FIELDS[field][name]()


GOOD = {"molecules": molecular(QM9, 29), "sequences": RNA, "images": COLOURS}


@pytest.mark.parametrize(
    ("field", "name"),
    [
        (f, n)
        for f, guides in FIELDS.items()
        for n in guides
        if n not in ("wanted", "predicted", "coarse", "Brightness")
    ],
)
def test_on_its_own_field_it_is_not(field: str, name: str) -> None:
    guided = GOOD[field] & FIELDS[field][name]()
    assert len(guided.provenance) >= 1


def test_shipped_models_need_no_facts() -> None:
    """As they are written in the documentation."""
    wishes = (
        on.load("molecules/qm9") & on.molecules.property_condition({"gap": 5}) & on.molecules.hydrogen_bond(donor="N")
    )
    assert [next(iter(row)) for row in wishes.provenance] == ["prompt", "factor"]
    assert len((wishes & on.molecules.property_regressor({"gap": 5.0})).provenance) == 3
    sites = on.load("sequences/start-sites") & on.sequences.motif("TATAAT")
    assert sites.provenance[0]["factor"] == "Motif"
    assert said(on.load("images/fashion") & on.images.label("T-shirt")) == 0
