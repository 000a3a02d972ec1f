"""Frames over time: their file, the encoding "event", and everything that a network does with them."""

import numpy as np
import pytest
import torch
from PIL import Image

import backbones as bb
from agents.main import main
from backbones.contract import run
from backbones.data import SPLITS
from backbones.data.frame_file import save_frames
from backbones.networks.encodings import make_encoding
from backbones.training.loop import TrainingConfig, train
from seenn_env import ChooseTimestepEnv, EarlyExitEnv, Traces, record

T, SIDE = 4, 12


def bars(N=120, timesteps=T, seed=0):
    """A bar of events in the upper (class 0) or lower half of the third frame; the others are noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(N) % 2
    frames = (rng.random((N, timesteps, 2, SIDE, SIDE)) < 0.1).astype(np.uint8)
    for row, label in enumerate(labels):
        frames[row, 2, :, 2 + 6 * label : 4 + 6 * label] += 3
    return frames, labels


@pytest.fixture(params=[".npz", ".safetensors"])
def file(request, tmp_path):
    frames, labels = bars()
    return save_frames(tmp_path / f"bars{request.param}", frames, labels, class_names=("up", "down"))


@pytest.fixture
def splits(tmp_path):
    frames, labels = bars()
    return bb.load_dataset("frames", save_frames(tmp_path / "bars.safetensors", frames, labels))


def event_network(network="small", timesteps=T, **options):
    options = {"width": 8, "neuron": {"type": "lif", "v_threshold": 0.3}, **options}
    return bb.build(
        network, num_classes=2, timesteps=timesteps, encoding="event", input_shape=(2, SIDE, SIDE), **options
    )


def test_a_file_gives_back_its_frames_labels_and_names(file):
    frames, labels = bars()
    splits = bb.load_dataset("frames", file)
    assert [len(splits[name]) for name in SPLITS] == [78, 9, 9, 24]
    for name in SPLITS:
        samples = splits[name]
        assert np.array_equal(samples.images, frames[samples.index])
        assert np.array_equal(samples.labels, labels[samples.index])
        assert (samples.class_names, samples.dataset) == (("up", "down"), "bars")


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_splits_of_the_file_are_kept(suffix, tmp_path):
    frames, labels = bars()
    codes = np.repeat([3, 0, 1, 2], [20, 60, 30, 10])
    own = bb.load_dataset("frames", save_frames(tmp_path / f"own{suffix}", frames, labels, split=codes))
    assert [len(own[name]) for name in SPLITS] == [60, 30, 10, 20]
    assert own.policy.index.tolist() == list(range(80, 110))
    with pytest.raises(bb.InputError, match=r"no policy_size and calibration_size for .*, which has its own splits"):
        bb.load_dataset("frames", tmp_path / f"own{suffix}", policy_size=5)
    save_frames(tmp_path / f"two{suffix}", frames, labels, split=np.where(codes == 3, 3, 0))
    two = bb.load_dataset("frames", tmp_path / f"two{suffix}", policy_size=40)
    assert [len(two[name]) for name in SPLITS] == [50, 40, 10, 20]
    assert two.test.index.tolist() == list(range(20))


def test_float_frames_stay_mapped_and_go_to_the_network_as_they_are(tmp_path):
    frames = np.random.default_rng(0).normal(size=(40, 2, 2, 4, 4)).astype(np.float16)
    splits = bb.load_dataset("frames", save_frames(tmp_path / "a.safetensors", frames, np.arange(40) % 2))
    assert splits.train.images.dtype == np.float16
    network = bb.build("small", num_classes=2, timesteps=2, encoding="event", input_shape=(2, 4, 4), width=4)
    given = torch.from_numpy(splits.train.images[:3])
    assert torch.equal(network.start(given).source, given.float())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"frames": np.zeros((6, 2, 4, 4), np.uint8)},
            r"frames \[N, T, C, H, W\] and labels \[N\] .*got \[6, 2, 4, 4\]",
        ),
        ({"frames": np.zeros((6, 2, 2, 4, 4))}, "frames of uint8, float16 or float32 in .*, got float64: convert"),
        ({"labels": np.array([0, 1, 0])}, r"labels \[N\] in .*, got \[6, 2, 2, 4, 4\] and \[3\]"),
        ({"labels": np.array([0, 3, 1, 0, 1, 0])}, "frames of every class, found none of '2' in"),
        ({"class_names": ["a"]}, "whole numbers from 0 below 1, the number of class_names, in .*, got int64 0…1"),
        ({"split": np.array([0, 1, 2, 3, 4, 0])}, r"split \[N\] = \[6\] of codes 0…3 in .*, got \[6\] of int64 0…4"),
    ],
)
def test_arrays_that_are_no_frames_are_refused(change, message, tmp_path):
    arrays = {"frames": np.zeros((6, 2, 2, 4, 4), np.uint8), "labels": np.arange(6) % 2, **change}
    with pytest.raises(bb.InputError, match=message):
        save_frames(tmp_path / "a.npz", **arrays)
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(bb.InputError, match=message.replace("uint8 0…4", "int64 0…4")):
        bb.load_dataset("frames", tmp_path / "a.npz")


def test_files_that_are_missing_cut_off_or_of_another_kind_are_one_sentence(file, tmp_path):
    with pytest.raises(bb.InputError, match=r"where the data of 'frames' are: set root"):
        bb.load_dataset("frames")
    with pytest.raises(bb.InputError, match=r"file of frames \(.npz or .safetensors\), found none at .*nowhere.npz"):
        bb.load_dataset("frames", tmp_path / "nowhere.npz")
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(bb.InputError, match=r"file of frames(, but .*bars.* is not whole| that is whole, got .*bars)"):
        bb.load_dataset("frames", file)
    (tmp_path / "a.mat").touch()
    with pytest.raises(bb.InputError, match=r"called .npz or .safetensors, got a.mat"):
        bb.load_dataset("frames", tmp_path / "a.mat")


def test_splits_that_are_not_the_four_are_refused(tmp_path):
    frames, labels = bars(12)
    file = save_frames(tmp_path / "a.npz", frames, labels, split=np.repeat([0, 1], 6))
    with pytest.raises(bb.InputError, match="all four splits in a, or train and test, got policy, train"):
        bb.load_dataset("frames", file)


def test_the_event_encoding_shows_each_row_the_frame_of_its_own_timestep():
    inputs = torch.arange(3 * 4 * 2).view(3, 4, 2).float()
    encoding = make_encoding("event", 4)
    assert not encoding.static
    shown = encoding(inputs, torch.zeros(3), torch.tensor([1, 4, 2]))
    assert torch.equal(shown, torch.stack([inputs[0, 0], inputs[1, 3], inputs[2, 1]]))
    assert torch.equal(encoding(inputs, torch.zeros(3), torch.tensor([5, 9, 4])), inputs[:, 3])


@pytest.mark.parametrize("network", ["small", "vggsnn"])
def test_networks_on_frames_keep_the_contract(network):
    frames = torch.from_numpy(bars(8)[0])
    made = event_network(network, neuron="lif").train()
    for module in made.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        made(frames)  # its norms learn the scale of the currents, so that the last layer spikes
    bb.check_backbone(made.eval(), frames)


def test_refilled_rows_start_at_their_own_first_frame():
    network = event_network()
    frames, new = (torch.from_numpy(bars(4, seed=seed)[0]) for seed in (0, 1))
    first, _ = network.step(network.start(new))
    _, state = network.step(network.start(frames))
    second, _ = network.step(state)
    state = network.refill(state, torch.tensor([2]), new[2:3])
    logits, state = network.step(state)
    assert torch.equal(logits[2], first[2])
    assert torch.equal(logits[[0, 1, 3]], second[[0, 1, 3]])
    assert state.timestep.tolist() == [2, 2, 1, 2]


def test_training_over_time_and_stepping_see_the_same_frames():
    network = event_network()
    frames = torch.from_numpy(bars(6)[0])
    with torch.no_grad():
        outputs = network(frames)
    state = network.start(frames)
    for t in range(T):
        logits, state = network.step(state)
        torch.testing.assert_close(logits, outputs[: t + 1].mean(0))
    assert torch.equal(network(frames, timesteps=2), network(frames)[:2])


def test_information_of_a_frame_is_learned_and_known_from_its_timestep_on(splits, tmp_path):
    network = event_network(neuron="lif")
    config = TrainingConfig(epochs=10, batch_size=13, roll=1, flip=True, channels_last=True)
    train(network, splits, config)
    traces = record(network, splits.test, tmp_path / "test.safetensors", batch_size=8, images=True)
    assert traces.accuracy[1] < 0.9  # noise alone
    assert traces.accuracy[2:].min() > 0.95
    assert traces.info["frames"] == T
    assert traces.info["division"]["sizes"] == {"train": 78, "policy": 9, "calibration": 9, "test": 24}
    expected = splits.test.images.astype(float).mean(1)
    expected *= 255 / expected.max((1, 2, 3), keepdims=True)
    assert np.abs(traces.images.astype(float) - expected).max() <= 0.51
    reloaded = Traces.load(tmp_path / "test.safetensors")
    assert np.array_equal(reloaded.images, traces.images)


def test_live_frames_equal_recorded_ones_and_show_a_picture(splits):
    network = event_network()
    traces = record(network, splits.policy, batch_size=1, images=True)
    replay = EarlyExitEnv(traces, render_mode="rgb_array")
    live = EarlyExitEnv(backbone=network, samples=splits.policy, render_mode="rgb_array")
    for row in range(4):
        seen = [env.reset(options={"samples": row})[0] for env in (replay, live)]
        assert np.array_equal(*seen)
        for action in (0, 0, 1):
            results = [env.step(action) for env in (replay, live)]
            assert np.array_equal(results[0][0], results[1][0])
            assert results[0][1:] == results[1][1:]
        pictures = [env.render()[24:248, 24:248] for env in (replay, live)]
        assert np.array_equal(*pictures)
        assert pictures[0].std() > 10


@pytest.mark.parametrize("form", ["plain", "float32", "bfloat16"])
def test_a_slot_pool_and_the_forms_for_inference_take_frames(form, splits):
    network = event_network()
    if form != "plain":
        network = network.optimize(dtype=form, min_agreement=None)
    frames = splits.train.images[:12]
    bb.check_backbone(network, torch.from_numpy(frames))
    keys = np.zeros(12, np.int64)
    expected = torch.cat([logits for _, logits in run(network, frames, keys, batch_size=4)])
    pool, shown, following = bb.SlotPool(network, 4), np.arange(4), 4
    pool.refill(np.arange(4), frames[:4])
    for step in range(9):  # beyond T for rows that are not filled again
        logits, done = pool.step(), pool.timestep.copy()
        for row in np.flatnonzero(done <= T):
            assert torch.equal(logits[row], expected[shown[row], done[row] - 1])
        leaving = np.flatnonzero((done == 1 + (shown % T)) & (following + np.arange(4) < 12))
        if step < 6 and len(leaving):
            shown[leaving] = np.arange(following, following + len(leaving))
            following += len(leaving)
            pool.refill(leaving, frames[shown[leaving]])
    assert following > 8


def test_a_picture_of_later_frames_is_no_observation(splits):
    network = event_network()
    traces = record(network, splits.policy, images=True)
    for arguments in (
        {"traces": traces},
        {"traces": traces, "samples": splits.policy},
        {"backbone": network, "samples": splits.policy},
    ):
        with pytest.raises(bb.InputError, match="still images for the observation 'image', got frames over time"):
            ChooseTimestepEnv(**arguments)
        observation, _ = ChooseTimestepEnv(**arguments, observation="features").reset(seed=0)
        assert observation.shape == (6,)


def test_frames_of_another_number_of_timesteps_are_one_sentence_everywhere(splits, tmp_path):
    other = event_network(timesteps=6)
    said = r"frames for the network's 6 timesteps, got 4 a sample in .*bars.*: use a network with timesteps=4"
    with pytest.raises(bb.InputError, match=said):
        train(other, splits)
    with pytest.raises(bb.InputError, match=said):
        record(other, splits.policy)
    with pytest.raises(bb.InputError, match=said):
        bb.load_dataset("frames", tmp_path / "bars.safetensors", timesteps=6)
    with pytest.raises(bb.InputError, match=r"frames for 4 timesteps, and the network has T = 6"):
        other.start(torch.from_numpy(splits.policy.images[:2]))


def test_still_images_and_frames_are_not_taken_for_each_other(digits, splits):
    network = bb.build("small", num_classes=10, timesteps=T, input_shape=(1, 8, 8), encoding="event")
    with pytest.raises(bb.InputError, match="'event' takes a frame for each timestep; for still images choose another"):
        network.start(torch.from_numpy(digits.policy.images[:2]))
    network = bb.build("small", num_classes=2, timesteps=T, input_shape=(2, SIDE, SIDE))
    with pytest.raises(bb.InputError, match="frames over time are for the encoding 'event'"):
        network.start(torch.from_numpy(splits.policy.images[:2]))


def test_the_commands_train_record_and_show_frames(tmp_path, capsys):
    frames, labels = bars()
    data = save_frames(tmp_path / "bars.npz", frames, labels, class_names=("up", "down"))
    where = ["--dataset", "frames", "--data-dir", str(data), "--policy-size", "20"]
    network = tmp_path / "net" / "backbone.safetensors"
    event = ["--encoding", "event", "--timesteps", str(T), "--epochs", "1", "--roll", "1", "--flip", "--width", "4"]
    main(["train-backbone", "--output", str(tmp_path / "net"), *where, *event])
    traces = tmp_path / "policy.safetensors"
    main(["record", "--backbone", str(network), "--output", str(traces), *where, "--images"])
    assert len(Traces.load(traces)) == 20
    gif = str(tmp_path / "watch.gif")
    main(["watch", "--backbone", str(network), *where, "--split", "policy", "--row", "1", "--output", gif])
    with Image.open(gif) as picture:
        assert picture.size[0] > 300
    with pytest.raises(SystemExit) as stop:
        main(["train-backbone", "--output", str(tmp_path / "other"), *where, "--encoding", "event"])
    assert stop.value.code == 2
    assert "frames for the network's 8 timesteps, got 4" in capsys.readouterr().err


def test_an_altered_file_is_refused_and_labels_cost_no_memory(tmp_path):
    file, frames = tmp_path / "f.safetensors", np.zeros((40, 4, 1, 8, 8), np.uint8)
    save_frames(file, frames, np.arange(40) % 2)
    altered = bytearray(file.read_bytes())
    altered[-1] ^= 0x80
    file.write_bytes(altered)
    with pytest.raises(bb.InputError, match="does not match its digest"):
        bb.load_dataset("frames", file)
    labels = np.arange(40) % 2
    labels[0] = 2**44
    with pytest.raises(bb.InputError, match="Expected frames of every class"):
        save_frames(file, frames, labels)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"labels": [0, 1.5, 1, 0]}, "labels of whole numbers"),
        ({"split": [0, 0, 256, 0]}, "codes 0…3"),
        ({"split": [0, 0, -1, 0]}, "codes 0…3"),
        ({"split": [0, 0.7, 1, 0]}, "codes 0…3"),
        ({"labels": ["a", "b", "a", "b"]}, "labels of whole numbers"),
    ],
)
def test_labels_and_codes_are_not_rounded_or_cut_when_they_are_saved(given, problem, tmp_path):
    arrays = {"frames": np.ones((4, 2, 1, 2, 2), np.uint8), "labels": [0, 1, 0, 1], **given}
    with pytest.raises(bb.InputError, match=problem):
        save_frames(tmp_path / "frames.npz", **arrays)
    assert not list(tmp_path.iterdir())
