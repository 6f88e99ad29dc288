"""The command line. Every command has ``--help``; bad input ends with code 2 and one line.

Heavy packages are imported inside the commands that need them: ``sleeplm --help`` is at once, and
``sleeplm check`` needs neither torch nor a browser. With ``--json`` a command prints its result to
standard output and nothing else; epochs are counted from 1, as on the page.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import shlex
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sleeplm import __version__
from sleeplm.errors import MontageError, QueryError, ScoringError, SleepLMError

if TYPE_CHECKING:
    from rich.console import Console

    from agent import Orchestrator
    from sleeplm.night import Night
    from sleeplm.reader import SleepLM
    from tools.arguments import When
    from tools.session import Session
    from tools.store import CaseStore

__all__ = ["app", "main"]

NOTICE = "Research use only, not a medical device."
#: Exit code of a program that Ctrl-C ended, as shells count it.
_INTERRUPTED = 130
#: Without a terminal, what goes on is said at most this often.
_SILENCE_S = 10.0

app = typer.Typer(
    help="Talk to a night of polysomnography. Research use only, not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

NightPath = Annotated[Path, typer.Argument(metavar="NIGHT", help="An EDF, EDF+ or BDF recording.")]
ScoringOption = Annotated[
    str | None,
    typer.Option(
        "--scoring",
        metavar="FILE|expert|automatic|model",
        help="A scoring file, or whose scoring to use. By default a file beside the recording.",
    ),
]
MapOption = Annotated[
    list[str] | None,
    typer.Option(
        "--map", metavar="CHANNEL=LABEL", help="Read a channel from this label of the file."
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model", metavar="FOLDER|NAME", help="Weights: a folder or a hub name; default embedded."
    ),
]
LlmOption = Annotated[
    str | None,
    typer.Option(
        "--llm",
        metavar="PROVIDER:MODEL",
        help="A language model, e.g. ollama:qwen3; the default answers offline. An outside one "
        "is sent your questions and the results of the tools.",
    ),
]
LlmUrlOption = Annotated[
    str | None,
    typer.Option(
        "--llm-base-url", metavar="URL", help="Address of an OpenAI-compatible or Ollama server."
    ),
]
TypedChoiceOption = Annotated[
    bool,
    typer.Option(
        "--typed-choice", help="The language model cannot call tools: let it fill in a choice."
    ),
]
ShowPromptsOption = Annotated[
    bool, typer.Option("--show-prompts", help="Print all that is sent to a language model.")
]
SendOutsideOption = Annotated[
    bool,
    typer.Option("--send-outside", help="Agree beforehand that an outside model is sent results."),
]
StoreOption = Annotated[
    Path | None,
    typer.Option("--store", metavar="DIR", help="Case store; default one of your own."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
RayOption = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Spread nights over a Ray cluster: local, auto, or ray://host:port.",
    ),
]
EpochsOption = Annotated[
    str | None, typer.Option("--epochs", metavar="A-B", help="Epoch numbers, counted from 1.")
]
StageOption = Annotated[
    str | None, typer.Option("--stage", help="Only W, N1, N2, N3, R, NREM or sleep.")
]
FromOption = Annotated[str | None, typer.Option("--from", metavar="HH:MM", help="Clock time.")]
ToOption = Annotated[str | None, typer.Option("--to", metavar="HH:MM", help="Clock time.")]


# ── reading ──────────────────────────────────────────────────────────────────────────────────────
@app.command()
def check(
    night: NightPath,
    scoring: ScoringOption = None,
    mapping: MapOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what was read: label to channel, derivation, rate, unit, and what is missing."""
    from sleeplm.recording import check_report, read_recording
    from sleeplm.scoring_files import find_scoring, read_scoring

    with _working() as tell:
        recording = read_recording(night, mapping=_mapping(mapping), progress=tell)
        scoring = _scoring_choice(scoring)
        found = Path(scoring) if scoring not in (None, "expert") else find_scoring(night)
        if scoring in ("automatic", "model"):
            found = None
        expert = None
        if found is not None:
            expert = read_scoring(found).aligned(recording.start, recording.n_epochs)
        report = check_report(recording, expert)
    if as_json:
        _print_json(report)
        return
    _show_check(report)


@app.command()
def summarize(
    night: NightPath,
    scoring: ScoringOption = None,
    mapping: MapOption = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the report of a night: every figure with its unit, source and rule."""
    from tools.arguments import SummarizeArguments
    from tools.summarize import summarize_session

    with _working() as tell:
        session = _session(night, scoring, mapping, model, tell)
        if as_json:
            # The JSON holds the agreement of all witnesses, so each of them is asked.
            compared = session.night.summary(session.scoring, compare=True)
        else:
            report = summarize_session(session, SummarizeArguments.model_validate({}))
    if as_json:
        _print_json(compared.model_dump(mode="json"))
        return
    _show_summary(report.summary.model_dump(mode="json"), session.night)


@app.command()
def describe(
    night: NightPath,
    system: Annotated[
        str,
        typer.Option("--system", help="brain, cardiac, respiratory, somatic or stage_event."),
    ] = "brain",
    epochs: EpochsOption = None,
    stage: StageOption = None,
    clock_from: FromOption = None,
    clock_to: ToOption = None,
    scoring: ScoringOption = None,
    mapping: MapOption = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Describe one physiological system, in the model's words and in measurements."""
    from tools.arguments import DescribeArguments
    from tools.describe import describe as described

    with _working() as tell:
        when = _when(epochs, stage, clock_from, clock_to)
        arguments = DescribeArguments.model_validate({"system": system, "when": when})
        session = _session(night, scoring, mapping, model, tell)
        result = described(session, arguments)
    _show_artifact(result, as_json)


@app.command()
def locate(
    night: NightPath,
    query: Annotated[str, typer.Argument(metavar="EVENT", help='E.g. "obstructive apnea".')],
    epochs: EpochsOption = None,
    stage: StageOption = None,
    clock_from: FromOption = None,
    clock_to: ToOption = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many to list.")] = 20,
    order: Annotated[
        str, typer.Option(help="time, longest, shortest, deepest or confidence.")
    ] = "time",
    scoring: ScoringOption = None,
    mapping: MapOption = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find, count and list events: scored ones by name, any other description by the model."""
    from tools.arguments import LocateArguments
    from tools.locate import locate as located

    with _working() as tell:
        when = _when(epochs, stage, clock_from, clock_to)
        arguments = LocateArguments.model_validate(
            {"query": query, "when": when, "limit": limit, "order": order}
        )
        session = _session(night, scoring, mapping, model, tell)
        result = located(session, arguments)
    _show_artifact(result, as_json)


@app.command()
def similar(
    night: NightPath,
    epoch: Annotated[int | None, typer.Option(min=1, help="Epoch number to compare with.")] = None,
    event: Annotated[
        str | None,
        typer.Option(help='An event to compare with, e.g. "apnea": the longest, see --order.'),
    ] = None,
    order: Annotated[
        str, typer.Option(help="Of --event: longest, shortest, deepest, time or confidence.")
    ] = "longest",
    rank: Annotated[int, typer.Option(min=1, help="Of --event: which in this order.")] = 1,
    text: Annotated[str | None, typer.Option(help="A description to compare with.")] = None,
    whole_night: Annotated[
        bool, typer.Option("--night", help="Find nights like this one in the store.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=50, help="How many to list.")] = 5,
    stage: StageOption = None,
    position: Annotated[
        str | None, typer.Option(help="Only supine, left, right, prone or upright.")
    ] = None,
    with_event: Annotated[
        str | None, typer.Option("--with", metavar="EVENT", help="Only epochs with such an event.")
    ] = None,
    without_event: Annotated[
        str | None, typer.Option("--without", metavar="EVENT", help="Only epochs without one.")
    ] = None,
    spo2: Annotated[
        str | None,
        typer.Option(metavar="LOW-HIGH", help="Lowest SpO2 of the epoch in %, e.g. 70-85 or -85."),
    ] = None,
    ahi: Annotated[
        str | None,
        typer.Option(metavar="LOW-HIGH", help="AHI of the night, e.g. 15-30 or 30-; in the store."),
    ] = None,
    store: StoreOption = None,
    scoring: ScoringOption = None,
    mapping: MapOption = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find epochs of this night, or cases of the store, that resemble an epoch, a text, a night."""
    from tools.arguments import SimilarArguments
    from tools.similar import similar as alike

    with _working() as tell, contextlib.ExitStack() as closing:
        across = whole_night or store is not None or ahi is not None
        low, high = _range("--spo2", spo2)
        indices = None
        if ahi is not None:
            least, most = _range("--ahi", ahi)
            indices = [{"field": "ahi", "low": least, "high": most}]
        arguments = SimilarArguments.model_validate(
            {
                "epoch": epoch,
                "event": event,
                "event_order": order,
                "event_rank": rank,
                "text": text,
                "night": whole_night,
                "limit": limit,
                "stage": stage,
                "position": position,
                "with_event": with_event,
                "without_event": without_event,
                "min_spo2_pct": low,
                "max_spo2_pct": high,
                "indices": indices,
                "scope": "store" if across else "night",
            }
        )
        session = _session(night, scoring, mapping, model, tell)
        if across:
            session.store = closing.enter_context(_existing_store(store, session.night.model))
        result = alike(session, arguments)
    _show_artifact(result, as_json)


def _show_prompt(text: str) -> None:
    """What is sent to a language model, on stderr, so that the answer stays alone on stdout."""
    typer.echo(text, err=True)


def _agree(orchestrator: Orchestrator, is_agreed: bool) -> None:
    """Ask once before anything is sent to a language model outside.

    Raises
    ------
    QueryError
        Nobody can be asked, or the answer is no.
    """
    if not orchestrator.is_outside or is_agreed:
        return
    if not sys.stdin.isatty():
        raise QueryError(
            f"{orchestrator.description}; add --send-outside to agree, or ask without --llm"
        )
    if not typer.confirm(f"{orchestrator.description}. Send them?", err=True):
        raise QueryError("nothing was sent; ask without --llm to be answered offline")


@app.command()
def ask(
    night: NightPath,
    question: Annotated[str, typer.Argument(help="In plain words.")],
    llm: LlmOption = None,
    llm_base_url: LlmUrlOption = None,
    typed_choice: TypedChoiceOption = False,
    show_prompts: ShowPromptsOption = False,
    send_outside: SendOutsideOption = False,
    store: StoreOption = None,
    scoring: ScoringOption = None,
    mapping: MapOption = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer one question about a night, with the tools that were used and the evidence."""
    from agent import Orchestrator

    with _working() as tell, contextlib.ExitStack() as closing:
        orchestrator = Orchestrator(
            llm,
            llm_base_url,
            typed_choice=typed_choice,
            show_prompts=_show_prompt if show_prompts else None,
        )
        _agree(orchestrator, send_outside)
        session = _session(night, scoring, mapping, model, tell)
        if store is not None:
            session.store = closing.enter_context(_existing_store(store, session.night.model))
        tell("thinking", 0.0)
        answer = orchestrator.ask(question, session)
    if as_json:
        _print_json(json.loads(answer.model_dump_json()))
        return
    console = _console()
    console.print(answer.answer, markup=False, highlight=False)
    for call in answer.tool_calls:
        arguments = json.dumps(call.args, ensure_ascii=False)
        console.print(f"  ▸ {call.name} {arguments}", style="dim", markup=False, highlight=False)
    console.print(f"answered by {orchestrator.description}", style="dim", highlight=False)
    console.print(NOTICE, style="dim", highlight=False)


@app.command()
def mcp(
    night: NightPath,
    port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, help="Serve HTTP on 127.0.0.1 at this port instead of stdio."
        ),
    ] = None,
    scoring: ScoringOption = None,
    mapping: MapOption = None,
    model: ModelOption = None,
) -> None:
    """Serve the tools on a night over the Model Context Protocol (stdio, or HTTP with --port)."""
    from agent.mcp_server import HTTP_PATH, serve_http, serve_stdio

    with _working() as tell:
        session = _session(night, scoring, mapping, model, tell)
    if port is None:
        serve_stdio(session)
        return
    typer.echo(f"serving http://127.0.0.1:{port}{HTTP_PATH}/ (stop with Ctrl-C)", err=True)
    serve_http(session, port)


@app.command()
def score(
    night: NightPath,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The file to write.")],
    scoring: ScoringOption = None,
    file_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="csv, edf, nsrr, profusion, edfbrowser, luna, bids or json; by default by the "
            "ending of FILE (.csv .edf .xml .edfbrowser.csv .annot _events.tsv .json).",
        ),
    ] = None,
    mapping: MapOption = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the stages and events of one witness to a file that other programs read."""
    from sleeplm.scoring_files import write_scoring
    from sleeplm.scoring_files.writers import format_of

    if out.exists() and out.resolve() == night.resolve():
        raise ScoringError(f"{out.name} is the recording itself; name another file with --out")
    format_of(out, file_format)
    with _working() as tell:
        opened = _open(night, scoring, mapping, model, tell)
        found = opened.scoring
        written = write_scoring(found, out, file_format)
    result = {
        "file": str(out),
        "format": written,
        "scorer": {
            "kind": found.scorer.kind,
            "name": found.scorer.name,
            "version": found.scorer.version,
        },
        "epochs": found.n_epochs,
        "events": len(found.events) + len(found.untyped_apneas),
        "problems": list(found.problems),
    }
    if as_json:
        _print_json(result)
        return
    typer.echo(
        f"{out}: {result['epochs']} epochs and {result['events']} events of the "
        f"{found.scorer.kind} scoring, as {written}"
    )
    for problem in found.problems:
        typer.echo(f"  {problem}")
    _console().print(NOTICE, style="dim", highlight=False)


# ── collecting and serving ───────────────────────────────────────────────────────────────────────
@app.command()
def index(
    nights: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[NIGHT…]", help="Recordings to keep, and folders of them."),
    ] = None,
    store: StoreOption = None,
    scoring: ScoringOption = None,
    mapping: MapOption = None,
    model: ModelOption = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that read at a time.")] = 1,
    ray: RayOption = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Build the index anew; nights named are read again.")
    ] = False,
    remove: Annotated[
        list[str] | None,
        typer.Option(metavar="PSEUDONYM", help="Take this night out of the store completely."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Keep nights as cases, so that ``similar`` can search across them."""
    from tools.indexing import index_nights, rebuild_store, remove_nights

    paths = nights or []
    if not (paths or rebuild or remove):
        raise QueryError("nothing to do; name recordings to keep, or give --remove or --rebuild")
    if len(paths) > 1 and not _is_witness(scoring):
        raise QueryError("--scoring FILE belongs to one night; index nights with files one by one")
    folder = store or _default_store()
    removed: dict[str, int] = {}
    with _working() as tell:
        if remove:
            removed = remove_nights(folder, remove, model=model)
        if paths:
            done = index_nights(
                folder,
                paths,
                model=model,
                scoring=_scoring_choice(scoring),
                mapping=_mapping(mapping),
                workers=workers,
                ray_address=ray,
                anew=rebuild,
                progress=tell,
            )
        else:
            done = rebuild_store(folder, model=model, anew=rebuild, progress=tell)
    result = {
        "store": str(folder),
        "indexed": [{"night": night, **one} for night, one in done.nights.items()],
        "removed": removed,
        "failed": done.failed,
        "held": done.held,
    }
    useless = bool(paths) and not done.nights
    if as_json:
        _print_json(result)
        raise typer.Exit(2 if useless else 0)
    for name, reason in done.failed.items():
        _line(f"! {name}: {reason}")
    for night, rows in removed.items():
        typer.echo(f"{night}: {rows} rows removed" if rows else f"{night}: was not in the store")
    for night, one in done.nights.items():
        typer.echo(f"{night}: {'kept' if one['added'] else 'was there already'}")
    typer.echo(f"{folder} holds {done.held['nights']} nights, {done.held['epochs']} epochs")
    if useless:
        raise typer.Exit(2)


@app.command()
def chat(
    nights: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[NIGHT…]", help="Recordings; without one, a demo night."),
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port on 127.0.0.1; default a free one.")
    ] = None,
    llm: LlmOption = None,
    llm_base_url: LlmUrlOption = None,
    typed_choice: TypedChoiceOption = False,
    show_prompts: ShowPromptsOption = False,
    send_outside: SendOutsideOption = False,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Do not open a browser window.")
    ] = False,
    store: StoreOption = None,
    scoring: ScoringOption = None,
    mapping: MapOption = None,
    model: ModelOption = None,
) -> None:
    """Open the page in the browser: the night on the left, the talk about it on the right."""
    with _working() as tell, contextlib.ExitStack() as closing:
        # Named files are opened before the page, so that a wrong one ends here with its reason.
        reader = None if model is None else _named_model(model)
        opened = [_open(path, scoring, mapping, reader, tell) for path in nights or ()]
        tell("starting the page", 0.0)
        from agent import Orchestrator
        from ui.app import FirstNights, build_app, launch

        orchestrator = Orchestrator(
            llm,
            llm_base_url,
            typed_choice=typed_choice,
            show_prompts=_show_prompt if show_prompts else None,
        )
        _agree(orchestrator, send_outside)
        cases = None
        if store is not None:
            from sleeplm.reader import SleepLM

            known = reader or SleepLM.from_pretrained()
            cases = closing.enter_context(_existing_store(store, known))

        def first(progress: Callable[[str, float], None]) -> list[Night]:
            if opened:
                return opened
            from train.simulate.demo import demo_night

            return [_open(demo_night(progress=progress), None, None, reader, progress)]

        page = build_app(FirstNights(first), orchestrator, model=reader, store=cases)
        try:
            address, stop = launch(page, port=port, open_browser=not no_browser)
        except OSError as error:
            raise QueryError(
                f"--port {port}: the page cannot be served there; name another port or none"
            ) from error
        tell("", 1.0)
        typer.echo(f"SleepLM is open at {address} — stop it with Ctrl+C. {NOTICE}", err=True)
        if orchestrator.is_outside:
            typer.echo(f"outside language model: {orchestrator.description}", err=True)
        stop()


# ── making ───────────────────────────────────────────────────────────────────────────────────────
@app.command()
def simulate(
    out: Annotated[Path, typer.Argument(metavar="OUT.edf", help="Recording to write.")],
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same night.")] = 1,
    hours: Annotated[float, typer.Option(help="Length of the recording.")] = 8.0,
    ahi: Annotated[
        float | None,
        typer.Option(help="Apneas and hypopneas an hour of sleep; default the condition's."),
    ] = None,
    condition: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="healthy, healthy_young, healthy_old, mild_osa, moderate_osa, severe_osa, osa, "
            "rem_related, supine_related, central, insomnia, copd, cheyne_stokes, plmd or rbd.",
        ),
    ] = None,
    age: Annotated[
        float | None, typer.Option(metavar="YEARS", help="5 to 95; default the condition's.")
    ] = None,
    artefacts: Annotated[
        str,
        typer.Option(
            metavar="0..1|NAMES",
            help="How likely artefacts are, or which there are, comma-separated: sweat, pop, "
            "movement, mains, lost_belt, lost_electrode, oximeter, swapped_eyes, swapped_belts, "
            "flipped, gain.",
        ),
    ] = "0",
    missing: Annotated[
        str | None,
        typer.Option(
            metavar="CHANNELS", help="Channels not recorded, comma-separated: SPO2,LEG_L …"
        ),
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Labels, rates and units of house (default), shhs1, shhs2, mros, cfs, ccshs, wsc "
            "or nox.",
        ),
    ] = None,
    scoring_format: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT", help="nsrr, profusion, edf, csv or json; default the layout's."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a simulated night, its scoring, and the truth as JSON beside it."""
    from train.simulate import simulate_night, write_night
    from train.simulate.export import checked_format
    from train.simulate.layouts import layout_named

    # A wrong name ends here, before the night is made.
    checked_format(layout_named(layout), scoring_format)
    with _working() as tell:
        tell("simulating", 0.0)
        made = simulate_night(
            seed,
            hours=hours,
            ahi=ahi,
            condition=condition,
            age_y=age,
            artefacts=_artefacts(artefacts),
            missing=_names(missing),
        )
        try:
            files = write_night(made, out, layout=layout, scoring_format=scoring_format)
        except OSError as error:
            raise QueryError(f"{out}: cannot be written ({error.strerror})") from error
    if as_json:
        _print_json({"files": [str(path) for path in files]})
        return
    for path in files:
        typer.echo(str(path))


@app.command()
def prepare(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Corpus folder.")],
    sources: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[SRC]...", help="Recordings and folders of recordings."),
    ] = None,
    nights: Annotated[
        int, typer.Option("--simulate", metavar="N", min=0, help="Add N simulated nights.")
    ] = 0,
    hours: Annotated[float, typer.Option(help="Of each simulated night.")] = 6.0,
    first_seed: Annotated[int, typer.Option(min=0, help="Of the simulated nights.")] = 1000,
    groups: Annotated[
        Path | None,
        typer.Option(help="CSV with columns subject, group: whose nights must share a split."),
    ] = None,
    splits: Annotated[
        str, typer.Option(help="Shares of train, validation and test, by subject.")
    ] = "0.8,0.1,0.1",
    expert_only: Annotated[
        bool, typer.Option("--expert-only", help="Leave out nights without a scoring.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes at a time.")] = 1,
    ray: RayOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a training corpus from folders of recordings, or from simulated nights."""
    from sleeplm.errors import SleepLMError
    from train.corpus import simulation_plan
    from train.prepare import prepare as make
    from train.prepare import read_groups

    if not sources and not nights:
        raise SleepLMError("nothing to prepare; name recordings or folders, or give --simulate N")
    try:
        shares = [float(share) for share in splits.split(",")]
    except ValueError:
        raise SleepLMError(f"--splits {splits!r}: write three shares, e.g. 0.8,0.1,0.1") from None
    with _working() as tell:
        manifest = make(
            out,
            sources=sources or (),
            simulated=simulation_plan(nights, first_seed, hours),
            groups=None if groups is None else read_groups(groups),
            shares=shares,
            automatic=not expert_only,
            workers=workers,
            ray_address=ray,
            progress=tell,
        )
    for key, reason in manifest.failed.items():
        _line(f"! {key}: {reason}")
    split_of = [night["split"] for night in manifest.nights.values()]
    counts = {name: split_of.count(name) for name in ("train", "validation", "test")}
    epochs = sum(night["epochs"] for night in manifest.nights.values())
    if as_json:
        _print_json(
            {
                "folder": str(out),
                "nights": len(manifest.nights),
                "epochs": epochs,
                "splits": counts,
                "failed": manifest.failed,
            }
        )
        raise typer.Exit(0 if manifest.nights else 2)
    shown = ", ".join(f"{count} {name}" for name, count in counts.items())
    typer.echo(f"{out}: {len(manifest.nights)} nights ({shown}), {epochs} epochs")
    if manifest.failed:
        typer.echo(f"{len(manifest.failed)} left out, see above and in manifest.json")
    if not manifest.nights:
        raise typer.Exit(2)


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe's name or file.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Run folder.")],
    corpus: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Made by sleeplm prepare; else nights are simulated."),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(metavar="WEIGHTS", help="Go on from: embedded, a folder, a .pt, a hub name."),
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on where a run in the folder stood.")] = True,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Instead of the recipe's number of steps.")
    ] = None,
) -> None:
    """Train a model from a recipe."""
    from train.loop import train as run

    folder = run(
        recipe, out, corpus=corpus, start=start, resume=resume, steps=steps, progress=_line
    )
    typer.echo(str(folder))


@app.command()
def evaluate(
    model: ModelOption = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WEIGHTS", help="Several, repeated or with commas: figures by their size."
        ),
    ] = None,
    nights: Annotated[
        list[str] | None,
        typer.Option(
            "--nights",
            metavar="N|NIGHT",
            help="How many simulated held-out nights, or scored recordings and folders of them.",
        ),
    ] = None,
    reference: Annotated[
        list[str] | None,
        typer.Option(
            metavar="N|NIGHT",
            help="What probes and baselines learn from; by default simulated, or every other of "
            "four or more recordings. 0: none.",
        ),
    ] = None,
    hours: Annotated[float, typer.Option(help="Of each simulated night.")] = 3.0,
    axes: Annotated[
        str | None, typer.Option(help="Comma-separated: staging, events, captions, …")
    ] = None,
    real: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the real sets; measured too.")
    ] = None,
    baselines: Annotated[
        bool,
        typer.Option("--baselines", help="Ask yasa and the automatic scoring too: minutes."),
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes at a time.")] = 1,
    ray: RayOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws of epochs.")] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="For JSON, table and pictures.")
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option("--write", metavar="FILE", help="Renew the table between its markers."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a model on nights whose truth is known, beside baselines of the same run."""
    from train.evaluate.report import Request, report

    request = Request(
        model=model,
        models=[name for text in models or () for name in _names(text)],
        nights=nights or (),
        reference=reference or (),
        hours=hours,
        axes=_names(axes),
        real=real,
        outside=baselines,
        workers=workers,
        ray_address=ray,
        seed=seed,
        out=out,
        page=page,
        command=" ".join(["sleeplm", *(shlex.quote(word) for word in sys.argv[1:])]),
    )
    with _working() as tell:
        result, text = report(request, lambda words: tell(words, 0.0))
    if as_json:
        _print_json(result)
        return
    typer.echo(text)


@app.command()
def convert(
    source: Annotated[
        str, typer.Argument(metavar="IN", help="An official .pt, a weights folder or a hub name.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write.")],
    dtype: Annotated[str, typer.Option(help="fp32, fp16 or bf16.")] = "fp32",
    vocabulary: Annotated[
        str | None,
        typer.Option(metavar="FILE|NAME", help="The vocabulary, where the weights lack it."),
    ] = None,
    sha256: Annotated[str | None, typer.Option(help="What the weights must hash to.")] = None,
    revision: Annotated[str | None, typer.Option(help="Of a hub repository.")] = None,
) -> None:
    """Write weights as a folder of config.json, model.safetensors and tokenizer.json."""
    from sleeplm.reader import convert as converted

    with _working() as tell:
        tell("converting the weights", 0.0)
        model_id = converted(
            source, out, dtype, vocabulary=vocabulary, sha256=sha256, revision=revision
        )
    typer.echo(f"{out}: {model_id}")


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"sleeplm {__version__}")
        raise typer.Exit


def main(arguments: list[str] | None = None) -> None:
    """Entry point: exit code 0, or 2 with one line on standard error for bad input."""
    warnings.filterwarnings("ignore")
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr, format="%(name)s: %(message)s")
    try:
        code = app(arguments, prog_name="sleeplm", standalone_mode=False)
    except SleepLMError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        code = _INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone, as `| head` does; closing quietly is the custom.
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            typer.echo(str(error))
            sys.exit(0)
        told = _usage_error(error)
        if told is None:
            raise
        _fail(told)
    if code == _INTERRUPTED:
        # typer gives the code of an interrupt and says nothing.
        typer.echo("sleeplm: stopped by Ctrl-C", err=True)
    sys.exit(code if isinstance(code, int) else 0)


# ── helpers ──────────────────────────────────────────────────────────────────────────────────────
def _fail(message: str) -> None:
    typer.echo(f"sleeplm: {' '.join(message.split())}", err=True)
    sys.exit(2)


def _usage_error(error: Exception) -> str | None:
    """One line for a wrong option or argument; None for what is a defect."""
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):
        return str(error.format_message()) or "wrong use; see sleeplm --help"
    if type(error).__name__ == "ValidationError" and hasattr(error, "errors"):
        return "; ".join(
            f"{'.'.join(str(part) for part in one['loc']) or 'arguments'}: "
            f"{str(one['msg']).removeprefix('Value error, ')}"
            for one in error.errors()
        )
    return None


@contextlib.contextmanager
def _working() -> Iterator[Callable[[str, float], None]]:
    """A progress function for standard error; what libraries print does not reach the result."""
    if not sys.stderr.isatty():
        with contextlib.redirect_stdout(sys.stderr):
            yield _plain_teller()
        return
    from rich.console import Console

    terminal = Console(stderr=True)
    with terminal.status("") as status, contextlib.redirect_stdout(sys.stderr):

        def tell(words: str, share: float = 0.0) -> None:
            if not words:
                status.stop()
                return
            status.update(f"{words} {share:.0%}" if 0 < share < 1 else words)

        yield tell


def _plain_teller() -> Callable[[str, float], None]:
    """A line now and then for a log: nothing of what is quick, and no silence of minutes."""
    last_s = time.monotonic()

    def tell(words: str, share: float) -> None:
        nonlocal last_s
        now_s = time.monotonic()
        if words and now_s - last_s >= _SILENCE_S:
            last_s = now_s
            _line(f"{words} {share:.0%}" if 0 < share < 1 else words)

    return tell


def _open(
    path: Path,
    scoring: str | None,
    mapping: list[str] | None,
    model: SleepLM | str | None,
    tell: Callable[[str, float], None],
) -> Night:
    from sleeplm.night import Night

    if isinstance(model, str):
        model = _named_model(model)
    scoring = _scoring_choice(scoring)
    return Night.open(path, scoring=scoring, model=model, mapping=_mapping(mapping), progress=tell)


def _named_model(name: str) -> SleepLM:
    """Weights that the user names are loaded at once, so that a wrong name is not passed over."""
    from sleeplm.reader import SleepLM

    return SleepLM.from_pretrained(name)


def _session(
    path: Path,
    scoring: str | None,
    mapping: list[str] | None,
    model: str | None,
    tell: Callable[[str, float], None],
) -> Session:
    from tools.session import Session

    return Session.of(_open(path, scoring, mapping, model, tell))


def _is_witness(scoring: str | None) -> bool:
    from sleeplm.night import SCORING_CHOICES

    return scoring is None or scoring in SCORING_CHOICES


def _scoring_choice(scoring: str | None) -> str | None:
    """What ``--scoring`` names; a word that is no file is taken for a mistyped witness."""
    if scoring is None or _is_witness(scoring) or Path(scoring).exists():
        return scoring
    raise ScoringError(
        f"--scoring {scoring}: there is no such file; name a scoring file, or expert, automatic "
        "or model"
    )


def _range(option: str, text: str | None) -> tuple[float | None, float | None]:
    """Bounds of LOW-HIGH, LOW- or -HIGH."""
    if text is None:
        return None, None
    number = r"\d+(?:\.\d+)?"
    match = re.fullmatch(rf"\s*({number})?\s*[-–:]\s*({number})?\s*", text)
    if match is None or not any(match.groups()):
        raise QueryError(f"{option} {text!r}: write it as LOW-HIGH, LOW- or -HIGH, e.g. 70-85")
    low, high = (None if bound is None else float(bound) for bound in match.groups())
    return low, high


def _names(text: str | None) -> list[str]:
    """Comma-separated names."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _artefacts(text: str) -> float | list[str]:
    """A likelihood, or names."""
    try:
        return float(text)
    except ValueError:
        return _names(text)


def _mapping(pairs: list[str] | None) -> dict[str, str] | None:
    if not pairs:
        return None
    mapping = {}
    for pair in pairs:
        channel, equals, label = pair.partition("=")
        if not equals or not channel.strip() or not label.strip():
            raise MontageError(f'--map {pair!r}: write it as CHANNEL=LABEL, e.g. ECG="ECG 1"')
        mapping[channel.strip()] = label.strip().strip('"')
    return mapping


def _when(
    epochs: str | None, stage: str | None, clock_from: str | None, clock_to: str | None
) -> When | None:
    from tools.arguments import When

    span = None
    if epochs is not None:
        match = re.fullmatch(r"\s*(\d+)\s*(?:[-–:]\s*(\d+)\s*)?", epochs)
        if match is None:
            raise QueryError(f"--epochs {epochs!r}: write one number or a range, e.g. 100-110")
        first = int(match[1])
        span = [first, int(match[2] or first)]
        if first < 1 or span[1] < first:
            raise QueryError(f"--epochs {epochs!r}: epochs count from 1, the smaller number first")
    if not (span or stage or clock_from or clock_to):
        return None
    return When.model_validate(
        {"epochs": span, "stage": stage, "clock_from": clock_from, "clock_to": clock_to}
    )


def _default_store() -> Path:
    from sleeplm.cache import cache_folder

    return cache_folder() / "cases"


def _existing_store(folder: Path | None, model: SleepLM) -> CaseStore:
    from sleeplm.errors import StoreError
    from tools.cases import open_store

    chosen = folder or _default_store()
    if not chosen.exists():
        raise StoreError(f"{chosen}: there is no case store; make one with sleeplm index NIGHT…")
    return open_store(chosen, model)


# ── printing ─────────────────────────────────────────────────────────────────────────────────────
def _console() -> Console:
    from rich.console import Console

    return Console(soft_wrap=not sys.stdout.isatty())


def _line(text: str) -> None:
    typer.echo(text, err=True)


def _print_json(result: Any) -> None:
    # NaN is not JSON; a value that is withheld is null.
    typer.echo(json.dumps(result, ensure_ascii=False, indent=1, allow_nan=False))


def _show_artifact(artifact: Any, as_json: bool) -> None:
    if as_json:
        _print_json(artifact.model_dump(mode="json"))
        return
    _console().print(artifact.text, markup=False, highlight=False)


def _show_check(report: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table("channel", "label in the file", "derivation", "rate", "unit", box=None)
    for name, source in report["channels"].items():
        if source is None:
            table.add_row(name, "— missing", "", "", "", style="yellow")
            continue
        table.add_row(
            name,
            _literal(source["label"]),
            _literal(source["derivation"] or ""),
            f"{source['rate_hz']:g} Hz",
            _literal(source["unit"] or ""),
        )
    console = _console()
    console.print(f"{report['duration_s'] / 60:.1f} min recorded", highlight=False)
    console.print(table)
    scoring = report["scoring"]
    if scoring is None:
        console.print("scoring: none found beside the recording", highlight=False)
    else:
        console.print(
            f"scoring: {scoring['source']}, {scoring['n_epochs']} epochs, "
            f"{scoring['n_events']} events, starts {scoring['offset_s']:+g} s from the recording",
            highlight=False,
        )
    for problem in report["problems"]:
        console.print(f"! {problem}", style="yellow", markup=False, highlight=False)


def _show_summary(summary: dict[str, Any], night: Night) -> None:
    from rich.table import Table

    console = _console()
    scorer = summary["scorer"]
    console.print(
        f"{night.id} · {night.clock(0)} – {night.clock(night.duration_s)} · stages and events by "
        f"the {scorer['kind']} scoring",
        highlight=False,
    )
    table = Table("field", "value", "unit", "source", "note", box=None)
    table.columns[1].justify = "right"
    for name, quantity in _quantities(summary):
        value = "—" if quantity["value"] is None else f"{quantity['value']:.1f}"
        note = _literal(quantity.get("note") or "")
        table.add_row(name, value, _literal(quantity["unit"] or ""), quantity["source"], note)
    console.print(table)
    severity = summary.get("severity") or {}
    if severity.get("word"):
        console.print(f"severity: {severity['word']} ({severity.get('rule', '')})", highlight=False)
    for insight in summary.get("insights", []):
        places = ", ".join(f"{one['epoch']}-{one['last_epoch']}" for one in insight["spans"])
        told = f"{insight['text']}{f' (epochs {places})' if places else ''} [{insight['source']}]"
        console.print(f"· {told}", markup=False, highlight=False)
    for name, reason in summary.get("not_judged", {}).items():
        told = f"not judged, {name.replace('_', ' ')}: {reason}"
        console.print(f"· {told}", style="dim", markup=False, highlight=False)
    for entry in summary.get("missing", []):
        console.print(f"! {entry}", style="yellow", markup=False, highlight=False)
    console.print(NOTICE, style="dim", highlight=False)


def _quantities(node: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every quantity of a summary with its dotted name."""
    for name, value in node.items():
        if isinstance(value, dict) and {"value", "unit", "source"} <= value.keys():
            yield f"{prefix}{name}", value
        elif isinstance(value, dict):
            yield from _quantities(value, f"{prefix}{name}.")


def _literal(text: str) -> str:
    """A file's own text, shown as it is and not as markup."""
    from rich.markup import escape

    return escape(text)


if __name__ == "__main__":
    main()
