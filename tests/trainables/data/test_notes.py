"""What of one's own files is left out, or taken otherwise than it seems: told, and never a class, row or feature."""

import io
import json
import os
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from tests.support.data_files import picture, put
from tests.support.prepared_sets import same_sets
from trainables.common.errors import DataError
from trainables.data.loading import load_splits, open_splits, read_facts
from trainables.data.prepared import index_file, prepare
from trainables.data.sets.array import Array

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (12, 6, 7, 3)).astype(np.uint8)
VECTORS = RNG.random((12, 3)).astype(np.float32)
CLASSES = {f"{['ant', 'bee'][row % 2]}/{row:02}.png": picture(image) for row, image in enumerate(PIXELS)}


def encoded(pixels: np.ndarray, mode: str | None = None, kind: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(stream, kind, **options)
    return stream.getvalue()


def turned(pixels: np.ndarray, orientation: int, kind: str) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(pixels, kind=kind, exif=exif)


def own(root: Path, files: dict[str, bytes]) -> Array:
    put(root / "own", files)
    return Array(images=str(root / "own"), val_fraction=0.25)


def said(dataset: Array) -> str:
    notes = load_splits(dataset).notes
    assert all("\n" not in note and note.endswith(".") for note in notes)
    return "\n".join(notes)


LITTER = (
    ".ipynb_checkpoints/00-checkpoint.png",
    "__MACOSX/ant/00.png",
    "ant/._00.png",
    ".DS_Store",
    "ant/Thumbs.db",
    "bee/@eaDir/00.png/thumb.jpg",
    ".git/objects/00.png",
)


@pytest.mark.parametrize("name", LITTER)
def test_what_is_hidden_or_litter_is_no_class_and_no_row(tmp_path, name):
    plain, littered = own(tmp_path / "plain", CLASSES), own(tmp_path / "littered", CLASSES | {name: picture(PIXELS[0])})
    same_sets(load_splits(littered), load_splits(plain))
    assert said(littered) == "1 files of 13 were left out: 1 hidden.\n" + said(plain)
    assert said(plain) == "2 classes, names as labels 0, 1, ... in the order of sorting, with rows: ant 6, bee 6."


def test_files_that_are_left_out_are_counted_by_their_kind(tmp_path):
    files = {"a.txt": b"", "ant/b.TXT": b"", "README": b"", ".x": b"", "c.npy": b""}
    dataset = own(tmp_path, CLASSES | files)
    os.symlink("nowhere.png", tmp_path / "own" / "ant" / "gone.png")
    os.mkfifo(tmp_path / "own" / "ant" / "pipe.png")
    first = said(dataset).splitlines()[0]
    assert first.startswith("7 files of 19 were left out: 2 .txt, ")
    for part in ("1 without suffix", "1 .npy", "1 hidden", "1 a broken link", "1 not a plain file"):
        assert part in first


def test_folders_without_pictures_and_linked_folders_are_told(tmp_path):
    dataset = own(tmp_path, CLASSES | {"cat/notes.txt": b""})
    (tmp_path / "own" / "dog").mkdir()
    os.symlink("ant", tmp_path / "own" / "eel")
    text = said(dataset)
    assert "2 folders without pictures make no class: cat, dog." in text
    assert "1 folders were left out, as they are links: name folders themselves." in text
    assert sorted(set(load_splits(dataset).train.y.tolist())) == [0, 1]


def test_classes_that_differ_in_case_alone_are_told(tmp_path):
    dataset = own(tmp_path, CLASSES | {"Ant/99.png": picture(PIXELS[0])})
    assert "classes whose names differ in case or spaces alone count as several: Ant, ant." in said(dataset)


def test_all_of_one_class_is_told(tmp_path):
    dataset = own(tmp_path, {f"ant/{row}.png": picture(PIXELS[row]) for row in range(4)})
    assert said(dataset) == "all rows are of one class, ant: labels tell nothing."


@pytest.mark.parametrize(("content", "told"), [
    (encoded(PIXELS[0], "L"), "1 of 13 pictures are grey and are read as colour, like the others."),
    (encoded(PIXELS[0], "P"), "1 of 13 pictures have a palette and are read as colour."),
    (encoded(PIXELS[0], "CMYK", "JPEG"), "1 of 13 pictures are YCbCr or CMYK and are read as RGB."),
    (encoded(PIXELS[0], kind="GIF", save_all=True, append_images=[Image.fromarray(PIXELS[1])]),
     "1 of 13 pictures have several frames, of which the first is read."),
])  # fmt: skip
def test_pictures_that_are_read_otherwise_than_they_stand_there_are_counted(tmp_path, content, told):
    files = {name.partition("/")[2]: content for name, content in CLASSES.items()}
    assert told in said(own(tmp_path, files | {"odd.png": content})).splitlines()


def test_colours_of_16_bits_are_told(tmp_path):
    """Pillow cannot write such a file: its head alone is made to say so, the rows being decoded later."""
    content = bytearray(encoded(np.zeros((6, 7, 3), np.uint8)))
    content[24] = 16
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    dataset = own(tmp_path, {f"{row}.png": picture(PIXELS[row]) for row in range(4)} | {"deep.png": bytes(content)})
    assert "1 of 5 pictures have 16 bits a channel and are read with 8." in open_splits(dataset).notes


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_their_exif_says(tmp_path, kind, orientation):
    """Sideways ones stand there with width and height swapped, and are as large as the others when they are shown."""
    shown = PIXELS[0]
    back = {2: np.fliplr, 3: lambda x: np.rot90(x, 2), 4: np.flipud, 5: lambda x: x.transpose(1, 0, 2)}
    back |= {6: np.rot90, 7: lambda x: np.rot90(x, 2).transpose(1, 0, 2), 8: lambda x: np.rot90(x, -1)}
    stored = np.ascontiguousarray(back.get(orientation, lambda x: x)(shown))
    options = {"lossless": True} if kind == "WEBP" else {}
    exif = Image.Exif()
    exif[0x0112] = orientation
    files = {"0.png": encoded(stored, kind=kind, exif=exif, **options)}
    dataset = own(tmp_path, files | {f"{row}.png": picture(PIXELS[row]) for row in range(1, 4)})
    opened, rows = open_splits(dataset), load_splits(dataset)
    order = torch.cat([opened.train.order, opened.val.order]).tolist()
    first = torch.cat([rows.train.x, rows.val.x])[order.index(0)]
    assert np.array_equal(first.numpy().transpose(1, 2, 0), shown)
    told = "1 of 4 pictures are turned as their EXIF says." in rows.notes
    assert told == (orientation != 1 and kind != "TIFF") and read_facts(dataset).shape == (3, 6, 7)


def test_broken_exif_takes_no_picture_away(tmp_path):
    stream = io.BytesIO()
    Image.fromarray(PIXELS[0]).save(stream, "PNG", exif=b"Exif\0\0no exif at all")
    files = {"0.png": stream.getvalue()} | {f"{row}.png": picture(PIXELS[row]) for row in range(1, 4)}
    assert len(load_splits(own(tmp_path, files)).train) == 3


def frame(**more) -> pd.DataFrame:
    return pd.DataFrame({f"f{column}": VECTORS[:, column] for column in range(3)} | more)


@pytest.mark.parametrize("index", [
    pd.Index(range(5, 17)),
    pd.Index(np.arange(12.0), name="id"),
    pd.MultiIndex.from_arrays([range(12), range(12)]),
])  # fmt: skip
def test_the_index_that_pandas_writes_is_no_feature(tmp_path, index):
    table = frame()
    table.index = index
    table.to_parquet(tmp_path / "x.parquet", index=True)
    dataset = Array(path=str(tmp_path / "x.parquet"))
    assert read_facts(dataset).shape == (3,)
    table.reset_index(drop=True).to_parquet(tmp_path / "plain.parquet")
    plain = Array(path=str(tmp_path / "plain.parquet"))
    same_sets(load_splits(dataset), load_splits(plain))
    assert "pandas' index is no feature and was left out: '" in said(dataset) and said(plain) == ""


def test_an_index_that_went_through_csv_is_no_feature(tmp_path):
    frame().to_csv(tmp_path / "x.csv")
    pd.read_csv(tmp_path / "x.csv").to_parquet(tmp_path / "x.parquet")
    dataset = Array(path=str(tmp_path / "x.parquet"))
    assert read_facts(dataset).shape == (3,)
    assert said(dataset) == "pandas' index is no feature and was left out: 'Unnamed: 0'."


@pytest.mark.parametrize(("more", "told"), [
    ({"label": [0, 1] * 6}, "trained on as features, as labels are read from column 'y' alone: 'label'."),
    ({"id": range(100, 112)}, "trained on as features, though they do but count the rows: 'id'."),
    ({"F0": VECTORS[:, 0]}, "columns whose names differ in case or spaces alone are all features: 'F0', 'f0'."),
])  # fmt: skip
def test_columns_that_may_be_no_features_are_told(tmp_path, more, told):
    frame(**more).to_parquet(tmp_path / "x.parquet")
    assert told in said(Array(path=str(tmp_path / "x.parquet"))).splitlines()


def test_columns_beside_the_list_of_vectors_are_told(tmp_path):
    columns = {"x": VECTORS.tolist(), "y": [0, 1] * 6, "name": ["a"] * 12, "__index_level_0__": range(12)}
    pq.write_table(pa.table({name: list(values) for name, values in columns.items()}), tmp_path / "x.parquet")
    lines = said(Array(path=str(tmp_path / "x.parquet"))).splitlines()
    assert lines[:2] == [
        "pandas' index is no feature and was left out: '__index_level_0__'.",
        "1 columns beside x and y were left out: 'name'.",
    ]


def test_keys_beside_x_and_y_and_bytes_after_an_array_are_told(tmp_path):
    np.savez(tmp_path / "x.npz", x=VECTORS, labels=np.zeros(12), Y=np.zeros(12))
    assert said(Array(path=str(tmp_path / "x.npz"))) == "keys beside x and y were left out: 'labels', 'Y'."
    with (tmp_path / "x.npy").open("wb") as file:
        np.save(file, VECTORS)
        np.save(file, VECTORS[:1])
    assert said(Array(path=str(tmp_path / "x.npy"))) == "140 bytes that follow the array were left out."


@pytest.mark.parametrize("kind", ["npz", "parquet"])
@pytest.mark.parametrize(("y", "numbers", "told"), [
    (["cat", "ant", "bee"] * 4, [2, 0, 1] * 4,
     ["3 classes, names as labels 0, 1, ... in the order of sorting, with rows: ant 4, bee 4, cat 4."]),
    ([2.0, 0.0] * 6, [2, 0] * 6, ["labels are float64, and taken as whole numbers, which all of them are.",
                                  "2 classes, labels, with rows: 0 6, 2 6."]),
    ([3] * 12, [3] * 12, ["all rows are of one class, 3: labels tell nothing."]),
    (["a", "A "] * 6, [1, 0] * 6,
     ["2 classes, names as labels 0, 1, ... in the order of sorting, with rows: A  6, a 6.",
      "classes whose names differ in case or spaces alone count as several: A , a."]),
])  # fmt: skip
def test_labels_may_be_text_or_whole_floats_which_is_told(tmp_path, kind, y, numbers, told):
    path = tmp_path / f"x.{kind}"
    x = np.arange(12, dtype=np.float32)[:, None] / 12
    np.savez(path, x=x, y=np.array(y)) if kind == "npz" else pq.write_table(pa.table({"x": x.tolist(), "y": y}), path)
    splits = load_splits(Array(path=str(path)))
    for rows in (splits.train, splits.val):
        assert rows.y.tolist() == [numbers[round(value * 12)] for value in rows.x[:, 0].tolist()]
    assert list(splits.notes) == told


def test_categories_of_pandas_are_labels(tmp_path):
    frame(y=pd.Categorical(["dog", "ant"] * 6)).to_parquet(tmp_path / "x.parquet")
    dataset = Array(path=str(tmp_path / "x.parquet"))
    assert "ant 6, dog 6" in said(dataset) and read_facts(dataset).shape == (3,)


@pytest.mark.parametrize(("x", "told"), [
    (VECTORS * 255, "and are taken as they are, unbounded: 'scale: 255' brings them into [0, 1], if they should be."),
    (np.rint(VECTORS * 65_000), "unbounded: 'scale: 65535' brings them into [0, 1], if they should be."),
    (np.eye(200) * 255, "as pixels do and are taken as they are, unbounded: 'scale: 255' brings them into [0, 1], if "
     "they should be."),
    (VECTORS.clip(0, 0.9) * 20 - 10, " brings them into [-1, 1], if they should be."),
])  # fmt: skip
def test_values_in_no_known_range_are_told_with_the_scale_that_helps(tmp_path, x, told):
    np.save(tmp_path / "x.npy", x.astype(np.float32))
    dataset = Array(path=str(tmp_path / "x.npy"))
    [note] = load_splits(dataset).notes
    assert note.startswith(f"values go from {np.float32(x.min())!s} to ") and note.endswith(told)
    scale = float(note.partition("scale: ")[2].partition("'")[0])
    scaled = Array(path=str(tmp_path / "x.npy"), scale=scale)
    assert read_facts(scaled).range in ((0.0, 1.0), (-1.0, 1.0)) and load_splits(scaled).notes == ()


def test_one_value_beyond_the_range_is_told_with_its_row(tmp_path):
    x = RNG.random((50, 10)).astype(np.float32)
    x[17, 3] = 1.0001
    np.save(tmp_path / "x.npy", x)
    assert said(Array(path=str(tmp_path / "x.npy"))) == (
        "1 of 500 values lie outside [0, 1], row 17 with 1.0001 first, and make the set unbounded: "
        "clip them (numpy.clip) if all should lie in it."
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int64, np.uint16])
def test_a_scale_divides_numbers_of_any_type(tmp_path, dtype):
    x = RNG.integers(0, 256, (10, 4)).astype(dtype)
    np.save(tmp_path / "x.npy", x)
    splits = load_splits(Array(path=str(tmp_path / "x.npy"), scale=255))
    found = np.sort(torch.cat([splits.train.x, splits.val.x]).numpy(), axis=0)
    assert found.dtype == np.float32 and splits.train.range == (0.0, 1.0)
    assert np.array_equal(found, np.sort(x.astype(np.float32) / np.float32(255), axis=0))


def test_without_a_scale_a_record_is_written_as_before_it_had_one(tmp_path):
    plain, scaled = Array(path="/x.npy"), Array(path="/x.npy", scale=255.0)
    assert "scale" not in plain.model_dump() and "scale" not in json.loads(plain.model_dump_json())
    assert scaled.model_dump(mode="json")["scale"] == 255.0 and Array(**scaled.model_dump()) == scaled
    assert index_file.key(plain) == "array-8cbb133c69a4" != index_file.key(scaled)
    with pytest.raises(ValueError, match="'scale' is for the numbers of 'path'"):
        Array(images="/x", scale=255.0)


def test_whatever_names_hold_a_note_is_one_line(tmp_path):
    dataset = own(tmp_path, CLASSES | {"new\nline/0.png": picture(PIXELS[0]), "no\npicture/a.txt": b""})
    assert "new?line 1" in said(dataset) and "make no class: no?picture." in said(dataset)


@pytest.mark.parametrize(("y", "told"), [
    (np.array([b"\xff"] * 12), "y holds bytes that are no text in UTF-8"),
    ([[1, 2]] * 12, "row 0 of y is of type ndarray, which is no text: label every row"),
])  # fmt: skip
def test_labels_that_are_no_text_are_told(tmp_path, y, told):
    np.savez(tmp_path / "x.npz", x=VECTORS, y=y)
    pq.write_table(
        pa.table({"x": VECTORS.tolist(), "y": y if isinstance(y, list) else [0] * 12}), tmp_path / "x.parquet"
    )
    with pytest.raises(DataError, match=told):
        load_splits(Array(path=str(tmp_path / ("x.parquet" if isinstance(y, list) else "x.npz"))))


@pytest.mark.parametrize("field", ["path", "images"])
def test_a_name_that_no_file_can_have_is_told(tmp_path, field):
    with pytest.raises(DataError, match="File name too long"):
        read_facts(Array(**{field: f"{tmp_path}/{'x' * 300}.npy"}))


@pytest.mark.parametrize(("shape", "told"), [
    ((9, 50, 3), "x of shape (9, 50, 3) is read as grey images of 50x3."),
    ((9, 6, 7, 4), "images have 4 channels, all of which are trained on: drop the last if it is transparency."),
    ((9, 6, 7), ""),
    ((9, 6, 7, 3), ""),
])  # fmt: skip
def test_shapes_that_may_mean_something_else_are_told(tmp_path, shape, told):
    np.save(tmp_path / "x.npy", np.zeros(shape, np.uint8))
    assert said(Array(path=str(tmp_path / "x.npy"))) == told


def test_sound_files_need_no_word(tmp_path):
    np.save(tmp_path / "x.npy", VECTORS)
    frame().to_parquet(tmp_path / "x.parquet")
    assert [load_splits(Array(path=str(tmp_path / name))).notes for name in ("x.npy", "x.parquet")] == [(), ()]
    assert load_splits(own(tmp_path, {f"{row}.png": picture(PIXELS[row]) for row in range(4)})).notes == ()


def test_a_prepared_set_keeps_its_notes(tmp_path):
    dataset = own(tmp_path, CLASSES | {"a.txt": b""})
    files = load_splits(dataset, tmp_path)
    prepare.prepare(dataset, tmp_path)
    mapped = load_splits(dataset, tmp_path)
    assert mapped.notes == files.notes and len(mapped.notes) == 2
    same_sets(mapped, files)


def test_a_set_that_an_earlier_version_prepared_is_read_and_says_so(tmp_path):
    dataset = own(tmp_path, CLASSES)
    folder = prepare.prepare(dataset, tmp_path)
    index = index_file.read_index(folder)
    del index["notes"]
    (folder / "index.json").write_bytes(index_file.written(index))
    [note] = load_splits(dataset, tmp_path).notes
    assert note.startswith(f"{folder} is of an earlier version") and prepare.is_whole(dataset, folder)


def test_a_set_that_was_prepared_with_a_hidden_class_is_refused(tmp_path, monkeypatch):
    dataset = own(tmp_path, CLASSES | {".ipynb_checkpoints/x.png": picture(PIXELS[0])})
    monkeypatch.setattr("trainables.data.formats.archives.hidden", lambda steps: False)
    prepare.prepare(dataset, tmp_path)
    monkeypatch.undo()
    with pytest.raises(DataError, match="has changed since .* was made: prepare it again"):
        load_splits(dataset, tmp_path)
