"""`seenn classify`: images through a live backbone and a policy."""

from __future__ import annotations

import csv
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from tqdm import tqdm

import backbones as bb
from agents import deployment
from agents.commands.data import DataOptions
from agents.commands.output import check_file, on_terminal, print_json
from agents.commands.policies import named_policy
from agents.commands.stated_default import Stated
from agents.commands.unused_options import refuse_unused
from backbones import InputError
from backbones.argument_checks import Natural, Positive
from backbones.atomic import open_atomic
from backbones.data import check_fit
from backbones.errors import counted, printable

COLUMNS = ("name", "prediction", "class", "timesteps", "confidence", "problem")


@dataclass(frozen=True)
class Classify:
    """Classify images; the network stops for each image where the policy exits.

    The output has one line for each image, as comma-separated values: its name, class, timesteps, confidence, and
    the problem of an image that cannot be used. The command exits with 1 where there is one.

    For example:

        seenn classify --backbone digits --dataset digits --policy margin --output runs/answers.csv
    """

    backbone: Path
    """File or packaged name of the backbone."""
    inputs: Stated[tuple[Path, ...]] = ()
    """Image files, or folders of them (default: none)."""
    dataset: str | None = None
    """Name of a dataset to classify instead of files."""
    data: tyro.conf.OmitArgPrefixes[DataOptions] = field(default_factory=DataOptions)
    """Place and division of the dataset."""
    split: str = "test"
    """Split of the dataset."""
    policy: str = "margin"
    """File of a policy, name of a packaged one, or of a rule: confidence, entropy, margin, gap, summed-confidence or
    patience."""
    threshold: Stated[float | None] = None
    """Threshold of the policy (default: its own)."""
    slots: Positive = 128
    """Slots of the pool: images that the network runs at once."""
    optimize: bool = False
    """Run the inference form: norms folded, memory reused; answers may differ by rounding."""
    resize: bool = False
    """Resize images of another size: the shorter side to the network's, then a crop of the middle."""
    as_completed: bool = False
    """Write each answer when it is complete, not in the order of the inputs."""
    class_names: Stated[tuple[str, ...]] = ()
    """Names of the classes, in order (default: the backbone's, else the dataset's, else numbers)."""
    energy_images: Natural = 256
    """Number of images, drawn at random, whose energy is counted afterwards; 0 for none."""
    output: Stated[Path | None] = None
    """File of the answers (default: they are printed)."""
    seed: Natural = 0
    """Seed of the dataset's division."""
    json: bool = False
    """Print one JSON object instead of text: the summary, and the answers unless they go to --output."""
    device: str = "cpu"
    """Device that the network runs on."""
    overwrite: bool = False
    """Replace an existing file."""

    def run(self) -> None:
        """Classify, and print the speed and the mean timesteps."""
        if bool(self.inputs) == (self.dataset is not None):
            given = "both" if self.inputs else "none"
            raise InputError(f"Expected either --inputs or a --dataset to classify, got {given}.")
        if self.dataset is None:
            self.data.refuse()
            refuse_unused(self, ["split", "seed"], "without a --dataset")
        else:
            refuse_unused(self, ["resize"], "with a --dataset")
        check_file(self.output, self)
        policy = named_policy(self.policy, self.threshold)
        network = bb.load(self.backbone, device=self.device)
        backbone = network.optimize() if self.optimize else network
        inputs: Any = list(self.inputs)
        labels, names = None, self.class_names or network.class_names
        if self.dataset is not None:
            inputs = self.data.load_for(network, self.dataset, self.seed)[self.split]
            own = network.class_names
            check_fit(inputs, network.num_classes, network.timesteps, network.sample_shape, class_names=own)
            labels, names = inputs.labels, names or inputs.class_names
        if names and len(names) != network.num_classes:
            raise InputError(f"Expected {network.num_classes} class names, got {len(names)} (--class-names).")
        settings: dict[str, Any] = {"num_slots": self.slots, "in_order": not self.as_completed, "resize": self.resize}
        sample = deployment.sample_of(backbone, self.energy_images)
        answers = deployment.answers(inputs, backbone, policy, sample=sample, **settings)
        total = None if labels is None else len(labels)
        count = broken = timesteps = right = 0
        begin = time.perf_counter()
        printed = None if self.json else sys.stdout
        kept: list[dict[str, Any]] = []
        with nullcontext(printed) if self.output is None else open_atomic(self.output, text=True) as file:
            table = None if file is None else csv.writer(file, lineterminator="\n")
            for answer in tqdm(answers, total=total, unit="image", disable=not (on_terminal() and self.output)):
                line = _line(answer, names)
                if table is None:
                    kept.append(
                        {name: None if value == "" else value for name, value in zip(COLUMNS, line, strict=True)}
                    )
                else:
                    line = tuple(map(printable, line)) if printed is file and sys.stdout.isatty() else line
                    table.writerows([line] if count else [COLUMNS, line])
                count += 1
                timesteps += answer.timesteps
                if answer.problem is not None:
                    broken += 1
                    print(printable(f"seenn: {answer.name} {answer.problem}"), file=sys.stderr)
                elif labels is not None:
                    right += int(labels[answer.place] == answer.prediction)
        used, seconds = count - broken, time.perf_counter() - begin
        found: dict[str, Any] = {"images": used, "broken": broken, "images_per_second": used / seconds}
        found |= {"mean_timesteps": timesteps / max(used, 1), "timesteps": network.timesteps}
        if labels is not None:
            found |= {"accuracy": right / max(used, 1), "split": self.split}
        energy = deployment.counted(sample)
        if energy is not None and energy.images:
            found["energy"] = {"mean_pj": energy.mean_pj, "images": energy.images, "seconds": energy.seconds}
        if self.json:
            print_json({**found, "answers": kept if self.output is None else str(self.output)})
        else:
            self._print(found)
        if broken:
            sys.exit(1)

    def _print(self, found: dict[str, Any]) -> None:
        """The summary as text, beside the answers."""
        to = sys.stderr if self.output is None else sys.stdout
        speed = f"{found['images_per_second']:.0f} images/s"
        summary = f"{counted(found['images'], 'image')}, {speed}, mean timesteps {found['mean_timesteps']:.3f}"
        if "accuracy" in found:
            summary += f" of {found['timesteps']}, accuracy {100 * found['accuracy']:.2f} % on {self.split}"
        if found["broken"]:
            summary += f"; {found['broken']} could not be used"
        print(summary, file=to)
        if "energy" in found:
            energy = found["energy"]
            print(
                f"energy {energy['mean_pj'] / 1e6:.4g} µJ an image: the network's operations up to the exit, counted "
                f"on {counted(energy['images'], 'random image')}{', in the plain form' * self.optimize} "
                f"({energy['seconds']:.1f} s)",
                file=to,
            )
        if self.output is not None:
            print("answers:", self.output)


def _line(answer: deployment.Answer, names: tuple[str, ...]) -> tuple[Any, ...]:
    """One answer in the order of `COLUMNS`."""
    if answer.problem is not None:
        return (answer.name, "", "", "", "", answer.problem)
    name = names[answer.prediction] if names else str(answer.prediction)
    return (answer.name, answer.prediction, name, answer.timesteps, np.round(answer.confidence, 6), "")
