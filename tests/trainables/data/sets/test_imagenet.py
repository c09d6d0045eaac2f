"""ImageNet in small pixels: the batches of 32x32, and Tiny ImageNet."""

import numpy as np
import pytest
import torch

from tests.support.data_files import complaint, picture, present, put, zipped
from tests.support.image_sets.imagenet import FILES, PARTS, X, Y, batch
from trainables.data.formats.archives import open_archive
from trainables.data.loading import load_splits, open_splits, read_facts
from trainables.data.sets import tiny_imagenet
from trainables.data.sets.imagenet32 import ImageNet32
from trainables.data.sets.tiny_imagenet import TinyImageNet, read_val


@pytest.fixture
def small(tmp_path, monkeypatch):
    monkeypatch.setattr(ImageNet32, "images", (50, 7))
    (tmp_path / "imagenet32").mkdir()
    for name, rows in zip(FILES, PARTS, strict=True):
        batch(tmp_path / "imagenet32" / name, rows)
    return tmp_path


def test_the_published_sizes():
    facts = read_facts(ImageNet32())
    assert (facts.shape, facts.train_rows, facts.val_rows) == ((3, 32, 32), 1_271_167, 10_000)


def test_each_image_is_there_once_with_its_label(small):
    splits = load_splits(ImageNet32(val_from_train=10), small)
    opened = open_splits(ImageNet32(val_from_train=10), small)
    assert [len(rows) for rows in (splits.train, splits.val, splits.test)] == [40, 10, 7]
    assert sorted(torch.cat([opened.train.order, opened.val.order]).tolist()) == list(range(50))
    for rows, order in ((splits.train, opened.train.order), (splits.val, opened.val.order)):
        assert np.array_equal(rows.x, X[order]) and np.array_equal(rows.y, Y[order])
    assert np.array_equal(splits.test.x, X[50:]) and np.array_equal(splits.test.y, Y[50:])


@pytest.mark.parametrize(("values", "said"), [
    ({"y": np.array([1, 0, 5, 5])}, "row 1 has label 0, 1 to 1000 expected"),
    ({"y": np.array([1, 1, 5, 1_001])}, "row 3 has label 1001, 1 to 1000 expected"),
    ({"y": np.array([1, 1, 5])}, "(4, 3072) data for (3,) labels of int64, (N, 3072) for N whole numbers expected"),
    ({"y": np.array([1.0, 1, 5, 7])}, "(4, 3072) data for (4,) labels of float64"),
    ({"x": np.zeros((4, 3_071), np.uint8)}, "(4, 3071) data for (4,) labels"),
    ({"x": np.zeros((4, 3_072))}, "key 'data': holds float64 where rows of uint8 are expected"),
])  # fmt: skip
def test_an_unsound_batch_is_told_with_the_row(small, values, said):
    path = small / "imagenet32" / "train_data_batch_3.npz"
    batch(path, PARTS[2], **values)
    assert complaint(ImageNet32(val_from_train=10), small).startswith(f"{path}: {said}")


def test_a_batch_cut_short_is_told(small):
    path = small / "imagenet32" / "train_data_batch_3.npz"
    path.write_bytes(path.read_bytes()[:-100])
    assert complaint(ImageNet32(), small).startswith(f"{path}: key 'labels': damaged or something else")


def test_another_number_of_images_is_told(small):
    batch(small / "imagenet32" / "train_data_batch_3.npz", PARTS[2][:-1])
    assert "train_data_batch_10.npz: 49 images up to this file, 50 expected" in complaint(ImageNet32(), small)


def test_an_absent_batch_is_told(small):
    (small / "imagenet32" / "train_data_batch_7.npz").unlink()
    said = complaint(ImageNet32(), small)
    assert said.startswith(f"{small}: no imagenet32/train_data_batch_7.npz: get it from image-net.org")


CLASSES = ["n02", "n01", "n03"]
ANNOTATIONS = [("val_0.JPEG", "n03"), ("val_1.JPEG", "n01"), ("val_2.JPEG", "n01"), ("val_3.JPEG", "n02")]


def tiny(value: int, grey: bool = False) -> bytes:
    return picture(np.full((64, 64) if grey else (64, 64, 3), value, np.uint8))


def tiny_files() -> dict[str, bytes]:
    top, files = "tiny-imagenet-200", {}
    for number, name in enumerate(CLASSES):
        files[f"{top}/train/{name}/{name}_boxes.txt"] = b""
        for image in range(2):
            files[f"{top}/train/{name}/images/{name}_{image}.JPEG"] = tiny(10 * number + image, grey=image == 1)
    for row, (name, _) in enumerate(ANNOTATIONS):
        files[f"{top}/val/images/{name}"] = tiny(100 + row)
    files[f"{top}/test/images/test_0.JPEG"] = tiny(200)
    files[f"{top}/wnids.txt"] = "\n".join(CLASSES).encode()
    annotations = "\n".join(f"{name}\t{kind}\t0\t0\t63\t63" for name, kind in ANNOTATIONS)
    return files | {f"{top}/val/val_annotations.txt": annotations.encode()}


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(tiny_imagenet, "CLASSES", 3)
    monkeypatch.setattr(tiny_imagenet, "VAL_ROWS", 4)
    monkeypatch.setitem(tiny_imagenet.PER_CLASS, "official", 2)


@pytest.mark.parametrize("write", [put, lambda root, files: zipped(root / "tiny-imagenet-200.zip", files)])
def test_classes_are_numbered_by_name_and_kept_with_their_images(tmp_path, few, write):
    write(tmp_path, tiny_files())
    splits = load_splits(TinyImageNet(), tmp_path)
    assert splits.facts() == read_facts(TinyImageNet())
    found = sorted(zip(splits.train.x[:, 0, 0, 0].tolist(), splits.train.y.tolist(), strict=True))
    assert found == [(0, 1), (1, 1), (10, 0), (11, 0), (20, 2), (21, 2)]
    assert (splits.train.x == splits.train.x[:, :1, :1, :1]).all()  # grey ones have become colour
    assert splits.val.x[:, 0, 0, 0].tolist() == [100, 101, 102, 103] and splits.val.y.tolist() == [2, 0, 0, 1]
    assert splits.test.x[:, 0, 0, 0].tolist() == [200] and splits.test.y is None


@pytest.mark.parametrize(("changed", "said"), [
    ({"train/n01/images/n01_2.JPEG": tiny(0)}, "3 training images of class n01, 2 of each class of wnids.txt expected"),
    ({"train/n07/images/n07_2.JPEG": tiny(0)}, "1 training images of class n07, 2 of each class"),
    ({"wnids.txt": b"n01\nn02\nn03\nn04"}, "0 training images of class n04, 2 of each class"),
    ({"val/val_annotations.txt": b"val_0.JPEG\tn01\n"}, "val_annotations.txt: 1 rows, 4 expected"),
    ({"val/val_annotations.txt": b"val_0.JPEG\tn01\n" * 2 + b"val_1.JPEG\tn9\n" * 2},
     "val_annotations.txt: row 2 (val_1.JPEG n9) names no file that is there, or no class of wnids.txt"),
    ({"val/val_annotations.txt": b"val_0.JPEG\tn01\n" * 3 + b"val_9.JPEG\tn01\n"},
     "val_annotations.txt: row 3 (val_9.JPEG n01) names no file"),
    ({"val/images/val_2.JPEG": b""}, "row 2 (tiny-imagenet-200/val/images/val_2.JPEG): no picture of a known kind"),
    ({"train/n03/images/n03_0.JPEG": picture(np.zeros((64, 63), np.uint8))},
     "row 4 (tiny-imagenet-200/train/n03/images/n03_0.JPEG): 63x64 pixels, 64x64 expected"),
])  # fmt: skip
def test_an_unsound_tiny_imagenet_is_told_with_the_row(tmp_path, few, changed, said):
    changed = {f"tiny-imagenet-200/{name}": content for name, content in changed.items()}
    put(tmp_path, tiny_files() | changed)
    assert complaint(TinyImageNet(), tmp_path).startswith(f"{tmp_path / 'tiny-imagenet-200'}: {said}")


def test_a_tiny_imagenet_without_its_lists_is_told(tmp_path, few):
    files = tiny_files()
    del files["tiny-imagenet-200/wnids.txt"]
    put(tmp_path, files)
    assert "no tiny-imagenet-200/wnids.txt in it" in complaint(TinyImageNet(), tmp_path)


def test_the_official_tiny_imagenet_is_told_from_the_subset():
    whole, part = read_facts(TinyImageNet()), read_facts(TinyImageNet(files="subset"))
    assert (whole.train_rows, whole.val_rows, part.train_rows, part.val_rows) == (100_000, 10_000, 8_000, 10_000)


def test_the_real_subset_has_forty_and_fifty_images_of_each_class(real_data):
    """Some pictures are decoded, the others counted by their lists."""
    opened = open_splits(TinyImageNet(files="subset"), present(real_data, "tiny-imagenet-200-subset.zip"))
    assert opened.facts() == read_facts(TinyImageNet(files="subset")) and opened.test is None
    rows = opened.train.take(slice(1_000)).read()
    assert rows.x.shape == (1_000, 3, 64, 64) and 90 < rows.x.float().mean() < 140
    archive = open_archive(real_data / "tiny-imagenet-200-subset.zip")
    classes = sorted(archive.text("tiny-imagenet-200/wnids.txt"))
    _, y_N = read_val(archive, tuple(classes))
    assert np.bincount(y_N).tolist() == [50] * 200 and torch.equal(
        opened.val.take(slice(9)).read().y, torch.tensor(y_N[:9])
    )
    found = [name.split("/")[2] for name in archive.names if "/train/" in name and name.endswith(".JPEG")]
    assert {found.count(name) for name in classes} == {40}
    files = np.array(found)[opened.train.order[:1_000].numpy()]
    assert [classes[label] for label in rows.y] == files.tolist()
