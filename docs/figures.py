"""Render the tables and pictures of figures in the pages of docs/ from the result files in benchmarks/.

python docs/figures.py            # a test fails when a table is stale

A page has `<!-- figures: NAME -->`, the table of that name in `TABLES`, and `<!-- end of figures -->`. docs/results.md,
its part of the README and docs/learners.md are rendered by functions of their benchmarks; docs/shift.md and
docs/conversion.md by their benchmarks alone.
"""

import hashlib
import json
import re
import statistics
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
RESULTS = DOCS.parent / "benchmarks"
BLOCK = re.compile(r"(<!-- figures: ([\w-]+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)


def read(file: str) -> Any:
    """A result file."""
    return json.loads((RESULTS / file).read_text())


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of Markdown."""
    heads = list(heads)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *rows))


def quartiles(values: list[float], form: str = ".2f") -> str:
    """`values` is low quartile, median, high quartile."""
    low, median, high = values
    return f"{median:{form}} [{low:{form}}, {high:{form}}]"


def environment_ratios() -> str:
    """Steps a second of the environments beside others'."""
    found = read("environments/environments.json")
    names = {
        "EarlyExit, native / Gymnasium CartPole-v1, native": (
            "`EarlyExitVectorEnv` / Gymnasium's native CartPole-v1, steps/s",
            "≥ 0.5",
        ),
        "EarlyExit, native / EnvPool CartPole-v1": ("`EarlyExitVectorEnv` / EnvPool's CartPole-v1, steps/s", "≥ 4"),
        "EarlyExit, native, to_sb3 / EarlyExit, DummyVecEnv(64) + Monitor": (
            '`to_sb3(EarlyExitVectorEnv)`, `infos="episode"` / `DummyVecEnv(64)` + `Monitor`, steps/s',
            "≥ 20",
        ),
        "EarlyExit, native, to_sb3 / bare numpy gather": (
            '`to_sb3(EarlyExitVectorEnv)`, `infos="episode"` / a bare numpy gather without infos, steps/s',
            "≥ 0.45",
        ),
    }
    rows = [(text, quartiles(found["ratios"][name]), aim) for name, (text, aim) in names.items()]
    rows.append(
        ("PPO, our preset / SB3's defaults on `DummyVecEnv(8)`, frames/s", f"{found['ppo']['ratio']:.0f}", "≥ 6")
    )
    return table(("ratio", "median [quartiles]", "aim"), rows)


def dictionaries() -> str:
    """The adapter to SB3 beside a gather with and without dictionaries."""
    ours, gather = "EarlyExit, native, to_sb3", "bare numpy gather"
    floor = f"{gather} + bare dictionaries"
    kinds = {
        "random actions": "50 % (random actions)",
        "as a policy at 1.5 timesteps": "67 % (as a policy at 1.5 timesteps)",
        "as a patient policy": "10 % (as a patient policy)",
    }
    rows = []
    for kind, about in read("environments/environments.json")["dictionaries"].items():
        pairs = ((ours, gather), (floor, gather), (ours, floor))
        rows.append((kinds[kind], *(quartiles(about["ratios"][f"{a} / {b}"]) for a, b in pairs)))
    return table(("rows that exit in a step", "`to_sb3` / gather", "floor / gather", "`to_sb3` / floor"), rows)


def training() -> str:
    """Training steps beside SpikingJelly's."""
    rows = []
    for name, race in read("training/throughput.json")["races"].items():
        rate, ratio = race["images_per_cpu_second"], race["ours_is_faster_by"]
        cells = (quartiles(ratio["spikingjelly"]), quartiles(ratio["spikingjelly, stem once"]))
        compiled = f"{rate['ours, compiled neurons']:.0f}"
        rows.append((name.removeprefix("T="), f"{rate['ours']:.0f}", *cells, compiled))
    heads = ("T", "ours, images per CPU second", "SpikingJelly / ours, time [quartiles]", "with the stem once")
    return table((*heads, "ours compiled, images per CPU second"), rows)


def energy() -> str:
    """Time of a recording with energy over the time without."""
    found = read("energy/overhead.json")
    names = {
        "small (digits, Poisson, T = 8), batches of 256": "`small` on digits, T = 8, batches of 256",
        "resnet9, width 48 (CIFAR-10, T = 4), batches of 32": "`resnet9` of width 48, T = 4, batches of 32",
    }
    rows = [
        (text, quartiles(found[name]["processor"]), quartiles(found[name]["wall"]), "≤ 1.15")
        for name, text in names.items()
    ]
    return table(("network", "processor time", "wall time", "aim"), rows)


def live_shares() -> str:
    """Throughput of live early exit as a share of the limit."""
    found = live_slots()
    names = {
        "margin, calibrated to 1.15": "margin rule calibrated to 1.15",
        "prescribed, mean 1.15": "exits prescribed, mean 1.15",
        "margin, calibrated to 1.4": "margin rule calibrated to 1.4",
        "prescribed, mean 1.4": "exits prescribed, mean 1.4",
    }
    rows = []
    for name, text in names.items():
        cells = [about["contenders"][name] for about in found.values()]
        rows.append(
            (text, *(quartiles([c["interval"][0], c["share_of_limit"], c["interval"][1]], ".3f") for c in cells))
        )
    return table(("share of the limit (c + T·s)/(c + t̄·s)", *(f"{size} slots" for size in found)), rows)


def live_slots() -> dict[str, Any]:
    """The figures of each number of slots, in float32."""
    found: dict[str, Any] = read("live/live-32.json")["slots"] | read("live/live.json")["slots"]
    return found


def live_rates() -> str:
    """Images a second of the margin rule at 1.15 and of its rivals, where they were run."""
    rows = []
    for size, about in live_slots().items():
        rates = {name: each["images_per_second"][1] for name, each in about["contenders"].items()}
        speedups = {name: f"{each['speedup']:.2f}" for name, each in about["contenders"].items()}
        times = (speedups.get(name, "not run") for name in ("margin, calibrated to 1.15", *RIVALS))
        full = about["held_against"]
        rows.append((size, f"{rates[full]:.0f}", f"{rates['margin, calibrated to 1.15']:.0f}", *times))
    heads = ("slots", "all T, images/s", "margin rule at 1.15, images/s", "times all T")
    return table((*heads, *(f"{name}, times all T" for name in RIVALS.values())), rows)


RIVALS = {
    "post-hoc mask": "post-hoc mask",
    "leave when all have exited": "batch that ends with its last exit",
    "batch 1": "batch of 1",
}


def live_equals_replay() -> str:
    """Exits and answers of live inference beside replay."""
    policies: dict[str, dict[int, Any]] = {}
    for row in read("live/live-equals-replay.json")["rows"]:
        policies.setdefault(row["policy"], {})[row["slots"]] = row
    rows = []
    for name, at in policies.items():
        exits = ", ".join(f"{count:,}" for count in at[256]["exits"])
        equal = (
            f"{100 * at[size]['equal_exits']:g} % and {100 * at[size]['equal_answers']:g} %" for size in (256, 100)
        )
        rows.append((name, exits, f"{at[256]['mean_timesteps']:.3f}", *equal))
    heads = ("policy", "exits at t = 1, 2, 3, 4", "mean timesteps", "equal exits and answers, 256 slots", "100 slots")
    return table(heads, rows)


def spikingjelly_step() -> str:
    """Row-steps a second of each form beside SpikingJelly's."""
    names = {
        "SpikingJelly": "SpikingJelly, float32",
        "SpikingJelly, channels_last": "SpikingJelly, float32, channels_last",
        "SpikingJelly, bfloat16": "SpikingJelly, bfloat16 (autocast), channels_last",
        "plain form": "plain form, float32",
        "inference form": "inference form, float32",
        "inference form, bfloat16": "inference form, bfloat16",
        "inference form, bfloat16, compiled": "inference form, bfloat16, compiled",
    }
    found = read("live/spikingjelly-step.json")["contenders"]
    rows = []
    for name, text in names.items():
        each = found[name]
        ratio = "1" if name == "SpikingJelly" else quartiles(each["ratio_to_spikingjelly"])
        agreement = min(each["agreement_with_spikingjelly"])
        rows.append((text, ratio, f"{agreement:.4f}", f"{each['accuracy'][-1]:.4f}"))
    return table(("form", "times as fast", "agreement", "accuracy"), rows)


def exit_network() -> str:
    """Processor time and return of the exact gradient and PPO."""
    found = read("policies/exit_network.json")
    rows = []
    for data in ("cifar10-jpeg", "digits"):
        for algorithm in ("exact", "ppo"):
            (run,) = found[data]["runs"][algorithm]
            returns = (f"{run['policy_return']:.4f}", f"{run['calibration_return']:.4f}")
            rows.append((f'`{data}`, `"{algorithm}"`', f"{run['processor_seconds']:.2f}", *returns))
    heads = ('reward "linear", cost 0.1, defaults, seed 0', "processor seconds", "return on policy")
    return table((*heads, "return on calibration"), rows)


def ablation() -> str:
    """Accuracy on calibration at equal mean timesteps, by kind of policy."""
    found, views = read("policies/ablation.json"), read("policies/ablation-views.json")["accuracy"]
    rows = []
    for name, accuracy in found["accuracy"].items():
        learned = name.startswith(("exact", "optimal", "table"))
        mean = f"{statistics.mean(views[name]):.2f}" if learned else ""
        rows.append((name, *(f"{value:.2f}" for value in accuracy), f"{statistics.mean(accuracy):.2f}", mean))
    heads = ("policy", *(f"{target:g}" for target in found["targets"]), "mean", "mean, learned from four views")
    return table(heads, rows)


def guarantees() -> str:
    """How often guarantees are broken on the other half of the images."""
    found = read("policies/guarantees.json")
    rows = [
        (
            row["rule"],
            row["risk"],
            f"{100 * row['max_risk']:g} %",
            f"{100 * row['mean_risk']:.2f} %",
            f"{100 * row['above_the_bound']:.1f} % of {found['splits']}",
            f"{row['mean_timesteps']:.3f}",
            f"{100 * row['full']:.0f} %",
        )
        for row in found["rows"]
    ]
    heads = ("rule", "risk", "bound at 95 %", "risk on the other half, mean", "above the bound there")
    return table((*heads, "mean timesteps", "full T"), rows)


def rl_libraries(found: Any = None) -> str:
    """Returns of other libraries' algorithms (default: of the result file)."""
    rows = []
    for name, runs in (found or read("policies/rl_libraries.json"))["policies"].items():

        def median(key: str, runs: list[dict[str, float]] = runs) -> float:
            return statistics.median(run[key] for run in runs)

        def spread(key: str, runs: list[dict[str, float]] = runs) -> str:
            values = [run[key] for run in runs]
            ends = f" ({min(values):.4f}–{max(values):.4f})" if len(values) > 1 else ""
            return f"{statistics.mean(values):.4f}{ends}"

        def mean(key: str, runs: list[dict[str, float]] = runs) -> float:
            return statistics.mean(run[key] for run in runs)

        trained = "steps" in runs[0]
        seconds = median("seconds") if trained else 0.0
        rate = f"{round(statistics.median(run['steps'] / run['seconds'] for run in runs), -2):,.0f}" if trained else "–"
        rows.append(
            (
                name,
                f"{median('steps'):,.0f}" if trained else "–",
                spread("calibration_return"),
                spread("test_return"),
                f"{100 * mean('test_accuracy'):.2f} %",
                f"{mean('test_mean_timesteps'):.3f}",
                f"{seconds:.1f}" if trained else "–",
                rate,
            )
        )
    heads = ("policy", "steps", "return, calibration (seeds' range)", "return, test (seeds' range)", "accuracy, test")
    return table((*heads, "timesteps, test", "seconds", "steps/s"), rows)


LEFT = -1.7
"""Left end of the forest plots, in points: policies below it are stated as numbers, so that those near 0 are apart."""


def results_figure(path: Path) -> None:
    """Forest plots of docs/results.md: each policy's area over the best rule, a panel for each network."""
    from matplotlib import pyplot, rc_context

    found = read("policies/policies.json")["backbones"]
    margin = 100 * read("policies/protocol.json")["margin"]
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "seenn-env", "font.size": 8}):
        figure, panels = pyplot.subplots(len(found), 1, figsize=(7.5, 9.3), layout="constrained", sharex=True)
        for axes, (name, about) in zip(panels, found.items(), strict=True):
            rows = {
                row: each for row, each in about["rows"].items() if "over_rule" in each and row != about["best_rule"]
            }
            axes.axvline(0, color="0.4", linewidth=0.8)
            axes.axvline(-margin, color="0.4", linewidth=0.8, linestyle=":")
            for y, (row, each) in enumerate(rows.items()):
                low, middle, high = (100 * each["over_rule"][end] for end in ("low", "estimate", "high"))
                rule = row == "confidence" or row in about["rules_on_calibration"]
                color, marker = ("0.4", "s") if rule else ("#0072b2", "o")
                if middle < LEFT:
                    axes.text(LEFT, y, f"◂ {middle:.2f} [{low:.2f}, {high:.2f}]", color=color, va="center", fontsize=7)
                    continue
                axes.plot([low, high], [y, y], color=color, linewidth=1)
                axes.plot(middle, y, marker, color=color, markersize=3)
            axes.set_yticks(range(len(rows)), list(rows))
            axes.invert_yaxis()
            axes.set_title(f"{name}: points over {about['best_rule']}, 95 %", fontsize=8)
        panels[0].set_xlim(LEFT - 0.05)
        figure.supxlabel(f"squares: rules; circles: learned; dotted: the margin of {margin:g} points", fontsize=8)
        figure.savefig(path, metadata={"Date": None, "Description": digest(found)})
        pyplot.close(figure)


def digest(found: Any) -> str:
    """A digest of the figures that a picture shows."""
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


TABLES: dict[str, Callable[[], str]] = {
    "environment-ratios": environment_ratios,
    "dictionaries": dictionaries,
    "training": training,
    "energy": energy,
    "live-shares": live_shares,
    "live-rates": live_rates,
    "live-equals-replay": live_equals_replay,
    "spikingjelly-step": spikingjelly_step,
    "exit-network": exit_network,
    "ablation": ablation,
    "guarantees": guarantees,
    "rl-libraries": rl_libraries,
}
"""Name in a page to its table."""


def rendered(text: str) -> str:
    """A page with its tables rendered from the result files."""
    return BLOCK.sub(lambda match: f"{match[1]}{TABLES[match[2]]()}\n{match[3]}", text)


def main() -> None:
    """Write every page that has tables of figures."""
    for page in sorted(DOCS.glob("*.md")):
        text = page.read_text()
        if BLOCK.search(text):
            page.write_text(rendered(text))
            print(page)
    results_figure(DOCS / "images" / "results.svg")
    render_policies()


def render_policies() -> None:
    """Write docs/results.md, its part of the README, and the tables of docs/learners.md."""
    sys.path.insert(0, str(RESULTS / "policies"))
    import learners
    import results_page

    found, protocol = read("policies/policies.json")["backbones"], read("policies/protocol.json")
    readme = DOCS.parent / "README.md"
    (DOCS / "results.md").write_text(results_page.page(found, protocol))
    readme.write_text(results_page.into_readme(readme.read_text(), found, protocol))
    learners.PAGE.write_text(learners.into_page(learners.PAGE.read_text(), read("policies/learners.json")))


if __name__ == "__main__":
    main()
