"""The server is killed under load, again and again: what it acknowledged is there."""

import random

import pytest
import torture_rig as rig

pytestmark = pytest.mark.slow


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path):
    """A store of each engine."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/clew.db"
    return request.getfixturevalue("postgres_schema")


def test_a_server_that_is_killed_again_and_again_loses_nothing(url, tmp_path, accept):
    """SIGKILL at random moments of a load, on one and the same store."""
    kills = rig.times(5, 200)
    draw = random.Random(3)
    with rig.serving(url, tmp_path) as server:
        with rig.Load(lambda: server.port) as load:
            for _ in range(kills):
                load.wait_for(draw.randrange(1, 30))
                server.kill()
                server.start()
            load.wait_for(1)
        accept(f"{url.partition(':')[0]}, {kills} kill -9 of the server", rig.judge(server, load))


def test_a_server_that_is_killed_while_it_starts_is_none_the_worse(url, tmp_path, accept):
    """In the middle of migrations, recovery or the first commits: the next start goes on."""
    kills = rig.times(3, 50)
    draw = random.Random(4)
    with rig.serving(url, tmp_path) as server:
        with rig.Load(lambda: server.port) as load:
            for _ in range(kills):
                load.wait_for(1)
                server.kill()
                server.start_and_kill(after_s=draw.uniform(0.05, 0.8))
                server.start()
            load.wait_for(1)
        accept(f"{url.partition(':')[0]}, {kills} kill -9 of a server that starts", rig.judge(server, load))
