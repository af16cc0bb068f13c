"""Events of thresholds: how they are written, when they happen, and how probable they are."""
