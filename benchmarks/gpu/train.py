"""ResNet-19 on CIFAR-10 within a number of seconds on one GPU, and everything that must come back; see train.sh.

Needs torch, torchvision, NumPy, pillow and tqdm. In OUT, complete at any moment, no file above 15 MiB:

state.json, weights-EEE-N.safetensors    plan, epochs done, and the weights after them (bfloat16, averaged over steps)
log.jsonl                                a line an epoch: T, loss, images a second, accuracy on calibration now and then
traces.safetensors                       logits of policy, calibration and test, float16, of exactly these weights
result.json                              accuracy at each timestep, oracle, the same network without time, versions

Called again with the same OUT it continues after the last whole epoch. `--resume FOLDER` starts from the weights that
an earlier call brought back, and trains at T = 4 alone. All figures of the archive are of CIFAR-10 (JPEG copy).
"""

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import images
import numpy as np
import torch
import weights

import backbones as bb
from backbones import TrainingConfig, data
from backbones.contract import accuracy, make_keys, run
from backbones.machine import ProcessGroup
from backbones.networks import SpikingNetwork
from backbones.tensor_files import save_tensor_file
from backbones.training import (
    RunState,
    calibration_accuracy,
    make_optimizer,
    reestimate_norms,
    run_epoch,
    statistics_batches,
    steps_of,
)

T = 4
FIRST_SHARE = 0.45
"""Of the seconds for training: at T = 1."""
RATES = {"first": 0.2, "then": 0.1, "resumed": 0.05}
"""Peak learning rates at T = 1, at T = 4 after it, and at T = 4 from earlier weights."""
WITHOUT_TIME = 75.0
"""Seconds kept for the network without time."""
RECORDING = 25.0
"""Seconds kept for norm statistics and traces."""
WATCH_EVERY = 5
"""Epochs between evaluations on calibration."""
SPLITS = ("policy", "calibration", "test")


def config_of(*, dry: bool = False) -> TrainingConfig:
    """The settings of both networks, but for stages."""
    return TrainingConfig(
        batch_size=20 if dry else 512,
        loss="tet",
        tet_lambda=0.0,
        optimizer="sgd",
        weight_decay=5e-4,
        warmup=0.2,
        label_smoothing=0.1,
        ema=0.998,
        reestimate=2 if dry else 40,
        crop=4,
        flip=True,
        cutout=16,
        precision="float32" if dry else "bfloat16",
        channels_last=True,
        compile=not dry,
        seed=0,
    )


def make_network(samples: bb.Samples, device: str, width: int, **settings: Any) -> SpikingNetwork:
    """ResNet-19 for these images, ready for training."""
    some = samples.images[::9] / 255
    network = bb.build(
        "resnet19",
        num_classes=10,
        mean=some.mean((0, 2, 3)).round(4).tolist(),
        std=some.std((0, 2, 3)).round(4).tolist(),
        seed=0,
        width=width,
        **settings,
    )
    return network.to(device).to(memory_format=torch.channels_last)


class Trainer:
    """Epochs of one network at one number of timesteps, on one schedule.

    Args:
        network: trained in place.
        samples: to learn from.
        config: the settings.
        timesteps: T of the epochs.
        epochs: of the whole schedule.
        rate: its peak.
        done: epochs of it that are over.
    """

    def __init__(
        self,
        network: SpikingNetwork,
        samples: bb.Samples,
        config: TrainingConfig,
        timesteps: int,
        epochs: int,
        rate: float,
        done: int = 0,
    ) -> None:
        self.samples, self.config, self.timesteps, self.done = samples, config, timesteps, done
        self.state = RunState(network, config, "")
        network.compiled = config.compile
        steps = steps_of(samples, config, ProcessGroup())
        self.optimizer, self.schedule = make_optimizer(network, config, rate, epochs * steps)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a schedule that moves before the optimizer
            for _ in range(done * steps):
                self.schedule.step()

    def epoch(self, number: int | None = None) -> tuple[float, float]:
        """One epoch: its mean loss, and images a second."""
        began = time.perf_counter()
        place = self.done if number is None else number
        loss = run_epoch(
            self.state, self.samples, self.timesteps, self.optimizer, self.schedule, place, group=ProcessGroup()
        )
        self.done += 1
        seen = steps_of(self.samples, self.config, ProcessGroup()) * min(self.config.batch_size, len(self.samples))
        return loss, seen / (time.perf_counter() - began)


class Run:
    """A call of this program: its folder, its clock, its data."""

    def __init__(self, settings: argparse.Namespace) -> None:
        self.out: Path = settings.out
        self.ends = settings.began + settings.budget
        self.device, self.dry, self.resume, self.width = (
            settings.device,
            settings.dry_run,
            settings.resume,
            settings.width,
        )
        self.probe_seconds: float = settings.probe
        self.config = config_of(dry=self.dry)
        self.splits = images.read(settings.data)
        self.log("images", {name: len(self.splits[name]) for name in data.SPLITS})

    def left(self) -> float:
        """Seconds until the budget is spent."""
        return self.ends - time.time()

    def log(self, what: str, facts: dict[str, Any]) -> None:
        """Print a line, and append it to the log."""
        line = json.dumps({"what": what, "seconds_left": round(self.left(), 1), **facts})
        print(line, flush=True)
        with (self.out / "log.jsonl").open("a") as file:
            file.write(line + "\n")

    def network(self) -> tuple[SpikingNetwork, dict[str, Any]]:
        """The network to train, and its plan and progress."""
        if (self.out / weights.STATE).is_file():
            network, state = weights.restore(self.out, self.device)
            return network.to(memory_format=torch.channels_last), state
        if self.resume is not None:
            network, earlier = weights.restore(self.resume, self.device)
            network = network.to(memory_format=torch.channels_last)
            speeds = self.probe(network, (T,))
            plan = [[T, self.epochs(speeds[T], 1.0), RATES["resumed"]]]
            before = {"epochs_before": earlier["epoch"] + earlier.get("epochs_before", 0)}
        else:
            network = make_network(self.splits.train, self.device, self.width, timesteps=T, norm="tdbn-per-timestep")
            speeds, before = self.probe(network, (1, T)), {}
            first = self.epochs(speeds[1], FIRST_SHARE)
            plan = [[1, first, RATES["first"]], [T, self.epochs(speeds[T], 1 - FIRST_SHARE), RATES["then"]]]
        state = {"epoch": 0, "plan": plan, "images_per_second": {str(t): s for t, s in speeds.items()}, **before}
        return network, state

    def epochs(self, speed: float, share: float) -> int:
        """How many fit into a share of the seconds for training."""
        if self.dry:
            return 2
        seconds = self.left() - WITHOUT_TIME - RECORDING
        return max(1, int(0.95 * share * seconds * speed / len(self.splits.train)))

    def probe(self, network: SpikingNetwork, timesteps: tuple[int, ...]) -> dict[int, float]:
        """Training images a second at each number of timesteps; the network stays as it is."""
        before = {name: value.clone() for name, value in network.state_dict().items()}
        few = self.splits.train.select(slice(0, min(len(self.splits.train), 8 * self.config.batch_size)))
        speeds = {}
        for t in timesteps:
            trainer = Trainer(network, few, self.config, t, 1000, 1e-3)
            ends, seen = time.perf_counter() + self.probe_seconds / len(timesteps), []
            while len(seen) < 2 or time.perf_counter() < ends:
                seen.append(trainer.epoch()[1])
            speeds[t] = float(np.median(seen[1:]))  # the first one compiles kernels
        network.load_state_dict(before)
        self.log("probe", {"images_per_second": speeds})
        return speeds

    def train(self) -> SpikingNetwork:
        """All epochs of the plan, or as many as the seconds allow; gives the network that is kept."""
        network, state = self.network()
        note = {key: value for key, value in state.items() if key not in ("epoch", "files", "config")}
        done, first, kept = state["epoch"], 0, None
        for timesteps, epochs, rate in note["plan"]:
            if first <= done < first + epochs:
                trainer = Trainer(network, self.splits.train, self.config, timesteps, epochs, rate, done - first)
                while done < first + epochs:
                    began = time.perf_counter()
                    loss, speed = trainer.epoch(done + note.get("epochs_before", 0))
                    done += 1
                    last = done == first + epochs
                    with trainer.state.averaged():
                        weights.keep(network, self.out, done, note)
                        facts: dict[str, Any] = {
                            "epoch": done,
                            "T": timesteps,
                            "loss": loss,
                            "images_per_second": speed,
                        }
                        if done % WATCH_EVERY == 0 or last:
                            right = calibration_accuracy(network, self.splits, timesteps)
                            facts["calibration"] = [round(float(value), 4) for value in right]
                        kept = {name: value.clone() for name, value in network.state_dict().items()} if last else None
                    self.log("epoch", facts)
                    took = time.perf_counter() - began
                    if not self.dry and self.left() < took + WITHOUT_TIME + RECORDING:
                        self.log("stopped", {"epochs_left": sum(stage[1] for stage in note["plan"]) - done})
                        break
                if kept is not None:
                    network.load_state_dict(kept)  # the average, from which training continues
                else:
                    network = weights.restore(self.out, self.device)[0]
                    break
            first += epochs
        return self.finish(network, note, done)

    def finish(self, network: SpikingNetwork, note: dict[str, Any], done: int) -> SpikingNetwork:
        """Norm statistics estimated anew for the weights that are kept, which are written once more."""
        if note.get("finished_after") != done:
            network.to(memory_format=torch.channels_last)
            reestimate_norms(network, statistics_batches(network, self.config, self.splits.train, done), T)
            network = weights.rounded(network)
            weights.keep(network, self.out, done, {**note, "finished_after": done})
        return network.to(memory_format=torch.contiguous_format).eval()

    def record(self, network: SpikingNetwork) -> dict[str, Any]:
        """Write the traces; gives accuracy at each timestep and the oracle of each split."""
        torch.backends.cudnn.allow_tf32 = False  # float32 is float32
        parts: dict[str, list[np.ndarray]] = {name: [] for name in ("logits", "labels", "sample", "split")}
        facts: dict[str, Any] = {}
        for name in SPLITS:
            samples = self.splits[name]
            logits = np.empty((len(samples), T, network.num_classes), np.float16)
            for rows, batch in run(
                network, samples.images, make_keys(samples.index), batch_size=16 if self.dry else 500
            ):
                logits[rows] = batch.float().cpu().numpy().astype(np.float16)
            right = logits.argmax(-1) == samples.labels[:, None]
            exits = np.where(right.any(1), right.argmax(1) + 1, 1)
            facts[name] = {"accuracy": right.mean(0).tolist(), "oracle": [right.any(1).mean(), exits.mean()]}
            codes = np.full(len(samples), data.SPLITS.index(name), np.uint8)
            for key, value in zip(parts, (logits, samples.labels, samples.index, codes), strict=True):
                parts[key].append(value)
        tensors = {key: torch.from_numpy(np.concatenate(value)) for key, value in parts.items()}
        about = {"fingerprint": network.fingerprint, "dataset": self.splits.test.dataset}
        about["class_names"] = json.dumps(self.splits.test.class_names)
        save_tensor_file(self.out / "traces.safetensors", tensors, {"format": "seenn_env.raw_logits/1", **about})
        return facts

    def without_time(self) -> dict[str, Any]:
        """The same network with ReLUs in place of neurons, trained in the remaining seconds."""
        network = make_network(self.splits.train, self.device, self.width, timesteps=1, neuron="relu", norm="tdbn")
        few = self.splits.train.select(slice(0, min(len(self.splits.train), 8 * self.config.batch_size)))
        probe = Trainer(network, few, self.config, 1, 1000, 1e-4)
        speed = [probe.epoch()[1] for _ in range(3)][-1]
        epochs = 2 if self.dry else max(1, int(0.85 * (self.left() - 5) * speed / len(self.splits.train)))
        network = make_network(self.splits.train, self.device, self.width, timesteps=1, neuron="relu", norm="tdbn")
        trainer = Trainer(network, self.splits.train, self.config, 1, epochs, RATES["first"])
        while trainer.done < epochs:
            loss, speed = trainer.epoch()
            self.log("without time", {"epoch": trainer.done, "loss": loss, "images_per_second": speed})
            if not self.dry and self.left() < 4 + len(self.splits.train) / speed:
                break
        with trainer.state.averaged():
            reestimate_norms(network, statistics_batches(network, self.config, self.splits.train, trainer.done), 1)
            network.eval()
            right = {}
            for name in SPLITS:
                keys = make_keys(self.splits[name].index)
                found = accuracy(network, self.splits[name].images, self.splits[name].labels, keys)
                right[name] = float(found[-1])
        return {"accuracy": right, "epochs": trainer.done, "epochs_planned": epochs}

    def versions(self) -> dict[str, str]:
        """Software and hardware."""
        device = torch.cuda.get_device_name() if self.device == "cuda" else "CPU"
        return {"torch": torch.__version__, "numpy": np.__version__, "device": device}


def main() -> None:
    """Run the steps that are not complete."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path, help="the archive, or a folder of torchvision's CIFAR-10")
    parser.add_argument("out", type=Path)
    parser.add_argument("--resume", type=Path, help="folder of an earlier call's weights")
    parser.add_argument("--budget", type=float, default=520.0, help="seconds in all")
    parser.add_argument("--began", type=float, default=time.time(), help="since when (seconds since 1970)")
    parser.add_argument("--probe", type=float, default=15.0, help="seconds that set the number of epochs")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--dry-run", action="store_true", help="two epochs a stage, on the CPU, for any budget")
    settings = parser.parse_args()
    if settings.dry_run:
        settings.device, settings.width, settings.probe = "cpu", 4, 0.1
    settings.out.mkdir(parents=True, exist_ok=True)
    torch.backends.cudnn.benchmark = True
    this = Run(settings)
    result_file = settings.out / "result.json"
    result: dict[str, Any] = json.loads(result_file.read_text()) if result_file.is_file() else {}
    network = this.train()
    if result.get("fingerprint") != network.fingerprint:
        result |= {
            "data": this.splits.test.dataset,
            "sizes": this.splits.division["sizes"],
            "versions": this.versions(),
        }
        result |= {"fingerprint": network.fingerprint, "splits": this.record(network)}
        weights.write_json(result_file, result)
    if "without_time" not in result and (this.dry or this.left() > 20):
        result["without_time"] = this.without_time()
        weights.write_json(result_file, result)
    this.log("done", {"splits": result["splits"], "without_time": result.get("without_time")})


if __name__ == "__main__":
    main()
