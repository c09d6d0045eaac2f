"""Pickles are read as Python would read them, and nothing in them is run."""

import os
import pickle

import numpy as np
import pytest

from trainables.common.errors import Unfit
from trainables.data.formats.pickles import read_pickle

VALUE = {
    b"data": np.arange(24, dtype=np.uint8).reshape(2, 12),
    "labels": [0, 255, 256, 70_000, -5, 2**40],
    "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big": np.arange(3, dtype=">i4"),
    "nested": [["a", "b", "a"], {"x": (), "y": (1, 2, 3, 4)}, (None, True, False), 2.5, []],
}


@pytest.mark.parametrize("protocol", range(5))
def test_plain_values_and_arrays_come_back(protocol):
    found = read_pickle(pickle.dumps(VALUE, protocol))
    assert list(found) == list(VALUE)
    assert (found["labels"], found["nested"]) == (VALUE["labels"], VALUE["nested"])
    for key in (b"data", "columns", "big"):
        assert found[key].dtype == VALUE[key].dtype and np.array_equal(found[key], VALUE[key])


def test_bytes_of_python_2_come_as_text_that_latin_1_turns_back():
    raw = bytes(range(256))
    written = b"\x80\x02T" + len(raw).to_bytes(4, "little") + raw + b"."
    assert read_pickle(written).encode("latin-1") == raw


@pytest.mark.parametrize("protocol", range(5))
def test_a_function_in_a_pickle_is_never_called(protocol, tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    written = pickle.dumps({"data": Trap()}, protocol)
    found = read_pickle(written)
    assert found["data"].arguments == (str(tmp_path / "sprung"),) and not (tmp_path / "sprung").exists()
    pickle.loads(written)
    assert (tmp_path / "sprung").exists()  # so the trap would have sprung


@pytest.mark.parametrize(("content", "said"), [
    (b"", "not a sound pickle"),
    (b"<html>", "not a sound pickle"),
    (pickle.dumps(VALUE, 2)[:-40], "not a sound pickle"),
    (b"\x80\x02.", "not a sound pickle"),
    (b"\x80\x02K\x01\x86.", "a pickle that takes values which it never gave"),
    (pickle.dumps({1, 2}, 4), "its opcode EMPTY_SET makes something other than plain values and arrays"),
    (pickle.dumps(np.array([None]), 2), "an array of something other than numbers"),
])  # fmt: skip
def test_what_is_no_plain_pickle_is_refused(content, said):
    with pytest.raises(Unfit) as caught:
        read_pickle(content)
    assert str(caught.value).startswith(said)


def test_damaged_bytes_are_told_or_read_but_never_a_crash():
    rng, sound, refused = np.random.default_rng(0), pickle.dumps(VALUE, 2), 0
    for _ in range(500):
        content = bytearray(sound)
        start = int(rng.integers(len(content)))
        content[start : start + 4] = rng.bytes(4)
        try:
            read_pickle(bytes(content))
        except Unfit:
            refused += 1
    assert refused > 100


def test_a_small_pickle_cannot_make_much_more_than_it_holds():
    """The same text, kept once, is encoded again and again."""
    text = b"X" + (10_000).to_bytes(4, "little") + b"a" * 10_000 + b"q\x01"
    again = b"c_codecs\nencode\nh\x01X\x06\0\0\0latin1\x86R"
    with pytest.raises(Unfit, match="a pickle that makes more bytes than it has"):
        read_pickle(b"\x80\x02]" + text + b"a" + (again + b"a") * 50 + b".")
    assert read_pickle(b"\x80\x02" + text + again + b"\x86.")[1] == b"a" * 10_000
