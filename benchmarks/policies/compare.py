"""Every policy against the best rule, by a protocol declared before the runs: benchmarks/policies/protocol.json.

    python benchmarks/policies/compare.py run --backbone digits    # trains missing policies, compares, writes the page
    python benchmarks/policies/compare.py run --backbone cifar10-jpeg --data-dir FOLDER    # images for one-shot
    python benchmarks/policies/compare.py train --backbone digits --policy "SEENN-II (sequential, PPO)"    # one policy
    python benchmarks/policies/compare.py table    # docs/results.md, README.md, benchmarks/policies/policies.json

The traces of the converted network are made by `benchmarks/conversion/conversion.py --output runs/conversion
--data-dir …`, its views by `seenn record --backbone runs/conversion/cifar10-jpeg/converted.safetensors --dataset
folder --data-dir … --split policy calibration --repeats 3 --crop 4 --flip --output
runs/conversion/cifar10-jpeg/views.safetensors`. A new policy is a line in the protocol and the first command. Training
continues where it was killed: a policy file is kept if it was made from the same traces (a digest of all their
tensors), by the same algorithm and arguments; otherwise the policy is trained anew before a table is made.

Policies learn on split policy; those with "views" learn on augmented views of the same images instead, where the
backbone has such traces. The best rule and the form of SEENN-II that the endpoint names are chosen on calibration, by
the mean accuracy over the targets at equal mean timesteps. Rules are fitted on policy for that choice, and anew on
policy and calibration together for the table; so are policies on backbones with "refit" (same arguments and seeds;
the choice stands). On test, levels are set anew in every resample, for both alike, to reach exactly the target, the
policy's own multiplications included; images (with all their repeats) and seeds are resampled. The protocol's own
history is in its file.
"""

import json
import sys
import time
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

import tyro
from results_page import into_readme, page
from results_rows import compare_all, digest_of, join, load, samples_of, with_images

import agents
from backbones import InputError
from backbones.machine import torch_threads
from seenn_env import Traces


@dataclass(frozen=True)
class Options:
    """Where things are."""

    backbone: tuple[str, ...] = ()
    """Names in the protocol (default: all whose traces are there)."""
    data_dir: Path | None = None
    """Class-per-folder images, for one-shot policies on traces that have none."""
    cache_dir: Path | None = None
    """Folder for the decoded images."""
    protocol: Path = Path("benchmarks/policies/protocol.json")
    results: Path = Path("runs/policies")
    """Folder of the policies."""
    figures: Path = Path("benchmarks/policies/policies.json")
    output: Path = Path("docs/results.md")
    readme: Path = Path("README.md")

    def read(self) -> dict[str, Any]:
        """The protocol."""
        found: dict[str, Any] = json.loads(self.protocol.read_text())
        return found

    def backbones(self) -> dict[str, tuple[dict[str, Any], Traces]]:
        """Name: its entry in the protocol, and its traces."""
        protocol = self.read()["backbones"]
        for name in self.backbone:
            if name not in protocol:
                raise InputError(f"Expected a backbone of the protocol, {', '.join(protocol)}, got {name!r}.")
        found = {}
        for name in self.backbone or protocol:
            files = protocol[name]["traces"]
            if not self.backbone and isinstance(files, list) and not all(Path(file).is_file() for file in files):
                print(f"{name}: left out, no traces at {files[0]}", flush=True)
                continue
            found[name] = protocol[name], load(files)
        return found


@dataclass(frozen=True)
class Train(Options):
    """Train missing policies."""

    policy: tuple[str, ...] = ()
    """Names in the protocol (default: all)."""

    def run(self) -> None:
        protocol = self.read()
        for name, (_, traces) in self.backbones().items():
            digest = digest_of(traces)
            for policy in self.policy or protocol["policies"]:
                self._train(name, policy, protocol, traces, digest)

    def _train(self, backbone: str, name: str, protocol: dict[str, Any], traces: Traces, digest: str) -> None:
        entry = protocol["policies"][name]
        views = views_of(protocol["backbones"][backbone], entry)
        merged: dict[tuple[str, ...], Traces] = {}
        for seed, target, file, source in planned(self.results, backbone, name, protocol, digest):
            if file.exists() and is_from(file, source):
                continue
            splits = tuple(fitted_on(source))
            if splits not in merged:
                rows = as_policy(traces if views is None else views, splits)
                merged[splits] = Traces.merge(rows, traces.select("calibration"))
            arguments = arguments_of(entry, backbone)
            if entry["algorithm"] == "one-shot" and merged[splits].images is None:
                if self.data_dir is None:
                    print(f"{name}: left out, no images; pass --data-dir", flush=True)
                    return
                samples = samples_of(self.data_dir, self.cache_dir)
                images = join(*(samples[split] for split in dict.fromkeys((*splits, "calibration"))))
                merged[splits] = with_images(merged[splits], images)
            begin = time.process_time()
            with torch_threads(1):
                policy = agents.train(
                    entry["algorithm"], merged[splits], seed=seed, target_timesteps=target, **arguments
                )
            policy.settings["processor_seconds"] = round(time.process_time() - begin, 2)
            policy.settings["protocol"] = protocol["version"]
            policy.settings["made_from"] = source
            agents.save(policy, file)
            print(f"{backbone}/{file.name}: {policy.settings['processor_seconds']} s", flush=True)


@dataclass(frozen=True)
class Table(Options):
    """Choose on calibration, compare on test, write the page."""

    def run(self) -> None:
        protocol = self.read()
        found = json.loads(self.figures.read_text())["backbones"] if self.figures.exists() else {}
        for name, (about, traces) in self.backbones().items():
            policies = self._policies(name, protocol, traces, refit=False)
            anew = self._policies(name, protocol, traces, refit=True) if about.get("refit") else policies
            if set(anew) != set(policies):
                raise InputError(f"Expected all policies of {name} also fitted anew on both splits: train them first.")
            if not policies:
                print(f"{name}: left out, no policies", flush=True)
                continue
            begin = time.process_time()
            with torch_threads(1):
                found[name] = compare_all(about, traces, protocol, policies, anew, self.data_dir, self.cache_dir)
            wanted = (policy for policy in protocol["policies"] if planned(self.results, name, policy, protocol, ""))
            found[name]["left_out"] = [policy for policy in wanted if policy not in policies]
            print(f"{name}: compared in {time.process_time() - begin:.0f} s", flush=True)
            self.figures.write_text(json.dumps({"backbones": found}, indent=1) + "\n")
        for name, (_, traces) in replace(self, backbone=()).backbones().items():
            if name in found:
                found[name]["earlier"] = found[name].get("traces") != digest_of(traces)
        self.figures.write_text(json.dumps({"backbones": found}, indent=1) + "\n")
        ordered = {name: found[name] for name in protocol["backbones"] if name in found}
        self.output.write_text(page(ordered, protocol))
        if self.readme.is_file():
            self.readme.write_text(into_readme(self.readme.read_text(), ordered, protocol))

    def _policies(
        self, backbone: str, protocol: dict[str, Any], traces: Traces, *, refit: bool
    ) -> dict[str, dict[float, list[Any]]]:
        """Name: target to one policy a seed, before or after the choice; of those seeds that are whole.

        Raises:
            InputError: where a policy was made from other traces or in another way.
        """
        found, digest = {}, digest_of(traces)
        for name, entry in protocol["policies"].items():
            seeds: dict[int, dict[float, Any]] = {}
            missing = set()
            for seed, target, file, source in planned(self.results, backbone, name, protocol, digest):
                if (len(fitted_on(source)) > 1) != refit:
                    continue
                if not file.exists():
                    missing.add(seed)
                    continue
                policy = agents.load(file)
                if policy.settings.get("made_from") != source:
                    raise InputError(
                        f"Expected a policy made from the present traces by the protocol at {file}, got one of "
                        f"{policy.settings.get('made_from')}: train it anew."
                    )
                for at in protocol["backbones"][backbone]["targets"] if target is None else [target]:
                    seeds.setdefault(seed, {})[at] = policy
            whole = [seeds[seed] for seed in sorted(seeds) if seed not in missing]
            if whole and entry["algorithm"] == "one-shot" and traces.images is None and self.data_dir is None:
                print(f"{backbone}: {name} left out, no images; pass --data-dir", flush=True)
            elif whole:
                found[name] = {t: [policies[t] for policies in whole] for t in whole[0]}
        return found


@dataclass(frozen=True)
class Run(Train):
    """Train missing policies, compare, and write the page."""

    def run(self) -> None:
        super().run()
        names = self.backbone or tuple(self.backbones())
        shared = {entry.name: getattr(self, entry.name) for entry in fields(Options)}
        Table(**{**shared, "backbone": names}).run()


def planned(
    results: Path, backbone: str, name: str, protocol: dict[str, Any], digest: str
) -> list[tuple[int, float | None, Path, dict[str, Any]]]:
    """Seed, target, file and required origin of every policy of the protocol."""
    entry, about, found = protocol["policies"][name], protocol["backbones"][backbone], []
    if entry.get("views") and "views" not in about:
        return []
    views = views_of(about, entry)
    digests = {"traces": digest, **({} if views is None else {"views": digest_of(views)})}
    for seed in entry.get("seeds", protocol["seeds"]):
        for target in about["targets"] if entry["per_target"] else [None]:
            source = {
                "algorithm": entry["algorithm"],
                "arguments": arguments_of(entry, backbone),
                "target": target,
                "seed": seed,
                **digests,
            }
            at = "" if target is None else f"-t{target:g}"
            stem = results / backbone / f"{slug(name)}{at}-seed{seed}"
            found.append((seed, target, stem.with_name(f"{stem.name}.safetensors"), source))
            if about.get("refit"):
                refitted = {**source, "splits": ["policy", "calibration"]}
                found.append((seed, target, stem.with_name(f"{stem.name}-refit.safetensors"), refitted))
    return found


def fitted_on(source: dict[str, Any]) -> list[str]:
    """The splits that a policy learns from."""
    found: list[str] = source.get("splits", ["policy"])
    return found


def as_policy(traces: Traces, splits: tuple[str, ...]) -> Traces:
    """The rows of those splits, all called "policy"."""
    return Traces.merge(*(replace(traces.select(split), split="policy") for split in splits))


def views_of(about: dict[str, Any], entry: dict[str, Any]) -> Traces | None:
    """Augmented views of the splits that policies learn from."""
    return load(about["views"]) if entry.get("views") and "views" in about else None


def arguments_of(entry: dict[str, Any], backbone: str) -> dict[str, Any]:
    """A policy's arguments, with those that are a backbone's own."""
    return {**entry["arguments"], **entry.get("arguments_on", {}).get(backbone, {})}


def is_from(file: Path, source: dict[str, Any]) -> bool:
    """Whether a policy's file names that origin."""
    made_from: Any = agents.load(file).settings.get("made_from")
    return bool(made_from == source)


def slug(name: str) -> str:
    """A name as part of a file's."""
    return "".join(c if c.isalnum() else "-" for c in name.lower()).replace("--", "-").strip("-")


if __name__ == "__main__":
    Command = (
        Annotated[Run, tyro.conf.subcommand("run", prefix_name=False)]
        | Annotated[Train, tyro.conf.subcommand("train", prefix_name=False)]
        | Annotated[Table, tyro.conf.subcommand("table", prefix_name=False)]
    )
    try:
        tyro.cli(Command, description=__doc__).run()
    except InputError as error:
        sys.exit(f"error: {error}")
