"""Hostile files: any header, declared shape or metadata is refused in one sentence, without memory or a crash."""

import io
import json
import os
import random
import resource
import sys
import tracemalloc
import warnings
import zipfile
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import agents
import backbones as bb
import seenn_env
from agents.learners import TabularStopping
from agents.rules import ConformalSets, ScaledConfidence
from backbones import InputError
from backbones.array_files import _header_digest, map_arrays, write_arrays
from backbones.data import frame_file, read_pixels
from backbones.data.frame_file import save_frames
from backbones.hashing import hash_json
from backbones.networks import checkpoint
from backbones.tensor_files import load_tensor_file, save_tensor_file
from seenn_env import Traces
from seenn_env.traces import file as traces_file
from tests.helpers.recorded import small_backbone
from tests.helpers.traces import make_traces

LOGITS = {"dtype": "F32", "shape": [1, 1, 2], "data_offsets": [0, 8]}
HEADERS = {
    "a list": b"[1]",
    "a number": b"12",
    "metadata as text": b'{"__metadata__":"a"}',
    "metadata of numbers": b'{"__metadata__":{"format":1}}',
    "deep": b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "no tensors": {},
    "a huge shape": {"logits": {**LOGITS, "shape": [2**40, 3, 5]}},
    "a huge empty shape": {"logits": {**LOGITS, "shape": [2**40, 3, 0], "data_offsets": [0, 0]}},
    "a negative shape": {"logits": {**LOGITS, "shape": [-1, -1, 2]}},
    "a shape of many axes": {"logits": {**LOGITS, "shape": [1] * 40 + [2]}},
    "a shape of fractions": {"logits": {**LOGITS, "shape": [1.0, 1, 2]}},
    "an unknown dtype": {"logits": {**LOGITS, "dtype": "F4"}},
    "another dtype": {"logits": {**LOGITS, "dtype": "BF16", "shape": [1, 1, 4]}},
    "an unknown tensor": {"../x": LOGITS},
    "no offsets": {"logits": {"dtype": "F32", "shape": [1, 1, 2]}},
}


def written(path, header, body=bytes(8)):
    """A file of that header; a table of tensors is sealed as `write_tensors` seals its own."""
    if isinstance(header, dict):
        metadata = {"format": traces_file.FORMAT, "info": "{}", "digests": json.dumps({name: [""] for name in header})}
        metadata["header_digest"] = _header_digest(metadata, header)
        header = json.dumps({"__metadata__": metadata, **header}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + body)
    return path


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_a_header_of_anything_else_is_refused(header, tmp_path):
    with pytest.raises(InputError):
        Traces.load(written(tmp_path / "t.safetensors", header), verify=False)


def files(folder):
    """A small file of every kind, and its reader."""
    bb.save(small_backbone(), folder / "backbone", class_names=[str(k) for k in range(10)])
    agents.save(agents.train("exact", make_traces(20), steps=1, hidden=(2,)), folder / "policy")
    agents.save(agents.PerTimestep(agents.Margin(), (0.5, 0.5, 0.5)), folder / "rule")
    make_traces(4).save(folder / "traces")
    save_frames(
        folder / "frames.safetensors", np.zeros((4, 2, 1, 3, 3), np.uint8), np.arange(4) % 2, class_names=("a", "b")
    )

    def frames(path):
        return bb.load_dataset("frames", path.rename(path.with_suffix(".safetensors")))

    readers = {"backbone": bb.load, "policy": agents.load, "rule": agents.load, "traces": Traces.load}
    return {**{folder / name: read for name, read in readers.items()}, folder / "frames.safetensors": frames}


ODD = [None, True, -1, 0, 1.5, 2**40, 2**70, 1e300, "", "text", [], [[]], {}, {"": None}, [None] * 9, float("nan")]


def mutated(value, random_):
    """A JSON value with one of its parts replaced, removed or doubled; JSON inside of texts counts as a part."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        return json.dumps(mutated(json.loads(value), random_))
    if not isinstance(value, dict | list) or not value or random_.random() < 0.1:
        return random_.choice(ODD)
    value = value.copy()
    key = random_.choice(list(value)) if isinstance(value, dict) else random_.randrange(len(value))
    chance = random_.random()
    if chance < 0.1:
        del value[key]
    elif chance < 0.2 and isinstance(value, dict):
        value["other"] = value[key]
    else:
        value[key] = mutated(value[key], random_)
    return value


def fuzz(folder, seed, count):
    """Read files of every kind with headers that were changed at random; the errors that are not the project's own."""
    foreign, sentences, random_ = [], [], random.Random(seed)
    for original, read in files(folder).items():
        content = original.read_bytes()
        end = 8 + int.from_bytes(content[:8], "little")
        for number in range(count):
            header = json.loads(content[8:end])
            for _ in range(random_.choice([1, 1, 2, 4])):
                header = mutated(header, random_)
            raw = json.dumps(header).encode()
            if random_.random() < 0.2:
                raw = bytearray(raw)
                raw[random_.randrange(len(raw))] ^= 1 << random_.randrange(8)
            body = content[end:] if random_.random() < 0.9 else content[end:][: random_.randrange(64)]
            try:
                read(written(folder / "fuzzed", bytes(raw), body))
            except InputError as error:
                sentences.append(str(error))
            except Exception as error:
                foreign.append(f"{original.name} {number}: {type(error).__name__}: {error}: {raw[:300]!r}")
    assert not [sentence for sentence in sentences if "\n" in sentence]
    return foreign


def test_changed_headers_are_read_or_refused(tmp_path):
    foreign = fuzz(tmp_path, seed=0, count=60)
    assert not foreign, "\n".join(foreign)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 11))
def test_changed_headers_are_read_or_refused_a_thousand_times_each(seed, tmp_path):
    foreign = fuzz(tmp_path, seed=seed, count=1000)
    assert not foreign, "\n".join(foreign)


def resealed(source, target, arrays=None, **facts):
    """A policy's file with other arrays and facts under right digests."""
    kept, metadata, _ = map_arrays(source, kind="a policy")
    own = json.loads(metadata["seenn_env"])
    own["config"] = json.dumps({**json.loads(own["config"]), **facts})
    write_arrays(target, {**kept, **(arrays or {})}, {"seenn_env": json.dumps(own)})
    return target


@pytest.fixture(scope="module")
def policies(tmp_path_factory):
    """A file of every kind of policy with values that can be impossible."""
    folder, traces = tmp_path_factory.mktemp("policies"), make_traces(300)
    images = {"images": np.zeros((300, 1, 4, 4), np.uint8), "image_index": np.arange(300)}
    made = {
        "scaled": ScaledConfidence(temperatures=(1.0,) * 4),
        "conformal": ConformalSets().fit(traces),
        "per-timestep": agents.PerTimestep(agents.Margin(), (0.5, 0.5, 0.5)),
        "exact": agents.train("exact", traces, steps=1, hidden=(2,)),
        "one-shot": agents.train("one-shot", replace(traces, **images), epochs=1),
        "stopping": agents.train("optimal-stopping", traces, trees=2),
        "tabular": TabularStopping.fit(traces),
        "ppo": agents.train("ppo", traces, total_timesteps=64, num_envs=4),
        "recurrent": agents.train("recurrent-ppo", traces, total_timesteps=64, num_envs=4),
    }
    return {name: agents.save(policy, folder / name) for name, policy in made.items()}


TREE = np.zeros((1, 2, 5))
NORMALISER = {"mean": [0.0] * 6, "scale": [1.0] * 6, "clip": 1.0}
IMPOSSIBLE = [
    ("scaled", {"temperatures": [1.0, 1.0]}),
    ("scaled", {"temperatures": [1e-320] * 4}),
    ("conformal", {"arrays": {"nonconformity": np.zeros((2, 3), np.float32)}}),
    ("conformal", {"arrays": {"nonconformity": np.array([[1, 0]] * 4, np.float32)}}),
    ("conformal", {"arrays": {"nonconformity": np.full((4, 3), 9, np.float32)}}),
    ("conformal", {"arrays": {"nonconformity": np.zeros((4, 3), np.int64)}}),
    ("per-timestep", {"rule": {"kind": "PerTimestep", "rule": {"kind": "Margin"}, "thresholds": [0.5]}}),
    ("exact", {"arrays": {"mean": np.zeros(1, np.float32)}}),
    ("exact", {"arrays": {"scale": np.zeros(6, np.float32)}}),
    ("exact", {"arrays": {"bias_0": np.zeros(1, np.float32)}}),
    ("exact", {"arrays": {"weight_7": np.zeros(1, np.float32)}}),
    ("exact", {"arrays": {"weight_1": np.zeros((2, 1), np.int64)}}),
    ("exact", {"observation": "rich"}),
    ("exact", {"observation": "antigravity:geohash"}),
    ("exact", {"observation": "features+os:_exit"}),
    ("exact", {"settings": {"timesteps": 9}}),
    ("exact", {"settings": {"fingerprint": 7}}),
    ("one-shot", {"timesteps": 2**40}),
    ("one-shot", {"width": 2**20}),
    ("one-shot", {"arrays": {"0.bias": np.zeros(16, np.float16)}}),
    ("stopping", {"arrays": {"tree_0": TREE}}),  # the root is its own child
    ("stopping", {"arrays": {"tree_0": np.array([[[0.0, 0, 1, 1, 0], [0] * 5]])}}),  # a child without a leaf
    ("stopping", {"arrays": {"tree_0": np.array([[[0.0, 0, -3, -3, 0]]])}}),
    ("stopping", {"arrays": {"tree_0": np.array([[[1.5, 0, 1, 1, 0], [-1] * 5]])}}),
    ("stopping", {"arrays": {"tree_0": np.array([[[99.0, 0, 1, 1, 0], [-1] * 5]])}}),
    ("stopping", {"arrays": {"tree_0": TREE[..., :4].copy()}}),
    ("stopping", {"arrays": {"base_0": np.zeros(3)}}),
    ("stopping", {"timesteps": 3}),
    ("tabular", {"arrays": {"edges": np.tile(np.arange(19.0)[::-1], (3, 1))}}),
    ("tabular", {"arrays": {"gains": np.zeros((3, 20), bool)}}),
    ("tabular", {"arrays": {"gains": np.zeros((1, 20)), "edges": np.zeros((1, 19))}}),
    ("ppo", {"net_arch": [10**6, 10**6]}),
    ("ppo", {"use_sde": True}),
    ("ppo", {"normaliser": {**NORMALISER, "scale": [0.0] * 6}}),
    ("ppo", {"normaliser": {**NORMALISER, "clip": -1.0}}),
    ("ppo", {"normaliser": {"mean": [0.0], "scale": [1.0], "clip": 1.0}}),
    ("ppo", {"arrays": {"action_net.bias": np.zeros(2, np.int64)}}),
    ("recurrent", {"lstm_hidden_size": 10**6}),
    ("recurrent", {"n_lstm_layers": 10**6}),
]


@pytest.mark.parametrize(("kind", "changes"), IMPOSSIBLE, ids=[f"{kind} {n}" for n, (kind, _) in enumerate(IMPOSSIBLE)])
def test_a_policy_of_impossible_values_under_right_digests_is_refused(kind, changes, policies, tmp_path):
    with pytest.raises(InputError):
        seenn_env.evaluate(agents.load(resealed(policies[kind], tmp_path / "p", **changes)), make_traces(30))
    assert "antigravity" not in sys.modules


def test_policies_in_policies_are_read_to_a_depth(tmp_path):
    nested = {"kind": "Margin"}
    for _ in range(400):
        nested = {"kind": "Mixed", "policy": nested, "other": 0.5, "share": 0.5}
    source = agents.save(agents.Margin(), tmp_path / "a")
    with pytest.raises(InputError, match="at most 4 deep"):
        agents.load(resealed(source, tmp_path / "b", threshold=0.5, **{**nested, "kind": "Mixed"}))


def test_thousands_of_tensors_cost_no_file_handles(tmp_path):
    table = {f"{n:04}": {"dtype": "U8", "shape": [1], "data_offsets": [n, n + 1]} for n in range(5000)}
    path = written(tmp_path / "many", json.dumps(table).encode(), bytes(5000))
    arrays, _, _ = map_arrays(path, kind="a file")
    assert len(arrays) == 5000


def test_a_label_beyond_the_samples_costs_no_memory(tmp_path):
    file = save_frames(tmp_path / "f.safetensors", np.zeros((4, 2, 1, 3, 3), np.uint8), np.arange(4) % 2)
    content = bytearray(file.read_bytes())
    begin = 8 + int.from_bytes(content[:8], "little")
    assert json.loads(content[8:begin])["labels"]["data_offsets"][0] == 0  # first in the file
    content[begin + 5] ^= 0x10  # 0 becomes 2**44
    file.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(InputError, match=r"found none of '2'|altered"):
        bb.load_dataset("frames", file)
    assert tracemalloc.get_traced_memory()[1] < 1e7
    tracemalloc.stop()


def test_a_declared_width_beyond_the_weights_costs_no_memory(tmp_path):
    bb.save(small_backbone(), tmp_path / "backbone")
    tensors, metadata = load_tensor_file(tmp_path / "backbone", kind="a backbone", format=checkpoint.FORMAT)
    config = json.loads(metadata["config"])
    for changes in ({"options": {"width": 4096}}, {"num_classes": 2**27}, {"input_shape": [2**12, 2**12, 8]}):
        metadata["config"] = json.dumps({**config, **changes})
        save_tensor_file(tmp_path / "wide", tensors, metadata)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(InputError):
            bb.load(tmp_path / "wide")
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + 50_000  # kB


def bomb(path, shape, body=b""):
    """An .npz whose array of frames declares that shape."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|u1", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("frames.npy", head.getvalue() + body)
        labels = io.BytesIO()
        np.save(labels, np.arange(2))
        archive.writestr("labels.npy", labels.getvalue())
    return path


def test_an_npz_that_declares_more_than_it_holds_costs_no_memory(tmp_path):
    tracemalloc.start()
    with pytest.raises(InputError, match="declares"):
        bb.load_dataset("frames", bomb(tmp_path / "f.npz", (2, 2**30, 1, 8, 8)))
    assert tracemalloc.get_traced_memory()[1] < 1e7
    tracemalloc.stop()


def test_a_small_npz_that_unfolds_to_much_is_refused_before_it_does(tmp_path, monkeypatch):
    monkeypatch.setattr(frame_file, "_UNFOLDED", 10_000)
    np.savez_compressed(tmp_path / "f.npz", frames=np.zeros((4, 2, 1, 64, 64), np.uint8), labels=np.arange(4) % 2)
    with pytest.raises(InputError, match="declares 32896 bytes"):
        bb.load_dataset("frames", tmp_path / "f.npz")


@pytest.mark.parametrize(
    "odd",
    [
        {"split": np.zeros(0, np.uint8)},
        {"labels": np.zeros(4, [("a", "i4")])},
        {"class_names": np.array(["\x1b[2J", "b"])},
        {"class_names": np.array([b"a", b"b"])},
        {"split": np.full(4, -1)},
    ],
    ids=str,
)
def test_odd_arrays_of_an_npz_are_one_sentence(odd, tmp_path):
    arrays = {"frames": np.zeros((4, 2, 1, 3, 3), np.uint8), "labels": np.arange(4) % 2, **odd}
    np.savez(tmp_path / "f.npz", **arrays)
    with pytest.raises(InputError, match=r"f\.npz"):
        bb.load_dataset("frames", tmp_path / "f.npz")


@pytest.mark.parametrize("kind", ["empty", "objects", "huge", "archive", "no columns"])
def test_an_odd_file_of_an_embedding_is_refused_without_memory(kind, tmp_path):
    file = tmp_path / "e.npy"
    np.save(file, np.array([print] * 4) if kind == "objects" else np.zeros((4, 0 if kind == "no columns" else 3)))
    if kind == "huge":
        file.write_bytes(file.read_bytes().replace(b"(4, 3), }           ", b"(4, 9999999999), }  "))
    elif kind == "empty":
        file.write_bytes(b"")
    elif kind == "archive":
        with file.open("wb") as opened:
            np.savez(opened, a=np.zeros(3))
    images = {"images": np.zeros((4, 1, 8, 8), np.uint8), "image_index": np.arange(4)}
    with pytest.raises(InputError, match="an embedding"):
        seenn_env.ChooseTimestepEnv(replace(make_traces(4), **images), observation=str(file))


def test_an_npz_of_objects_is_not_unpickled(tmp_path):
    np.savez(tmp_path / "f.npz", frames=np.array([print, 1], object), labels=np.arange(2))
    with pytest.raises(InputError):
        bb.load_dataset("frames", tmp_path / "f.npz")


def test_weights_of_nan_are_neither_written_nor_read(tmp_path):
    network = deepcopy(small_backbone())
    with torch.no_grad():
        next(network.parameters()).view(-1)[0] = float("inf")
    with pytest.raises(InputError, match="NaN or infinity in"):
        bb.save(network, tmp_path / "a")
    assert not (tmp_path / "a").exists()
    file = save_tensor_file(tmp_path / "b", {"weight": torch.ones(2)}, {"format": "x"})
    content = bytearray(file.read_bytes())
    content[-4:] = np.array(np.nan, np.float32).tobytes()
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"NaN or infinity in 'weight'|altered"):
        load_tensor_file(file, kind="a test", format="x")


def test_a_bad_image_is_reported_alone_and_the_rest_go_on(tmp_path, monkeypatch):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / name)
    Image.fromarray(np.zeros((600, 600), np.uint8)).save(folder / "bomb.png")
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:40])
    (folder / "script.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\nquit\n%%EOF")
    os.mkfifo(folder / "pipe.png")
    (folder / "nothing.png").symlink_to("nowhere")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "odd.png")
    (folder / "odd.png").rename(str(folder) + "/\udcff.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100_000)
    names = os.listdir(folder)
    answers = agents.classify(folder, small_backbone(), agents.Margin())
    problems = {answer.name.rsplit("/", 1)[1]: answer.problem for answer in answers.broken}
    assert (answers.predictions >= 0).tolist() == [name in ("a.png", "b.png") for name in sorted(names)]
    assert "decompression bomb" in problems["bomb.png"]
    assert "is no regular file" in problems["pipe.png"]
    assert all("cannot be read" in problems[name] for name in ("cut.png", "nothing.png", "script.png"))
    assert "Ghostscript" not in problems["script.png"]
    assert "not UTF-8" in problems[r"\xff.png"]


def test_the_sealing_of_these_tests_is_the_project_s_own(tmp_path):
    file = make_traces(4).save(tmp_path / "t")
    content = file.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    metadata = header.pop("__metadata__")
    given = metadata.pop("header_digest")
    assert given == _header_digest(metadata, header)
    assert hash_json(1) != given


def spoiled(kind, source, target, **changes):
    """A file of traces or of a backbone with other arrays or facts under right digests."""
    arrays, metadata, _ = map_arrays(source, kind=kind)
    arrays = {**arrays, **{name: values for name, values in changes.items() if name in arrays or name == "hidden"}}
    facts = {name: value for name, value in changes.items() if name not in arrays}
    if kind == "traces":
        metadata["info"] = json.dumps({**json.loads(metadata["info"]), **facts})
    else:
        metadata["seenn_env"] = json.dumps({**json.loads(metadata["seenn_env"]), **facts})
    write_arrays(target, arrays, metadata)
    return target


@pytest.mark.parametrize(
    "changes",
    [
        {"class_names": ["a"]},
        {"class_names": "abcde"},
        {"class_names": [[1]] * 5},
        {"dataset": [1]},
        {"fingerprint": 7},
        {"division": "x"},
        {"energy_model": "x"},
        {"energy_model": {"pj": 1}},
        {"energy_model": {"pj_per_ac": -1}},
        {"sample": np.arange(4) - 1},
        {"repeat": np.full(4, -1, np.int32)},
        {"images": np.zeros((4, 1, 0, 8), np.uint8)},
        {"image_index": np.arange(4) + 0.5},
        {"hidden": np.zeros((4, 4, 0), np.float32)},
    ],
    ids=str,
)
def test_traces_of_impossible_values_under_right_digests_are_refused(changes, tmp_path):
    images = {"images": np.zeros((4, 1, 8, 8), np.uint8), "image_index": np.arange(4)}
    source = replace(make_traces(4), **images).save(tmp_path / "a")
    with pytest.raises(InputError):
        Traces.load(spoiled("traces", source, tmp_path / "b", **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"class_names": '"abcdefghij"'},
        {"class_names": json.dumps([[1]] * 10)},
        {"class_names": json.dumps(["\x1b[2J"] * 10)},
        {"division": '{"dataset": "digits", "seed": 0}'},
        {"division": '{"dataset": "digits", "seed": 0, "sizes": 3}'},
        {"division": '{"dataset": [1], "seed": 0, "sizes": {}}'},
    ],
    ids=str,
)
def test_a_backbone_of_impossible_facts_under_right_digests_is_refused(changes, tmp_path):
    bb.save(small_backbone(), tmp_path / "a")
    with pytest.raises(InputError, match="to be a backbone file"):
        bb.load(spoiled("backbone", tmp_path / "a", tmp_path / "b", **changes))


def test_a_backbone_of_negative_variances_is_refused(tmp_path):
    network = deepcopy(small_backbone())
    for name, tensor in network.state_dict().items():
        if name.endswith("running_var"):
            tensor.neg_()
    bb.save(network, tmp_path / "a")
    with pytest.raises(InputError, match="a variance is negative"):
        bb.load(tmp_path / "a")


ESCAPES = "\x1b]0;x\x07\x1b[2J"


@pytest.mark.parametrize("facts", [{"class_names": [ESCAPES] * 5}, {"dataset": ESCAPES}], ids=["names", "dataset"])
def test_traces_with_control_characters_are_refused(facts, tmp_path):
    source = make_traces(4).save(tmp_path / "a")
    with pytest.raises(InputError, match="of printable characters"):
        Traces.load(spoiled("traces", source, tmp_path / "b", **facts))


@pytest.mark.parametrize("name", ["a\u00a0b", "a\nb", "\udcff", ESCAPES])
def test_a_class_of_an_odd_name_is_trained_saved_and_read(name, tmp_path):
    for label in ("cat", name):
        (tmp_path / "pets" / label).mkdir(parents=True)
        for number in range(20):
            Image.new("L", (8, 8), number).save(tmp_path / "pets" / label / f"{number}.png")
    splits = bb.load_dataset("folder", tmp_path / "pets")
    assert ascii(name)[1:-1] in splits.train.class_names
    network = bb.build("small", num_classes=2, timesteps=2, input_shape=(1, 8, 8), width=4)
    bb.save(network, tmp_path / "net", class_names=splits.train.class_names)
    assert bb.load(tmp_path / "net").class_names == splits.train.class_names
    with pytest.raises(InputError, match="of printable characters"):
        bb.save(network, tmp_path / "net", class_names=("cat", name))
    with pytest.raises(InputError, match="of printable characters"):
        replace(splits.train, class_names=("cat", name))
    with pytest.raises(InputError, match="of printable characters"):
        save_frames(tmp_path / "f.npz", np.zeros((4, 2, 1, 3, 3), np.uint8), np.arange(4) % 2, class_names=("c", name))


@pytest.mark.parametrize("shape", [(1, 5_000_000), (5_000_000, 1)])
def test_a_narrow_image_is_not_resized_to_gigabytes(shape, tmp_path):
    Image.fromarray(np.zeros(shape, np.uint8)).save(tmp_path / "long.png")
    with pytest.raises(ValueError, match="too narrow to be resized"):
        read_pixels(tmp_path / "long.png", (8, 8), grey=True)


def test_hundreds_of_folders_in_one_another_are_one_sentence(tmp_path, monkeypatch):
    def rglob(*_):
        raise RecursionError

    monkeypatch.setattr("pathlib.Path.rglob", rglob)
    with pytest.raises(InputError, match="in one another"):
        agents.classify(tmp_path, small_backbone(), agents.Margin())


@pytest.mark.parametrize(("place", "value"), [(6, b"\x01\0"), (6, b"\x41\0"), (8, b"\x63\0")], ids=str)
def test_encrypted_and_unknown_members_of_an_npz_are_one_sentence(place, value, tmp_path):
    np.savez(tmp_path / "f.npz", frames=np.zeros((4, 2, 1, 3, 3), np.uint8), labels=np.arange(4) % 2)
    content = bytearray((tmp_path / "f.npz").read_bytes())
    for mark, shift in ((b"PK\x03\x04", 0), (b"PK\x01\x02", 2)):
        at = content.index(mark) + place + shift
        content[at : at + 2] = value
    (tmp_path / "f.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"whole, got .*f\.npz"):
        bb.load_dataset("frames", tmp_path / "f.npz")


@pytest.mark.parametrize("member", ["labels.npy", "frames.npy"])
def test_odd_members_of_an_npz_are_one_sentence(member, tmp_path):
    np.savez(tmp_path / "f.npz", labels=np.arange(4) % 2)
    header = b"-" * 9000 + b"1\n"  # too deep for the parser, or the second of its name
    with zipfile.ZipFile(tmp_path / "f.npz", "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        archive.writestr(member, b"\x93NUMPY\x01\0" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(InputError, match=r"whole, got .*f\.npz"):
        bb.load_dataset("frames", tmp_path / "f.npz")


def test_headers_with_two_of_one_name_and_frames_of_a_later_format_are_refused(tmp_path):
    frames, labels = np.zeros((4, 2, 1, 3, 3), np.uint8), np.arange(4) % 2
    write_arrays(tmp_path / "later.safetensors", {"frames": frames, "labels": labels}, {"format": "seenn_env.frames/9"})
    with pytest.raises(InputError, match=r"got format 'seenn_env\.frames/9'"):
        bb.load_dataset("frames", tmp_path / "later.safetensors")
    entry = json.dumps({"labels": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}})
    twice = written(tmp_path / "twice.safetensors", (entry[:-1] + "," + entry[1:]).encode(), b"0")
    with pytest.raises(InputError, match="two of one name"):
        map_arrays(twice, kind="a file")


@pytest.mark.parametrize("name", ["x" * 300, "x" * 300 + ".npz"])
def test_names_that_are_too_long_for_a_file_are_one_sentence(name):
    def classified(path):
        return agents.classify(path, small_backbone(), agents.Margin())

    def frames(path):
        return bb.load_dataset("frames", path)

    def folder(path):
        return bb.load_dataset("folder", path)

    for read in (bb.load, agents.load, Traces.load, classified, frames, folder):
        with pytest.raises(InputError, match="Expected"):
            read(name)
