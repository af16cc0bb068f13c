"""Whether ensembles of fields say what they should: scores, ranks, spectra, simulation-based checks, recalibration.

One place for all domains: truths are (cases, *field), samples (cases, members, *field), missing values NaN.
"""

from .conformal import Conformal, Intervals
from .ensembles import Ensemble, gathered, latitude_weights
from .estimates import Estimate
from .members import RunningMembers
from .moments import MemberByMember, Widening
from .ranks import Coverage, RankHistogram, Ranks
from .recalibration import Recalibration, recalibrate
from .running import RunningCases
from .sbc import Cumulated, sbc, simulated, tarp
from .scores import brier, crps, energy_score, gaussian_crps, quantile_score
from .spectra import Along, Radial, Spectra, spectra, spectrum
from .spread import Reliability, SpreadSkill, reliability, spread_skill
from .uniform import Uniformity
from .variograms import Listed, Near, variogram_score

__all__ = [
    "Along",
    "Conformal",
    "Coverage",
    "Cumulated",
    "Ensemble",
    "Estimate",
    "Intervals",
    "Listed",
    "MemberByMember",
    "Near",
    "Radial",
    "RankHistogram",
    "Ranks",
    "Recalibration",
    "Reliability",
    "RunningCases",
    "RunningMembers",
    "Spectra",
    "SpreadSkill",
    "Uniformity",
    "Widening",
    "brier",
    "crps",
    "energy_score",
    "gathered",
    "gaussian_crps",
    "latitude_weights",
    "quantile_score",
    "recalibrate",
    "reliability",
    "sbc",
    "simulated",
    "spectra",
    "spectrum",
    "spread_skill",
    "tarp",
    "variogram_score",
]
