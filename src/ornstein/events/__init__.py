"""Long work as a stream of events (stream), and what a person sees of it while they wait (progress)."""

from .stream import Event, Result, Stream, Streamed, finished, heard_by, part, streamed, tell

__all__ = ["Event", "Result", "Stream", "Streamed", "finished", "heard_by", "part", "streamed", "tell"]
