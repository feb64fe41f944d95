"""Starting says what is wrong in one line; stopping, even by force, loses nothing acknowledged."""

from __future__ import annotations

import json
import random
import sqlite3
import threading
import time

import httpx
import pytest

from clew.store import open_store


def one_line(result):
    """Give the only line that a failed command said."""
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.stderr
    return lines[0]


def test_a_taken_port_is_one_clear_line(shared, clew_command, tmp_path):
    """Exit status 1, and the store is not even made."""
    result = clew_command("serve", "--port", str(shared.port), "--store", f"sqlite:///{tmp_path}/other.db")

    assert result.returncode == 1
    assert str(shared.port) in one_line(result)
    assert not (tmp_path / "other.db").exists()


def test_a_store_made_by_a_newer_version_is_left_alone(clew_command, tmp_path):
    """It says which schema it found and what to do."""
    path = tmp_path / "clew.db"
    open_store(f"sqlite:///{path}").close()
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 999")
    database.commit()
    database.close()

    result = clew_command("serve", "--port", "0", "--store", f"sqlite:///{path}")

    assert result.returncode == 1
    assert "999" in one_line(result)
    assert "upgrade" in one_line(result)


@pytest.mark.parametrize("url", ["sqlite:////proc/clew.db", "sqlite:////dev/null/clew.db"])
def test_a_store_path_that_cannot_be_written_is_one_clear_line(clew_command, url):
    """Before anything listens."""
    result = clew_command("serve", "--port", "0", "--store", url)

    assert result.returncode == 1
    assert "clew.db" in one_line(result)


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (["--store", "mysql://x"], "mysql"),
        (["--store", "sqlite:///"], "sqlite"),
        (["--mode", "product"], "product"),
        (["--mode", "fast"], "fast"),
        (["--host", "no.such.host.invalid"], "no.such.host.invalid"),
        (["--port", "70000"], "70000"),
    ],
)
def test_an_option_that_makes_no_sense_is_exit_status_2(clew_command, tmp_path, args, word):
    """As with any command."""
    store = [] if "--store" in args else ["--store", f"sqlite:///{tmp_path}/clew.db"]

    result = clew_command("serve", "--port", "0", *store, *args)

    assert result.returncode == 2
    assert word in one_line(result)


def test_a_setting_that_cannot_be_read_is_named(clew_command):
    """Exit status 2, before anything is opened."""
    result = clew_command("serve", CLEW_MAX_BODY_BYTES="lots")

    assert result.returncode == 2
    assert "CLEW_MAX_BODY_BYTES" in one_line(result)


def test_listening_to_the_network_without_a_key_is_refused(clew_command, serve, tmp_path):
    """Whoever reads traces reads prompts. With a key it starts, and then sending needs one too."""
    store = f"sqlite:///{tmp_path}/clew.db"
    refused = clew_command("serve", "--host", "0.0.0.0", "--port", "0", "--store", store)
    assert refused.returncode == 2
    assert "CLEW_ADMIN_KEY" in one_line(refused)

    running = serve("--host", "0.0.0.0")

    assert running.anybody.post("/api/v1/spans", json={"spans": []}).status_code == 401
    assert running.anybody.get("/metrics").status_code == 401
    assert running.admin.post("/api/v1/spans", json={"spans": []}).status_code == 200


def test_the_first_start_makes_a_key_and_shows_it_once(serve, tmp_path):
    """A newcomer logs in with one click; the store holds only a hash."""
    first = serve(CLEW_ADMIN_KEY="")
    key = first.wait_for(r"#key=(clew_admin_\S+)")
    answer = httpx.get(f"{first.url}/api/v1/session", headers={"authorization": f"Bearer {key}"})
    assert answer.json() == {"scope": "admin", "project": "*"}
    assert first.stop() == 0

    second = serve(CLEW_ADMIN_KEY="")

    assert second.stop() == 0
    assert "#key=" not in "".join(second.lines)
    assert key.encode() not in (tmp_path / "clew.db").read_bytes()


class Load:
    """Clients that send as fast as they can and remember what was acknowledged."""

    def __init__(self, url: str, make, clients: int = 4, batch: int = 5) -> None:
        self.acknowledged: list[str] = []
        self.sent = threading.Event()
        self._url, self._make, self._batch = url, make, batch
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _send(self) -> None:
        with httpx.Client(base_url=self._url, timeout=10) as client:
            while not self._stop.is_set():
                spans = [self._make.span() for _ in range(self._batch)]
                try:
                    answer = client.post("/api/v1/spans", json={"spans": spans})
                except httpx.HTTPError:
                    return
                if answer.status_code == 200:
                    self.acknowledged += [span["trace_id"] for span in spans]
                    self.sent.set()

    def end(self) -> None:
        """Wait until every client has noticed."""
        self._stop.set()
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive()


def missing(store_url: str, acknowledged: list[str]) -> list[str]:
    """Give the acknowledged traces that the store does not have."""
    store = open_store(store_url)
    try:
        return [trace_id for trace_id in acknowledged if store.trace("default", trace_id) is None]
    finally:
        store.close()


def test_sigterm_stores_what_was_accepted_and_ends_with_0(serve, make):
    """Under load: no acknowledged span is missing, and no request is cut off in the middle."""
    running = serve()
    load = Load(running.url, make)
    assert load.sent.wait(20)

    status = running.stop()
    load.end()

    assert status == 0
    assert load.acknowledged
    assert missing(running.store_url, load.acknowledged) == []


@pytest.mark.slow
def test_sigkill_under_load_twenty_times_loses_no_acknowledged_span(serve, make, tmp_path):
    """At random moments, always into the same store."""
    chance = random.Random(4319)
    acknowledged: list[str] = []
    for _ in range(20):
        running = serve()
        load = Load(running.url, make)
        assert load.sent.wait(20)
        # Not a synchronisation: the moment of death has to fall anywhere within a batch.
        time.sleep(chance.uniform(0, 0.1))
        running.kill()
        load.end()
        acknowledged += load.acknowledged

    assert len(acknowledged) > 100
    assert missing(f"sqlite:///{tmp_path}/clew.db", acknowledged) == []


def test_a_store_that_cannot_be_written_now_is_503_never_a_false_200(serve, make, tmp_path):
    """Somebody else holds the file's write lock; once they let go, the same body is taken."""
    running = serve()
    body = json.dumps({"spans": [make.span()]}).encode()
    holder = sqlite3.connect(tmp_path / "clew.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    headers = {"content-type": "application/json"}

    answer = running.anybody.post("/api/v1/spans", content=body, headers=headers)
    holder.execute("ROLLBACK")
    holder.close()
    again = running.anybody.post("/api/v1/spans", content=body, headers=headers)

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert again.json()["accepted"] == 1
