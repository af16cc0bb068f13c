"""Fields in bases of waves: transforms (the bases), roots (covariances with a root), shells (spectra as few numbers),
borders (how fields end)."""
