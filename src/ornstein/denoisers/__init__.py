"""Denoisers: p(x₀ | x_t) as a callable, by a network, exactly, or made of others."""
