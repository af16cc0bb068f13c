"""What a model of weather is measured beside: the ways to make an ensemble of a forecast that need no network.

Fitted once to a training, then asked about other times; members are drawn by keys, records are read some at a time.
"""

from .fitted import NAMES, Baseline, Baselines, Drawn, fit
from .records import Arrays, Given, Records, held

__all__ = ["NAMES", "Arrays", "Baseline", "Baselines", "Drawn", "Given", "Records", "fit", "held"]
