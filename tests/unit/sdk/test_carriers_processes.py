"""Other processes: a span that is current where one is started is the parent of what it does."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
CHILD = "import clew\nwith clew.span('step'): pass"

PROLOGUE = """
import asyncio, concurrent.futures, multiprocessing, os, subprocess, sys
import clew

def step(name="step"):
    with clew.span(name):
        pass
    return name

def double(number):
    with clew.span(f"double {number}"):
        return 2 * number

def under(parent, name):
    with clew.span(name, parent=parent):
        pass

CHILD = """


@pytest.fixture
def trees(server, tmp_path):
    """Run a program with a main of its own, and give what arrived as (name, parent's name) pairs."""

    def run(code: str, **environ: str) -> list[tuple[str, str | None]]:
        program = tmp_path / "program.py"
        body = textwrap.indent(textwrap.dedent(code), "    ")
        program.write_text(f"{PROLOGUE}{CHILD!r}\nif __name__ == '__main__':\n{body}\n")
        done = subprocess.run(
            [sys.executable, "-W", "ignore::DeprecationWarning", str(program)],
            env={**clean(), "CLEW_ENDPOINT": server.url, **environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        spans = server.spans()
        assert len({span.span_id for span in spans}) == len(spans), "a span was sent twice"
        names = {span.span_id: span.name for span in spans}
        return sorted((span.name, names.get(span.parent_id or "", span.parent_id)) for span in spans)

    return run


def clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "TRACEPARENT"}


METHODS = ["fork", "spawn", "forkserver"]


@pytest.mark.parametrize("method", METHODS)
def test_a_process_keeps_the_parent(trees, method):
    found = trees(
        f"""
        context = multiprocessing.get_context({method!r})
        with clew.span("request"):
            process = context.Process(target=step)
            process.start()
            process.join()
        assert process.exitcode == 0
        assert not [name for name in vars(process) if "clew" in name]
        """
    )
    assert found == [("request", None), ("step", "request")]


@pytest.mark.parametrize("method", METHODS)
def test_a_process_pool_keeps_the_parent_of_each_task(trees, method):
    """Its workers outlive the request that started them, and belong to none."""
    found = trees(
        f"""
        context = multiprocessing.get_context({method!r})
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
            with clew.span("first"):
                assert pool.submit(step, "a").result() == "a"
                assert list(pool.map(double, [1])) == [2]
            assert pool.submit(step, "alone").result() == "alone"
            with clew.span("second"):
                pool.submit(step, "b").result()
        """
    )
    assert found == [
        ("a", "first"),
        ("alone", None),
        ("b", "second"),
        ("double 1", "first"),
        ("first", None),
        ("second", None),
    ]


@pytest.mark.parametrize("method", METHODS)
def test_a_pool_of_multiprocessing_keeps_the_parent_of_each_task(trees, method):
    found = trees(
        f"""
        context = multiprocessing.get_context({method!r})
        with clew.span("first"):
            pool = context.Pool(1)
            pool.apply(step, ("a",))
        pool.apply(step, ("alone",))
        with clew.span("second"):
            assert pool.map(double, [1]) == [2]
            assert list(pool.imap(double, [2])) == [4]
            assert list(pool.imap_unordered(double, [3])) == [6]
            assert pool.starmap(under, [(None, "b")]) == [None]
        pool.close()
        pool.join()
        """
    )
    assert found == [
        ("a", "first"),
        ("alone", None),
        ("b", "second"),
        ("double 1", "second"),
        ("double 2", "second"),
        ("double 3", "second"),
        ("first", None),
        ("second", None),
    ]


@pytest.mark.parametrize("method", METHODS)
def test_an_explicit_parent_may_be_sent_to_a_process(trees, method):
    """A span that is pickled is its ids."""
    found = trees(
        f"""
        context = multiprocessing.get_context({method!r})
        with clew.span("request") as request, clew.span("other"):
            for parent in (request, request.traceparent):
                process = context.Process(target=under, args=(parent, "step"))
                process.start()
                process.join()
        """
    )
    assert found == [("other", "request"), ("request", None), ("step", "request"), ("step", "request")]


def test_run_in_executor_keeps_the_parent_in_a_process_pool(trees):
    found = trees(
        """
        async def main():
            with concurrent.futures.ProcessPoolExecutor(1) as pool:
                with clew.span("request"):
                    await asyncio.get_running_loop().run_in_executor(pool, step)
        asyncio.run(main())
        """
    )
    assert found == [("request", None), ("step", "request")]


def test_processes_that_a_generator_starts(trees):
    """What it holds is not in the context, and a fork copies the stack with it."""
    found = trees(
        """
        def generator(pool):
            with clew.span("inside"):
                yield 1
                pool.submit(step, "pooled").result()
                for method in ("fork", "spawn"):
                    process = multiprocessing.get_context(method).Process(target=step, args=(method,))
                    process.start()
                    process.join()
                subprocess.run([sys.executable, "-c", CHILD], check=True)
                yield 2
        context = multiprocessing.get_context("fork")
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
            with clew.span("request"):
                steps = generator(pool)
                next(steps)
                with clew.span("consumer"):
                    next(steps)
                    pool.submit(step, "consumer's").result()
                steps.close()
            pool.submit(step, "alone").result()
        """
    )
    assert found == [
        ("alone", None),
        ("consumer", "request"),
        ("consumer's", "consumer"),
        ("fork", "inside"),
        ("inside", "request"),
        ("pooled", "inside"),
        ("request", None),
        ("spawn", "inside"),
        ("step", "inside"),
    ]


def test_a_fork_in_mid_span(trees):
    """The open spans are sent once, by the process that began them, although both leave their `with`."""
    found = trees(
        """
        with clew.span("request"):
            with clew.span("inner"):
                child = os.fork() == 0
                if child:
                    step("in child")
                    assert clew.current_span().name == "inner"
            if child:
                step("in child, further out")
            else:
                assert os.wait()[1] == 0
                step("in parent")
        """
    )
    assert found == [
        ("in child", "inner"),
        ("in child, further out", "request"),
        ("in parent", "request"),
        ("inner", "request"),
        ("request", None),
    ]


def test_a_program_started_in_a_span_takes_it_from_its_environment(trees):
    found = trees(
        """
        with clew.span("request"):
            subprocess.run([sys.executable, "-c", CHILD.replace("step", "run")], check=True)
            env = {**os.environ, "OWN": "1"}
            subprocess.check_call([sys.executable, "-c", CHILD.replace("step", "env")], env=env)
            assert "TRACEPARENT" not in env
            async def main():
                process = await asyncio.create_subprocess_exec(sys.executable, "-c", CHILD.replace("step", "asyncio"))
                assert await process.wait() == 0
            asyncio.run(main())
        assert "TRACEPARENT" not in os.environ
        """
    )
    assert found == [("asyncio", "request"), ("env", "request"), ("request", None), ("run", "request")]


def test_a_program_started_by_uvloop_takes_it_from_its_environment(trees):
    """uvloop does not use `subprocess.Popen`."""
    pytest.importorskip("uvloop")
    found = trees(
        """
        import uvloop
        async def main():
            with clew.span("request"):
                process = await asyncio.create_subprocess_exec(sys.executable, "-c", CHILD)
                assert await process.wait() == 0
                process = await asyncio.create_subprocess_shell(f'"{sys.executable}" -c "{CHILD}"')
                assert await process.wait() == 0
        loop = uvloop.new_event_loop()
        loop.run_until_complete(main())
        loop.close()
        """
    )
    assert found == [("request", None), ("step", "request"), ("step", "request")]


def test_an_environment_that_names_a_parent_is_left_alone(trees):
    found = trees(
        f"""
        with clew.span("request"):
            env = {{**os.environ, "TRACEPARENT": {TRACEPARENT!r}}}
            subprocess.run([sys.executable, "-c", CHILD], check=True, env=env)
        """
    )
    assert found == [("request", None), ("step", "00f067aa0ba902b7")]


def test_the_environments_parent_reaches_every_thread_and_is_handed_on(trees):
    found = trees(
        """
        import threading
        step("main")
        thread = threading.Thread(target=step, args=("thread",))
        thread.start()
        thread.join()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            pool.submit(step, "pool").result()
        asyncio.run(asyncio.to_thread(step, "asyncio"))
        assert clew.current_span().traceparent == os.environ["TRACEPARENT"]
        # A copy of what this process was given is not an answer to who is current now.
        with clew.span("request"):
            subprocess.run([sys.executable, "-c", CHILD], check=True, env=dict(os.environ))
        subprocess.run([sys.executable, "-c", CHILD.replace("step", "grandchild")], check=True)
        """,
        TRACEPARENT=TRACEPARENT,
    )
    remote = "00f067aa0ba902b7"
    assert found == [
        ("asyncio", remote),
        ("grandchild", remote),
        ("main", remote),
        ("pool", remote),
        ("request", remote),
        ("step", "request"),
        ("thread", remote),
    ]


@pytest.mark.parametrize(
    "value", ["", "nonsense", TRACEPARENT[:-1], "00-" + "0" * 32 + "-00f067aa0ba902b7-01", "\udcff"]
)
def test_an_environment_that_makes_no_sense_is_no_parent(server, value):
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        env={**clean(), "CLEW_ENDPOINT": server.url, "TRACEPARENT": value},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert ("TRACEPARENT ignored" in done.stderr) == bool(value)
    [span] = server.spans()
    assert span.parent_id is None


def test_nothing_is_loaded_for_the_sake_of_carrying(server):
    """Most programs start no process; those that do load what they need themselves, also later."""
    code = """
    import sys, clew
    clew.configure()
    assert not {"multiprocessing.process", "multiprocessing.pool", "concurrent.futures.process"} & set(sys.modules)
    import multiprocessing.pool, concurrent.futures, subprocess
    assert "clew" in multiprocessing.pool.Pool.apply_async.__code__.co_filename
    assert "clew" in concurrent.futures.ProcessPoolExecutor.submit.__code__.co_filename
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**clean(), "CLEW_ENDPOINT": server.url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_what_cannot_be_pickled_fails_as_it_does_without_clew(trees):
    trees(
        """
        context = multiprocessing.get_context("spawn")
        with clew.span("request"):
            try:
                context.Process(target=lambda: None).start()
            except Exception as error:
                assert "pickle" in str(error) and "clew" not in str(error), error
            else:
                raise SystemExit("no error")
        """
    )


@pytest.mark.parametrize("env", [{1: 2}, 42, {"A": 1}])
def test_an_environment_of_the_wrong_type_fails_as_it_does_without_clew(captured, env):
    import clew

    def error() -> str:
        with pytest.raises((AttributeError, TypeError, ValueError)) as raised:
            subprocess.Popen([sys.executable], env=env)
        return str(raised.value)

    without = error()
    with clew.span("request"):
        assert error() == without


def test_the_program_file_is_its_own(trees, tmp_path: Path):
    """The fixture's own promise: a program that fails is a test that fails."""
    with pytest.raises(AssertionError):
        trees("raise SystemExit(1)")
