"""Where the spool lies, and where there is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import clew
from clew.errors import ConfigError
from clew.sdk import setup
from clew.sdk.spool_folder import default_root, folder_of, spool_from

SERVER = "http://clew.test:4319"


def test_it_lies_below_the_users_state_folder():
    assert default_root({"XDG_STATE_HOME": "/state"}) == Path("/state/clew/spool")
    assert default_root({}) == Path("~/.local/state/clew/spool").expanduser()
    assert default_root({"XDG_STATE_HOME": "relative/paths/count/as/unset"}) == default_root({})


@pytest.mark.parametrize("on", [None, True, "1", "on"])
def test_a_server_has_one_by_default(on):
    assert folder_of(on, SERVER).parent == Path(os.environ["XDG_STATE_HOME"], "clew", "spool")


@pytest.mark.parametrize("off", [False, "0", "off", "False", "no"])
def test_it_can_be_switched_off(off):
    assert spool_from(off, 1, SERVER) is None


def test_a_store_has_none_unless_it_is_asked_for(tmp_path):
    """A store on this machine is away only if its disk is."""
    assert folder_of(None, "sqlite:///clew.db") is None
    assert folder_of(tmp_path, "sqlite:///clew.db").parent == tmp_path


def test_each_endpoint_and_each_key_has_its_own(tmp_path):
    """The key names the project: what one could not send must not go to the other's."""
    folders = {folder_of(tmp_path, SERVER, key) for key in ("", "a", "b")} | {folder_of(tmp_path, "http://other.test")}

    assert len(folders) == 4
    assert folder_of(tmp_path, SERVER + "/", "a") == folder_of(tmp_path, SERVER, "a")


def test_the_key_is_not_in_the_path(tmp_path):
    assert "secret" not in str(folder_of(tmp_path, SERVER, "secret"))


def test_a_home_stands_for_itself(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert folder_of("~/traces", SERVER).parent == Path("/home/me/traces")


def test_nothing_is_made_before_it_is_needed(tmp_path):
    assert spool_from(tmp_path / "a" / "b", 1, SERVER) is not None
    assert not list(tmp_path.iterdir())


def test_a_user_without_a_home_has_none(monkeypatch):
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)

    assert spool_from(None, 1, SERVER) is None


@pytest.mark.parametrize("wrong", [5, b"", "", "a\0b", ["x"]])
def test_what_is_no_folder_is_refused_where_it_is_given(wrong, untouched):
    with pytest.raises(ConfigError, match="spool"):
        clew.configure(SERVER, spool=wrong)


@pytest.mark.parametrize("wrong", [0, -1, "many", True, 1.5])
def test_what_is_no_size_is_refused_where_it_is_given(wrong, untouched):
    with pytest.raises(ConfigError, match="spool_bytes"):
        clew.configure(SERVER, spool_bytes=wrong)


def test_configure_hands_it_to_the_writer(untouched, tmp_path):
    clew.configure(SERVER, spool=tmp_path, spool_bytes=99, api_key="k")
    setup._writer.turn()

    assert setup._writer.spool.folder == folder_of(tmp_path, SERVER, "k")
    assert setup._writer.spool.limit_bytes == 99
