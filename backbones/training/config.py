"""Settings of a training run: its stages, and their optimizer and learning-rate schedule."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from backbones.argument_checks import AboveZero, AtLeast, Below, Fraction, FromZero, Natural, Positive, check_fields
from backbones.errors import InputError, counted


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of a training run."""

    epochs: Positive = 40
    """Passes over the training images, where there are no stages."""
    stages: tuple[tuple[int, int, float], ...] = ()
    """In their order: (timesteps, epochs, peak learning rate); few timesteps first are cheap and keep early answers
    good. Empty: one stage of `epochs` at the network's T and `learning_rate`."""
    batch_size: Annotated[int, AtLeast(2)] = 64
    """Images a step (of each process, where there are several)."""
    accumulate: Positive = 1
    """Parts of a step's images, computed in turn: less memory, the same mean gradient (norm statistics are those of a
    part)."""
    loss: Literal["tet", "mean"] = "tet"
    """TET, or cross-entropy of the mean output."""
    mixing: Literal["none", "random-t", "mtt"] = "none"
    """random-t: a random number of timesteps, up to the stage's, in every step; mtt: a random number in every part of
    the network (see `mixed_time`)."""
    mtt_samples: Positive = 3
    """Draws of timesteps that MTT adds up in a step."""
    distill_weight: Fraction = 0.0
    """Weight of the teacher's soft targets in the loss."""
    distill_temperature: AboveZero = 4.0
    """Temperature of the soft targets."""
    tet_lambda: Fraction = 0.05
    """λ: the weight of TET's regulariser."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """AdamW, or SGD with Nesterov momentum 0.9."""
    schedule: Literal["onecycle", "cosine"] = "onecycle"
    """Learning-rate schedule of a stage; both end at (almost) 0."""
    warmup: Fraction = 0.3
    """The part of a stage's steps in which onecycle's rate rises."""
    learning_rate: AboveZero = 5e-3
    """The peak."""
    weight_decay: FromZero = 1e-2
    """L2 for SGD, decoupled for AdamW."""
    label_smoothing: Fraction = 0.0
    """Of the cross-entropy."""
    ema: Annotated[float, AtLeast(0), Below(1)] = 0.0
    """Decay per step of the moving average of the weights that is evaluated and kept; 0 keeps the last ones."""
    reestimate: Natural = 0
    """Batches from which norm statistics are estimated anew for the weights that are evaluated and kept; 0 keeps those
    of training. Averaged weights and mixed timesteps need about 20."""
    keep: Literal["last", "best"] = "last"
    """The weights after the last epoch, or after the last stage's best epoch on calibration at that stage's T."""
    crop: Natural = 0
    """Pixels of padding for random crops."""
    flip: bool = False
    """Mirror half of the images."""
    cutout: Natural = 0
    """Side of Cutout's square."""
    auto_augment: bool = False
    """AutoAugment's policy for CIFAR-10, between flip and Cutout."""
    roll: Natural = 0
    """Most pixels by which frames are rolled in each direction: the crop of event data."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16: convolutions and potentials while training, by autocast; weights and evaluation stay float32."""
    channels_last: bool = False
    """Memory format of weights and activations; the faster one depends on the machine."""
    compile: bool = False
    """Run the neurons' passes by torch.compile, which helps on a GPU."""
    own_statistics: bool = False
    """Each of several processes normalises by its own images, and only running estimates are averaged: faster, but the
    result depends on the number of processes."""
    seed: Natural = 0
    """Of the order of the images and their augmentation."""

    def __post_init__(self) -> None:
        check_fields(self)
        for stage in self.stages:
            if stage[0] < 1 or stage[1] < 1 or not 0 < stage[2] < math.inf:
                raise InputError(f"Expected stages (timesteps ≥ 1, epochs ≥ 1, rate > 0), got {stage}.")
        if self.batch_size % self.accumulate or self.batch_size // self.accumulate < 2:
            raise InputError(
                f"Expected accumulate to divide batch_size into parts of at least 2 images, got {self.accumulate} "
                f"and {self.batch_size}."
            )


@dataclass(frozen=True)
class Stage:
    """Epochs at one number of timesteps, with their own learning-rate schedule."""

    timesteps: int
    first: int
    """Its first epoch, from 0."""
    epochs: int
    learning_rate: float

    @property
    def end(self) -> int:
        """The first epoch after it."""
        return self.first + self.epochs


def stages_of(config: TrainingConfig, timesteps: int) -> tuple[Stage, ...]:
    """The stages of a run; an `InputError` where one has more than the network's `timesteps`."""
    plan = config.stages or ((timesteps, config.epochs, config.learning_rate),)
    stages: list[Stage] = []
    for T, epochs, rate in plan:
        if timesteps < T:
            raise InputError(f"Expected stages of at most the network's {counted(timesteps, 'timestep')}, got {T}.")
        stages.append(Stage(T, stages[-1].end if stages else 0, epochs, rate))
    return tuple(stages)
