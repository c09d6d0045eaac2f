"""A sweep's folder that is held still for a snapshot while its trials go on writing there."""

import os
import random
from collections.abc import Callable
from functools import partial
from itertools import combinations_with_replacement, count
from pathlib import Path

import pytest

from orchestrator.storage import frozen
from orchestrator.storage.frozen import freeze, grown_part

TRIAL = Path("trials") / "0001"
LOOKS = 14  # at files, while a folder is held
WAYS = 120


def writes(home: Path, epoch: int, appends: bool) -> list[Callable[[], object]]:
    """What is done to keep an epoch, in order: by a trial here (it `appends`), or for one elsewhere."""

    def metrics() -> None:
        text = "".join(f"{number}\n" for number in range(1, epoch + 1))
        if appends:
            with (home / "metrics.jsonl").open("a") as file:
                file.write(f"{epoch}\n")
        else:
            replaced("metrics.jsonl", text)

    def pictures() -> None:
        hidden = home / "pictures" / f".000{epoch}.1"
        hidden.mkdir(parents=True)
        (hidden / "a.png").write_text(str(epoch))
        hidden.replace(home / "pictures" / f"000{epoch}")

    def replaced(name: str, text: str = str(epoch)) -> None:
        (home / f".{name}.1").write_text(text)
        (home / f".{name}.1").replace(home / name)

    def aside() -> None:
        if (home / "checkpoint.pt").exists():
            (home / "checkpoint.pt").replace(home / "checkpoint.previous.pt")

    best = partial(replaced, "best.pt")
    first = [metrics, pictures, best] if appends else [pictures, best, metrics]
    return [*first, aside, partial(replaced, "checkpoint.pt")]


@pytest.mark.parametrize("appends", [True, False])
@pytest.mark.parametrize("epochs", [0, 1])
def test_whatever_a_trial_writes_meanwhile_what_is_held_could_be_left_by_a_kill(tmp_path, monkeypatch, epochs, appends):
    """The writes of an epoch fall between the looks at files, in some of the ways in which two pieces can."""
    ways = [(*looks, cut) for looks in combinations_with_replacement(range(1, LOOKS), 2) for cut in range(1, 5)]
    newest, true = set(), frozen._stamp
    for number, (first, second, cut) in enumerate(random.Random(epochs).sample(ways, WAYS)):
        sweep, links = tmp_path / str(number), tmp_path / f"links-{number}"
        home = sweep / TRIAL
        home.mkdir(parents=True)
        for write in (write for epoch in range(1, epochs + 1) for write in writes(home, epoch, appends)):
            write()
        pieces = writes(home, epochs + 1, appends)
        due = {first: pieces[:cut], second: pieces[cut:]} if first != second else {first: pieces}
        looks = count(1)

        def looked(file, due=due, looks=looks):
            for write in due.pop(next(looks), ()):
                write()
            return true(file)

        monkeypatch.setattr(frozen, "_stamp", looked)
        found = freeze(sweep, links, {})
        newest.add(checked(links / TRIAL, found, epochs, appends))
    assert newest == {epochs, epochs + 1}


def checked(held: Path, stamps: dict, epochs: int, appends: bool) -> int:
    """The epoch of the checkpoint that is held, once all that must be there with it is found."""
    checkpoints = [held / name for name in ("checkpoint.pt", "checkpoint.previous.pt") if f"{TRIAL}/{name}" in stamps]
    newest = int(checkpoints[0].read_text()) if checkpoints else 0
    assert newest in (epochs, epochs + 1) and (not newest or f"{TRIAL}/metrics.jsonl" in stamps)
    if f"{TRIAL}/metrics.jsonl" in stamps:
        lines = grown_part(held / "metrics.jsonl", stamps[f"{TRIAL}/metrics.jsonl"]).split()
        assert len(lines) >= newest
        best = int((held / "best.pt").read_text()) if f"{TRIAL}/best.pt" in stamps else 0
        assert best >= newest and (appends or best >= len(lines))
        assert all((held / "pictures" / f"000{epoch}" / "a.png").exists() for epoch in range(1, newest + 1))
    return newest


def test_only_what_is_new_is_linked_and_all_is_found(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "spec.yaml").write_text("one")
    (folder / "journal.jsonl").write_text("1\n")
    first = freeze(folder, tmp_path / "first", {})
    (folder / "journal.jsonl").open("a").write("2\n")
    second = freeze(folder, tmp_path / "second", first)
    assert first.keys() == second.keys() == {"spec.yaml", "journal.jsonl"}
    assert [path.name for path in (tmp_path / "second").iterdir()] == ["journal.jsonl"]


def test_locks_and_what_is_half_written_are_left_out(tmp_path):
    folder = tmp_path / "a"
    for name in ("lock", "slots.lock", "heads.txt", ".spec.yaml.7", "spool/sent-1.json", "spool/sweep.jsonl"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    for name in ("within_epoch.json", "checkpoint.damaged", "pictures/.0001.7/a.png"):
        (folder / TRIAL / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / TRIAL / name).touch()
    assert freeze(folder, tmp_path / "links", {}).keys() == {"spool/sweep.jsonl"}


def test_a_file_that_goes_on_growing_is_held_as_long_as_it_was(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "journal.jsonl").write_text("1\n")
    stamps = freeze(folder, tmp_path / "links", {})
    (folder / "journal.jsonl").open("a").write("2\n")
    link = tmp_path / "links" / "journal.jsonl"
    assert grown_part(link, stamps["journal.jsonl"]) == b"1\n" and os.stat(link).st_size == 4
