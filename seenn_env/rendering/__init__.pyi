from .canvas import enlarge
from .episode import Episode, Score
from .frame import rgb_array
from .text import ansi

__all__ = [
    "Episode",
    "Score",
    "ansi",
    "enlarge",
    "rgb_array",
]
