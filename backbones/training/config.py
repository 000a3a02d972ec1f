"""How a training run is divided into stages, and how the learning rate moves in each."""

from dataclasses import dataclass
from typing import Literal

from backbones.argument_checks import check_fields
from backbones.errors import InputError, unknown_name


@dataclass(frozen=True)
class TrainingConfig:
    """How a backbone is trained."""

    epochs: int = 40
    """Passes over the training images, where there are no stages."""
    stages: tuple[tuple[int, int, float], ...] = ()
    """One after another: (timesteps, epochs, peak learning rate); few timesteps first are cheap and keep
    early answers good. None: one stage of `epochs` at the network's T and `learning_rate`."""
    batch_size: int = 64
    """Images a step (of each process, where there are several)."""
    accumulate: int = 1
    """Parts that a step's images are taken in, one after another: less memory, the same mean gradient (norm
    statistics are those of a part)."""
    loss: Literal["tet", "mean"] = "tet"
    """TET, or cross-entropy of the mean output."""
    mixing: Literal["none", "random-t", "mtt"] = "none"
    """random-t: the whole network runs a random number of timesteps up to the stage's, another in every step;
    mtt: every part of the network runs a random number of its own (see `mixed_time`)."""
    mtt_samples: int = 3
    """How many draws of timesteps MTT adds up in a step."""
    distill_weight: float = 0.0
    """Share of the teacher's soft answers in the loss."""
    distill_temperature: float = 4.0
    """Their temperature."""
    tet_lambda: float = 0.05
    """λ: the weight of TET's regulariser."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """AdamW, or SGD with Nesterov momentum 0.9."""
    schedule: Literal["onecycle", "cosine"] = "onecycle"
    """How the learning rate moves over the steps of a stage; both end at (almost) 0."""
    warmup: float = 0.3
    """The part of a stage's steps in which onecycle's rate rises."""
    learning_rate: float = 5e-3
    """The peak."""
    weight_decay: float = 1e-2
    """L2 for SGD, decoupled for AdamW."""
    label_smoothing: float = 0.0
    """Of the cross-entropy."""
    ema: float = 0.0
    """Decay per step of the moving average of the weights that is evaluated and kept; 0 keeps the last ones."""
    reestimate: int = 0
    """Batches from which norm statistics are estimated anew for the weights that are evaluated and kept; 0 keeps
    training's own. Averaged weights and mixed timesteps want about 20."""
    keep: Literal["last", "best"] = "last"
    """The weights after the last epoch, or after the last stage's best epoch on calibration at that stage's T."""
    crop: int = 0
    """Pixels of padding for random crops."""
    flip: bool = False
    """Mirror half of the images."""
    cutout: int = 0
    """Side of Cutout's square."""
    auto_augment: bool = False
    """AutoAugment's policy for CIFAR-10, between flip and Cutout."""
    roll: int = 0
    """The most pixels by which frames are rolled in each direction: event data's crop."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16: convolutions and potentials while training, by autocast; weights and evaluation stay float32."""
    channels_last: bool = False
    """Memory format of weights and activations: which is faster depends on the machine."""
    compile: bool = False
    """Run the neurons' passes by torch.compile: worth its start on a GPU, little on a CPU."""
    own_statistics: bool = False
    """Of several processes, each normalises by its own images and only running estimates are averaged, which is
    faster; the result then depends on the number of processes."""
    seed: int = 0
    """Of the order of the images and their augmentation."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.epochs < 1 or self.batch_size < 2:
            raise InputError(f"Expected epochs ≥ 1 and batch_size ≥ 2, got {self.epochs} and {self.batch_size}.")
        for stage in self.stages:
            if len(stage) != 3 or stage[0] < 1 or stage[1] < 1 or not stage[2] > 0:
                raise InputError(f"Expected stages (timesteps ≥ 1, epochs ≥ 1, rate > 0), got {stage}.")
        if not 0 <= self.ema < 1:
            raise InputError(f"Expected ema in [0, 1), got {self.ema}.")
        if min(self.crop, self.cutout) < 0:
            raise InputError(f"Expected crop and cutout of at least 0, got {self.crop} and {self.cutout}.")
        if self.roll < 0:
            raise InputError(f"Expected a roll of at least 0, got {self.roll}.")
        if self.accumulate < 1 or self.batch_size % self.accumulate or self.batch_size // self.accumulate < 2:
            raise InputError(
                f"Expected accumulate to divide batch_size into parts of at least 2 images, got {self.accumulate} "
                f"and {self.batch_size}."
            )
        if not 0 <= self.distill_weight <= 1 or not self.distill_temperature > 0:
            raise InputError(
                "Expected distill_weight in [0, 1] and distill_temperature above 0, got "
                f"{self.distill_weight} and {self.distill_temperature}."
            )
        if self.mtt_samples < 1 or self.reestimate < 0:
            raise InputError(
                f"Expected mtt_samples ≥ 1 and reestimate ≥ 0, got {self.mtt_samples} and {self.reestimate}."
            )
        for kind, name, known in (
            ("mixing", self.mixing, ("none", "random-t", "mtt")),
            ("loss", self.loss, ("tet", "mean")),
            ("optimizer", self.optimizer, ("adamw", "sgd")),
            ("schedule", self.schedule, ("onecycle", "cosine")),
            ("precision", self.precision, ("float32", "bfloat16")),
            ("kind of weights to keep", self.keep, ("last", "best")),
        ):
            if name not in known:
                raise unknown_name(kind, name, known)


@dataclass(frozen=True)
class Stage:
    """Epochs at one number of timesteps, with a learning-rate schedule of their own."""

    timesteps: int
    first: int
    """The epoch it begins with, from 0."""
    epochs: int
    learning_rate: float

    @property
    def end(self) -> int:
        """The first epoch that is no longer its own."""
        return self.first + self.epochs


def stages_of(config: TrainingConfig, timesteps: int) -> tuple[Stage, ...]:
    """The stages of a run; `timesteps` is the network's T.

    Raises:
        InputError: where a stage has more timesteps than the network.
    """
    plan = config.stages or ((timesteps, config.epochs, config.learning_rate),)
    stages: list[Stage] = []
    for T, epochs, rate in plan:
        if timesteps < T:
            raise InputError(f"Expected stages of at most the network's {timesteps} timesteps, got {T}.")
        stages.append(Stage(T, stages[-1].end if stages else 0, epochs, rate))
    return tuple(stages)
