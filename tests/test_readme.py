"""The README's Python runs as it stands (with less training)."""

import re

from tests.helpers.programs import ROOT

README = (ROOT / "README.md").read_text()


def test_the_python_in_the_readme_runs(capsys, monkeypatch):
    import agents

    learn = agents.train
    monkeypatch.setattr(agents, "train", lambda *given, **named: learn(*given, total_timesteps=20_000, **named))
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        code = block.replace("epochs=30", "epochs=2").replace("repeats=20", "repeats=2")
        exec(compile(code, "README.md", "exec"), {})
    assert "PPO - margins: " in capsys.readouterr().out


def test_the_links_in_the_readme_lead_somewhere():
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / link).exists(), link
