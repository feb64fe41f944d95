"""`clew traces`, `clew keys` and `clew doctor`, on a server and straight on a store."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys

import pytest

KEY = "sesame-of-the-tests"


@pytest.fixture(scope="module")
def traced(shared, make):
    """Three traces in project "cli": one good, one empty, one that failed and is hostile."""
    root = make.span(name="POST /query", outputs="x" * 60, attributes={"user_id": "ada"})
    child = make.span(
        root["trace_id"], name="ChatOpenAI", kind="generation", parent_id=root["span_id"],
        attributes={"model": "SmolLM2", "input_tokens": 43, "output_tokens": 8},
        inputs={"messages": [{"role": "user", "content": "why?"}], "seed": 4319},
    )  # fmt: skip
    empty = make.span(name="empty", outputs="")
    evil = make.span(name="\x1b]0;owned\x07evil", status="error", status_message="\x9b2Jboom", inputs="\x1b[2J\x85")
    for spans in ([root, child], [empty], [evil]):
        shared.admin.post("/api/v1/spans?project=cli", json={"spans": spans}).raise_for_status()
    return {"good": root["trace_id"], "empty": empty["trace_id"], "evil": evil["trace_id"]}


@pytest.fixture(params=["server", "store"])
def traces(request, shared, clew_command):
    """Run `clew traces …` both ways: they must not differ."""

    def run(*args: str):
        if request.param == "server":
            return clew_command("traces", *args, "--project", "cli", CLEW_URL=shared.url, CLEW_API_KEY=KEY)
        return clew_command("traces", *args, "--project", "cli", "--store", shared.store_url)

    return run


def test_ls_shows_what_matches_and_nothing_else(traces, traced):
    """The same filters as in a URL."""
    everything = traces("ls")
    empty = traces("ls", "--flag", "empty")

    assert everything.returncode == empty.returncode == 0
    assert all(trace_id in everything.stdout for trace_id in traced.values())
    assert traced["empty"] in empty.stdout
    assert traced["good"] not in empty.stdout
    assert "no traces match" in traces("ls", "--model", "none").stderr


def test_ls_says_how_to_see_more(traces, traced):
    """The cursor goes to stderr, so that stdout stays a table."""
    result = traces("ls", "--limit", "1")
    cursor = result.stderr.split("--cursor ")[1].strip()

    assert result.stdout.count("\n") == 2
    assert traces("ls", "--limit", "1", "--cursor", cursor).stdout != result.stdout


def test_show_prints_the_tree(traces, traced):
    """With payloads only when asked for."""
    short = traces("show", traced["good"]).stdout
    full = traces("show", traced["good"], "--payloads").stdout

    assert "╰─ ChatOpenAI" in short
    assert "43 → 8 tokens" in short
    assert "4319" not in short.partition("page")[0]
    assert 'seed": 4319' in full


def test_show_links_to_the_page_of_the_server(shared, traced, clew_command):
    """One click from the terminal to the waterfall."""
    result = clew_command("traces", "show", traced["good"], "--project", "cli", "--url", shared.url, "--key", KEY)

    assert f"{shared.url}/#/traces/{traced['good']}" in result.stdout


def test_export_writes_one_whole_trace_a_line(traces, traced):
    """For jq, and for keeping; `--format json` for programs that want one document."""
    lines = [json.loads(line) for line in traces("export").stdout.splitlines()]
    document = json.loads(traces("export", "--format", "json", "--limit", "2").stdout)
    nothing = traces("export", "--format", "json", "--model", "none")

    assert {line["trace"]["trace_id"] for line in lines} == set(traced.values())
    assert all(line["spans"] for line in lines)
    assert document == lines[:2]
    assert (json.loads(nothing.stdout), traces("export", "--model", "none").stdout) == ([], "")


def test_json_is_the_body_of_the_api(shared, traces, traced):
    """One document and nothing beside it, also where there are more: a script reads both from one place."""
    page = traces("ls", "--limit", "1", "--json")
    whole = traces("show", traced["good"], "--json")
    asked = {"params": {"project": "cli", "limit": 1}}

    assert json.loads(page.stdout) == shared.admin.get("/api/v1/admin/traces/", **asked).json()
    assert json.loads(page.stdout)["next_cursor"]
    assert json.loads(whole.stdout)["spans"][1]["inputs"]["seed"] == 4319
    assert page.stderr == whole.stderr == ""


@pytest.mark.parametrize(
    "command", ["ls", "ls --json", "show evil", "show evil --payloads", "show evil --json", "export"]
)
def test_nothing_in_a_trace_reaches_the_terminal_as_a_command(traces, traced, command):
    """Neither C0 nor C1 controls, whichever way it is printed."""
    output = traces(*(traced.get(word, word) for word in command.split())).stdout

    assert not {character for character in output if ord(character) < 32 or 127 <= ord(character) < 160} - {"\n"}


@pytest.mark.parametrize(
    ("args", "status", "word"),
    [
        (["ls", "--kind", "nonsense"], 2, "kind"),
        (["ls", "--from", "yesterday"], 2, "from"),
        (["ls", "--limit", "1000"], 2, "limit"),
        (["show", "0" * 32], 2, "trace id"),
        (["show", "d" * 32], 1, "d" * 32),
    ],
)
def test_what_makes_no_sense_is_one_clear_line(traces, args, status, word):
    """With the exit status that scripts can tell apart."""
    result = traces(*args)

    assert result.returncode == status
    assert word in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert result.stdout == ""


def test_no_server_or_no_key_says_what_to_do(shared, clew_command):
    """The first thing that a newcomer meets."""
    nobody = clew_command("traces", "ls", CLEW_URL="http://127.0.0.1:9")
    keyless = clew_command("traces", "ls", CLEW_URL=shared.url)
    wrong = clew_command("traces", "ls", CLEW_URL="ftp://x")

    assert (nobody.returncode, keyless.returncode, wrong.returncode) == (1, 1, 2)
    assert "clew serve" in nobody.stderr
    assert "CLEW_API_KEY" in keyless.stderr


def test_a_proxy_of_the_environment_is_not_asked_about_this_machine(shared, clew_command):
    """Company laptops have one set, and it knows nothing of our loopback."""
    result = clew_command("traces", "ls", CLEW_URL=shared.url, CLEW_API_KEY=KEY, http_proxy="http://127.0.0.1:9")

    assert result.returncode == 0


def test_a_reader_that_has_enough_ends_the_export_quietly(shared, traced):
    """`clew traces export | head -1`."""
    command = f"{sys.executable} -m clew.cli traces export --project cli --store {shared.store_url} | head -c 10"
    result = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)

    assert "Traceback" not in result.stderr
    assert len(result.stdout) == 10


def test_reading_a_store_never_makes_one(clew_command, tmp_path):
    """A misspelt path must not become an empty store."""
    result = clew_command("traces", "ls", "--store", f"sqlite:///{tmp_path}/none.db")

    assert result.returncode == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_a_read_only_store_can_be_read_and_not_served(shared, traced, clew_command, tmp_path):
    """A copy from a backup."""
    path = tmp_path / "clew.db"
    path.write_bytes(shared.store.read_bytes())
    path.chmod(stat.S_IRUSR)
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        served = clew_command("serve", "--port", "0", "--store", f"sqlite:///{path}")
    finally:
        tmp_path.chmod(stat.S_IRWXU)

    assert served.returncode == 1
    assert len(served.stderr.strip().splitlines()) == 1


def test_doctor_finds_a_healthy_server_healthy(shared, clew_command):
    """Every line ok: it even sent a span and read it back, in a project of its own."""
    result = clew_command("doctor", CLEW_URL=shared.url, CLEW_API_KEY=KEY)

    assert result.returncode == 0, result.stdout
    for what in ("settings", "sqlite", "server", "clock", "key", "round trip", "store"):
        assert f"ok    {what}" in result.stdout
    assert "clew-doctor" not in shared.admin.get("/api/v1/admin/traces/?project=default").text


def test_doctor_tells_a_program_the_same(shared, clew_command):
    """For a health check: one document, whose exit status is that of the text."""
    well = clew_command("doctor", "--json", CLEW_URL=shared.url, CLEW_API_KEY=KEY)
    ill = clew_command("doctor", "--json", CLEW_URL="http://127.0.0.1:9")

    assert (well.returncode, json.loads(well.stdout)["healthy"]) == (0, True)
    assert (ill.returncode, json.loads(ill.stdout)["healthy"]) == (1, False)
    assert [each["what"] for each in json.loads(ill.stdout)["findings"] if each["level"] == "fail"] == ["server"]


@pytest.mark.parametrize(
    ("environ", "status", "line"),
    [
        ({"CLEW_URL": "http://127.0.0.1:9"}, 1, "fail  server"),
        ({"CLEW_API_KEY": "wrong"}, 1, "fail  key"),
        ({}, 0, "warn  key"),
        ({"CLEW_API_KEY": KEY, "CLEW_FLUSH_TRACES": "many"}, 1, "fail  settings"),
        ({"CLEW_API_KEY": KEY, "CLEW_ENDPIONT": "x"}, 0, "warn  settings"),
    ],
)
def test_doctor_says_what_is_wrong_and_what_to_do(shared, clew_command, environ, status, line):
    """Exit status 1 only for what fails, so that scripts can wait for it."""
    result = clew_command("doctor", **({"CLEW_URL": shared.url} | environ))

    assert result.returncode == status
    assert line in result.stdout
    assert "Traceback" not in result.stderr


def test_doctor_checks_a_store_without_a_server(shared, clew_command, tmp_path):
    """And finds that a missing one is missing."""
    good = clew_command("doctor", "--store", shared.store_url)
    missing = clew_command("doctor", "--store", f"sqlite:///{tmp_path}/none.db")

    assert good.returncode == 0
    assert "ok    disk" in good.stdout
    assert missing.returncode == 1
    assert "fail  store" in missing.stdout


def test_a_key_is_printed_alone_so_that_scripts_can_take_it(clew_command, tmp_path):
    """`export CLEW_API_KEY=$(clew keys create)`."""
    result = clew_command("keys", "create", "--store", f"sqlite:///{tmp_path}/clew.db")

    assert result.returncode == 0
    assert result.stdout.strip().startswith("clew_ingest_")
    assert len(result.stdout.split()) == 1
    listed = clew_command("keys", "ls", "--json", "--store", f"sqlite:///{tmp_path}/clew.db")
    [key] = json.loads(listed.stdout)["keys"]
    assert (key["scope"], key["project"], len(key["id"])) == ("ingest", "default", 12)


@pytest.mark.parametrize(
    ("args", "status"),
    [
        (["create", "--scope", "god"], 2),
        (["create", "--scope", "admin", "--project", "x"], 2),
        (["create", "--scope", "read", "--project", "*"], 2),
        (["create", "--project", "a\tb"], 2),
        (["revoke", "x"], 2),
        (["revoke", "0123456789ab"], 1),
    ],
)
def test_a_key_command_that_makes_no_sense_is_refused(clew_command, tmp_path, args, status):
    """A key for the wrong project is worse than none."""
    result = clew_command("keys", *args, "--store", f"sqlite:///{tmp_path}/clew.db")

    assert result.returncode == status
    assert len(result.stderr.strip().splitlines()) == 1


def test_without_the_server_extra_the_command_says_what_to_install(tmp_path):
    """`pip install clew` alone is the SDK."""
    (tmp_path / "typer.py").write_text("raise ModuleNotFoundError('No module named typer', name='typer')")
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}

    result = subprocess.run(
        [sys.executable, "-m", "clew.cli"], env=environ, capture_output=True, text=True, timeout=60, check=False
    )

    assert result.returncode == 1
    assert "pip install 'clew[server]'" in result.stderr
    assert "Traceback" not in result.stderr
