"""Screenshots of TensorBoard and of the HTML report in docs/images.

python docs/screenshots.py     # needs the extras `browser` and `contrib`, and Chromium; a quarter of an hour

A comparison of the packaged policies of CIFAR-10, and a training of every algorithm on digits; both stay in `--runs`.
"""

import argparse
import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from tensorboard.program import TensorBoard

import agents
from agents.learners.training import ALGORITHMS
from agents.main import main as seenn
from seenn_env import Traces

COMPARE = (
    "compare --traces cifar10-jpeg --calibration cifar10-jpeg --rules confidence margin per-timestep-margin "
    "--policies ppo=cifar10-jpeg/ppo dqn=cifar10-jpeg/dqn exact=cifar10-jpeg/exact --targets 1.2 1.5 2"
)
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
POLICIES = "%5E(ppo|dqn|exact|confidence|per-timestep-margin)%24"
"""Runs of the picture that hides the references."""
ALL_VALUES = "text=Ignore outliers in chart scaling"
SETTINGS = '[aria-label="Toggle settings side pane"]'


@dataclass(frozen=True)
class Picture:
    """A page of TensorBoard."""

    address: str
    """What follows the server's."""
    size: tuple[int, int]
    clicks: tuple[str, ...] = ()


COMPARED = {
    "landing": Picture("?darkMode=false#timeseries", (1150, 1040), (SETTINGS,)),
    "custom-scalars": Picture(
        f"#custom_scalars&regexInput={POLICIES}",
        (1150, 760),
        (ALL_VALUES, 'paper-icon-button[icon="fullscreen"] >> nth=0'),
    ),
    "hparams": Picture(
        "#hparams",
        (1580, 420),
        tuple(
            f'paper-checkbox:has-text("{name}")'
            for name in ("algorithm", "kind", "macs_per_decision", "observation", "policy")
        ),
    ),
    "images": Picture("#images&tagFilter=pictures%2Fcurves", (1400, 980), ("text=Show actual image size",)),
}
TRAINED = {
    "training": Picture(
        "?darkMode=false&tagFilter=eval/(accuracy_at_target|mean_timesteps)#timeseries",
        (1150, 900),
        (SETTINGS, *(f"scalar-card >> nth={card} >> .expand-button" for card in (0, 1))),
    )
}


def main() -> None:
    """Make the runs that are missing, and all pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "images", help="folder of the pictures")
    parser.add_argument("--runs", type=Path, default=Path("runs/screenshots"), help="folder of the logs")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    comparison, training = arguments.runs / "comparison", arguments.runs / "training"
    if not comparison.exists():
        seenn([*COMPARE.split(), "--output", str(comparison)])
    if not training.exists():
        traces = Traces.merge(*(Traces.load("digits", split=split) for split in ("policy", "calibration")))
        for algorithm in ALGORITHMS:
            agents.train(algorithm, traces, target_timesteps=1.5, log_dir=training)
    save((comparison / "comparison.png").read_bytes(), arguments.output / "comparison.png")
    with chromium() as page:
        for folder, pictures in ((comparison / "tensorboard", COMPARED), (training, TRAINED)):
            server = serve(folder)
            for name, picture in pictures.items():
                save(photograph(page, server, picture), arguments.output / f"tensorboard-{name}.png")
        page.set_viewport_size({"width": 1000, "height": 1345})
        page.goto((comparison / "report.html").resolve().as_uri())
        page.wait_for_selector("#accuracy-plot .point")
        save(page.screenshot(), arguments.output / "report.png")


@contextmanager
def chromium() -> Iterator[Page]:
    """A page of the installed browser."""
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        yield browser.new_page(color_scheme="light")
        browser.close()


def serve(folder: Path) -> str:
    """Address of TensorBoard on a folder."""
    board = TensorBoard()
    board.configure(argv=["", "--logdir", str(folder), "--port", "0", "--host", "127.0.0.1"])
    return str(board.launch())


def photograph(page: Page, server: str, picture: Picture) -> bytes:
    """A PNG of a page of TensorBoard, which does not report when its last chart is drawn: hence the waits."""
    page.set_viewport_size(dict(zip(("width", "height"), picture.size, strict=True)))
    page.goto("about:blank")
    page.goto(server + picture.address, wait_until="domcontentloaded")
    page.wait_for_timeout(8000)
    for selector in picture.clicks:
        page.locator(selector).first.click()
        page.wait_for_timeout(1500)
    return page.screenshot()


def save(png: bytes, path: Path) -> None:
    """Write a PNG in its 200 most frequent colours, a third of the bytes."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    colors = sorted(picture.getcolors(1 << 24) or [], reverse=True)[:200]
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.array([color for _, color in colors], np.uint8).tobytes())
    picture.quantize(palette=palette, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main()
