"""What this machine knows of a cluster is kept where only its user can read it."""

import threading

import pytest

from orchestrator.clusters import state
from orchestrator.errors import UserError


@pytest.fixture(autouse=True)
def state_home(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


def mode(file) -> int:
    return file.stat().st_mode & 0o777


def test_the_folder_is_in_the_state_home_and_closed_to_others(state_home):
    folder = state.state_folder("gpus")
    assert folder == state_home / "vaeorch" / "gpus"
    assert mode(folder) == 0o700
    folder.chmod(0o755)
    assert mode(state.state_folder("gpus")) == 0o700


def test_without_a_state_home_it_is_in_the_users_home(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state.state_folder("gpus") == tmp_path / ".local" / "state" / "vaeorch" / "gpus"


@pytest.mark.parametrize("name", ["", "..", "-x", "a/b", "a b", "a\n", "x" * 65])
def test_a_name_that_could_leave_the_folder_is_refused(name):
    with pytest.raises(UserError, match="cannot name a cluster"):
        state.state_folder(name)


def test_a_state_home_that_cannot_be_written_is_told(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(UserError, match="cannot be made: .* set XDG_STATE_HOME"):
        state.state_folder("gpus")


def test_a_token_is_made_once_secret_and_unlike_others(tmp_path):
    one, other = state.state_folder("one"), state.state_folder("other")
    token = state.token(one)
    assert len(bytes.fromhex(token)) == 32
    assert state.token(one) == token != state.token(other)
    assert mode(one / state.TOKEN) == 0o600
    assert [file.name for file in one.iterdir()] == [state.TOKEN]


def test_processes_that_make_the_token_together_have_the_same():
    folder, found = state.state_folder("gpus"), set()
    threads = [threading.Thread(target=lambda: found.add(state.token(folder))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 1


def test_a_damaged_token_is_not_replaced_as_running_hosts_have_the_old_one():
    folder = state.state_folder("gpus")
    (folder / state.TOKEN).write_text("abc")
    with pytest.raises(UserError, match="token: is damaged"):
        state.token(folder)


def test_the_keys_of_hosts_are_kept_in_a_file_of_the_user_alone():
    folder = state.state_folder("gpus")
    state.known_hosts(folder).write_text("gpu1 ssh-ed25519 AAAA\n")
    assert state.known_hosts(folder).read_text() == "gpu1 ssh-ed25519 AAAA\n"
    assert mode(state.known_hosts(folder)) == 0o600


def test_hosts_are_noted_in_their_order():
    folder = state.state_folder("gpus")
    assert state.noted_hosts(folder) == ()
    state.note_hosts(folder, ("gpu2", "gpu1"))
    assert state.noted_hosts(folder) == ("gpu2", "gpu1")


def test_two_commands_do_not_change_a_cluster_at_the_same_time():
    folder = state.state_folder("gpus")
    with state.changing(folder), pytest.raises(UserError, match="gpus: another command"), state.changing(folder):
        pass
    with state.changing(folder):
        pass


def test_two_files_of_one_name_are_not_taken_for_one_cluster(tmp_path):
    one, other = (tmp_path / place / "gpus.yaml" for place in ("one", "other"))
    for file in (one, other):
        file.parent.mkdir()
        file.touch()
    folder = state.state_folder("gpus")
    state.note_file(folder, one)
    state.note_file(folder, one)
    with pytest.raises(UserError, match="which has the same name. Rename one"):
        state.note_file(folder, other)
    assert state.known_clusters() == [(folder, one)]
    one.unlink()  # it was moved
    state.note_file(folder, other)
    assert state.known_clusters() == [(folder, other)]
