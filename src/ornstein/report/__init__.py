"""The report: one self-contained HTML page from figures, scores and manifests. It knows no domain."""
