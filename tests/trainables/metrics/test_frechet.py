"""Frechet distance and FID: closed forms, pytorch-fid's own functions, feature networks, and what has no distance."""

import io
import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_fid import fid_score
from pytorch_fid import inception as their_inception
from scipy import linalg

from trainables.common.errors import DataError, Undefined
from trainables.data import Attributes, Digits, Factors, Rows
from trainables.data.loading import load_splits
from trainables.metrics import convnet, inception
from trainables.metrics.features import FEATURES, Source, extract, sha256_of_weights
from trainables.metrics.frechet import distance, frechet, moments, name_of, statistics, trace_of_root
from trainables.metrics.images import MAPPINGS, rounded, seen, stretched, truncated, unit, wrapped
from trainables.metrics.provenance import Provenance, differences
from trainables.sums import add


def features(rows, dim, seed, scale=1.0, shift=0.0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(size=(rows, dim)) @ rng.normal(size=(dim, dim)) * scale + shift)


def as_sums(mean, covariance, rows=1000):
    """Sums that have exactly these moments."""
    mean, covariance = torch.tensor(mean, dtype=torch.float64), torch.tensor(covariance, dtype=torch.float64)
    product = (rows - 1) * covariance + rows * torch.outer(mean, mean)
    return {"rows": torch.tensor(float(rows)), "sum_F": rows * mean, "product_FF": product}


def test_streamed_moments_are_numpys():
    x = features(101, 7, 0, shift=3.0)
    mean, covariance = moments(add(statistics(part) for part in x.split([1, 40, 60])))
    np.testing.assert_allclose(mean, x.mean(0), rtol=1e-12)
    np.testing.assert_allclose(covariance, np.cov(x, rowvar=False), rtol=1e-10)


def test_distance_of_gaussians_is_the_closed_form():
    rng = np.random.default_rng(1)
    m1, m2, a, b = rng.normal(size=5), rng.normal(size=5), rng.normal(size=(5, 5)), rng.normal(size=(5, 5))
    s1, s2 = a @ a.T, b @ b.T
    expected = ((m1 - m2) ** 2).sum() + np.trace(s1 + s2 - 2 * linalg.sqrtm(s1 @ s2).real)
    assert distance(as_sums(m1, s1), as_sums(m2, s2)) == pytest.approx(expected, rel=1e-9)


def test_distance_of_gaussians_on_the_same_axes_is_that_of_their_deviations():
    found = distance(as_sums([0.0, 1.0], np.diag([4.0, 9.0])), as_sums([3.0, 1.0], np.diag([1.0, 16.0])))
    assert found == pytest.approx(3**2 + (2 - 1) ** 2 + (3 - 4) ** 2, rel=1e-12)


def test_distance_is_pytorch_fids_on_the_same_features():
    one, other = features(300, 12, 2), features(200, 12, 3, shift=0.3)
    theirs = fid_score.calculate_frechet_distance(
        one.numpy().mean(0), np.cov(one, rowvar=False), other.numpy().mean(0), np.cov(other, rowvar=False)
    )
    assert distance(statistics(one), statistics(other)) == pytest.approx(theirs, rel=1e-9)


def test_distance_to_itself_is_zero_and_it_is_symmetric():
    one, other = statistics(features(50, 6, 4)), statistics(features(70, 6, 5))
    assert distance(one, one) == pytest.approx(0, abs=1e-10)
    assert distance(one, other) == pytest.approx(distance(other, one), rel=1e-10)


def test_with_fewer_rows_than_features_the_root_is_still_exact():
    """Both covariances live in one plane, where the closed form of two axes holds."""
    basis = np.linalg.qr(np.random.default_rng(6).normal(size=(20, 2)))[0]
    s1, s2 = basis @ np.diag([4.0, 1.0]) @ basis.T, basis @ np.diag([9.0, 25.0]) @ basis.T
    assert float(trace_of_root(torch.from_numpy(s1), torch.from_numpy(s2))) == pytest.approx(2 * 3 + 1 * 5, rel=1e-7)


def test_constant_features_have_the_distance_of_their_means():
    still = torch.ones(5, 3)
    assert distance(statistics(still), statistics(3 * still)) == pytest.approx(12.0, abs=1e-9)


def test_one_row_and_features_that_are_not_finite_have_no_distance():
    good = statistics(torch.rand(9, 2))
    with pytest.raises(Undefined, match="needs 2 rows, here 1"):
        distance(statistics(torch.rand(1, 2)), good)
    with pytest.raises(Undefined, match="not finite"):
        distance(statistics(torch.tensor([[math.nan, 1.0], [0.0, 1.0]])), good)


@pytest.fixture(scope="module")
def digits():
    return load_splits(Digits()).train


def test_pixels_are_flattened_and_named_frechet_pixels(digits):
    pixels = FEATURES["pixels"](Source(digits))
    (found,) = extract(pixels, [digits.batch(torch.arange(5))], digits.range)
    torch.testing.assert_close(found, rounded(digits.batch(torch.arange(5))).flatten(1))
    sums = statistics(found)
    assert frechet(pixels, sums, sums) == {"frechet_pixels": pytest.approx(0, abs=1e-10)}


def test_the_classifier_learns_the_labels_and_is_a_function_of_rows_and_seed(digits):
    first = torch.arange(500)
    network, again, other = (convnet.trained(digits.take(first), seed, steps=40) for seed in (0, 0, 1))
    with torch.no_grad():
        right = (network(digits.batch(first)).argmax(1) == digits.y[first]).double().mean()
    assert right > 0.8
    assert sha256_of_weights(network) == sha256_of_weights(again) != sha256_of_weights(other)


@pytest.mark.parametrize("known", ["attributes", "factors"])
def test_without_labels_the_classifier_learns_what_else_is_known(digits, known):
    first = digits.take(slice(600))
    odd = (first.y % 2)[:, None]
    what = {"attributes": Attributes(odd == 1, ("odd",)), "factors": Factors(odd, ("odd",), (2,))}[known]
    rows = replace(first, y=None, **{known: what})
    network = convnet.trained(rows, steps=150)
    with torch.no_grad():
        said = network(rows.batch(torch.arange(600)))[:, -1] > 0
    assert (said == (odd[:, 0] == 1)).double().mean() > 0.85


def test_the_classifier_needs_images_of_which_something_is_known():
    for rows in (Rows(torch.rand(4, 1, 8, 8), None, (0.0, 1.0)), Rows(torch.rand(4, 8), torch.zeros(4).long(), None)):
        with pytest.raises(Undefined, match="needs images with labels, attributes or factors"):
            FEATURES["classifier"](Source(rows))


def test_the_classifier_needs_rows_that_differ_in_what_is_known_of_them(digits):
    alike = torch.ones(40, 2, dtype=torch.int64)
    of_one_class = digits.take(digits.y == 3).take(slice(40))
    for rows in (
        of_one_class,
        replace(of_one_class, y=None, attributes=Attributes(alike == 1, ("odd", "small"))),
        replace(of_one_class, y=None, factors=Factors(alike, ("a", "b"), (2, 3))),
    ):
        with pytest.raises(Undefined, match="rows apart that are all alike: use more"):
            FEATURES["classifier"](Source(rows))


def test_inception_without_its_file_is_refused_with_the_cure(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    with pytest.raises(DataError, match=rf"hub/checkpoints/{inception.FILE}: no such file.*features: classifier"):
        FEATURES["inception"](Source(digits))
    with pytest.raises(DataError, match="mine.pth: no such file"):
        FEATURES["inception"](Source(digits, tmp_path / "mine.pth"))


def test_inception_refuses_a_file_that_holds_something_else(tmp_path):
    (tmp_path / "text.pth").write_text("not weights")
    torch.save({"wrong": torch.ones(1)}, tmp_path / "other.pth")
    for name in ("text.pth", "other.pth"):
        with pytest.raises(DataError, match=f"{name}: .*delete it and get it again") as caught:
            inception.load(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_inception_is_pytorch_fids_network_and_other_weights_are_not_called_fid(tmp_path, monkeypatch):
    torch.manual_seed(0)
    state = inception.Inception().network.state_dict()
    torch.save(state, tmp_path / "weights.pth")
    monkeypatch.setattr(their_inception, "load_state_dict_from_url", lambda *_, **__: state)
    x = torch.rand(1, 1, 28, 28)
    ours = FEATURES["inception"](Source(Rows(x, None, (0.0, 1.0)), tmp_path / "weights.pth"))
    with torch.no_grad():
        theirs = their_inception.InceptionV3().eval()(x.repeat(1, 3, 1, 1))[0].flatten(1)
        found = ours.of(x)
    assert found.shape == (1, 2048) and found.std() > 0
    torch.testing.assert_close(found, theirs, rtol=1e-5, atol=1e-7)
    assert name_of(ours) == "frechet_inception" and len(ours.sha256) == 64


def test_only_the_published_weights_make_it_fid(digits):
    pixels = FEATURES["pixels"](Source(digits))
    assert name_of(type(pixels)("inception", "6726825d", pixels.of, published=True)) == "fid"


def test_mappings_make_bytes_of_values():
    x = torch.tensor([[[[0.0, 0.5, 0.999, 1.0]]]])
    assert (rounded(x) * 255).flatten().tolist() == pytest.approx([0, 128, 255, 255])
    assert (truncated(x) * 255).flatten().tolist() == pytest.approx([0, 127, 254, 255])
    logits = torch.tensor([[[[-4.0, 0.0, 4.0]]]])
    assert (stretched(logits.sigmoid()) * 255).flatten().tolist() == pytest.approx([0, 128, 255])
    assert stretched(torch.full((1, 1, 2, 2), 0.7)).abs().max() == 0


def test_bytes_beyond_their_range_wrap_around_as_numpys_do():
    x = torch.cat([torch.linspace(-3, 3, 997).double(), torch.arange(256) / 255])
    exact = x.numpy() * 255
    expected = np.trunc(exact + 1e-9 * np.sign(exact)).astype(np.int64).astype(np.uint8)
    assert (wrapped(x) * 255).round().tolist() == expected.tolist()
    inner = torch.tensor([-0.5, 1.01, 0.5])
    assert (seen(inner, (0.0, 1.0), "wrapped") * 255).round().tolist() == [129, 1, 127]  # -127 and 257 are bytes too
    assert seen(inner, (0.0, 1.0), "truncated").max() == 1  # other mappings are cut off
    assert seen(torch.tensor([1.02]), (-1.0, 1.0), "wrapped").item() * 255 == pytest.approx(1)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_jpeg_mapping_is_a_file_of_quality_75(channels):
    x = torch.rand(2, channels, 16, 16, generator=torch.Generator().manual_seed(0))
    pixels = (x[1] * 255).byte().permute(1, 2, 0).numpy().squeeze()
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=75)
    expected = np.asarray(Image.open(stream)).reshape(16, 16, channels).transpose(2, 0, 1) / 255
    np.testing.assert_allclose(MAPPINGS["jpeg"](x)[1], expected, atol=1e-7)


def test_values_are_put_into_the_unit_range_and_cut_off_there():
    assert unit(torch.tensor([-1.0, 0.0, 1.0, 2.0]), (-1.0, 1.0)).tolist() == [0.0, 0.5, 1.0, 1.0]
    assert unit(torch.tensor([-7.0]), None).tolist() == [-7.0]


def test_provenances_that_differ_say_in_what():
    one = Provenance("pixels", "", (("generated", 10), ("real", 10)), "test", "rounded", 0, data="mnist")
    other = replace(one, counts=(("generated", 10), ("real", 9)), split="val")
    assert differences(one, one) == ()
    assert [text.partition(":")[0] for text in differences(one, other)] == ["counts", "split"]
    assert one.line() == "pixels; 10 generated + 10 real; split test of mnist; values rounded; seed 0"
    assert replace(one, settings=(("k", 5),)).line().endswith("; seed 0; k 5")
    assert Provenance.from_plain(json.loads(json.dumps(asdict(other)))) == other


def test_a_distance_is_never_below_zero():
    sets = [torch.randn(40, 6, generator=torch.Generator().manual_seed(seed)) for seed in range(20)]
    assert all(distance(sums, sums) >= 0 for sums in map(statistics, sets))
