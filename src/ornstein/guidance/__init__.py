"""Guidance: what is known or wanted about x₀, as factors on a denoiser."""
