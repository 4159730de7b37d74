"""Statistics that hold with a few seeds per variant. Pure functions of numbers.

Model: the accuracies of a variant's seeds are independent draws from a normal distribution, and
the standard deviation is the same for all variants of a sweep unless Bartlett's test says
otherwise. Then one pooled standard deviation with many degrees of freedom serves every variant,
and 2-3 seeds each give usable intervals (8 variants x 3 seeds: half-width 1.22 sd, not 2.48 sd).
Where the spreads differ and the test misses it, the noisiest variant's interval is too narrow.

A variant whose seeds all gave the same accuracy says that its spread is below what one image
resolves, or that its seeds do nothing (a model that predicts one class). Neither is a measurement
of chance, so such a variant is left out of the pooled deviation and of the test, and is given the
spread of the others: that is never too narrow, whichever of the two it was.

Sources: Student 1908 (t); Welch 1947 and Satterthwaite 1946 (unequal variances); Bartlett 1937;
Dunnett 1955, "A multiple comparison procedure for comparing several treatments with a control",
JASA 50 (simultaneous intervals); Genz & Bretz 2009 and Sidak 1967 (families of other shape); Holm
1979; McNemar 1947 and Newcombe 1998 (two checkpoints on the same images).
"""

from reports.stats.contrasts import (
    Verdict,
    Weights,
    contrast,
    p_value,
    t_critical,
    value_of,
    verdict,
)
from reports.stats.dunnett import dunnett_critical
from reports.stats.factorial import (
    AxisEffect,
    Interaction,
    Synergy,
    interactions,
    levels_of,
    main_effects,
)
from reports.stats.multiplicity import HolmTest, holm, holm_adjusted
from reports.stats.numbers import (
    CONFIDENCE,
    EQUAL,
    Estimate,
    Groups,
    Interval,
    mean,
    sample_sd,
    sampling_half_width,
)
from reports.stats.pairing import Paired, paired
from reports.stats.pareto import DOMINANCE, ParetoFront, ParetoPoint, pareto_front
from reports.stats.pooling import BARTLETT_LEVEL, SUSPICION_LEVEL, Spread, spread
from reports.stats.resampling import (
    IQM_NOTE,
    MIN_TASKS,
    InterquartileMean,
    bootstrap_iqm,
    generator_of,
    iqm,
)
from reports.stats.same_images import McNemar, mcnemar
from reports.stats.simultaneous import simultaneous_critical

__all__ = [
    "BARTLETT_LEVEL",
    "CONFIDENCE",
    "DOMINANCE",
    "EQUAL",
    "IQM_NOTE",
    "MIN_TASKS",
    "SUSPICION_LEVEL",
    "AxisEffect",
    "Estimate",
    "Groups",
    "HolmTest",
    "Interaction",
    "InterquartileMean",
    "Interval",
    "McNemar",
    "Paired",
    "ParetoFront",
    "ParetoPoint",
    "Spread",
    "Synergy",
    "Verdict",
    "Weights",
    "bootstrap_iqm",
    "contrast",
    "dunnett_critical",
    "generator_of",
    "holm",
    "holm_adjusted",
    "interactions",
    "iqm",
    "levels_of",
    "main_effects",
    "mcnemar",
    "mean",
    "p_value",
    "paired",
    "pareto_front",
    "sample_sd",
    "sampling_half_width",
    "simultaneous_critical",
    "spread",
    "t_critical",
    "value_of",
    "verdict",
]
