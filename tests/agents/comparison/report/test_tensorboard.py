"""TensorBoard's log of a comparison, read back through TensorBoard's own server."""

import io
import re

import numpy as np
import pytest
from PIL import Image

import agents
from agents.commands.compare import line_up
from agents.commands.policies import named_rules
from agents.comparison.report.tensorboard import LAYOUT
from seenn_env import Traces
from tests.helpers.tensorboard_server import Server
from tests.helpers.traces import make_traces

TARGETS = (1.2, 1.5, 2.0)


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """A comparison on images, and the server of its log."""
    folder = tmp_path_factory.mktemp("report")
    rng = np.random.default_rng(0)
    test, calibration = (make_traces(400, split=split, seed=seed) for split, seed in (("test", 5), ("calibration", 6)))
    images = rng.integers(0, 256, (400, 3, 8, 8), dtype=np.uint8)
    test = Traces(
        logits=test.logits,
        labels=test.labels,
        split="test",
        images=images,
        image_index=np.arange(400),
        info={"fingerprint": "0a1b"},
    )
    learned = [agents.train("exact", make_traces(400, split="policy", seed=7), seed=s, steps=40) for s in (0, 1)]
    entries = line_up(
        test, calibration, TARGETS, named_rules(("confidence", "per-timestep-margin")), {"exact": learned}
    )
    comparison = agents.compare(entries, test, log_dir=folder)
    return comparison, Server(folder / "tensorboard", runs=5)


def test_policies_are_runs_that_share_their_tags(reported):
    comparison, server = reported
    tags = server.json("scalars/tags")
    assert set(tags) == {"confidence", "per-timestep-margin", "exact", "reference/fixed", "reference/oracle"}
    last = round(1000 * max(row.mean_timesteps for row in comparison.rows if row.kind != "reference"))
    fixed = server.scalars("reference/fixed", "compare/accuracy")
    assert last - 5 < max(fixed) <= last  # it does not stretch the axis to T
    assert "compare/mean_timesteps" not in tags["reference/fixed"]
    kept = [row for row in comparison.rows if round(1000 * row.mean_timesteps) <= last]
    assert {"fixed @ 1", "oracle"} < {row.name for row in kept} < {row.name for row in comparison.rows}
    for row in kept:
        run = f"reference/{row.family}" if row.kind == "reference" else row.family
        at = round(1000 * row.mean_timesteps)
        for tag, value in (
            ("compare/accuracy", row.accuracy.estimate),
            ("intervals/accuracy_low", row.accuracy.low),
            ("intervals/accuracy_high", row.accuracy.high),
        ):
            assert server.scalars(run, tag)[at] == pytest.approx(100 * value, abs=1e-3), (row.name, tag)


def test_the_log_ranks_policies_as_the_table_does(reported):
    comparison, server = reported
    for policy in ("exact", "confidence"):
        low = server.scalars(policy, "intervals/difference_points_low")
        high = server.scalars(policy, "intervals/difference_points_high")
        for target in TARGETS:
            row = comparison[f"{policy} @ {target:g}"]
            interval = comparison.difference(row.name)
            if policy == comparison.reference:
                continue
            at = round(1000 * row.mean_timesteps)
            assert (low[at] > 0, high[at] < 0) == (interval.interval.low > 0, interval.interval.high < 0)


def test_every_tag_of_the_layout_has_data(reported):
    _, server = reported
    layout = server.json("custom_scalars/layout")
    charts = [chart for category in layout["category"] for chart in category["chart"]]
    assert len(charts) == sum(len(each) for each in LAYOUT.values())
    logged = {tag for tags in server.json("scalars/tags").values() for tag in tags}
    for chart in charts:
        series = chart["margin"]["series"][0]
        assert {series["value"], series["lower"], series["upper"]} <= logged


def test_each_policy_has_a_row_of_settings_and_metrics(reported):
    comparison, server = reported
    experiment = server.json("hparams/experiment", body={"experimentName": ""})
    metrics = [info["name"] for info in experiment["metricInfos"]]
    assert {metric["tag"] for metric in metrics} == {
        f"hparam/{what}_at_{target:g}" for target in TARGETS for what in ("accuracy", "timesteps")
    }
    request = {
        "experimentName": "",
        "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"],
        "colParams": [{"metric": name} for name in metrics],
        "startIndex": 0,
        "sliceSize": 100,
    }
    groups = server.json("hparams/session_groups", body=request)["sessionGroups"]
    rows = {group["hparams"]["policy"]: group for group in groups}
    assert set(rows) == {"confidence", "per-timestep-margin", "exact"}
    assert rows["exact"]["hparams"]["seeds"] == 2
    for policy, group in rows.items():
        values = {each["name"]["tag"]: each["value"] for each in group["metricValues"]}
        for target in TARGETS:
            wanted = 100 * comparison[f"{policy} @ {target:g}"].accuracy.estimate
            assert values[f"hparam/accuracy_at_{target:g}"] == pytest.approx(wanted, abs=1e-3)


def test_pictures_decode_and_show_images_by_their_exit(reported):
    comparison, server = reported
    tags = server.json("images/tags")
    assert {"answer/more than noise?", "pictures/curves", "pictures/exits", "pictures/reliability"} == set(tags["."])
    shares = comparison["exact @ 1.5"].exit_shares
    exits = {int(re.fullmatch(r"images/exit at t = (\d+)", tag)[1]) for tag in tags["exact"]}
    assert exits <= {t for t, share in enumerate(shares, 1) if share > 0}
    assert exits
    for run, entries in tags.items():
        for tag in entries:
            for sample in server.json("images/images", run=run, tag=tag, sample=0):
                picture = Image.open(io.BytesIO(server.get(f"images/individualImage?{sample['query']}")))
                picture.load()
                assert min(picture.size) >= 32


def test_exits_are_histograms_and_the_text_states_the_source(reported):
    comparison, server = reported
    (_, _, bins) = server.json("histograms/histograms", run="exact", tag="exits/timestep")[0]
    counts = np.array([count for _, _, count in bins])
    assert counts.sum() == pytest.approx(2 * comparison.samples)
    texts = server.json("text/tags")["."]
    assert set(texts) == {"table/text_summary", "provenance/text_summary"}
    source = server.json("text/text", run=".", tag="provenance/text_summary")[0]["text"]
    for fact in ("split", "fingerprint: 0a1b", "bootstrap seed", "torch", "command", "seeds 0, 1"):
        assert fact in source
