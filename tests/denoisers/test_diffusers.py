"""Wrapped diffusers models believe what diffusers' own schedulers predict, and sample what its pipelines sample."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import ornstein as on
from ornstein.beliefs import Normal
from ornstein.denoisers import diffusers as pipelines
from ornstein.denoisers.base import NeuralDenoiser
from ornstein.errors import InputError
from ornstein.guidance.operators import Mask
from ornstein.schedules import RectifiedFlow
from ornstein.testing import check_denoiser

diffusers: Any = pytest.importorskip("diffusers")

LEVELS, WIDTH = 100, 8
KINDS = ("epsilon", "v_prediction", "sample")
SMALL = {"sample_size": 8, "block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4}


def unet(**options: Any) -> Any:
    blocks = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    return diffusers.UNet2DModel(in_channels=3, out_channels=3, attention_head_dim=4, **SMALL, **blocks, **options)


def captioned(**options: Any) -> Any:
    blocks = {
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    }
    sizes = {**SMALL, **blocks, "in_channels": 4, "out_channels": 4, "cross_attention_dim": WIDTH}
    return diffusers.UNet2DConditionModel(attention_head_dim=4, **sizes, **options)


def dit() -> Any:
    """It predicts variances, too, and has three classes."""
    sizes = {"num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 1, "sample_size": 8}
    return diffusers.DiTTransformer2DModel(in_channels=4, out_channels=8, num_embeds_ada_norm=3, **sizes)


def pixart(**options: Any) -> Any:
    sizes = {"num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 1, "sample_size": 8}
    widths = {"cross_attention_dim": 16, "caption_channels": WIDTH, "in_channels": 4, "out_channels": 8}
    return diffusers.PixArtTransformer2DModel(norm_type="ada_norm_single", **sizes, **widths, **options)


def sd3() -> Any:
    sizes = {"num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 1, "sample_size": 8, "in_channels": 4}
    widths = {"joint_attention_dim": WIDTH, "caption_projection_dim": 16, "pooled_projection_dim": 6}
    return diffusers.SD3Transformer2DModel(out_channels=4, pos_embed_max_size=8, **sizes, **widths)


def ddim(**options: Any) -> Any:
    settings = {"num_train_timesteps": LEVELS, "beta_start": 1e-3, "beta_end": 0.2, "clip_sample": False}
    return diffusers.DDIMScheduler(**{**settings, **options})


def saved(folder: Path, model: Any, scheduler: Any, kind: str = "unet") -> Path:
    """A pipeline's folder, as far as it is read. A new network says 0 in places: its weights are shaken."""
    torch.manual_seed(0)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    model.save_pretrained(folder / kind)
    scheduler.save_pretrained(folder / "scheduler")
    return folder


def loaded(folder: Path, model: Any, scheduler: Any, **options: Any) -> NeuralDenoiser:
    return on.from_diffusers(saved(folder, model, scheduler), **options)


def inner(denoiser: NeuralDenoiser) -> Any:
    """The diffusers model itself."""
    return denoiser.network.model


def levels(denoiser: NeuralDenoiser, t: float) -> tuple[float, float]:
    assert denoiser.space.schedule_and_std is not None
    schedule = denoiser.space.schedule_and_std[0]
    return schedule.alpha(t).item(), schedule.sigma(t).item()


def states(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# Beliefs ------------------------------------------------------------------------------------------


def assert_believes_as(denoiser: NeuralDenoiser, scheduler: Any) -> None:
    """At the table's times the belief is what the scheduler calls the original sample."""
    scheduler.set_timesteps(LEVELS)
    x = states(2, *denoiser.space.shape)  # pyright: ignore[reportAttributeAccessIssue]
    for level in (0, 1, 37, LEVELS - 1):
        with torch.no_grad():
            output = inner(denoiser)(x, level).sample
        right = scheduler.step(output, level, x).pred_original_sample
        for t in ((level + 1) / LEVELS, torch.full((2,), (level + 1) / LEVELS)):
            torch.testing.assert_close(denoiser(x, t).mean, right, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("betas", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_beliefs_are_the_schedulers(kind: str, betas: str, tmp_path: Path) -> None:
    scheduler = ddim(prediction_type=kind, beta_schedule=betas)
    denoiser = loaded(tmp_path, unet(), scheduler)
    space: Any = denoiser.space
    assert_believes_as(denoiser, scheduler)
    for wrong in set(KINDS) - {kind}:
        with pytest.raises(AssertionError):
            assert_believes_as(denoiser.having(space=replace(space, prediction=wrong)), scheduler)


def test_beliefs_are_clipped_where_the_scheduler_clips(tmp_path: Path) -> None:
    scheduler = ddim(clip_sample=True, clip_sample_range=0.5)
    denoiser = loaded(tmp_path, unet(), scheduler)
    assert_believes_as(denoiser, scheduler)
    assert denoiser(states(2, 3, 8, 8), 0.9).mean.abs().max() == 0.5


def test_a_table_that_ends_in_pure_noise_takes_no_predicted_noise(tmp_path: Path) -> None:
    scheduler = ddim(rescale_betas_zero_snr=True, prediction_type="v_prediction")
    assert_believes_as(loaded(tmp_path, unet(), scheduler), scheduler)
    with pytest.raises(InputError, match="pure noise"):
        loaded(tmp_path, unet(), ddim(rescale_betas_zero_snr=True))


def test_flows_are_straight_lines(tmp_path: Path) -> None:
    """One Euler step of diffusers' flow, of a transformer that is told a caption and its summary."""
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(num_train_timesteps=LEVELS, shift=3.0)
    denoiser = on.from_diffusers(saved(tmp_path, sd3(), scheduler, "transformer"))
    assert denoiser.space.schedule_and_std == (RectifiedFlow(), 1.0)
    x, condition = states(2, 4, 8, 8), {"caption": states(2, 5, WIDTH), "pooled": states(2, 6)}
    scheduler.set_timesteps(10)
    t, s = (scheduler.sigmas[k].item() for k in (3, 4))
    with torch.no_grad():
        velocity = inner(denoiser)(x, condition["caption"], condition["pooled"], torch.full((2,), LEVELS * t)).sample
    scheduler.set_begin_index(3)
    right = scheduler.step(velocity, scheduler.timesteps[3], x).prev_sample
    step: Any = denoiser.space.step(x, denoiser(x, t, condition), t, s, 0.0)
    torch.testing.assert_close(step.mean, right)


# Samples ------------------------------------------------------------------------------------------


def ours(denoiser: NeuralDenoiser, timesteps: Tensor, start: Tensor) -> Tensor:
    """DDIM on a scheduler's own times."""
    grid = [(t + 1) / LEVELS for t in timesteps.tolist()] + [0.0]
    sampler = on.Sampler(grid, (on.Predictor(eta=0.0),))
    with torch.no_grad():
        return sampler.run(denoiser, on.Keys.of(0, len(start)), start=start)


@pytest.mark.parametrize("clip", [False, True])
def test_ddim_reproduces_the_pipeline(clip: bool, tmp_path: Path) -> None:
    scheduler = ddim(clip_sample=clip)
    denoiser = loaded(tmp_path, unet(), scheduler)
    pipe = diffusers.DDIMPipeline(unet=inner(denoiser), scheduler=scheduler)
    pipe.set_progress_bar_config(disable=True)
    options = {"num_inference_steps": 20, "output_type": "pt", "use_clipped_model_output": clip}
    theirs = pipe(batch_size=2, generator=torch.Generator().manual_seed(3), **options).images
    start = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(3))
    mine = ours(denoiser, pipe.scheduler.timesteps, start)
    torch.testing.assert_close((mine / 2 + 0.5).clamp(0, 1), theirs, rtol=0.0, atol=1e-4)
    late = ours(denoiser, pipe.scheduler.timesteps - 1, start)  # a table that is read one level off
    assert ((late / 2 + 0.5).clamp(0, 1) - theirs).abs().max() > 1e-4


def test_solvers_of_higher_order_converge_faster(tmp_path: Path) -> None:
    denoiser = loaded(tmp_path, unet(), ddim(prediction_type="v_prediction"))
    start, keys = states(2, 3, 8, 8), on.Keys.of(0, 2)

    def end(steps: int, order: int) -> Tensor:
        grid = on.grids.asinh(steps, denoiser.space)
        with torch.no_grad():
            return on.Sampler(grid, (on.Predictor(eta=0.0, order=order),)).run(denoiser, keys, start=start)

    fine = end(80, 3)
    errors = [(end(20, order) - fine).square().mean().sqrt().item() for order in (1, 2, 3)]
    assert errors[1] < errors[0] / 3
    assert errors[2] < errors[0] / 3


# Conditions ---------------------------------------------------------------------------------------


def test_guidance_is_the_formula(tmp_path: Path) -> None:
    nothing = states(5, WIDTH, seed=2)
    denoiser = loaded(tmp_path, captioned(), ddim(), unconditional={"caption": nothing})
    x, words, t = states(2, 4, 8, 8), states(5, WIDTH), 0.4
    guided = denoiser & on.ClassifierFreeGuidance({"caption": words}, scale=7.5)
    said, unsaid = (denoiser(x, t, {"caption": w.expand(2, -1, -1)}).mean for w in (words, nothing))
    torch.testing.assert_close(guided(x, t).mean, unsaid + 7.5 * (said - unsaid))
    torch.testing.assert_close(denoiser(x, t).mean, unsaid)
    assert (said - unsaid).abs().max() > 1e-3
    assert on.sample(guided, 2, steps=3).x.shape == (2, 4, 8, 8)


@pytest.mark.parametrize("make", [captioned, pixart], ids=["unet", "transformer"])
def test_rows_of_zeros_are_no_words(make: Callable[[], Any], tmp_path: Path) -> None:
    denoiser = loaded(tmp_path, make(), ddim())
    x, words = states(2, 4, 8, 8), states(2, 3, WIDTH)
    padded = torch.cat([words, torch.zeros(2, 4, WIDTH)], 1)
    short, long = (denoiser(x, 0.4, {"caption": w}).mean for w in (words, padded))
    torch.testing.assert_close(long, short)
    unmasked = inner(denoiser)(x, timestep=torch.tensor([39.0, 39.0]), encoder_hidden_states=padded).sample
    alpha, sigma = levels(denoiser, 0.4)
    assert ((x - sigma * unmasked[:, :4]) / alpha - short).abs().max() > 1e-4


def test_a_transformer_is_told_labels_or_none(tmp_path: Path) -> None:
    denoiser = loaded(tmp_path, dit(), ddim())
    x, label = states(2, 4, 8, 8), torch.tensor([0, 2])
    plain, none, told = (denoiser(x, 0.4, c).mean for c in (None, {"label": torch.tensor([3, 3])}, {"label": label}))
    torch.testing.assert_close(plain, none)
    assert (told - none).abs().max() > 1e-4
    first, second = ((denoiser & on.ClassifierFreeGuidance({"label": k}, scale=2.0))(x, 0.4).mean for k in (0, 1))
    assert (first - second).abs().max() > 1e-4


def test_a_unet_with_classes_must_be_told_one(tmp_path: Path) -> None:
    model = unet(num_class_embeds=4)
    denoiser, x = loaded(tmp_path, model, ddim()), states(2, 3, 8, 8)
    assert denoiser(x, 0.4, {"label": torch.tensor([0, 3])}).mean.shape == x.shape
    with pytest.raises(InputError, match="unconditional="):
        denoiser(x, 0.4)
    with_none = on.from_diffusers(tmp_path, unconditional={"label": torch.tensor(3)})
    torch.testing.assert_close(with_none(x, 0.4).mean, denoiser(x, 0.4, {"label": torch.tensor([3, 3])}).mean)


def test_the_larger_unets_are_told_a_summary_and_sizes(tmp_path: Path) -> None:
    added = {"addition_embed_type": "text_time", "addition_time_embed_dim": 4}
    denoiser = loaded(tmp_path, captioned(**added, projection_class_embeddings_input_dim=24 + 6), ddim())
    x, condition = states(2, 4, 8, 8), {"caption": states(2, 5, WIDTH), "pooled": states(2, 6)}
    sizes = torch.tensor([64.0, 64, 0, 0, 64, 64])
    torch.testing.assert_close(denoiser.unconditional["sizes"], sizes)
    told = {"text_embeds": condition["pooled"], "time_ids": sizes.expand(2, -1)}
    with torch.no_grad():
        noise = inner(denoiser)(x, 39, condition["caption"], added_cond_kwargs=told).sample
    alpha, sigma = levels(denoiser, 0.4)
    torch.testing.assert_close(denoiser(x, 0.4, condition).mean, (x - sigma * noise) / alpha)


def test_a_transformer_saved_under_its_former_name_is_known(tmp_path: Path) -> None:
    saved(tmp_path, dit(), ddim())
    config = tmp_path / "unet" / "config.json"
    config.write_text(config.read_text().replace("DiTTransformer2DModel", "Transformer2DModel"))
    assert type(inner(on.from_diffusers(tmp_path))).__name__ == "DiTTransformer2DModel"


def test_an_unknown_condition_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="caption"):
        loaded(tmp_path, captioned(), ddim())(states(1, 4, 8, 8), 0.4, {"captions": states(1, 5, WIDTH)})


# As any denoiser ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "condition", "claims"),
    [(unet, {}, 11), (captioned, {"caption": states(3, 5, WIDTH)}, 10), (dit, {"label": torch.tensor([0, 1, 2])}, 10)],
    ids=["unet", "captioned", "transformer"],
)
def test_it_conforms(make: Callable[[], Any], condition: dict[str, Tensor], claims: int, tmp_path: Path) -> None:
    denoiser = loaded(tmp_path, make(), ddim())
    assert check_denoiser(denoiser, condition=condition, tolerance=1e-4) == claims


def test_a_measurement_pulls_samples_to_what_was_seen(tmp_path: Path) -> None:
    denoiser = loaded(tmp_path, unet(), ddim(prediction_type="v_prediction"), data_std=0.5)
    seen = torch.zeros(3, 8, 8, dtype=torch.bool)
    seen[:, :2] = True
    value = torch.full((int(seen.sum()),), 0.3)
    found = on.sample(denoiser & on.Measurement(value, Mask(seen), 0.01), 2, steps=5).x[:, seen]
    assert (found - 0.3).abs().mean() < 0.05 < (on.sample(denoiser, 2, steps=5).x[:, seen] - 0.3).abs().mean()


def test_a_loss_reaches_the_weights(tmp_path: Path) -> None:
    """Fine-tuning is training."""
    denoiser = loaded(tmp_path, unet(), ddim())
    denoiser.network.requires_grad_(True)
    x0, t = states(2, 3, 8, 8), torch.tensor([0.3, 0.7])
    denoiser.losses(x0, t, {}, on.Keys.of(0, 2)).mean().backward()
    assert all(weight.grad is not None for weight in denoiser.network.parameters())


def test_half_precision_weights_serve_states_of_single_precision(tmp_path: Path) -> None:
    denoiser = loaded(tmp_path, unet(), ddim(prediction_type="v_prediction"), dtype=torch.bfloat16)
    belief = denoiser(states(2, 3, 8, 8), 0.4)
    assert isinstance(belief, Normal)
    assert belief.mean.dtype == torch.float32


def test_pictures_go_to_latents_and_back_as_in_the_pipeline(tmp_path: Path) -> None:
    sizes = {"block_out_channels": (8, 8), "norm_num_groups": 4, "latent_channels": 4}
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    vae = diffusers.AutoencoderKL(**sizes, **blocks, scaling_factor=0.2, shift_factor=0.1)
    vae.save_pretrained(tmp_path / "vae")
    coder, pictures = pipelines.autoencoder(tmp_path), states(2, 3, 16, 16).clamp(-1, 1)
    latents = coder.encode(pictures)
    assert latents.shape == (2, 4, 8, 8)
    torch.testing.assert_close(latents, (vae.encode(pictures).latent_dist.mode() - 0.1) * 0.2)
    torch.testing.assert_close(coder.decode(latents), vae.decode(latents / 0.2 + 0.1).sample)


# Refusals -----------------------------------------------------------------------------------------


def test_a_bare_model_takes_its_scheduler_from_elsewhere(tmp_path: Path) -> None:
    saved(tmp_path, unet(), ddim())
    with pytest.raises(InputError, match="scheduler=FOLDER"):
        on.from_diffusers(tmp_path / "unet")
    bare = on.from_diffusers(tmp_path / "unet", scheduler=tmp_path / "scheduler", size=(8, 16))
    assert bare.space.shape == (3, 8, 16)  # pyright: ignore[reportAttributeAccessIssue]


def test_missing_folders_and_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.json"):
        on.from_diffusers(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"config\.json"):
        pipelines.autoencoder(tmp_path)
    saved(tmp_path, unet(), ddim())
    weights = next((tmp_path / "unet").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(InputError, match="cannot load"):
        on.from_diffusers(tmp_path)
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(InputError, match="safetensors"):
        on.from_diffusers(tmp_path)


def test_weights_that_are_not_there_are_not_made_up(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    saved(tmp_path, unet(), ddim())
    path = next((tmp_path / "unet").glob("*.safetensors"))
    save_file({name: value for name, value in load_file(path).items() if name != "conv_in.bias"}, path)
    with pytest.raises(InputError, match=r"lack conv_in\.bias"):
        on.from_diffusers(tmp_path)


@pytest.mark.parametrize(
    ("model", "scheduler", "reason"),
    [
        (lambda: unet(), lambda: ddim(prediction_type="flux"), "'flux'"),
        (lambda: unet(), lambda: diffusers.EDMEulerScheduler(), "alphas_cumprod"),
        (lambda: unet(class_embed_type="timestep"), ddim, "class_embed_type"),
        (lambda: diffusers.UNet1DModel(), ddim, "UNet1DModel"),
        (lambda: captioned(addition_embed_type="image", encoder_hid_dim=4), ddim, "addition_embed_type"),
        (lambda: captioned(time_cond_proj_dim=8), ddim, "time_cond_proj_dim 8"),
        (lambda: captioned(encoder_hid_dim=4, encoder_hid_dim_type="image_proj"), ddim, "encoder_hid_dim_type"),
        (lambda: captioned(attention_type="gated"), ddim, "attention_type 'gated'"),
        (lambda: pixart(use_additional_conditions=True), ddim, "use_additional_conditions True"),
        (lambda: unet(), lambda: diffusers.LCMScheduler(), "LCMScheduler: a model distilled for few steps"),
        (lambda: unet(), lambda: diffusers.TCDScheduler(), "TCDScheduler: a model distilled for few steps"),
    ],
)
def test_what_is_not_understood_is_refused(
    model: Callable[[], Any], scheduler: Callable[[], Any], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=reason):
        loaded(tmp_path, model(), scheduler())


@pytest.mark.parametrize(
    ("make", "condition", "message"),
    [
        (dit, {"label": torch.tensor([12])}, "'label' holds 12, expected whole numbers from 0 to 3"),
        (dit, {"label": torch.tensor([1.5])}, "'label' holds torch.float32, expected whole numbers"),
        (dit, {"label": torch.tensor([[1]])}, r"'label' has the shape \(1, 1\), expected \(batch\)"),
        (lambda: unet(num_class_embeds=10), {"label": torch.tensor([10])}, "'label' holds 10, .* 0 to 9"),
        (captioned, {"caption": torch.zeros(1, 5, WIDTH + 1)}, r"\(1, 5, 9\), expected \(batch, \.\.\., 8\)"),
        (captioned, {"caption": torch.zeros(1, WIDTH)}, r"\(1, 8\), expected \(batch, \.\.\., 8\)"),
        (sd3, {"pooled": torch.zeros(1, 7)}, r"'pooled' has the shape \(1, 7\), expected \(batch, 6\)"),
    ],
)
def test_conditions_of_other_sizes_are_refused(
    make: Callable[[], Any], condition: dict[str, Tensor], message: str, tmp_path: Path
) -> None:
    denoiser = loaded(tmp_path, make(), ddim())
    x = torch.zeros(1, *denoiser.space.shape)  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(InputError, match=message):
        denoiser(x, 0.4, condition)


def test_the_last_label_and_any_number_of_words_are_taken(tmp_path: Path) -> None:
    assert loaded(tmp_path / "dit", dit(), ddim())(torch.zeros(1, 4, 8, 8), 0.4, {"label": torch.tensor([3])})
    for words in (1, 77):
        told = {"caption": torch.ones(1, words, WIDTH)}
        assert loaded(tmp_path / f"{words}", captioned(), ddim())(torch.zeros(1, 4, 8, 8), 0.4, told)


def test_without_diffusers_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    saved(tmp_path, unet(), ddim())
    monkeypatch.setitem(__import__("sys").modules, "diffusers", None)
    with pytest.raises(InputError, match=r"ornstein\[diffusers\]"):
        on.from_diffusers(tmp_path)
