"""Samples on the disk or at a URL while they are drawn, and how they are read again part by part."""
