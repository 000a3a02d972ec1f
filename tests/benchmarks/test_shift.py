"""The benchmark of early exit under shift, on a few digits; and its page, which is rendered from its figures."""

import json
from dataclasses import replace

import numpy as np
import pytest

import backbones as bb
from agents.calibration import control_risk
from backbones.data import SPLITS
from seenn_env import Traces, record
from tests.helpers.programs import ROOT, load_program
from tests.helpers.recorded import small_backbone


@pytest.fixture(scope="module")
def shift():
    return load_program("benchmarks/shift/shift")


@pytest.fixture(scope="module")
def args(shift, digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shift")
    backbone = small_backbone(encoding="direct")
    bb.save(backbone, folder / "backbone.safetensors", division=digits.division)
    parts = [record(backbone, digits[name]) for name in SPLITS[1:]]
    Traces.merge(*parts).save(folder / "clean.safetensors")
    return shift.Args(
        data_dir=None,
        backbone=folder / "backbone.safetensors",
        traces=(str(folder / "clean.safetensors"),),
        dataset="digits",
        corruptions=("gaussian-noise",),
        severities=(5,),
        images=60,
        rules=("confidence", "per-timestep-margin"),
        seeds=2,
        target_timesteps=2.0,
        output=folder / "runs",
        figures=folder / "shift.json",
        page=folder / "shift.md",
    )


@pytest.fixture(scope="module")
def found(shift, args):
    learned = {"SEENN-II (sequential, exact)": ("exact", {"steps": 5})}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shift, "LEARNED", learned)
        shift.main(args)
        first = json.loads(args.figures.read_text())
        patch.setattr(shift, "record", lambda *_, **__: pytest.fail("recorded twice"))
        shift.main(args)
        again = json.loads(args.figures.read_text())
    assert again["rows"] == first["rows"]
    return first


def test_every_policy_is_evaluated_in_every_setting_clean_and_shifted(found):
    assert list(found["conditions"]) == ["clean", "gaussian-noise 5"]
    assert len(found["rows"]) == 3 * 3 * 2  # policies, settings, conditions
    assert found["conditions"]["clean"]["accuracy"] != found["conditions"]["gaussian-noise 5"]["accuracy"]
    for row in found["rows"]:
        full = found["conditions"][row["condition"]]["accuracy"][-1]
        assert row["accuracy_risk"]["estimate"] == pytest.approx(full - row["accuracy"]["estimate"])
        assert abs(row["accuracy_risk"]["estimate"]) <= row["consistency_risk"]["estimate"] + 1e-9


def test_levels_are_those_of_the_clean_images(shift, args, found):
    clean = Traces.load(args.traces[0])
    rule = control_risk(
        shift.agents.Confidence(),
        clean.select("calibration"),
        max_risk=args.max_consistency_risk,
        risk="consistency",
        levels_from=clean.select("policy"),
    ).policy
    shifted = Traces.load(next(args.output.glob("*/gaussian-noise-5-*.safetensors")))
    expected = shift.evaluate(rule, shifted)
    wanted = {"policy": "confidence", "setting": "consistency", "condition": "gaussian-noise 5"}
    row = next(row for row in found["rows"] if wanted.items() <= row.items())
    assert row["mean_timesteps"]["estimate"] == pytest.approx(expected.mean_timesteps)
    risk = np.mean(expected.predictions != shifted.predictions[:, -1])
    assert row["consistency_risk"]["estimate"] == pytest.approx(risk)


def test_a_bound_is_kept_or_broken_only_by_the_whole_interval(shift):
    assert shift.verdict({"low": 0.0, "high": 0.01}, 0.01) == "kept"
    assert shift.verdict({"low": 0.011, "high": 0.02}, 0.01) == "broken"
    assert shift.verdict({"low": 0.005, "high": 0.02}, 0.01) == "open"


def test_traces_of_another_backbone_are_refused(shift, args):
    other = replace(args, traces=("digits",))
    with pytest.raises(bb.InputError, match="Expected traces of the backbone"):
        shift.main(other)


def test_the_page_is_rendered_from_the_figures(shift):
    found = json.loads((ROOT / "benchmarks" / "shift" / "shift.json").read_text())
    assert (ROOT / "docs" / "shift.md").read_text() == shift.page(found)
