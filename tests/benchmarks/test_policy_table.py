"""`benchmarks/policies/compare.py` in small: finished policies stay, other traces are noticed, the page is right."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import agents
from backbones import InputError
from seenn_env import Traces
from tests.helpers.recorded import few_samples, full_traces
from tests.helpers.traces import make_traces

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "policies"))
import compare as policies
import results_rows as policy_rows
from results_page import BEGIN, END, IN_WORDS, into_readme, page
from results_rows import FLOOR, digest_of

PROTOCOL = {
    "version": 3,
    "history": {"3": "As it is."},
    "seeds": [0, 1],
    "margin": 0.002,
    "backbones": {"small": {"targets": [1.2, 1.6], "macs_per_timestep": 1e6, "endpoint": "primary"}},
    "rules": ["margin", "per-timestep-margin"],
    "policies": {
        "SEENN-II (sequential, exact)": {"algorithm": "exact", "per_target": True, "arguments": {"steps": 20}},
        "SEENN-II (sequential, PPO)": {
            "algorithm": "ppo",
            "per_target": False,
            "arguments": {"total_timesteps": 512, "num_envs": 32},
            "arguments_on": {"small": {"batch_size": 256}},
        },
        "optimal stopping": {"algorithm": "optimal-stopping", "per_target": True, "arguments": {}, "seeds": [0]},
    },
}


def all_splits(seed=0):
    parts = []
    for place, split in enumerate(("policy", "calibration", "test")):
        part = make_traces(300, split=split, seed=3 * seed + place)
        parts.append(replace(part, sample=np.arange(300) + 300 * place))
    return Traces.merge(*parts)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    traces = all_splits().save(folder / "traces.safetensors")
    protocol = json.loads(json.dumps(PROTOCOL))
    protocol["backbones"]["small"]["traces"] = [str(traces)]
    (folder / "protocol.json").write_text(json.dumps(protocol))
    (folder / "README.md").write_text(f"# Name\n\n{BEGIN}\nearlier words\n{END}\n\n## More\n")
    run = policies.Run(**places(folder))
    run.run()
    return folder


def places(folder):
    return {
        "protocol": folder / "protocol.json",
        "results": folder / "policies",
        "figures": folder / "figures.json",
        "output": folder / "page.md",
        "readme": folder / "README.md",
    }


def stamps(folder):
    return {file.name: file.stat().st_mtime_ns for file in (folder / "policies" / "small").iterdir()}


def test_one_command_makes_every_policy_the_figures_and_the_page(made):
    assert len(stamps(made)) == 2 * 2 + 2 + 2
    found = json.loads((made / "figures.json").read_text())["backbones"]["small"]
    assert set(found["rows"]) == {"confidence", *PROTOCOL["rules"], *PROTOCOL["policies"], FLOOR}
    assert found["chosen"] == max(found["forms_on_calibration"], key=found["forms_on_calibration"].get)
    assert found["traces"] == digest_of(all_splits())
    exact = found["rows"]["SEENN-II (sequential, exact)"]
    assert exact["seeds"] == 2
    assert exact["charge"] > 0
    assert found["rows"]["SEENN-II (sequential, PPO)"]["charge"] == pytest.approx(4608 * 1.6 / 1e6)
    assert all(difference["max_t_p"] <= difference["adjusted_p"] + 0.05 for difference in exact["at_targets"])
    text = (made / "page.md").read_text()
    chosen = found["rows"][found["chosen"]]
    assert "**Primary endpoint** (declared before the runs): the area of " + found["chosen"] in text
    assert {"superior": "is above 0", "inferior": "is below 0"}.get(chosen["over_rule_verdict"], "the interval") in text
    assert f"] | {chosen['at_targets'][0]['max_t_p']:.3f} | " in text
    assert "The protocol, version 3, " in text
    assert "was not run" not in text
    assert "traces that have been replaced" not in text
    readme = (made / "README.md").read_text()
    assert readme.startswith(f"# Name\n\n{BEGIN}\n| network |")
    assert readme.endswith(f"{END}\n\n## More\n")
    assert "earlier words" not in readme
    area = 100 * chosen["over_rule"]["estimate"]
    assert f"{IN_WORDS.get(found['best_rule'], found['best_rule'])}: **{area:+.2f} [" in readme
    assert into_readme("No marks.", {}, PROTOCOL) == "No marks."


def test_a_second_run_trains_nothing(made, capsys):
    before = stamps(made)
    policies.Train(**places(made)).run()
    assert stamps(made) == before
    assert capsys.readouterr().out == ""


def test_the_fit_of_optimal_stopping_has_no_chance_in_it():
    traces = all_splits()
    fits = [agents.train("optimal-stopping", traces, target_timesteps=1.5, seed=seed) for seed in (0, 1)]
    assert all(np.array_equal(tensor, fits[1].tensors[name]) for name, tensor in fits[0].tensors.items())
    assert fits[0].threshold == fits[1].threshold


def test_policies_of_other_traces_are_trained_anew_and_never_compared(made, tmp_path):
    protocol = json.loads((made / "protocol.json").read_text())
    protocol["backbones"]["small"]["traces"] = [str(all_splits(seed=1).save(tmp_path / "others.safetensors"))]
    (tmp_path / "protocol.json").write_text(json.dumps(protocol))
    here = {**places(made), "protocol": tmp_path / "protocol.json", "output": tmp_path / "page.md"}
    with pytest.raises(InputError, match=r"made from the present traces by the protocol at .*train it anew"):
        policies.Table(**here).run()
    moved = tmp_path / "policies" / "small"
    moved.mkdir(parents=True)
    for file in (made / "policies" / "small").iterdir():
        (moved / file.name).write_bytes(file.read_bytes())
    name = "optimal stopping"
    policies.Train(**{**here, "results": tmp_path / "policies"}, policy=(name,)).run()
    source = policies.planned(tmp_path / "policies", "small", name, protocol, digest_of(all_splits(seed=1)))
    assert all(policies.is_from(file, wanted) for _, _, file, wanted in source)
    assert not policies.is_from(moved / "seenn-ii-sequential-ppo-seed0.safetensors", source[0][3])


def test_policies_learn_from_augmented_views_where_a_backbone_has_them(made, tmp_path):
    views = make_traces(600, split="policy", seed=5)
    views = replace(views, sample=np.arange(600) % 300, repeat=np.arange(600) // 300)
    protocol = json.loads((made / "protocol.json").read_text())
    name = "SEENN-II (sequential, exact, views)"
    entry = protocol["policies"][name] = {**protocol["policies"]["SEENN-II (sequential, exact)"], "views": True}
    assert policies.planned(tmp_path, "small", name, protocol, "digest") == []
    assert policies.views_of(protocol["backbones"]["small"], entry) is None
    protocol["backbones"]["small"]["views"] = str(views.save(tmp_path / "views.safetensors"))
    (tmp_path / "protocol.json").write_text(json.dumps(protocol))
    here = {**places(made), "protocol": tmp_path / "protocol.json", "results": tmp_path / "policies"}
    policies.Train(**here, policy=(name,)).run()
    wanted = policies.planned(tmp_path / "policies", "small", name, protocol, digest_of(all_splits()))
    assert len(wanted) == 4
    assert wanted[0][3]["views"] == digest_of(views)
    assert all(policies.is_from(file, source) for _, _, file, source in wanted)
    learned, plain = (
        agents.load(folder / "small" / f"{policies.slug(each)}-t1.2-seed0.safetensors")
        for folder, each in ((tmp_path / "policies", name), (made / "policies", "SEENN-II (sequential, exact)"))
    )
    assert not np.array_equal(learned.tensors["mean"], plain.tensors["mean"])
    assert entry["arguments"] == plain.settings["made_from"]["arguments"]


def test_once_the_form_is_chosen_policies_are_fitted_anew_on_both_splits(made, tmp_path):
    protocol = json.loads((made / "protocol.json").read_text())
    name = "SEENN-II (sequential, exact)"
    protocol["policies"] = {name: protocol["policies"][name]}
    protocol["backbones"]["small"]["refit"] = True
    (tmp_path / "protocol.json").write_text(json.dumps(protocol))
    here = {**places(tmp_path), "protocol": tmp_path / "protocol.json"}
    policies.Train(**here).run()
    assert len(stamps(tmp_path)) == 2 * 2 * 2
    for before, after in (("t1.2-seed0", "t1.2-seed0-refit"), ("t1.6-seed1", "t1.6-seed1-refit")):
        tried, anew, same = (
            agents.load(folder / "policies" / "small" / f"seenn-ii-sequential-exact-{end}.safetensors")
            for folder, end in ((tmp_path, before), (tmp_path, after), (made, before))
        )
        assert np.array_equal(tried.tensors["weight_0"], same.tensors["weight_0"])
        assert not np.array_equal(tried.tensors["weight_0"], anew.tensors["weight_0"])
        assert anew.settings["made_from"]["splits"] == ["policy", "calibration"]
    policies.Table(**here).run()
    found, plain = (json.loads((at / "figures.json").read_text())["backbones"]["small"] for at in (tmp_path, made))
    assert found["forms_on_calibration"][name] == plain["forms_on_calibration"][name]
    assert found["rows"][name]["accuracy"] != plain["rows"][name]["accuracy"]
    for file in (tmp_path / "policies" / "small").glob("*refit*"):
        file.unlink()
    with pytest.raises(InputError, match="all policies of small also fitted anew on both splits: train them first"):
        policies.Table(**here).run()


def test_one_shot_policies_score_traces_without_images_by_those_of_the_data_set(monkeypatch):
    with_images = full_traces()
    policy = agents.train("one-shot", with_images, epochs=1)
    monkeypatch.setattr(policy_rows, "samples_of", lambda *_: {"policy": few_samples("policy")})
    bare = replace(with_images, images=None, image_index=None)
    found = policy_rows._remembered(Path("images"), None)(policy, bare)
    assert np.array_equal(found, policy.trace_scores(with_images))


def test_an_unknown_backbone_is_one_sentence(made):
    with pytest.raises(InputError, match="a backbone of the protocol, small, got 'large'"):
        policies.Table(**places(made), backbone=("large",)).run()


@pytest.mark.parametrize(
    ("interval", "said"),
    [
        ((0.002, 0.001, 0.003, "superior"), "superior: the interval is above 0"),
        ((0.000, -0.001, 0.001, "non-inferior"), "non-inferior, not shown to be superior"),
        ((0.000, -0.004, 0.004, "not shown"), "not shown to be non-inferior: the interval reaches below -0.2 points"),
        ((-0.002, -0.003, -0.001, "inferior"), "inferior: the interval is below 0"),
    ],
)
def test_the_page_states_every_kind_of_result(made, interval, said):
    found = json.loads((made / "figures.json").read_text())["backbones"]
    row = found["small"]["rows"][found["small"]["chosen"]]
    row["over_rule"] |= dict(zip(("estimate", "low", "high"), interval, strict=False))
    row["over_rule_verdict"] = interval[3]
    found["small"] |= {"left_out": ["SEENN-II (one-shot)"], "earlier": True}
    text = page(found, PROTOCOL)
    endpoint = next(line for line in text.splitlines() if line.startswith("**Primary endpoint**"))
    assert f"It is {said}" in endpoint
    assert f"{100 * interval[0]:+.2f} [{100 * interval[1]:+.2f}, {100 * interval[2]:+.2f}] points" in endpoint
    assert "SEENN-II (one-shot) was not run." in text
    assert "*These figures are of traces that have been replaced since.*" in text
