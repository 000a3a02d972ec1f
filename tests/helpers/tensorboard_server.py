"""Logs of TensorBoard read back: by its own server, as its pages do, or from the files of a run."""

import json
import time
import urllib.parse
import urllib.request

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.program import TensorBoard


class Server:
    """TensorBoard on a folder, once it has read `runs` runs.

    It reads the folder once: a thread that reads on would run beside all later tests, and its 17 MB of memory counts
    in those that measure theirs.
    """

    def __init__(self, folder, *, runs: int) -> None:
        board = TensorBoard()
        options = {"logdir": folder, "port": 0, "host": "127.0.0.1", "load_fast": "false", "reload_interval": 0}
        board.configure(argv=["", *(f"--{name}={value}" for name, value in options.items())])
        self.url = board.launch()
        end = time.monotonic() + 60
        while len(self.json("scalars/tags")) < runs and time.monotonic() < end:
            time.sleep(0.2)

    def get(self, path: str, *, body: dict | None = None, **query) -> bytes:
        """The answer to a request of the page's own kind."""
        address = f"{self.url}data/plugin/{path}?{urllib.parse.urlencode(query)}"
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if data else {}
        with urllib.request.urlopen(urllib.request.Request(address, data, headers)) as answer:
            return answer.read()

    def json(self, path: str, **query):
        """Likewise, decoded."""
        return json.loads(self.get(path, **query))

    def scalars(self, run: str, tag: str) -> dict[int, float]:
        """`{step: value}`."""
        return {step: value for _, step, value in self.json("scalars/scalars", run=run, tag=tag)}


def scalars(folder):
    """`{tag: {step: value}}` of a run."""
    log = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {tag: {event.step: event.value for event in log.Scalars(tag)} for tag in log.Tags()["scalars"]}
