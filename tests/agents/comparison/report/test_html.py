"""The HTML report: equal to the JSON, closed to the network, safe for any name, alive in Chromium."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from agents import Confidence, FixedTimestep, Margin, Oracle, PerTimestep, calibrate, compare
from agents.comparison import Comparison
from agents.comparison.bootstrap import Interval
from agents.comparison.report import html
from agents.comparison.report.curves import DASHES, MARKERS, PolicyCurve, policy_curves
from agents.comparison.result import Row
from agents.rules import ScoredPolicy
from seenn_env import Evaluation, Traces
from tests.helpers.traces import make_traces

HOSTILE = """</script><img src=x onerror=alert(1)><!-- "'&amp; {{ 7 * 7 }}"""
"""A name that would run as HTML, script or template."""
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)


@dataclass(frozen=True)
class Learned(ScoredPolicy):
    """A policy with a score that is none of the rules: it counts as learned."""

    threshold: float
    observation = "features"
    column = "margin"


def with_images(traces: Traces, size: int = 8) -> Traces:
    samples = np.unique(traces.sample)
    images = np.random.default_rng(0).integers(0, 256, (len(samples), 3, size, size), dtype=np.uint8)
    info = {"dataset": "made", "class_names": [HOSTILE, "ship", "cat", "dog", "frog"]}
    return replace(traces, images=images, image_index=samples, info=info)


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    calibration = make_traces(600, split="calibration", seed=6)
    rules = {"margin": Margin(), "per-timestep": PerTimestep(Margin()), HOSTILE: Confidence()}
    entries = {
        f"{name} @ {target}": calibrate(rule, calibration, target_timesteps=target)
        for target in (1.3, 2.0)
        for name, rule in rules.items()
    }
    entries = {"fixed @ 2": FixedTimestep(2), **entries, "learned": [Learned(0.5), Learned(0.6)], "oracle": Oracle()}
    compare(entries, with_images(make_traces(600, split="test", seed=5)), log_dir=folder)
    return folder


def from_reference(stored: dict) -> dict[str, dict]:
    """The differences from the best rule, by policy."""
    start = f"{stored['reference']} @ "
    return {each["policy"]: each for each in stored["differences"] if each["rival"].startswith(start)}


class Page(HTMLParser):
    """Tags with their attributes, the text of each, and the values of the tables' rows."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self.rows: dict[str, dict[str, float]] = {}
        self.shown: dict[str, dict[str, str]] = {}
        self.row = self.value = ""
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        found = {name: value or "" for name, value in attrs}
        self.tags.append((tag, found))
        if tag == "tr":
            self.row = found.get("data-name", "")
        if tag == "data" and self.row and "class" in found:
            self.value = found["class"]
            self.rows.setdefault(self.row, {})[self.value] = float(found["value"])

    def handle_data(self, data):
        self.texts.append((self.tags[-1][0] if self.tags else "", data))
        if self.value:
            self.shown.setdefault(self.row, {})[self.value] = data
            self.value = ""


def test_the_table_is_that_of_the_json(report):
    page, stored = Page(report / "report.html"), json.loads((report / "comparison.json").read_text())
    differences = from_reference(stored)
    assert list(page.rows) == [row["name"] for row in stored["rows"]]
    for row in stored["rows"]:
        accuracy, found = row["accuracy"], page.rows[row["name"]]
        expected = {"accuracy": accuracy["estimate"], "low": accuracy["low"], "high": accuracy["high"]}
        expected |= {"timesteps": row["mean_timesteps"]}
        if row["name"] in differences:
            expected |= {"difference": differences[row["name"]]["estimate"]}
        assert found == expected
        assert page.shown[row["name"]]["accuracy"] == f"{100 * accuracy['estimate']:.2f}"
        assert page.shown[row["name"]]["timesteps"] == f"{row['mean_timesteps']:.3f}"
    assert differences


def test_the_page_asks_for_nothing_and_forbids_requests(report):
    text, page = (report / "report.html").read_text(), Page(report / "report.html")
    assert not re.search(r"https?:|@import|url\((?!#)", text)
    loads = [attributes[name] for _, attributes in page.tags for name in ("src", "href") if name in attributes]
    assert {load[0] if load[0] == "#" else load for load in loads} == {"#", "data:,"}
    policy = next(each["content"] for tag, each in page.tags if each.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_names_are_text_wherever_they_stand(report):
    page = Page(report / "report.html")
    assert not [
        tag for tag, attributes in page.tags if tag == "img" or any(name.startswith("on") for name in attributes)
    ]
    assert [attributes.get("type") for tag, attributes in page.tags if tag == "script"] == ["application/json", None]
    assert any(f"{HOSTILE} @ 2.0" in text for tag, text in page.texts if tag == "path")  # after the marker
    data = json.loads(next(text for tag, text in page.texts if tag == "script"))
    assert HOSTILE in [curve["name"] for curve in data["curves"]]
    assert data["classes"]["names"][0] == HOSTILE


def test_classes_have_the_accuracy_and_exits_of_their_rows(report):
    page = Page(report / "report.html")
    data = json.loads(next(text for tag, text in page.texts if tag == "script"))
    stored = json.loads((report / "comparison.json").read_text())
    rows = {row["name"]: row for row in stored["rows"]}
    count = np.array(data["classes"]["rows"])
    assert count.sum() == stored["provenance"]["rows"]
    for place in data["places"]:
        row = rows[place["name"]]
        assert np.average(place["accuracy"], weights=count) == pytest.approx(row["accuracy"]["estimate"], abs=1e-4)
        assert np.average(place["exits"], weights=count) == pytest.approx(row["mean_timesteps"], abs=1e-4)
        shares = dict(zip(range(1, 5), row["exit_shares"], strict=True))
        assert {t: bool(entries) for t, entries in place["gallery"]} == {t: share > 0 for t, share in shares.items()}


def test_every_marker_and_dash_of_the_curves_is_drawn():
    assert {*MARKERS, PolicyCurve("", "", (), np.empty((0, 2))).marker} == html.PATHS.keys()
    assert set(DASHES) == html.DASHES.keys()


def test_text_contrasts_with_its_ground_in_light_and_dark():
    style = (Path(html.__file__).parent / "page" / "page.css").read_text()
    colors = {name: pair for name, *pair in re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", style)}

    def luminance(color: str) -> float:
        channels = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    for text in ("text", "soft", "accent", "bad", "good"):
        for ground in ("good-ground",) if text == "good" else ("ground", "raised"):
            for pair in zip(colors[text], colors[ground], strict=True):
                low, high = sorted(map(luminance, pair))
                assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ground)  # WCAG 2.2, AA


def test_twenty_policies_of_ten_thousand_images_stay_under_5_mb(tmp_path):
    """With images of noise, and exits at random: policies share as few images as they can."""
    traces = with_images(make_traces(10_000, split="test"), size=32)
    rng = np.random.default_rng(0)
    results, rows = {}, []
    for name in (f"policy {i} @ {target:g}" for target in (1.2, 1.5, 2) for i in range(20)):
        exits = rng.integers(1, 5, len(traces))
        predictions = traces.logits.argmax(2)[np.arange(len(traces)), exits - 1]
        results[name] = [Evaluation(exits, predictions, predictions == traces.labels, 4, "test", traces.sample)]
        accuracy = results[name][0].accuracy
        shares = results[name][0].exit_counts / len(traces)
        interval = Interval(accuracy, accuracy, accuracy)
        rows.append(Row(name, "learned", 1, interval, exits.mean(), shares, (accuracy,), (exits.mean(),)))
    comparison = Comparison(tuple(rows), (), "test", "made", len(traces), 4, 2000)
    members = {name: [Oracle()] for name in results}
    curves = policy_curves(comparison, members, traces)
    html.write_html(comparison, curves, members, results, traces, tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 5_000_000
    data = json.loads(next(text for tag, text in Page(tmp_path / "report.html").texts if tag == "script"))
    assert len(data["places"]) == 60
    assert all(entries for place in data["places"] for _, entries in place["gallery"])


def test_without_images_or_a_rule_the_page_says_so(tmp_path):
    compare({"fixed": FixedTimestep(1)}, make_traces(100, split="test"), log_dir=tmp_path)
    text = (tmp_path / "report.html").read_text()
    assert "These traces hold no images." in text
    assert "there is no rule to test policies against" in text
    assert 'id="difference-plot"' not in text


@pytest.fixture(scope="module")
def chromium() -> Iterator:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: extra `browser`")
    with playwright.sync_playwright() as started:
        places = [shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")]
        places.append(started.chromium.executable_path)
        place = next((each for each in places if each and Path(each).exists()), None)
        if place is None:
            pytest.skip("Chromium is not installed")
        browser = started.chromium.launch(executable_path=place, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (1000, "light"), (1600, "light")])
def test_chromium_draws_everything_without_an_error_or_a_request(report, chromium, width, scheme):
    page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    errors, requests = [], []
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    address = (report / "report.html").as_uri()
    page.goto(address)
    stored = json.loads((report / "comparison.json").read_text())
    names = [row["name"] for row in stored["rows"]]
    page.wait_for_selector("#accuracy-plot .point")
    drawn = page.eval_on_selector_all("#accuracy-plot .point", "all => all.map(each => each.dataset.name)")
    assert sorted(drawn) == sorted(names)
    compared = page.eval_on_selector_all("#difference-plot .point", "all => all.map(each => each.dataset.name)")
    assert sorted(compared) == sorted(from_reference(stored))
    paths = page.eval_on_selector_all(".plot path", "all => all.map(each => each.getAttribute('d'))")
    assert not [path for path in paths if not path or "NaN" in path or "undefined" in path]
    assert page.locator(".histogram").count() == len(names) - 1  # all but the fixed one
    assert page.locator("#class-rows tbody tr").count() == 5
    loaded = page.eval_on_selector_all("#gallery img", "all => all.map(each => each.complete && each.naturalWidth)")
    assert loaded
    assert set(loaded) == {8}
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 26)")
    assert [url for url in requests if not url.startswith("data:")] == [address]
    assert not errors
    page.close()


def test_chromium_hovers_hides_sorts_and_switches(report, chromium):
    page = chromium.new_page(viewport={"width": 1000, "height": 900}, color_scheme="light")
    page.goto((report / "report.html").as_uri())
    point = page.locator("#accuracy-plot .point[data-name='margin @ 2.0']")
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tip = page.locator("#accuracy-plot .tip")
    row = next(r for r in json.loads((report / "comparison.json").read_text())["rows"] if r["name"] == "margin @ 2.0")
    text = tip.inner_text()
    accuracy = [f"{100 * row['accuracy'][end]:.2f}" for end in ("estimate", "low", "high")]
    assert text.splitlines()[0] == "margin"
    assert "{} % [{}, {}]".format(*accuracy) in text
    assert f"{row['mean_timesteps']:.3f} timesteps, target 2" in text
    page.mouse.move(2, 2)
    assert tip.is_hidden()
    page.locator("#accuracy-plot svg").focus()
    page.keyboard.press("ArrowRight")
    assert tip.is_visible()

    button = page.locator(".legend button", has_text="margin").first
    curves = page.locator("#accuracy-plot .curve")
    every = curves.count()
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert curves.count() == every - 1
    assert page.locator(".plot .point[data-name^='margin']").count() == 0
    page.locator("#show-all").click()
    for alone in (button.dblclick, lambda: button.press("Shift+Enter")):
        alone()
        assert curves.count() == 1
        page.locator("#show-all").click()
        assert curves.count() == every

    page.locator("#policies thead button", has_text="accuracy").click()
    shown = page.eval_on_selector_all("#policies data.accuracy", "all => all.map(each => Number(each.value))")
    assert shown == sorted(shown, reverse=True)

    page.locator("#theme").click()
    page.locator("#theme").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator("header").is_hidden()
    page.emulate_media(media="screen")
    choice = page.locator("select[data-choose='images']")
    choice.select_option(label="oracle")
    assert page.locator("#gallery img").count() > 0
    page.close()


@pytest.mark.parametrize("names", [[], None])
def test_classes_without_names_are_numbers(names, tmp_path):
    compare(
        {"margin": Margin(0.5)}, replace(make_traces(60, split="test"), info={"class_names": names}), log_dir=tmp_path
    )
    assert re.search(r'"names":\s*\["0",\s*"1"', (tmp_path / "report.html").read_text())
