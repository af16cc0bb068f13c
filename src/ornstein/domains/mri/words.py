"""What is said wherever an image of this domain is shown, written or judged."""

CLINICAL = "not for clinical use"
RETROSPECTIVE = "retrospective, simulated coils"
"""Of images whose k-space was calculated, not measured."""
