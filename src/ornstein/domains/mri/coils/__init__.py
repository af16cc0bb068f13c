"""Receiver coils: their maps, their noise, their number; and the phase and scale of what they see."""
