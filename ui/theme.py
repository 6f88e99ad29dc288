"""Colours, fonts and event marks of the page: one table of tokens for light, dark, page and canvas.

The colours of events are Okabe and Ito's (2008), which stay apart in the common kinds of colour
blindness; on dark ground the two dark ones are lightened. Fonts are the system's own, so that no
font is fetched from anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import gradio as gr

__all__ = ["EVENT_MARKS", "TOKENS", "EventMark", "event_name", "page_css", "page_theme"]

_ASSETS = Path(__file__).parent / "assets"

#: token → (light, dark); the canvas reads them as CSS variables ``--s-<token>``.
TOKENS: dict[str, tuple[str, str]] = {
    "ground": ("#eef1f4", "#12161b"),
    "panel": ("#ffffff", "#1a2027"),
    "sunken": ("#f5f7f9", "#151a20"),
    "line": ("#d5dbe1", "#313a44"),
    "grid": ("#e6eaee", "#252d36"),
    "grid-strong": ("#cdd4db", "#36414c"),
    "ink": ("#1c242c", "#e6ebf0"),
    "ink-2": ("#55616d", "#a3b0bd"),
    "ink-3": ("#7b8792", "#7d8b99"),
    "trace": ("#27323c", "#cfd8e1"),
    "stage": ("#69757f", "#9fabb7"),
    "stage-rem": ("#1c242c", "#f2f5f8"),
    "accent": ("#005f94", "#69b7ea"),
    "accent-ink": ("#ffffff", "#0d1216"),
    "accent-soft": ("#e1eff7", "#1d3342"),
    "focus": ("#f0c400", "#f0d24a"),
    "danger": ("#a8321a", "#ff9c80"),
    "danger-soft": ("#fdeee9", "#3a2019"),
    "vermillion": ("#d55e00", "#f2813a"),
    "blue": ("#0072b2", "#4aa8e0"),
    "purple": ("#b85d92", "#dc93bd"),
    "orange": ("#e69f00", "#f0b429"),
    "green": ("#009e73", "#22bd92"),
    "sky": ("#3f9fd8", "#74c4f2"),
    "yellow": ("#b9ab00", "#f0e442"),
    "slate": ("#77828d", "#98a5b2"),
}


@dataclass(frozen=True)
class EventMark:
    """How one kind of event is named and drawn: lane label, short mark, colour token, channels."""

    label: str
    short: str
    colour: str
    channels: tuple[str, ...] = ()


_BREATH = ("AF", "THX", "ABD")
#: In the order of the lanes, from the top.
EVENT_MARKS: dict[str, EventMark] = {
    "obstructive_apnea": EventMark("Obstructive apnea", "OA", "vermillion", _BREATH),
    "central_apnea": EventMark("Central apnea", "CA", "blue", _BREATH),
    "mixed_apnea": EventMark("Mixed apnea", "MA", "purple", _BREATH),
    "hypopnea": EventMark("Hypopnea", "HY", "orange", _BREATH),
    "rera": EventMark("RERA", "RERA", "yellow", _BREATH),
    "cheyne_stokes": EventMark("Cheyne–Stokes", "CS", "blue", _BREATH),
    "desaturation": EventMark("Desaturation", "desat", "sky", ("SPO2",)),
    "arousal": EventMark("Arousal", "arousal", "green", ("EEG_C3_A2", "EEG_C4_A1", "EMG_CHIN")),
    "limb_movement": EventMark("Limb movement", "LM", "slate", ("EMG_CHIN",)),
    "plm": EventMark("PLM", "PLM", "slate", ("EMG_CHIN",)),
    "snore": EventMark("Snore", "snore", "yellow", ("AF",)),
    "bradycardia": EventMark("Bradycardia", "brady", "blue", ("ECG", "HR")),
    "tachycardia": EventMark("Tachycardia", "tachy", "vermillion", ("ECG", "HR")),
    "artifact": EventMark("Artifact", "artifact", "slate"),
}

_FONT = (
    "system-ui",
    "-apple-system",
    "Segoe UI",
    "Roboto",
    "Noto Sans",
    "DejaVu Sans",
    "sans-serif",
)
_MONO = (
    "ui-monospace",
    "SFMono-Regular",
    "Menlo",
    "Noto Sans Mono",
    "DejaVu Sans Mono",
    "monospace",
)


def event_name(kind: str) -> str:
    """Name of a kind of event in a sentence: ``obstructive apnea``, ``PLM``."""
    label = EVENT_MARKS[kind].label
    return label if label.isupper() or label.startswith("Cheyne") else label.lower()


def page_css() -> str:
    """The stylesheet: tokens as CSS variables for light and dark, then ``assets/page.css``."""
    light = "".join(f"--s-{name}:{pair[0]};" for name, pair in TOKENS.items())
    dark = "".join(f"--s-{name}:{pair[1]};" for name, pair in TOKENS.items())
    rules = (_ASSETS / "page.css").read_text(encoding="utf-8")
    return f":root{{{light}}}\n.dark{{{dark}}}\n{rules}"


def page_theme() -> gr.themes.Base:
    """Gradio's base theme on our tokens and system fonts."""
    import gradio as gr

    theme = gr.themes.Base(
        font=list(_FONT),
        font_mono=list(_MONO),
        text_size=gr.themes.sizes.text_sm,
        spacing_size=gr.themes.sizes.spacing_sm,
        radius_size=gr.themes.sizes.radius_sm,
    )
    mapping = {
        "body_background_fill": "ground",
        "background_fill_primary": "panel",
        "background_fill_secondary": "sunken",
        "block_background_fill": "panel",
        "border_color_primary": "line",
        "border_color_accent": "accent",
        "body_text_color": "ink",
        "body_text_color_subdued": "ink-2",
        "block_border_color": "line",
        "input_background_fill": "panel",
        "input_border_color": "line",
        "input_border_color_focus": "accent",
        "input_placeholder_color": "ink-3",
        "button_primary_background_fill": "accent",
        "button_primary_background_fill_hover": "accent",
        "button_primary_text_color": "accent-ink",
        "button_secondary_background_fill": "sunken",
        "button_secondary_background_fill_hover": "accent-soft",
        "button_secondary_text_color": "ink",
        "link_text_color": "accent",
        "link_text_color_hover": "accent",
        "link_text_color_visited": "accent",
        "link_text_color_active": "accent",
        "color_accent_soft": "accent-soft",
        "code_background_fill": "sunken",
    }
    # A CSS variable changes with the theme by itself, so light and dark take the same reference.
    values = {name: f"var(--s-{token})" for name, token in mapping.items()}
    return theme.set(**values, **{f"{name}_dark": value for name, value in values.items()})
