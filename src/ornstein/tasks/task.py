"""What a domain answers: the seam between the engine and a field of science.

A domain package registers one `Task` under the entry-point group "ornstein.domains"; the trainer, the sampler, the
command line and the report work through it and know nothing else of the domain.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from ..denoisers.base import Condition, Denoiser, NeuralDenoiser, Origin, Traits
from ..denoisers.maps import Map
from ..denoisers.regressors import Regressor
from ..deprecation import members
from ..errors import InputError
from ..events import Stream
from ..networks.fields import FieldNetwork
from ..spaces import Space
from ..states import State, take
from ..training.datasets import Dataset
from .figures import Figure, Interactive, Metric, Stop
from .hands import Hand
from .judging import Judge, scored
from .request import Request
from .storage.records import numbers_of

if TYPE_CHECKING:
    from .native.members import MemberStore
    from .samples import Samples


SCRATCH = "scratch"
"""The folder of what a store needs until it is finished."""


@members(
    score="evaluate",
    ask="request_type",
    judged="n_evaluate",
    shown="n_tour",
    null="unconditional",
    provenance="data_provenance",
)
class Task(ABC):
    """A domain.

    Attributes:
        name: the domain's name on the command line.
        summary: one line on it.
        config: the frozen dataclass of its settings; its field `train` is a TrainConfig.
        request_type: the frozen dataclass of what a user may ask of a sample; every field has a default.
        sampling: the options of `sample` with which a model is judged on its card.
        n_evaluate: how many samples it is judged on there.
        n_tour, n_glance: how many samples of each model the full tour and the tour draw.
        glance: the options of `sample` with which the tour draws them: fewer steps where these suffice to look at.
        place, seconds: of the models' own samples in the tour, see `Stop`, and about how long they take on one core.
        renamed_flags: flags of `ornstein sample` by their old names, for one version.
        code: settings that may name code of the user's, path/to/file.py:name, which no file alone may have run; what
            `data` returns as metadata of these names, and `code`, are checked likewise. See ornstein.code.
        request_code: fields of the request that name code in this way; the studio, which runs no code, leaves them out.
        data_sets: values of the setting `data` that come with the domain; any other is a file of the user's, which no
            file alone may have opened.
        facts: what the metadata of a model must hold; see `files.require`. Sizes must be bounded.
        sets: data that the domain can make or convert, by the names that `ornstein data` lists: functions of a folder
            `out` and of typed arguments, which become flags; they return what they wrote, in words.
        needs_data: whether samples are judged by the data that the model learned from, which are then opened again;
            False where all that judges them is kept with them.
        files: suffixes of the files that a field of the request may be given, such as {"observation": (".png",)}; "" is
            a run folder. A field of text that may name files is among them; a path that is not takes any file.
        by_hand: fields of the request whose file can be made with a pointer; see hands.py.
        conversions: what samples of the domain can become, by name: `samples.to_rdkit()` is "rdkit".
        examples: commands without "ornstein", such as "sample images/digits --label 3", which `--help` shows first.
        block: how many the command line draws at once, if not said. Blocks start at multiples of it and are drawn
            whole, so that a sample is the same bit for bit whatever others are asked for.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    config: ClassVar[type]
    request_type: ClassVar[type]
    sampling: ClassVar[Mapping[str, Any]] = {}
    n_evaluate: ClassVar[int] = 1000
    n_tour: ClassVar[int] = 200
    n_glance: ClassVar[int] = 16
    glance: ClassVar[Mapping[str, Any]] = {}
    place: ClassVar[float] = 50.0
    seconds: ClassVar[float] = 5.0
    renamed_flags: ClassVar[Mapping[str, str]] = {}
    code: ClassVar[Sequence[str]] = ()
    request_code: ClassVar[Sequence[str]] = ()
    data_sets: ClassVar[Collection[str]] = ()
    facts: ClassVar[Mapping[str, Any]] = {}
    sets: ClassVar[Mapping[str, Callable[..., str]]] = {}
    needs_data: ClassVar[bool] = True
    files: ClassVar[Mapping[str, Collection[str]]] = {}
    by_hand: ClassVar[Mapping[str, Hand]] = {}
    conversions: ClassVar[Mapping[str, Callable[["Samples"], Any]]] = {}
    examples: ClassVar[Sequence[str]] = ()
    block: ClassVar[int] = 8

    @abstractmethod
    def data(self, config: Any) -> tuple[Dataset, Dataset]:
        """Training and validation data; InputError if the user's files are not what they must be."""

    @abstractmethod
    def space(self, config: Any, metadata: Mapping[str, Any]) -> Space:
        """The space of the data."""

    def map(self, config: Any, metadata: Mapping[str, Any]) -> Map | None:
        """From the model's states to the physical field, of which guides speak and which samples are; None where these
        are one.

        Args:
            config: the configuration, a frozen dataclass.
            metadata: of the data that the model was trained on, in JSON values, such as their statistics.
        """
        return None

    @abstractmethod
    def network(self, config: Any, metadata: Mapping[str, Any]) -> nn.Module:
        """A fresh network."""

    @abstractmethod
    def unconditional(self, config: Any, metadata: Mapping[str, Any]) -> Mapping[str, Tensor]:
        """For every condition of the network the value that stands for "not said"."""

    @abstractmethod
    def request(self, asked: Any, numbers: range, metadata: Mapping[str, Any]) -> Request:
        """What the user's flags mean for the samples of these numbers.

        What a sample is given is a function of its number alone, so that any split between workers gives the same.
        InputError if the model cannot know what they ask for.

        Args:
            asked: the user's request, a frozen dataclass of the domain.
            metadata: of the data that the model was trained on, in JSON values.
        """

    def count(self, asked: Any, metadata: Mapping[str, Any]) -> int | None:
        """How many samples a request speaks of, which are drawn if nobody says how many; None if it says nothing.

        Args:
            asked: the user's request, a frozen dataclass of the domain.
            metadata: of the data that the model was trained on, in JSON values.
        """
        return None

    def portion(self, asked: Any, metadata: Mapping[str, Any]) -> int | None:
        """How many samples, counted from 0, are requested at a time, so that not all is read at once; None = all.

        For requests of more than memory holds, such as all slices of a volume: `request` is called with the numbers of
        one portion, when its turn comes. What it says for the manifest (`record`, `metadata`) is the same for each.

        Args:
            asked: the user's request, a frozen dataclass of the domain.
            metadata: of the data that the model was trained on, in JSON values.
        """
        return None

    def remarks(self, samples: "Samples") -> Sequence[str]:
        """What a domain sees in samples once all are drawn that a user should know, in words; they carry it as notes.

        Of samples that a `store` writes its `finish` says it.
        """
        return ()

    def write(self, samples: "Samples", folder: Path) -> None:
        """Writes the samples in the field's own formats into an existing folder; into its `store`, if there is one."""
        assert samples.origin is not None
        numbers = range(samples.first, samples.first + len(samples))
        store = self._require(self.store(folder, samples.origin, numbers))
        store.scratch, store.settings = folder / SCRATCH, samples.settings
        store.begin()
        list(store.add(samples))
        store.finish(samples)
        rmtree(store.scratch, ignore_errors=True)

    def read(self, folder: Path, manifest: Mapping[str, Any]) -> tuple[State, Condition]:
        """The states and conditions that `write` wrote; those of its `store`, if there is one."""
        return self._require(self.stored(folder, manifest)).read(numbers_of(manifest))

    def stored(self, folder: Path, manifest: Mapping[str, Any]) -> "MemberStore | None":
        """The `store` of a folder that is finished; of it, any of its samples are read."""
        store = self.store(folder, Origin.from_record(manifest["model"]), numbers_of(manifest))
        if store is not None:
            store.manifest, store.settings = manifest, manifest["settings"]
        return store

    def parts(self, folder: Path, manifest: Mapping[str, Any], size: int) -> Iterator[tuple[State, Condition]]:
        """What `read` reads, at most `size` samples at a time, in the order of their numbers.

        A domain without a `store` whose files can be read in parts does so here; else all of them are read first.
        """
        store, some = self.stored(folder, manifest), (slice(k, k + size) for k in range(0, manifest["n"], size))
        if store is None:
            x, condition = self.read(folder, manifest)
            yield from ((take(x, part), take(condition, part)) for part in some)
        else:
            yield from (store.read(numbers_of(manifest)[part]) for part in some)

    def _require(self, store: "MemberStore | None") -> "MemberStore":
        if store is None:
            raise NotImplementedError(f"{self.name}: a task has a store, or its own write and read")
        return store

    def judge(self, like: "Samples") -> Judge | None:
        """Scores samples part by part; None where the field's scores need all of them together, as `evaluate` has them.

        Args:
            like: some of the samples, which say of which model they are and how they were drawn.
        """
        return None

    def evaluate(self, samples: "Samples") -> list[Metric]:
        """How the field judges these samples: by its `judge`, if it has one."""
        judge = self.judge(samples)
        if judge is None:
            raise NotImplementedError(f"{self.name}: a task has a judge, or its own evaluate")
        return scored(judge, len(samples), lambda: iter([samples.each]), [samples])

    @abstractmethod
    def figures(self, samples: "Samples") -> Sequence[Figure | Interactive]:
        """The samples as a person wants to see them; with the trajectory, if they carry one."""

    def frame(self, samples: "Samples") -> Figure | None:
        """A few samples on their way as one picture that takes no longer than a step; None if there is none.

        Args:
            samples: as they stand, with noise; at most 16.
        """
        return next((figure for figure in self.figures(samples) if isinstance(figure, Figure)), None)

    def store(self, folder: Path, origin: Origin, numbers: range) -> "MemberStore | None":
        """How samples are written one by one, as they finish; None where `write` needs all of them together.

        A domain that has one draws more samples than memory holds: each is dropped once it is written. Called anew
        when a drawing is resumed, and when samples that are there are read; makes no file before it is used.

        Args:
            folder: where the native files will be; see members.py.
            origin: the model.
            numbers: of all the samples that are wanted.
        """
        return None

    def predictions(self, regressor: Regressor) -> list[Metric]:
        """How well a regressor predicts what it was not trained on, for its card."""
        raise NotImplementedError(f"{self.name} has no regressors")

    def judged_on(self, metadata: Mapping[str, Any]) -> Sequence[tuple[Any, int]]:
        """What a model is judged on for its card: requests, and how many samples of each.

        Args:
            metadata: of the data that the model was trained on, in JSON values.
        """
        return [(self.request_type(), self.n_evaluate)]

    def judged_files(self, metadata: Mapping[str, Any]) -> str:
        """The command that makes the files which `judged_on` names, in the folder where it is given; for the card.

        Args:
            metadata: of the data that the model was trained on, in JSON values.
        """
        return ""

    def describe(self, data: Dataset, validation: Dataset) -> str:
        """What the data are, for a user who is about to train on them."""
        from ..training.fields import FieldData  # with what reads files, which nothing else here needs

        counted = f"{len(data)} records to learn from, {len(validation)} held out"
        return f"{data.describe()}\n{counted}" if isinstance(data, FieldData) else counted

    def data_provenance(self, metadata: Mapping[str, Any]) -> str:
        """Where a model's data are from, and their licence, for its card."""
        return metadata["source"]

    def rounds(self, config: Any) -> int:
        """How often the data are made anew in the course of a training; 1 = never."""
        return 1

    def renewed(self, config: Any, denoiser: Denoiser, data: Dataset, number: int) -> Dataset:
        """The data of the next round, by the model so far: for domains that have an energy instead of data.

        Args:
            config: the configuration, a frozen dataclass.
            denoiser: the model, (x_t, t, condition) → belief.
            number: of the round, from 1.
        """
        return data

    def trained(
        self, denoiser: NeuralDenoiser, config: Any, folder: Path, say: Callable[[str], None]
    ) -> Stream[Mapping[str, Any]]:
        """What a domain measures of a model once it is trained; what it returns joins the model's metadata.

        Such as a recalibration of its samples, fitted on the validation data, and a report. Called at the end of every
        training, also of one that is resumed after its end: the metadata are then as at first.

        Args:
            denoiser: the model as it will be loaded.
            config: the configuration, a frozen dataclass.
            folder: of the run, where files of the domain's own may be written, anew each time.
            say: called with messages for the user.

        Yields:
            events of the work; the generator returns further metadata, JSON values by name, as `facts` has them.
        """
        yield from ()
        return {}

    def judge_few(self, samples: "Samples") -> list[Metric]:
        """The scores that a few samples allow and that take about a second, named as `evaluate` names them."""
        return []

    def retest(self, samples: "Samples") -> list[Metric]:
        """What can be measured anew of any samples within seconds, for a report of how far to trust them.

        Named as `evaluate` names it; with standard errors that know of families, where there are any. InputError for
        what is missing, such as a package.
        """
        return self.judge_few(samples)

    def stops(self, denoiser: NeuralDenoiser, full: bool) -> Sequence[Stop]:
        """What the domain has to show of a shipped model in the tour, beside its samples and their scores.

        Args:
            denoiser: the model, (x_t, t, condition) → belief.
            full: with as many samples as a judgement needs, instead of as few as suffice to look at.
        """
        return []

    def prepare(self, network: nn.Module, data: Dataset) -> None:
        """Gives a fresh network what it takes of the data beside their metadata and keeps with its weights.

        Called before a training. Static fields of fields in files are given to a network that is told of some.

        Args:
            network: as `network` makes it.
            data: that it is to learn from.

        InputError for static fields of another shape.
        """
        from ..training.fields import FieldData

        if isinstance(data, FieldData) and isinstance(network, FieldNetwork) and network.static is not None:
            if data.static is None:
                raise InputError("the network is told of static fields, but the data have none")
            network.take_static(data.static)

    def transferred(
        self, tensors: Mapping[str, Tensor], theirs: Mapping[str, Any], ours: Mapping[str, Any]
    ) -> tuple[Mapping[str, Tensor], str]:
        """Weights of another model of this domain as a training on other data begins with them, and what was changed.

        Args:
            tensors: of the other model, by name.
            theirs, ours: metadata of the data that the other model was trained on, and of those to train on now.
        """
        return tensors, ""

    def denoiser(self, config: Any, metadata: Mapping[str, Any], origin: Origin | None = None) -> NeuralDenoiser:
        """A fresh denoiser, its weights a function of config.train.seed.

        Args:
            metadata: of the data that the model was trained on, in JSON values.
            origin: the trained model that this belongs to, if any.
        """
        with torch.random.fork_rng():
            torch.manual_seed(config.train.seed)
            network = self.network(config, metadata)
        traits = Traits(self.space(config, metadata), origin, map=self.map(config, metadata))
        if traits.map is not None:
            traits.map.require_fit(traits.space)
        return NeuralDenoiser(network, traits, self.unconditional(config, metadata))

    def model(
        self, config: Any, metadata: Mapping[str, Any], origin: Origin | None = None
    ) -> NeuralDenoiser | Regressor:
        """What a training of this configuration makes: a denoiser, where a domain has nothing else to learn.

        Args:
            config: the configuration, a frozen dataclass.
            metadata: of the data that the model was trained on, in JSON values.
            origin: the trained model that this belongs to, if any.
        """
        return self.denoiser(config, metadata, origin)

    @property
    def folder(self) -> Path:
        """The folder of the domain package: its recipes (recipes/NAME.toml) and shipped models (models/NAME/)."""
        source = import_module(type(self).__module__).__file__
        assert source is not None
        return Path(source).parent
