"""The scores of pictures of captions that come part by part: is what was asked for found among all that there is?

Pictures whose captions are all held out compete for the held-out ones alone: a judge that has learned the others
prefers these, whatever a picture shows. A few things tell little of how like all real pictures they are, so that this
is left out then.
"""

from array import array
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ...errors import InputError
from ...tasks import judging
from ...tasks.figures import Metric
from ...tasks.samples import Samples
from . import metrics
from .data import Captioned
from .judging import Few
from .vision.held_out import among_first, plain, unlearned
from .vision.judges import Contest, Judge
from .vision.prompts import parsed


class CaptionJudge(judging.Judge):
    """What can be said of pictures of captions; where no network judges, only whether they are new.

    Holds 12 bytes a sample, and 1.5 kB for each of the different captions that compete; beside these the pictures that
    are compared with real ones, half as many as there are of those at most.
    """

    def __init__(
        self, train: Captioned, held_out: Captioned, network: Judge | None, held_out_captions: Sequence[str] = ()
    ) -> None:
        """Of no samples yet.

        Args:
            train: the records that the model was trained on.
            held_out: records that no model was trained on.
            network: what tells captions apart, if there is one.
            held_out_captions: further ones, which the model names.
        """
        (self._learned, self._names), (self._unseen, self._others) = train.shown(), held_out.shown()
        new = unlearned([*held_out_captions, *self._others], self._names)
        self._new = {plain(name): name for name in new}
        self._network, self._count, self._only_new = network, 0, False
        self._contest: Contest | None = None
        self._captions: dict[str, str] = {}  # of prompts
        self._few = Few(0, 0)
        self._distances, self._ranks, self._said = array("f"), array("i"), array("i")

    def begin(self, n: int) -> None:
        self._count = n

    def told(self, said: judging.Said) -> None:
        """InputError if a picture was asked for in another style than OpenMoji's, which the network knows."""
        prompts: set[str] = set()
        for each in said():
            if self._network and any(each.get("labels", ())):
                raise InputError("scores are of OpenMoji's style: sample with --label openmoji")
            prompts.update(each.get("prompts", ()))
        self._captions = {prompt: _words(prompt) for prompt in prompts}
        self._only_new = bool(prompts) and all(plain(text) in self._new for text in self._captions.values())
        if self._only_new:
            self._captions = {prompt: self._new[plain(text)] for prompt, text in self._captions.items()}
        real, names = self._real()
        if self._network and prompts:
            self._contest = Contest.of(self._network, [*names, *self._captions.values()])
        if not self._only_new:
            self._few = Few(self._count, len(real) // 2)

    def _real(self) -> tuple[Tensor, list[str]]:
        """The real pictures that samples are compared with, and their captions."""
        if not self._only_new:
            return torch.cat([self._learned, self._unseen]), [*self._names, *self._others]
        known = set(unlearned(self._others, self._names))
        new = [k for k, name in enumerate(self._others) if name in known]
        return self._unseen[new], [self._others[k] for k in new]

    def add(self, samples: Samples) -> None:
        self._distances.extend(metrics.distances(samples.x, self._learned).tolist())
        if self._contest is not None:
            said = [self._captions[prompt] for prompt in samples.each["prompts"]]
            self._ranks.extend(self._contest.ranks(samples.x, said).tolist())
            self._said.extend(self._contest.places[text] for text in said)
        if self._network:
            self._few.add(samples.x)

    def metrics(self) -> list[Metric]:
        new = metrics.novelty(torch.tensor(self._distances), self._learned, self._unseen)
        found = self._found(self._contest) if self._contest is not None else []
        if self._only_new:
            return [*found, replace(new, name=f"held-out captions: {new.name}")]
        alike = metrics.likeness(self._network, self._few.x, self._real()[0]) if self._network else []
        return [*found, *alike, new]

    def _found(self, contest: Contest) -> list[Metric]:
        """R@1 and R@10 of the samples, beside those of real pictures, with standard errors."""
        real, names = self._real()
        theirs = contest.ranks(real, names)
        return [self._among_first(k, theirs, names, len(contest)) for k in (1, 10)]

    def _among_first(self, k: int, theirs: Tensor, names: Sequence[str], count: int) -> Metric:
        value, error = among_first(torch.tensor(self._ranks), list(self._said), k)
        reference, reference_error = among_first(theirs, names, k)
        if self._only_new:
            name, others = f"held-out caption among the first {k} of {count}", "held-out real pictures"
            meaning = f"share found of captions that no training picture has, among these; by chance {k / count:.2g}."
        else:
            name, others = f"caption among the first {k} of {count}", "real pictures of the style"
            meaning = "share of pictures that the judge, which never saw this style, gives their caption so early."
        return Metric(name, value, "higher", f"R@{k}: {meaning}", reference, others, error, reference_error)


def _words(prompt: str) -> str:
    return " and ".join(phrase.text for end in parsed(prompt) for phrase in end)
