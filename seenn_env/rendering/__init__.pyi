from .canvas import enlarge
from .episode import Episode
from .frame import rgb_array
from .text import ansi

__all__ = [
    "Episode",
    "ansi",
    "enlarge",
    "rgb_array",
]
