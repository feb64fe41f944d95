"""`clew graph evaluate | tune`: replay held-out traces, measure the arms, fit their weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Any, get_args

import msgspec
import typer

from clew import config
from clew.cli.graph_figures import print_figures, print_summary, print_tuned
from clew.cli.graph_recorded import read_sets
from clew.cli.out import errors, out
from clew.cli.source import Source, open_source
from clew.errors import BadFilter, ConfigError
from clew.graph.evaluate import DataFigures, Options
from clew.graph.evaluate import evaluate as measure
from clew.graph.evaluate_arms import QUESTIONS, Question, arms_of
from clew.graph.evaluate_replay import ReplayTimes
from clew.graph.folds import FOLDS
from clew.graph.tune import Options as TuneOptions
from clew.graph.tune import Tuned
from clew.graph.tune import tune as fit

Data = Annotated[
    list[str],
    typer.Argument(
        help="Files of event lines (.jsonl, .jsonl.gz), folders of them, or a store's URL.", metavar="DATA..."
    ),
]
ProjectOption = Annotated[str, typer.Option("--project", help="The project, where DATA is a store or --save is given.")]
JsonOption = Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")]
ReplayOption = Annotated[
    str,
    typer.Option(
        "--replay",
        help="Times that plans are learned from: as-recorded, parallel (as the dependencies allow), or auto: "
        "parallel where the recorded times are mere numbering.",
    ),
]

STORED_AS = {"next": "suggest"}
"""What a question is called where arms are stored, if not by its own name."""


def evaluate(
    data: Data,
    *,
    project: ProjectOption = "",
    questions: Annotated[str, typer.Option("--questions", help=f"Any of {','.join(QUESTIONS)}; all if empty.")] = "",
    arms: Annotated[str, typer.Option("--arms", help="Only these arms, and each question's baseline.")] = "",
    folds: Annotated[int, typer.Option("--folds", min=2, help="Parts, of which each is held out in turn.")] = FOLDS,
    positions: Annotated[
        int, typer.Option("--positions", min=1, help="At most so many questions of a fold; more are sampled.")
    ] = Options().positions,
    replay: ReplayOption = "auto",
    by_trace: Annotated[
        bool, typer.Option("--by-trace", help="Hold out single traces, though others of their task are learned.")
    ] = False,
    json: JsonOption = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with status 1 if a gate is missed.")] = False,
) -> None:
    """Replay held-out traces and print how right each arm is, with 95 % intervals."""
    options = Options(
        questions=_questions(questions),
        arms=_arms(arms, _questions(questions)),
        folds=folds,
        positions=positions,
        replay=_replay(replay),
    )
    console, measured = out(), list[DataFigures]()
    for name, traces in read_sets(data, project):
        asked = [msgspec.structs.replace(trace, task=trace.trace_id) for trace in traces] if by_trace else traces
        with _progress(name) as tick:
            measured.append(measure(name, asked, options, tick))
        print_figures(console, measured[-1])
    if len(measured) > 1:
        print_summary(console, measured)
    _write(json, measured)
    if strict and not all(gate.met for each in measured for gate in each.gates):
        raise typer.Exit(1)


def tune(
    data: Data,
    *,
    question: Annotated[str, typer.Option("--question", help=f"One of {', '.join(QUESTIONS)}.")] = "next",
    arm: Annotated[str, typer.Option("--arm", help="The arm whose weights are fitted; the default one if empty.")] = "",
    project: ProjectOption = "",
    evaluations: Annotated[
        int, typer.Option("--evaluations", min=1, help="Sets of weights that are tried.")
    ] = TuneOptions().evaluations,
    positions: Annotated[
        int, typer.Option("--positions", min=1, help="Questions of a fold that each set is asked.")
    ] = TuneOptions().positions,
    seed: Annotated[
        int, typer.Option("--seed", help="Of what is drawn; the same seed gives the same weights.")
    ] = TuneOptions().seed,
    replay: ReplayOption = "auto",
    json: JsonOption = None,
    save: Annotated[
        bool, typer.Option("--save", help="Store the weights as a new version, if they are better.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Store them even so.")] = False,
    store: Annotated[str | None, typer.Option("--store", help="The store to save in, with no server.")] = None,
    url: Annotated[str | None, typer.Option("--url", help="The server to save in; CLEW_URL if not given.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="An admin key; CLEW_API_KEY if not given.")] = None,
) -> None:
    """Fit an arm's weights on one part of the traces, and say on another whether they are better."""
    asked = _questions(question)
    if len(asked) != 1:
        raise BadFilter("--question", f"name one of {', '.join(QUESTIONS)}")
    options = TuneOptions(arm=arm, evaluations=evaluations, positions=positions, seed=seed, replay=_replay(replay))
    sets = list(read_sets(data, project))
    name = ", ".join(name for name, _ in sets)
    # Tasks of one name in two sets are two tasks.
    traces = [
        msgspec.structs.replace(trace, task=f"{set_name} {trace.task}" if len(sets) > 1 else trace.task)
        for set_name, traces in sets
        for trace in traces
    ]
    with _progress(name) as tick:
        tuned = fit(traces, asked[0], options, tick)
    print_tuned(out(), name, tuned)
    _write(json, tuned)
    if not save:
        return
    if not tuned.better and not force:
        errors().print("not saved: the interval of the gain is not above zero; --force saves all the same")
        raise typer.Exit(1)
    with closing(open_source(store, url or config.URL.read(), key or config.API_KEY.read(), to_write=True)) as source:
        _save(source, tuned, name, project)


def _save(source: Source, tuned: Tuned, data: str, project: str) -> None:
    gain = tuned.gain
    note = f"tuned on {data[:200]}: {gain.value:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"
    question = STORED_AS.get(tuned.question, tuned.question)
    version = source.add_arm(project, question, tuned.arm, tuned.weights, note)
    errors().print(
        f"saved as version {version}; it answers after: clew graph arms choose {question} {version}", soft_wrap=True
    )


def _questions(given: str) -> tuple[Question, ...]:
    names = [name.strip() for name in given.split(",") if name.strip()]
    unknown = [name for name in names if name not in QUESTIONS]
    if unknown:
        raise BadFilter("--questions", f"{unknown[0][:80]!r} is none of {', '.join(QUESTIONS)}")
    return tuple(question for question in QUESTIONS if question in names or not names)


def _arms(given: str, questions: tuple[Question, ...]) -> tuple[str, ...]:
    names = tuple(name.strip() for name in given.split(",") if name.strip())
    known = list(dict.fromkeys(arm for question in questions for arm in arms_of(question)))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise BadFilter("--arms", f"{unknown[0][:80]!r} is none of {', '.join(known)}")
    return names


def _replay(given: str) -> ReplayTimes:
    for known in get_args(ReplayTimes):
        if given == known:
            times: ReplayTimes = known
            return times
    raise BadFilter("--replay", f"{given[:80]!r} is none of {', '.join(get_args(ReplayTimes))}")


@contextmanager
def _progress(name: str) -> Iterator[Any]:
    """Say on stderr what is being done, where somebody looks at it."""
    with errors().status(name) as status:
        yield lambda doing: status.update(f"{name}: {doing}")


def _write(path: Path | None, figures: Any) -> None:
    if path is None:
        return
    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=1))
    except OSError as error:
        raise ConfigError("--json", f"{path} cannot be written: {error.strerror or error}") from error
