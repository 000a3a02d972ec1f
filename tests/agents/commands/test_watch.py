"""`seenn watch`: episodes as a GIF, pictures or text."""

import re

import numpy as np
from PIL import Image

from agents.calibration.randomised import Mixed
from agents.commands.watch import play, show
from agents.main import main
from agents.policy_files import save
from agents.rules.per_timestep import PerTimestep
from agents.rules.thresholds import Entropy, FixedTimestep, Margin, Oracle, Patience
from seenn_env import EarlyExitEnv
from seenn_env.rendering.episode import Episode
from seenn_env.rendering.text import ansi
from tests.helpers.commands import refused

COLORS = re.compile(r"\x1b\[[\d;]*m")
WATCH = ["watch", "--row", "57", "--threshold", "0.99"]


def test_seenn_watch_writes_a_gif_of_every_timestep(tmp_path, capsys):
    gif = tmp_path / "a.gif"
    main([*WATCH, "--output", str(gif), "--fps", "4"])
    with Image.open(gif) as picture:
        assert picture.n_frames == 8  # T = 8 is reached: its frame shows the exit
        assert picture.info["duration"] == 250
        picture.seek(7)
        assert picture.info["duration"] == 750
    assert [file.name for file in tmp_path.iterdir()] == ["a.gif"]
    assert "exit at 8 of 8: right; answer 9, label 9" in capsys.readouterr().out
    main(["watch", "--row", "57", "--threshold", "0", "--output", str(gif), "--overwrite"])
    with Image.open(gif) as picture:
        assert picture.n_frames == 2  # timestep 1, and the exit there


def test_seenn_watch_writes_pictures_into_a_folder_of_its_own(tmp_path, capsys):
    folder = tmp_path / "frames"
    main([*WATCH, "--output", str(folder)])
    assert len(list(folder.glob("*.png"))) == 8
    assert "holds a complete result" in refused(capsys, *WATCH, "--output", folder)
    main(["watch", "--row", "57", "--threshold", "0", "--output", str(folder), "--overwrite"])
    assert len(list(folder.glob("*.png"))) == 2


def test_seenn_watch_plays_in_the_terminal_and_runs_backbones_live(capsys):
    main(["watch", "--threshold", "0.1"])
    replayed = COLORS.sub("", capsys.readouterr().out)
    assert replayed.count("timestep 1 of 8") == 2
    assert replayed.splitlines()[-1].startswith("exit at 1 of 8: ")
    main(["watch", "--threshold", "0.1", "--backbone", "digits", "--policy", "confidence"])
    assert "spikes" in capsys.readouterr().out


def test_frames_say_why_the_policy_exits():
    rule = PerTimestep(Margin(), tuple(np.linspace(0.9, 0.2, 7)))
    for policy, name in ((Margin(0.9), "margin"), (Entropy(0.2), "entropy"), (Patience(3), "score"), (rule, "score")):
        env = EarlyExitEnv(split="test", observation=policy.observation)
        *before, last, exited = play(env, policy, 57, 0)
        for episode in (*before, last, exited):
            assert episode.score.name == name
            assert len(episode.score.values) == min(episode.timestep, 7)
        for episode in before:
            assert re.search("<" if name != "entropy" else ">", episode.reason())
        reached = exited.timestep < 8
        assert re.search("[≥≤]", exited.reason()) if reached else exited.reason() == "last timestep"
    for policy in (FixedTimestep(2), Mixed(Patience(2), 3.0, 0.5)):  # the second draws its level
        assert play(EarlyExitEnv(), policy, 57, 0)[-1].score is None


def test_on_a_terminal_every_frame_takes_the_place_of_the_one_before(capsys, monkeypatch):
    pauses = []
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setattr("time.sleep", pauses.append)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LINES", "50")
    monkeypatch.delenv("COLORTERM", raising=False)
    episodes = [Episode(np.zeros((t, 3)), label=1, timesteps=4) for t in (1, 2, 3)]
    show([[episode] for episode in episodes], ["margin"], fps=2)
    out = capsys.readouterr().out
    assert pauses == [0.5, 0.5]
    assert out.count(f"\x1b[{ansi(episodes[0]).count(chr(10)) + 1}F\x1b[J") == 2
    assert "38;5;" in out
    assert "38;2;" not in out


def test_seenn_watch_refuses_bad_input_in_one_sentence(tmp_path, capsys):
    (tmp_path / "a.gif").touch()
    save(Oracle(), tmp_path / "oracle.safetensors")
    cases = (
        ((*WATCH, "--output", tmp_path / "a.gif"), "exists already"),
        ((*WATCH, "--output", tmp_path), "not a result of this program"),
        ((*WATCH, "--output", tmp_path / "a.mp4"), "a .gif or a folder"),
        ((*WATCH, "--fps", "0"), "fps from 0.01 to 100, got 0"),
        (("watch", "--policy", "per-timestep-margin"), "a rule with one threshold"),
        (("watch", "--policy", "luck"), "rule (or a policy file), got 'luck'. Known: confidence"),
        (("watch", "--policy", tmp_path / "none.safetensors"), "found nothing at"),
        (("watch", "--policy", tmp_path / "oracle.safetensors"), "decides as it goes, got Oracle"),
        (("watch", "--threshold", "2"), "a threshold in [0, 1], got 2.0"),
        (("watch", "--row", "999999"), "a row of split test in 0…"),
        (("watch", "--split", "dev"), "split, got 'dev'"),
        (("watch", "--dataset", "digits"), "got samples alone"),
        (("watch", "--backbone", tmp_path / "none.safetensors"), "got none: pass --dataset"),
        (("watch", "--backbone", tmp_path / "none.safetensors", "--dataset", "digits"), "found nothing at"),
    )
    for arguments, message in cases:
        assert message in refused(capsys, *arguments), arguments
