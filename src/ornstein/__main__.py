"""`python -m ornstein`: the command line, as launchers such as torchrun start it."""

from .cli import main

if __name__ == "__main__":
    raise SystemExit(main())
