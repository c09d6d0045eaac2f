"""The contact sheet: which rows it shows, that they are the data's, and in what form."""

import numpy as np
import pytest
import torch

from orchestrator.figures import contact, drawing
from orchestrator.figures.panels import Points
from trainables.data.base import UNIT, Rows, Stored
from trainables.data.sets.digits import Digits

CLASSES = ("ant", "bee", "a name that is too long to stand beside a row")
LABELS = torch.tensor([2, 0, 1] * 12 + [0, 0])


def images(shape=(1, 6, 7)) -> Rows:
    x = torch.randint(0, 256, (len(LABELS), *shape), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return Rows(x, LABELS, UNIT, classes=CLASSES)


def test_each_class_has_a_row_with_its_first_images_and_its_name():
    rows = images((3, 6, 7))
    [sheet] = contact.sheet_of("own", rows).panels
    assert sheet.rows == ["ant", "bee", "a name that is …"] and sheet.title == "own"
    for label in range(3):
        of_class = rows.x[label == LABELS][:10].permute(0, 2, 3, 1).numpy()
        np.testing.assert_array_equal(sheet.images_RCHWK[label], of_class)


def test_a_class_with_few_images_leaves_the_rest_white():
    rows = images().take(slice(8))
    [sheet] = contact.sheet_of("own", rows).panels
    assert sheet.images_RCHWK.shape == (3, 10, 6, 7, 1)
    assert (sheet.images_RCHWK[1, 2:] == 255).all()
    np.testing.assert_array_equal(sheet.images_RCHWK[1, :2, ..., 0], rows.x[LABELS[:8] == 1][:, 0])


def test_images_without_labels_follow_each_other():
    rows = Rows(images().x, None, UNIT)
    [sheet] = contact.sheet_of("own", rows).panels
    assert sheet.rows == [] and sheet.images_RCHWK.shape == (4, 10, 6, 7, 1)
    np.testing.assert_array_equal(sheet.images_RCHWK.reshape(40, 6, 7)[:38], rows.x[:, 0])


def test_labels_that_only_reading_tells_are_read():
    rows = images()
    stored = Stored(torch.arange(len(rows)), lambda index: rows.take(torch.from_numpy(index)), rows.shape, UNIT)
    np.testing.assert_array_equal(
        contact.sheet_of("own", stored).panels[0].images_RCHWK, contact.sheet_of("own", rows).panels[0].images_RCHWK
    )


def test_only_the_rows_that_are_shown_are_read():
    rows, read = images(), []

    def fetch(index):
        read.extend(index.tolist())
        return rows.take(torch.from_numpy(index))

    contact.sheet_of("own", Stored(torch.arange(len(rows)), fetch, rows.shape, UNIT, labels=LABELS, classes=CLASSES))
    assert sorted(read) == sorted(row for label in range(3) for row in (label == LABELS).nonzero()[:10, 0].tolist())


def test_large_images_are_shown_smaller_in_their_proportions():
    rows = Rows(torch.full((3, 1, 300, 200), 7, dtype=torch.uint8), None, UNIT)
    [sheet] = contact.sheet_of("own", rows).panels
    assert sheet.images_RCHWK.shape[2:] == (96, 64, 1) and (sheet.images_RCHWK[0, :3] == 7).all()


def test_of_many_classes_the_first_are_shown():
    rows = Rows(torch.zeros(50, 1, 4, 4), torch.arange(50), UNIT)
    [sheet] = contact.sheet_of("own", rows).panels
    assert sheet.rows == [str(label) for label in range(20)]


@pytest.mark.parametrize("width", [1, 5])
def test_vectors_are_curves_one_plot_for_each_class(width):
    rows = Rows(torch.randn(len(LABELS), width), LABELS, None, classes=CLASSES)
    shown = contact.sheet_of("own", rows)
    assert [panel.title for panel in shown.panels] == ["own: ant", "own: bee", "own: a name that is …"]
    for label, panel in enumerate(shown.panels):
        np.testing.assert_allclose([curve.y for curve in panel.marks], rows.x[label == LABELS][:10], rtol=1e-6)
    figure = drawing.draw(shown)
    figure.canvas.draw()
    assert not figure.legends and len({ax.get_ylim() for ax in figure.axes[:3]}) == 1


def test_points_of_the_plane_are_one_cloud_for_each_class():
    rows = Rows(torch.randn(len(LABELS), 2), LABELS, None, classes=CLASSES[:2] + ("c",))
    [panel] = contact.sheet_of("own", rows).panels
    assert [(type(mark), mark.label) for mark in panel.marks] == [(Points, "ant"), (Points, "bee"), (Points, "c")]
    np.testing.assert_array_equal(panel.marks[1].xy_N2, rows.x[LABELS == 1])


def test_letters_that_the_font_lacks_are_no_warning(tmp_path, recwarn):
    rows = Rows(torch.zeros(4, 1, 4, 4), torch.tensor([0, 1, 0, 1]), UNIT, classes=("猫", "$"))
    contact.save_sheet("猫", rows, tmp_path / "a.png")
    assert not recwarn.list


def test_of_pictures_without_labels_few_are_read():
    rows, read = Rows(torch.zeros(500, 1, 4, 4, dtype=torch.uint8), None, UNIT), []

    def fetch(index):
        read.extend(index.tolist())
        return rows.take(torch.from_numpy(index))

    contact.sheet_of("own", Stored(torch.arange(500), fetch, rows.shape, UNIT))
    assert len(read) == 81


def test_equal_sheets_are_equal_files(tmp_path):
    train = Digits().from_files(tmp_path).train
    for name in ("a.png", "b.png"):
        contact.save_sheet("digits", train, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
