"""Markov chain Monte Carlo: exact samples of unnormalised densities."""
