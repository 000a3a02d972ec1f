from .canvas import enlarge
from .episode import Episode, Score
from .frame import HEIGHT, check_size, rgb_array
from .text import ansi

__all__ = [
    "HEIGHT",
    "Episode",
    "Score",
    "ansi",
    "check_size",
    "enlarge",
    "rgb_array",
]
