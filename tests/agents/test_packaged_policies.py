"""The packaged policies: few, small, loaded by name, with the figures of their card."""

import pytest

import agents
import backbones as bb
from agents.policy_files import packaged_policies
from seenn_env import Traces, evaluate
from tests.helpers.programs import ROOT

CARD = (ROOT / "docs" / "cards" / "policies.md").read_text()


def test_there_are_few_and_they_are_small():
    assert len(packaged_policies()) == 12
    assert sum(file.stat().st_size for file in (ROOT / "agents" / "data").rglob("*.safetensors")) < 800_000


@pytest.mark.parametrize("name", packaged_policies())
def test_each_reaches_the_figures_of_its_card_on_test(name):
    policy = agents.load(name)
    found = evaluate(policy, Traces.load(name.split("/")[0]).select("test"))
    row = next(line for line in CARD.splitlines() if line.startswith(f"| `{name}` "))
    accuracy, timesteps = (float(cell) for cell in row.split("|")[3:5])
    assert abs(100 * found.accuracy - accuracy) < 0.02
    assert abs(found.mean_timesteps - timesteps) < 0.002


def test_a_name_that_is_not_known_is_refused_with_those_that_are():
    with pytest.raises(bb.InputError, match=r"'digits/sarsa'.*digits/ppo"):
        agents.load("digits/sarsa")
