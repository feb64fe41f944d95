"""`clew doctor` says what waits on disk, and what clients lost."""

from __future__ import annotations

import pytest

from clew.cli import doctor
from clew.sdk.spool import Spool
from clew.sdk.spool_folder import folder_of

ENDPOINT = "http://clew.test:4319"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CLEW_SPOOL", str(tmp_path))
    monkeypatch.setenv("CLEW_ENDPOINT", ENDPOINT)
    return folder_of(str(tmp_path), ENDPOINT)


def keep(folder, *counts: int) -> None:
    spool = Spool(folder, limit_bytes=1 << 20)
    for count in counts:
        spool.append(b"S" + b"x" * 100, count)
    spool.close()


def test_nothing_waits(folder):
    assert doctor.spool()[:3] == ("ok", "spool", f"{folder}: nothing waits")


def test_what_waits_is_counted(folder):
    keep(folder, 5, 7)
    found = doctor.spool()

    assert found.level == "warn"
    assert "12 spans in 2 batches wait, 242 bytes" in found.says


def test_damage_is_said(folder):
    keep(folder, 5, 7)
    (segment,) = folder.iterdir()
    segment.write_bytes(segment.read_bytes()[:-1])
    found = doctor.spool()

    assert found.level == "warn"
    assert "5 spans in 1 batches wait" in found.says
    assert "1 damaged" in found.says


def test_no_spool_is_said(monkeypatch):
    monkeypatch.setenv("CLEW_SPOOL", "0")
    assert doctor.spool().says.startswith("off")


def test_what_clients_lost_is_said_by_cause():
    assert doctor.sdk_losses({}).level == "ok"
    found = doctor.sdk_losses({"queue_full": 1_200, "denied": 3})

    assert found.level == "warn"
    assert found.says == "clients lost 1,203: denied 3, queue_full 1,200"
