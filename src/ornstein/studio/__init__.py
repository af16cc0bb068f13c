"""The studio: a second front door beside the command line, in a browser and over HTTP. It knows no field.

A request is a JSON object of the command line's flags (forms.py), its work is the one stream of events that the terminal
reads, too, in a process of its own (worker.py), and what comes back is what the samples say of themselves (results.py).
"""
