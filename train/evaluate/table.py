"""The result as one Markdown table: each figure of the model beside every baseline's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sleeplm.cache import write_atomically
from sleeplm.errors import SleepLMError

__all__ = ["BEGIN", "END", "as_markdown", "below_baselines", "rounded", "write_between"]

BEGIN, END = "<!-- sleeplm evaluate: begin -->", "<!-- sleeplm evaluate: end -->"
FIGURES = {
    "kappa": "κ",
    "macro_f1": "macro-F1",
    "balanced_accuracy": "balanced accuracy",
    "auroc": "AUROC",
}
#: What a baseline has for nothing, or with labels that the model did not have.
NO_CONTEST = ("fields stated", "with labels")
Row = tuple[str, str, Any, dict[str, Any]]
Rows = Iterator[Row]


class Said(NamedTuple):
    """Several figures in words; the first of them as the number to compare by."""

    text: str
    number: float


def rounded(result: Any, digits: int = 4) -> Any:
    """The result with floats rounded and what is not finite made None, ready for JSON."""
    if isinstance(result, dict):
        return {str(name): rounded(value, digits) for name, value in result.items()}
    if isinstance(result, (list, tuple)):
        return [rounded(value, digits) for value in result]
    if hasattr(result, "item"):
        result = result.item()
    if isinstance(result, float):
        return round(result, digits) if abs(result) < float("inf") else None
    return result


def as_markdown(result: dict[str, Any], command: str | None = None) -> str:
    """One table with a line above it: model, commit, nights and, where given, the command."""
    said = [f"Model `{result['model']}`"]
    if result.get("parameters"):
        said.append(f"{result['parameters'] / 1e6:.1f} M parameters")
    if result.get("commit"):
        said.append(f"commit `{result['commit']}`")
    said.append(
        f"{result['nights']} nights, {result['epochs']} epochs, "
        f"{result.get('reference_nights', 0)} reference nights"
    )
    lines = [", ".join(said) + "."]
    if command:
        lines += ["", f"    {command}"]
    for name, error in result.get("failed", {}).items():
        lines += ["", f"Left out: {name}: {error}"]
    lines += ["", "| axis | figure | model | baselines |", "| --- | --- | --- | --- |"]
    before = ""
    for axis, figure, value, beside in _rows(result):
        if axis == before:  # why a baseline is missing is said once for each axis
            beside = {name: other for name, other in beside.items() if not isinstance(other, dict)}
        others = "; ".join(f"{name} {_shown(other)}" for name, other in beside.items()) or "–"
        lines.append(
            f"| {axis if axis != before else ''} | {figure} | {_shown(value)} | {others} |"
        )
        before = axis
    below = below_baselines(result)
    if below:
        lines += ["", "A baseline of the same run is better in:", ""]
        lines += [f"* {each}" for each in below]
    return "\n".join(lines)


def write_between(path: Path, text: str, *, check_only: bool = False) -> None:
    """Put ``text`` between the two marker lines of a file, in place of what stands there.

    Raises
    ------
    SleepLMError
        The file cannot be read, or lacks the markers; with ``check_only`` nothing else is done.
    """
    try:
        page = path.read_text("utf-8")
    except OSError as error:
        raise SleepLMError(f"{path}: cannot be read ({error.strerror})") from error
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise SleepLMError(f"{path}: put the lines {BEGIN} and {END} where the table belongs")
    if not check_only:
        write_atomically(path, f"{head}{BEGIN}\n\n{text}\n\n{END}{tail}")


def below_baselines(result: dict[str, Any]) -> list[str]:
    """The figures in which a baseline of the same run is better than the model, one line each."""
    found = []
    for axis, figure, value, beside in _rows(result):
        mine = _number(value)
        if mine is None or figure in NO_CONTEST:
            continue
        lower = _lower_is_better(axis, figure)
        others = {
            name: other
            for name, other in beside.items()
            if _number(other) is not None and not name.startswith(NO_CONTEST)
        }
        if others:
            best = (min if lower else max)(others, key=lambda name: _number(others[name]) or 0.0)
            theirs = _number(others[best]) or 0.0
            if (theirs < mine) if lower else (theirs > mine):
                found.append(
                    f"{axis}, {figure}: {_shown(value)} against {_shown(others[best])} ({best})"
                )
    return found


def _lower_is_better(axis: str, figure: str) -> bool:
    if axis in ("localization", "channels left", "retrieval"):
        return False  # these begin with F1, κ and a recall
    return "error" in figure or "not in the truth" in figure


def _number(value: Any) -> float | None:
    if isinstance(value, Said):
        return value.number
    return float(value) if isinstance(value, (int, float)) else None


def _shown(value: Any) -> str:
    if isinstance(value, Said):
        return value.text
    if value is None:
        return "–"
    if isinstance(value, dict):
        return f"not measured ({value.get('not_measured', 'not defined')})"
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
    return str(value)


def _rows(result: dict[str, Any]) -> Rows:
    makers: dict[str, Callable[[dict[str, Any]], Rows]] = {
        "staging": _staging,
        "events": _events,
        "localization": _localization,
        "probes": _probes,
        "retrieval": _retrieval,
        "captions": _captions,
        "targeted": _targeted,
        "unseen": _unseen,
        "continuity": _continuity,
        "indices": _indices,
        "missing_channels": _missing,
        "real": _real,
    }
    for axis, make in makers.items():
        if axis not in result:
            continue
        if "not_measured" in result[axis]:
            yield _words(axis), "all", result[axis], {}
        else:
            yield from make(result[axis])


def _of(found: dict[str, Any], *path: str) -> Any:
    """A figure deep in a result; the reason where it was not measured, None where it is not."""
    node: Any = found
    for name in path:
        if isinstance(node, dict) and "not_measured" in node:
            return {"not_measured": node["not_measured"]}
        if not isinstance(node, dict) or name not in node:
            return None
        node = node[name]
    if isinstance(node, dict) and "not_measured" in node:
        return {"not_measured": node["not_measured"]}
    return node


def _beside(found: dict[str, Any], *path: str) -> dict[str, Any]:
    """The same figure of every baseline that has it."""
    beside = {}
    for name, baseline in found.get("baseline", {}).items():
        value = _of(baseline, *path)
        if value is not None:
            beside[name] = value
    return beside


def _words(name: str) -> str:
    return name.replace("_", " ")


def _staging(found: dict[str, Any]) -> Rows:
    for way, said in (("zero_shot", "zero-shot by prompts"), ("head", "stage head")):
        for name, title in FIGURES.items():
            yield "staging", f"{said}: {title}", found[way][name], _beside(found, name)


def _events(found: dict[str, Any]) -> Rows:
    axis = "events in an epoch"
    for name, title in (
        ("auroc", "zero-shot by prompts, mean AUROC"),
        ("head_auroc", "event head, mean AUROC"),
        ("f1", "located, macro-F1"),
        ("balanced_accuracy", "located, balanced accuracy"),
    ):
        if name in found:
            yield axis, title, found[name], _beside(found, name.removeprefix("head_"))
    for kind, scores in found["by_kind"].items():
        beside = _beside(found, "by_kind", kind, "auroc")
        title = f"{_words(kind)} ({scores['epochs']} epochs): zero-shot AUROC"
        yield axis, title, scores["auroc"], beside


def _localization(found: dict[str, Any]) -> Rows:
    def said(scores: Any) -> Any:
        if not isinstance(scores, dict) or "not_measured" in scores:
            return scores
        onset = scores["onset_error_s"]
        late = "" if onset is None else f", IoU {scores['iou']:.2f}, onset {onset:.1f} s"
        text = f"{scores['f1_iou_0.3']:.3f} / {scores['f1_iou_0.5']:.3f}{late}"
        return Said(text, scores["f1_iou_0.3"])

    for name in ("f1_iou_0.3", "f1_iou_0.5"):
        title = f"mean over kinds, F1 at IoU {name[-3:]}"
        yield "localization", title, found[name], {}
    for kind, scores in found["by_kind"].items():
        beside = {name: said(value) for name, value in _beside(found, kind).items()}
        title = f"{_words(kind)} ({scores['true']}): F1 at IoU 0.3 / 0.5, mean IoU, onset error"
        yield "localization", title, said(scores), beside


def _probes(found: dict[str, Any]) -> Rows:
    axis = "linear probes"
    for name, title in (
        ("kappa", "stages, κ"),
        ("balanced_accuracy", "stages, balanced accuracy"),
        ("event_auroc", "event kinds, mean AUROC"),
    ):
        for share, scores in found["embeddings"].items():
            if name in scores:
                yield axis, f"{title}, {share} of labels", scores[name], _beside(found, share, name)


def _retrieval(found: dict[str, Any]) -> Rows:
    def said(scores: dict[str, float]) -> Said:
        recalls = " / ".join(f"{scores[f'recall_at_{k}']:.3f}" for k in (1, 5, 10))
        text = f"{recalls}, median rank {scores['median_rank']:g}"
        return Said(text, scores["recall_at_1"])

    for size, ways in found["pools"].items():
        for way, scores in ways.items():
            title = f"{_words(way)}, R@1 / 5 / 10 of {size}"
            yield (
                "retrieval",
                title,
                said(scores),
                {n: said(v) for n, v in _beside(found, size).items()},
            )


def _captions(found: dict[str, Any]) -> Rows:
    for name, title in (
        ("field_recall", "fields stated"),
        ("not_in_truth", "stated numbers that are not in the truth"),
        ("stage_right", "stage right"),
        ("events_right", "event kinds all right"),
        ("event_f1", "event kinds, macro-F1"),
        ("relative_error", "number error ÷ that of always the median"),
        ("systems_distinct", "all systems differ"),
        ("rouge_l", "ROUGE-L"),
        ("own_text_cosine", "cosine in the own text tower"),
    ):
        yield "captions", title, found.get(name), _beside(found, name)
    for name, error in found["median_error"].items():
        title = f"{name}, median error{', ' + error['unit'] if error['unit'] else ''}"
        yield "captions", title, error["value"], _beside(found, "median_error", name, "value")


def _targeted(found: dict[str, Any]) -> Rows:
    for system, scores in found["by_system"].items():
        title = f"{_words(system)}: statements that belong to it"
        yield "targeted captions", title, scores["share"], _beside(found, system)


def _unseen(found: dict[str, Any]) -> Rows:
    axis = "unseen concepts"
    for kind, scores in found["by_kind"].items():
        title = f"{_words(kind)} ({scores['epochs']} epochs): AUROC by words"
        beside = {"chance": 0.5, **_beside(found, kind, "auroc")}
        yield axis, title, scores["auroc"], beside
        title = f"{_words(kind)}: true among the 20 likest"
        yield axis, title, scores["precision_at_20"], {"chance": scores["share"]}


def _continuity(found: dict[str, Any]) -> Rows:
    for name, title in (("spearman", "all pairs"), ("spearman_within_nights", "within nights")):
        yield "continuity", f"Spearman's ρ, {title}", found[name], _beside(found, name)


def _indices(found: dict[str, Any]) -> Rows:
    def said(scores: dict[str, Any]) -> Any:
        if "not_measured" in scores:
            return scores
        text = f"{scores['mean_absolute_error']:.2f}, bias {scores['bias']:+.2f}"
        if scores["low"] is not None:
            text += f" ({scores['low']:.2f} to {scores['high']:.2f})"
        text += "" if scores["r"] is None else f", r {scores['r']:.3f}"
        return Said(text, scores["mean_absolute_error"])

    for name, scores in found["by_index"].items():
        if scores is not None:
            title = f"{_words(name).replace('.', ' ')}, {scores['unit']}, {scores['n']} nights: "
            title += "mean absolute error, bias (limits of agreement), r"
            beside = {n: said(value) for n, value in _beside(found, name).items()}
            yield "full-night indices", title, said(scores), beside


def _missing(found: dict[str, Any]) -> Rows:
    for name, scores in found["by_set"].items():
        parts = [_shown(scores[each]) for each in ("kappa", "event_f1", "relative_error")]
        title = (
            f"{name} ({scores['channels']:.0f}): staging κ, event macro-F1, number error ÷ median's"
        )
        beside = {f"{n}, κ": value for n, value in _beside(found, name, "kappa").items()}
        yield "channels left", title, Said(" / ".join(parts), scores["kappa"]), beside


def _real(found: dict[str, Any]) -> Rows:
    titles = {
        "ucd": "real: W against N3, one EEG",
        "prerau": "real: five stages, one EEG",
        "oximetry": "real: apnea minutes, SpO2 and HR",
    }
    for name, scores in found.items():
        axis = titles.get(name, name)
        if "not_measured" in scores:
            yield axis, "all", scores, {}
            continue
        ways = {
            way: held
            for way, held in scores.items()
            if isinstance(held, dict) and way != "baseline"
        }
        for way, held in ways.items():
            nested = held if any(isinstance(value, dict) for value in held.values()) else {"": held}
            for inner, figures in nested.items():
                for figure, said in FIGURES.items():
                    if isinstance(figures, dict) and figure in figures:
                        title = f"{_words(way)}{': ' + _words(inner) if inner else ''}, {said}"
                        yield axis, title, figures[figure], _beside(scores, figure)
