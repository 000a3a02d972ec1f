from .bootstrap import Clusters, DifferenceInterval, Interval, across_seeds, mean_interval
from .comparison import check_members, compare
from .curve_area import Endpoint, MatchedCurve, matched_curve
from .learning_headroom import Headroom, headroom
from .matched_accuracy import paired_difference
from .multiple_comparisons import holm, max_t
from .result import Comparison

__all__ = [
    "Clusters",
    "Comparison",
    "DifferenceInterval",
    "Endpoint",
    "Headroom",
    "Interval",
    "MatchedCurve",
    "across_seeds",
    "check_members",
    "compare",
    "headroom",
    "holm",
    "matched_curve",
    "max_t",
    "mean_interval",
    "paired_difference",
]
