"""Models of diffusers as denoisers: a UNet or transformer in a local folder under our solvers, factors and exactness.

    model = on.from_diffusers("stable-diffusion", unconditional={"caption": nothing}) &
    on.ClassifierFreeGuidance({"caption": states}, scale=7.5) pictures =
    autoencoder("stable-diffusion").decode(on.sample(model, 4).x)

A network trained on N noise levels predicts F(x_t, τ). Level τ of its table lies at t = (τ + 1)/N, so it is asked at
τ = N t − 1, also between the levels (schedules.Tabulated); after flow matching, where α = 1 − t and σ = t, at τ = N t.
What F is decides the belief:

    epsilon        x̂ = (x_t − σ F)/α    Ho et al. 2020
    v_prediction   x̂ = α x_t − σ F      Salimans & Ho 2022
    sample         x̂ = F
    flow           x̂ = x_t − σ F        Lipman et al. 2023

Only local files are read, and of weights only safetensors.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from inspect import signature
from math import inf
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from torch import Tensor, nn

from ..beliefs import Normal
from ..deprecation import renamed
from ..errors import InputError
from ..schedules import RectifiedFlow, Schedule, Tabulated
from ..spaces import Euclidean
from ..spaces.base import require_shape
from ..states import State, Time
from .base import NeuralDenoiser, Traits
from .told import ADDED, ARGUMENTS, MODELS, classes, config, require_class, require_said, require_uniform, unsaid

Prediction = Literal["epsilon", "v_prediction", "sample", "flow"]
DISTILLED = ("LCMScheduler", "TCDScheduler")
"""Schedulers of consistency models, which give a sample where a denoiser gives the mean of all."""


@renamed(null="unconditional")
def from_diffusers(
    folder: str | Path,
    *,
    scheduler: str | Path | None = None,
    size: int | tuple[int, int] | None = None,
    unconditional: Mapping[str, Tensor] | None = None,
    data_std: float = 1.0,
    dtype: torch.dtype = torch.float32,
    variant: str | None = None,
    device: str | torch.device = "cpu",
) -> NeuralDenoiser:
    """A diffusers model in a local folder as a denoiser.

    Args:
        folder: a saved pipeline (its unet or transformer), or a saved model.
        scheduler: the folder of scheduler_config.json, where it is not in `folder`.
        size: of the states, one number or (height, width), where it is not that of the model's configuration.
        unconditional: see `wrapped`.
        data_std: standard deviation of the clean data: about 1 for latents, about .5 for pixels from −1 to 1.
        dtype: of the weights.
        variant: of the weights' files, such as "fp16".
        device: where the weights go.

    Raises:
        InputError: diffusers is missing, so is a file, weights are no safetensors, or the model is of no known kind.
    """
    root = Path(folder)
    model = _loaded(_model_folder(root), MODELS, torch_dtype=dtype, variant=variant)
    model = model.requires_grad_(False).eval().to(device)
    return wrapped(model, _scheduler(Path(scheduler) if scheduler else root), size, unconditional, data_std)


def wrapped(
    model: nn.Module,
    scheduler: Any,
    size: int | tuple[int, int] | None = None,
    unconditional: Mapping[str, Tensor] | None = None,
    data_std: float = 1.0,
) -> NeuralDenoiser:
    """A diffusers model in memory, with the scheduler it was trained for, as a denoiser.

    Its conditions, as far as the model takes them: "caption" (batch, words, width), the states of the text encoder,
    rows of 0 = no word; "label" (batch,); "pooled" (batch, width), of a caption as a whole; "sizes" (batch, 6), the
    original height and width, top and left of the crop, target height and width.

    Args:
        unconditional: what stands for "not said", one value a condition. By default a caption of no words, and the
            extra class of a class-conditional transformer; Stable Diffusion 1 and 2 learnt the states of the empty
            text instead.
        size: side of a picture, pixels.
        data_std: standard deviation of the clean data.

    Raises:
        InputError: the scheduler has no table of noise levels, or the model wants what we cannot give.
    """
    require_uniform(model)
    schedule, prediction, steps, first = _read(scheduler)
    limit = scheduler.config.clip_sample_range if getattr(scheduler.config, "clip_sample", False) else inf
    shape = _shape(model, size)
    space = Predicted(shape, schedule, data_std, prediction=prediction, limit=limit)
    return NeuralDenoiser(
        Adapted(model, steps, first), Traits(space), {**unsaid(model, shape), **(unconditional or {})}
    )


@dataclass(frozen=True)
class Predicted(Euclidean):
    """Continuous data under a network that was trained to predict something else than we would ask for.

    Attributes:
        prediction: what the network's output is.
        limit: beliefs are kept in [−limit, limit], as schedulers with `clip_sample` do.
    """

    prediction: Prediction = "epsilon"
    limit: float = inf

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.noise_cov is not None:
            raise InputError("models of diffusers are trained under white noise, not under a noise_cov")
        if self.prediction == "epsilon" and self.schedule.alpha(1.0) == 0:
            raise InputError(
                "the scheduler ends in pure noise, where predicted noise says nothing of the data: expected "
                "prediction_type v_prediction or sample, found epsilon"
            )

    def inputs(self, x_t: State, t: Time) -> Float[Tensor, "batch ..."]:
        assert isinstance(x_t, Tensor)
        return x_t

    def belief(self, output: Any, x_t: State, t: Time) -> Normal:
        assert isinstance(x_t, Tensor)
        alpha, sigma = self._levels(t, x_t)
        predicted = require_shape(output, x_t.shape).to(x_t.dtype)
        if self.prediction == "epsilon":
            predicted = (x_t - sigma * predicted) / alpha
        elif self.prediction == "v_prediction":
            predicted = alpha * x_t - sigma * predicted
        elif self.prediction == "flow":
            predicted = x_t - sigma * predicted
        return Normal(self.project(predicted if self.limit == inf else predicted.clamp(-self.limit, self.limit)))


class Adapted(nn.Module):
    """A diffusers model that is called like one of ours, with (x, times, condition).

    Args:
        steps: N, how many noise levels it was trained on.
        first: the number of the first of them.
    """

    def __init__(self, model: nn.Module, steps: int, first: int) -> None:
        super().__init__()
        self.model, self.steps, self.first = model, steps, first
        takes = signature(model.forward).parameters
        self.names = {name: argument for name, argument in ARGUMENTS.items() if argument in takes}
        self.added = ADDED if config(model, "addition_embed_type") == "text_time" else {}
        self.masks = "encoder_attention_mask" in takes
        self.classes = classes(model)

    def timestep(self, t: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """τ; a whole number where t is one of the table's times, which float32 only nearly holds."""
        tau = (t.double() * self.steps - (1 - self.first)).clamp(min=0)
        whole = tau.round()
        return torch.where((tau - whole).abs() < 1e-3, whole, tau).float()

    def forward(
        self, x: Float[Tensor, "batch c h w"], t: Float[Tensor, " batch"], condition: Mapping[str, Tensor]
    ) -> Float[Tensor, "batch c h w"]:
        output = self.model(x, timestep=self.timestep(t), return_dict=False, **self._arguments(x, condition))[0]
        return output[:, : x.shape[1]]  # further channels are variances

    def _arguments(self, x: Tensor, condition: Mapping[str, Tensor]) -> dict[str, Any]:
        require_said(condition)
        require_class(condition, self.classes)
        given = {name: value.to(x) if value.is_floating_point() else value for name, value in condition.items()}
        told: dict[str, Any] = {argument: given[name] for name, argument in self.names.items() if name in given}
        if self.added:
            told["added_cond_kwargs"] = {argument: given[name] for name, argument in self.added.items()}
        if self.masks and "caption" in condition:
            said = (condition["caption"] != 0).any(-1)
            told |= {} if said.all() else {"encoder_attention_mask": said}
        return told


@dataclass(frozen=True)
class Autoencoder:
    """Between pictures (batch, channels, height, width) from −1 to 1 and latents of about unit variance.

    Both ways are differentiable: a factor may look at decoded pictures.

    Attributes:
        vae: diffusers' AutoencoderKL.
        scale, shift: latent = (code − shift) · scale.
    """

    vae: Any
    scale: Tensor
    shift: Tensor

    def encode(self, pictures: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch c2 h2 w2"]:
        """The means of the encoder's Gaussians."""
        code = self.vae.encode(pictures.to(self.vae.dtype)).latent_dist.mean
        return (code - self.shift.to(code)) * self.scale.to(code)

    def decode(self, latents: Float[Tensor, "batch c2 h2 w2"]) -> Float[Tensor, "batch c h w"]:
        """The pictures that latents stand for."""
        code = latents.to(self.vae.dtype)
        return self.vae.decode(code / self.scale.to(code) + self.shift.to(code)).sample


def autoencoder(
    folder: str | Path, *, dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu"
) -> Autoencoder:
    """The autoencoder of a pipeline's folder, or of its own. InputError as in `from_diffusers`.

    Args:
        dtype: of the numbers.
        device: where the tensors are.
    """
    root = Path(folder)
    where = next((path for path in (root, root / "vae") if (path / "config.json").is_file()), None)
    if where is None:
        raise InputError(f"{root}: no config.json and no folder vae; expected a saved pipeline or autoencoder")
    vae = _loaded(where, ("AutoencoderKL",), torch_dtype=dtype).requires_grad_(False).eval().to(device)
    mean, std = (config(vae, name) for name in ("latents_mean", "latents_std"))
    shift = torch.tensor(mean or [config(vae, "shift_factor") or 0.0])
    scale = vae.config.scaling_factor / torch.tensor(std or [1.0])
    return Autoencoder(vae, scale[:, None, None], shift[:, None, None])


# Reading folders --------------------------------------------------------------------------------------


def _diffusers() -> Any:
    try:
        return import_module("diffusers")
    except ModuleNotFoundError as error:
        raise InputError(f"models of diffusers need {error.name!r}: pip install 'ornstein[diffusers]'") from None


def _model_folder(root: Path) -> Path:
    for path in (root, root / "unet", root / "transformer"):
        if (path / "config.json").is_file():
            return path
    raise InputError(
        f"{root}: no config.json, neither there nor in unet or transformer; expected a folder saved by diffusers"
    )


def _loaded(folder: Path, classes: tuple[str, ...], **options: Any) -> Any:
    """The model in a folder, with all of its weights."""
    diffusers, name = _diffusers(), _named(folder / "config.json", "_class_name")
    if name not in (*classes, "Transformer2DModel"):  # as the transformers with classes were once called
        raise InputError(f"{folder}: a model of class {name}; expected {', '.join(classes)}")
    if not any(folder.glob("*.safetensors")):
        raise InputError(
            f"{folder}: no *.safetensors; other weights are not read, save them with safe_serialization=True"
        )
    options |= {"use_safetensors": True, "local_files_only": True, "output_loading_info": True}
    options["low_cpu_mem_usage"] = find_spec("accelerate") is not None  # else diffusers warns that it cannot
    try:
        model, info = getattr(diffusers, name).from_pretrained(str(folder), **options)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise InputError(f"{folder}: diffusers cannot load this model: {error}") from error
    if info["missing_keys"]:
        raise InputError(f"{folder}: the weights lack {', '.join(sorted(info['missing_keys'])[:5])}")
    return model


def _scheduler(root: Path) -> Any:
    """The scheduler in a pipeline's folder, or in one of its own."""
    diffusers = _diffusers()
    where = next((path for path in (root / "scheduler", root) if (path / "scheduler_config.json").is_file()), None)
    if where is None:
        raise InputError(f"{root}: no scheduler_config.json, neither there nor in scheduler; say scheduler=FOLDER")
    name = _named(where / "scheduler_config.json", "_class_name")
    if not name.endswith("Scheduler") or not hasattr(diffusers, name):
        raise InputError(f"{where}: diffusers has no scheduler {name}")
    try:
        return getattr(diffusers, name).from_pretrained(str(where), local_files_only=True)
    except (OSError, ValueError, NotImplementedError) as error:
        raise InputError(f"{where}: diffusers cannot read this scheduler: {error}") from error


def _named(path: Path, key: str) -> str:
    try:
        return str(json.loads(path.read_text())[key])
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path}: no JSON object with {key!r}; expected a file saved by diffusers") from None


# Reading schedulers and models ------------------------------------------------------------------------


def _read(scheduler: Any) -> tuple[Schedule, Prediction, int, int]:
    """The schedule, what the network predicts, the number of noise levels and that of the first of them."""
    name, steps = type(scheduler).__name__, scheduler.config.get("num_train_timesteps")
    if name in DISTILLED:
        raise InputError(
            f"{name}: a model distilled for few steps gives a sample, not the mean of all that x_t may come from; a "
            "model that was not distilled needs the scheduler it was trained with: scheduler=FOLDER"
        )
    prediction = scheduler.config.get("prediction_type", "flow_prediction" if name.startswith("FlowMatch") else None)
    if prediction == "flow_prediction":
        return RectifiedFlow(), "flow", steps, 1
    table = getattr(scheduler, "alphas_cumprod", None)
    if table is None:
        raise InputError(f"{name} has no table of noise levels (alphas_cumprod) and does not match flows")
    if prediction not in get_args(Prediction):
        raise InputError(f"{name}: prediction_type {prediction!r}; expected {', '.join(get_args(Prediction)[:3])}")
    return Tabulated(tuple(table.double().tolist())), prediction, len(table), 0


def _shape(model: Any, size: int | tuple[int, int] | None) -> tuple[int, int, int]:
    size = size if size is not None else config(model, "sample_size")
    if size is None:
        raise InputError("the model's configuration has no sample_size: say size=...")
    height, width = (size, size) if isinstance(size, int) else size
    return config(model, "in_channels"), height, width
