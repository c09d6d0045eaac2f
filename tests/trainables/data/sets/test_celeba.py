"""CelebA: crops, filters, splits and attributes, on small files in the official format and on the half-size copy."""

import io
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.data_files import complaint, present, put, zipped
from tests.support.image_sets.celeba import IMAGES, NAMES, PARTS, ROWS, SIGNS, attributes, face, files, listed
from trainables.data.loading import load_splits, open_splits, read_facts
from trainables.data.sets.celeba import CelebA, CelebAHalf, read_attributes


@pytest.fixture
def small(tmp_path, monkeypatch):
    monkeypatch.setattr(CelebA, "images", IMAGES)
    monkeypatch.setattr(CelebA, "rows", ROWS)
    put(tmp_path, files())
    return tmp_path


def test_the_official_sizes():
    facts = read_facts(CelebA())
    assert (facts.shape, facts.range, facts.train_rows, facts.val_rows) == ((3, 64, 64), (0.0, 1.0), 162_770, 19_867)
    assert sum(CelebA.rows["official"]) == sum(CelebA.rows["random"]) == CelebA.images == 202_599
    assert CelebA.rows["official"][2] == 19_962 and CelebA.rows["random"][2] == 20_000


@pytest.mark.parametrize(("crop", "left", "top"), [(140, 19, 39), (148, 15, 35), (178, 0, 20)])
def test_each_crop_is_the_square_in_the_middle(small, crop, left, top):
    x = load_splits(CelebA(crop=crop, resize="nearest"), small).train.x[0]
    middle = np.floor((np.arange(64) + 0.5) * crop / 64)
    assert x[0, 5].tolist() == (left + middle).tolist() and x[1, :, 5].tolist() == (top + middle).tolist()


@pytest.mark.parametrize("resize", ["box", "bilinear", "bicubic", "lanczos"])
def test_crop_and_filter_keep_a_slope_a_slope(small, resize):
    """A slope of 1 a pixel becomes one of crop / 64, whatever averages over it."""
    x = load_splits(CelebA(crop=148, resize=resize), small).train.x[0, 0, 5, 4:-4].double().numpy()
    expected = 15 + (np.arange(64) + 0.5) * 148 / 64 - 0.5
    assert np.abs(x - expected[4:-4]).max() <= 1


def test_the_official_split_follows_the_partition(small):
    splits = load_splits(CelebA(), small)
    found = [rows.x[:, 2, 0, 0].tolist() for rows in (splits.train, splits.val, splits.test)]
    assert found == [[row for row, part in enumerate(PARTS) if part == wanted] for wanted in range(3)]


def test_the_random_split_has_each_image_once(small):
    splits = load_splits(CelebA(split="random"), small)
    found = [rows.x[:, 2, 0, 0].tolist() for rows in (splits.train, splits.val, splits.test)]
    assert [len(rows) for rows in found] == [6, 2, 4] and sorted(sum(found, [])) == list(range(IMAGES))


def test_attributes_go_with_their_images(small):
    for rows in (load_splits(CelebA(), small).val, load_splits(CelebA(split="random"), small).test):
        image = rows.x[:, 2, 0, 0].long()
        assert torch.equal(rows.attributes.values, torch.from_numpy(SIGNS > 0)[image])
        assert rows.attributes.values.dtype == torch.bool and rows.attributes.names == tuple(NAMES)
        assert rows.y is None and rows.factors is None


def test_the_zip_file_gives_what_its_folder_gives(small, tmp_path):
    there = load_splits(CelebA(), small).val.x
    names = {f"img_align_celeba/{row + 1:06}.jpg": face(row) for row in range(IMAGES)}
    zipped(tmp_path / "packed" / "celeba" / "img_align_celeba.zip", names)
    put(tmp_path / "packed", {name: content for name, content in files().items() if name.endswith(".txt")})
    assert torch.equal(load_splits(CelebA(), tmp_path / "packed").val.x, there)


def test_signed_faces_lie_in_minus_one_to_one(small):
    rows = load_splits(CelebA(signed=True), small).train
    assert rows.range == read_facts(CelebA(signed=True)).range == (-1.0, 1.0)
    assert torch.allclose(rows.batch(torch.arange(2)), rows.x[:2] / 127.5 - 1, atol=1e-6)


LIST, PARTITION = "celeba/list_attr_celeba.txt", "celeba/list_eval_partition.txt"


@pytest.mark.parametrize(("name", "content", "place", "said"), [
    (LIST, attributes(SIGNS[:-1]), LIST, "11 rows of 40 attributes, 12 of 40 expected"),
    (LIST, attributes(names=NAMES[:-1]), LIST, "12 rows of 39 attributes, 12 of 40 expected"),
    (LIST, attributes(np.where(np.arange(IMAGES)[:, None] == 4, 0, SIGNS)), LIST,
     "row 4 (000005.jpg) is not 000005.jpg and 40 of -1, 1"),
    (LIST, attributes().replace(b"000003", b"000033"), LIST, "row 2 (000033.jpg) is not 000003.jpg and 40 of -1, 1"),
    (LIST, attributes()[:-5], LIST, "row 11 (000012.jpg) is not 000012.jpg"),
    (LIST, b"", LIST, "damaged or something else"),
    (LIST, b"\xff\xfe\x00", LIST, "damaged or something else"),
    (PARTITION, listed([3, *PARTS[1:]]), PARTITION, "row 0 (000001.jpg) is not 000001.jpg and 1 of 0, 1, 2"),
    (PARTITION, listed(sorted(PARTS)[:-1]), PARTITION,
     "(7, 3, 1) images to train, validate and test, (7, 3, 2) expected"),
    ("celeba/img_align_celeba/000003.jpg", face(2, 178, 217), "celeba/img_align_celeba",
     "row 2 (img_align_celeba/000003.jpg): 178x217 pixels, 178x218 expected"),
    ("celeba/img_align_celeba/000003.jpg", b"", "celeba/img_align_celeba",
     "row 2 (img_align_celeba/000003.jpg): no picture of a known kind"),
    ("celeba/img_align_celeba/000013.jpg", face(0), "celeba/img_align_celeba", "13 images, 12 expected"),
])  # fmt: skip
def test_unsound_files_are_told_with_row_and_reason(small, name, content, place, said):
    put(small, {name: content})
    assert complaint(CelebA(), small).startswith(f"{small / place}: {said}")


def test_a_gap_in_the_images_is_told(small):
    folder = small / "celeba" / "img_align_celeba"
    (folder / "000004.jpg").rename(folder / "000014.jpg")
    said = complaint(CelebA(), small)
    assert said.startswith(f"{folder}: row 3 is img_align_celeba/000005.jpg, img_align_celeba/000004.jpg expected")


@pytest.mark.parametrize("name", ["img_align_celeba.zip", "list_attr_celeba.txt"])
def test_absent_files_are_told(tmp_path, name):
    if name != "img_align_celeba.zip":
        put(tmp_path, {"celeba/img_align_celeba/000001.jpg": face(0)})
    assert f"{tmp_path}: no celeba/{name}" in complaint(CelebA(), tmp_path)


def test_real_attributes_have_the_known_shares(real_data):
    found = read_attributes(present(real_data, "celeba") / "celeba" / "list_attr_celeba.txt", CelebAHalf.images)
    share = dict(zip(found.names, found.values.double().mean(dim=0).tolist(), strict=True))
    assert len(share) == 40
    assert (share["Male"], share["Smiling"]) == (pytest.approx(0.422, abs=5e-4), pytest.approx(0.482, abs=5e-4))


def test_real_half_faces_are_cut_out_of_the_middle(real_data):
    root = present(real_data, "celeba")
    opened = open_splits(CelebAHalf(crop=148, resize="nearest", train_rows=20), root)
    assert opened.facts() == read_facts(CelebAHalf(train_rows=20))
    assert [len(opened.val), len(opened.test)] == [1_000, 1_000]
    rows, place = opened.train.read(), np.floor((np.arange(64) + 0.5) * 74 / 64).astype(int)
    with zipfile.ZipFile(root / "celeba" / "img_align_celeba.zip") as archive:
        for number, x in zip(opened.train.order.tolist(), rows.x, strict=True):
            whole = Image.open(io.BytesIO(archive.read(f"img_align_celeba/{number + 1:06}.jpg")))
            assert np.array_equal(x.numpy().transpose(1, 2, 0), np.asarray(whole)[17 + place][:, 7 + place])
