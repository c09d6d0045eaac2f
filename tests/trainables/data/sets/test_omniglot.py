"""Omniglot and the Frey faces."""

import numpy as np
import pytest
import torch

from tests.support.data_files import complaint, picture, present, put, zipped
from trainables.data.loading import load_splits, open_splits, read_facts
from trainables.data.sets import omniglot
from trainables.data.sets.frey import Frey
from trainables.data.sets.omniglot import Omniglot

RNG = np.random.default_rng(0)
INK = RNG.random((5, 20, 105, 105)) < 0.2
BACKGROUND = ["Greek/character01", "Greek/character02", "Latin/character01"]
EVALUATION = ["Angelic/character01", "Tengwar/character07"]


def drawings(top: str, characters: list[str], ink: np.ndarray) -> dict[str, bytes]:
    return {
        f"{top}/{character}/{number:04}_{drawer + 1:02}.png": picture(~ink[number, drawer])
        for number, character in enumerate(characters)
        for drawer in range(20)
    }


@pytest.fixture
def small(tmp_path, monkeypatch):
    monkeypatch.setitem(omniglot.BACKGROUND, "official", (("images_background",), 3))
    monkeypatch.setattr(omniglot, "EVALUATION", ("images_evaluation", 2))
    zipped(tmp_path / "omniglot-py" / "images_background.zip", drawings("images_background", BACKGROUND, INK))
    put(tmp_path / "omniglot-py", drawings("images_evaluation", EVALUATION, INK[3:]))
    return tmp_path


def averaged(ink: np.ndarray) -> np.ndarray:
    """28 x 28 means of the areas that fall into each: of every pixel 4 x 4 copies, then blocks of 15 x 15 of them."""
    copies = 255.0 * ink.repeat(4, axis=0).repeat(4, axis=1)
    return copies.reshape(28, 15, 28, 15).mean(axis=(1, 3))


@pytest.mark.parametrize(("fields", "rows"), [
    ({}, (69_408, 7_712)),
    ({"rotations": False}, (17_352, 1_928)),
    ({"val_drawers": 5}, (57_840, 19_280)),
    ({"files": "small"}, (242 * 72, 242 * 8)),
    ({"files": "small1"}, (136 * 72, 136 * 8)),
    ({"files": "small2"}, (156 * 72, 156 * 8)),
])  # fmt: skip
def test_sizes_follow_from_characters_drawers_and_turns(fields, rows):
    facts = read_facts(Omniglot(**fields))
    assert (facts.shape, (facts.train_rows, facts.val_rows)) == ((1, 28, 28), rows)


def test_all_background_images_are_the_published_77120():
    assert read_facts(Omniglot()).train_rows + read_facts(Omniglot()).val_rows == 77_120
    assert omniglot.EVALUATION[1] * 80 == 52_720


def test_each_drawing_is_there_once_in_white_ink_with_its_character(small):
    dataset = Omniglot(rotations=False)
    splits, opened = load_splits(dataset, small), open_splits(dataset, small)
    assert [len(rows) for rows in (splits.train, splits.val, splits.test)] == [54, 6, 40]
    for split, first in (("train", 0), ("val", 0), ("test", 3)):
        rows, part = getattr(splits, split), getattr(opened, split)
        for x, y, number in zip(rows.x[:, 0].double().numpy(), rows.y.tolist(), part.order.tolist(), strict=True):
            character, drawer = divmod(number // 4, 20)
            assert y == first + character
            assert np.abs(x - averaged(INK[first + character, drawer])).max() <= 0.5 + 1e-9
    assert set((opened.val.order // 4 % 20).tolist()) == {18, 19}
    assert sorted(torch.cat([opened.train.order, opened.val.order]).tolist()) == list(range(0, 240, 4))


def test_turns_keep_the_class_and_are_the_drawing_turned(small):
    splits, opened = load_splits(Omniglot(), small), open_splits(Omniglot(), small)
    assert splits.train.y.bincount().tolist() == [72] * 3 and splits.val.y.bincount().tolist() == [8] * 3
    assert splits.test.y.bincount().tolist() == [0, 0, 0, 80, 80]
    upright = {n // 4: x for x, n in zip(splits.train.x, opened.train.order.tolist(), strict=True) if n % 4 == 0}
    assert len(upright) == 54
    for x, number in zip(splits.train.x, opened.train.order.tolist(), strict=True):
        assert torch.equal(x, torch.rot90(upright[number // 4], number % 4, (1, 2)))


def test_what_both_small_archives_hold_is_taken_once(tmp_path, monkeypatch):
    monkeypatch.setitem(omniglot.BACKGROUND, "small", (("images_background_small1", "images_background_small2"), 3))
    for number, some in ((1, [0, 1]), (2, [1, 2])):
        top = f"images_background_small{number}"
        files = drawings(top, [BACKGROUND[place] for place in some], INK[some])
        renamed = {name.replace("/0000_", "/a_").replace("/0001_", "/a_"): content for name, content in files.items()}
        zipped(tmp_path / "omniglot-py" / f"{top}.zip", renamed)
    splits = load_splits(Omniglot(files="small"), tmp_path)
    assert splits.train.y.bincount().tolist() == [72] * 3 and splits.test is None


NAME = "images_background/Greek/character02/0001_05.png"


@pytest.mark.parametrize(("changed", "said"), [
    ({NAME: b""}, f"row 24 ({NAME.partition('/')[2]}): no picture of a known kind"),
    ({NAME: picture(np.zeros((105, 104), bool))},
     f"row 24 ({NAME.partition('/')[2]}): 104x105 pixels, 105x105 expected"),
    ({NAME: None}, "19 drawings of Greek/character02, 20 expected"),
    (drawings("images_background", ["Zulu/character01"], INK), "4 characters, 3 expected"),
])  # fmt: skip
def test_unsound_drawings_are_told_with_the_row(small, changed, said):
    files = drawings("images_background", BACKGROUND, INK) | changed
    path = small / "omniglot-py" / "images_background.zip"
    zipped(path, {name: content for name, content in files.items() if content is not None})
    assert complaint(Omniglot(), small).startswith(f"{path}: {said}")


def test_an_absent_archive_is_told(tmp_path):
    place = "omniglot-py/images_background"
    assert complaint(Omniglot(), tmp_path).startswith(f"{tmp_path}: no {place}.zip nor {place}: get it from github.com")


@pytest.mark.parametrize(("files", "characters"), [("small1", 136), ("small2", 156), ("small", 242)])
def test_the_real_small_sets_have_twenty_drawings_of_each_character(real_data, files, characters):
    root = present(real_data, "omniglot-py")
    splits = load_splits(Omniglot(files=files, rotations=False, val_drawers=1), root)
    assert splits.facts() == read_facts(Omniglot(files=files, rotations=False, val_drawers=1))
    assert splits.train.y.bincount().tolist() == [19] * characters
    assert splits.val.y.bincount().tolist() == [1] * characters
    assert 0.05 < splits.train.x.float().mean() / 255 < 0.12  # thin white lines on black


def test_the_real_frey_faces_are_split_by_a_shuffle(real_data):
    root = present(real_data, "freyfaces")
    splits, film = load_splits(Frey(), root), np.load(root / "freyfaces" / "freyfaces.npy")
    assert splits.facts() == read_facts(Frey())
    parts = [rows.x[:, 0].numpy() for rows in (splits.train, splits.val, splits.test)]
    assert [len(part) for part in parts] == [1_565, 200, 200]
    found = sorted(frame.tobytes() for part in parts for frame in part)
    assert found == sorted(frame.tobytes() for frame in film)
    assert (min(part.min() for part in parts), max(part.max() for part in parts)) == (8, 238)
    assert not np.array_equal(parts[0], film[:1_565])


@pytest.mark.parametrize("frames", [np.zeros((1_964, 28, 20), np.uint8), np.zeros((1_965, 28, 20)), None])
def test_other_frey_faces_are_refused(tmp_path, frames):
    (tmp_path / "freyfaces").mkdir()
    path = tmp_path / "freyfaces" / "freyfaces.npy"
    path.write_bytes(b"<html>")
    if frames is not None:
        np.save(path, frames)
    assert complaint(Frey(), tmp_path).startswith(f"{path}: ")
