"""What the tests of moving share: an export into a box, an import out of it, and what a store answers."""

from pathlib import Path

from clew.graph import Graph, learn
from clew.graph.reading import calls_of
from clew.graph.slices import slice_names
from clew.jobs.lessons import lesson_of, read
from clew.model.tally import count
from clew.move.boxes import box_at
from clew.move.exporting import Exporter, projects_of
from clew.move.importing import Importer, load
from clew.move.manifest import begun
from clew.move.store_target import StoreTarget
from clew.testing.store_contract import answers
from clew.testing.store_contract_graph import due


def export(store, place, project="", *, window=(None, None), keys=False, tell=bool):
    """Write an export, or go on with it."""
    wanted = begun(version="0", source="somewhere", projects=projects_of(store, project), window=window, keys=keys)
    return Exporter(store, box_at(str(place)), place=str(place), tell=tell).run(wanted)


def take(place, store, *, keys=False, rename=lambda project: project):
    """Import an export; gives what was done and whether it matches."""
    box = box_at(str(place))
    manifest = load(box, str(place))
    done = Importer(box, StoreTarget(store), rename=rename, keys=keys, wait=lambda _: None).run(
        manifest.parts, complete=manifest.complete
    )
    return done, done.matches(manifest.parts)


def move(source, target, place: Path, project=""):
    """Export and import, and expect that all of it is there."""
    export(source, place, project)
    done, matches = take(place, target)
    assert matches, done.problems
    return done


def learn_some(store, most=1000):
    """Learn what is due, at most so many traces of the first project, as the job does."""
    traces = due(store)
    mine = [trace for trace in traces if trace.project == traces[0].project][:most]
    if mine:
        store.save_lesson(lesson_of(mine[0].project, mine, read(mine)))
    return len(mine)


def learn_all(store):
    """Learn all that is due."""
    while learn_some(store):
        pass


def tell_of(store, project, delta_id, *spans):
    """Add what an SDK learned of *spans*, which it does not send."""
    trace = calls_of(spans[0].trace_id, spans)
    graph = learn(trace)
    assert isinstance(graph, Graph)
    store.apply_delta(project, delta_id, graph, dict.fromkeys(slice_names(trace), graph), count(spans))


def everything(store, project):
    """Give all that a store answers of a project, once it has learned what is due."""
    learn_all(store)
    slices = {name: store.graph_slice(project, [name]).content(when=False) for name in store.slice_names(project)}
    lone = []
    with store.snapshot() as snapshot:
        lone = sorted((score.trace_id, score.name, score.value, score.at_ns) for score in snapshot.lone_scores(project))
    return {
        **answers(store, project),
        "graph": store.graph(project).content(when=False),
        "slices": {name: content for name, content in slices.items() if content["edges"] or content["nodes"]},
        "templates": store.templates(project),
        "arms": store.arms(project, None),
        "lone": lone,
    }
