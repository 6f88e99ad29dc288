"""``NightSummary``: the numbers of a sleep report, each with its unit, source, and formula.

Every field that cannot be measured is null, with the reason in its ``note``: never 0 or NaN, and no
denominator has a floor. :data:`FIELDS` holds the formulas and where they come from.

Counting rule of events: an event counts when any part of it lies in an epoch scored as sleep, once,
for the first sleep epoch that it touches; ``event_counts`` are of the whole recording. Unscored
epochs stand in no denominator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from sleeplm.agreement import compare, review_first
from sleeplm.hypopneas import (
    AROUSAL_AFTER_S,
    DEPTH_TOLERANCE_PCT,
    fall_within,
    qualifies,
    stated_depth,
)
from sleeplm.insights import NightEvidence, disagreement, judged_insights
from sleeplm.montage import POSITION_CODES
from sleeplm.physiology.oximetry import desaturations, per_second, plausible_spo2
from sleeplm.report import (
    FIELDS,
    SECTIONS,
    Field,
    Insight,
    NightSummary,
    Quantity,
    Severity,
)
from sleeplm.scoring import (
    EPOCH_S,
    EVENT_KINDS,
    RESPIRATORY_KINDS,
    SLEEP_STAGES,
    STAGES,
    UNSCORED,
    Scoring,
)
from sleeplm.severity import AHI_BANDS_SOURCE, judged

if TYPE_CHECKING:
    from sleeplm.physiology import NightMeasurements
    from sleeplm.recording import Recording

__all__ = [
    "FIELDS",
    "SECTIONS",
    "Field",
    "Insight",
    "NightSummary",
    "Quantity",
    "Severity",
    "summarize",
]

RATE_HZ = 64.0
FROM_SLEEP_ONSET = (
    "spt",
    "sleep_maintenance",
    "sleep_onset_latency",
    "rem_latency",
    "n3_latency",
    "waso",
    "awakenings",
)
RESPIRATORY_FIELDS = (
    "ahi",
    "ahi_1a",
    "ahi_1b",
    "rdi",
    "oahi",
    "cai",
    "hypopnea_index",
    "apnea_index",
    "ahi_rem",
    "ahi_nrem",
)
APNEA_KINDS = ("obstructive_apnea", "central_apnea", "mixed_apnea")
POSITIONS = {name: code for name, code in POSITION_CODES.items() if name != "unknown"}
AHI_NEEDS = ("obstructive_apnea", "hypopnea")
"""Kinds without which there is no AHI; other apneas that were not looked for stand in its note."""
PLAUSIBLE_HR_BPM = (20.0, 250.0)
DESATURATION_RULE = "fall_of_3_points_from_its_peak"
"""What :mod:`sleeplm.autoscore` calls the rule of this program's own desaturations."""
FALL_RULE_NOTE = "from the peak in the minute before"


def summarize(
    scoring: Scoring,
    recording: Recording,
    measurements: NightMeasurements | None = None,
    *,
    others: Sequence[Scoring] = (),
) -> NightSummary:
    """Sum up one night by one scorer.

    Parameters
    ----------
    scoring : Scoring
        On the recording's clock (:meth:`Scoring.aligned`).
    recording : Recording
        Its SPO2, HR and POS channels are measured; its length is the recording time.
    measurements : NightMeasurements, optional
        Heart rate from ECG beats, used where the recording has no HR channel.
    others : sequence of Scoring
        Other scorings of the same night, to state how far all of them agree: on stages, events,
        indices, and which stretches to review first.

    Returns
    -------
    NightSummary
        Complete for any night: one without REM, sleep, SpO2, stages or events has nulls with notes.
    """
    return _Summarizer(scoring, recording, measurements).run(others)


class _Summarizer:
    """The working state of one summary; each method fills a part of the fields."""

    def __init__(
        self, scoring: Scoring, recording: Recording, measurements: NightMeasurements | None
    ) -> None:
        self.recording = recording
        self.measurements = measurements
        self.source = scoring.scorer.kind
        self.own = scoring
        """The scoring as it came, with the stages outside the time in bed."""
        self.doubts: list[str] = []
        self.fields: dict[str, Any] = {}
        n_epochs = max(recording.n_epochs, scoring.n_epochs)
        end_s = n_epochs * EPOCH_S
        self.lights_off_s, self.lights_on_s = scoring.lights_off_s, scoring.lights_on_s
        off_s = 0.0 if self.lights_off_s is None else self.lights_off_s
        on_s = end_s if self.lights_on_s is None else self.lights_on_s
        if off_s >= on_s or off_s >= end_s or on_s <= 0:
            self.doubts.append("lights off and on do not enclose any of the recording; not used")
            self.lights_off_s = self.lights_on_s = None
            off_s, on_s = 0.0, end_s
        self.bed_start_s, self.bed_end_s = off_s, on_s
        stages = np.array(
            [*scoring.stages, *[UNSCORED] * (n_epochs - scoring.n_epochs)], dtype=object
        )
        # An epoch belongs to the time in bed by its middle; stages outside it count nowhere.
        middle_s = (np.arange(n_epochs) + 0.5) * EPOCH_S
        self.in_bed = (middle_s >= off_s) & (middle_s <= on_s)
        self.stages = np.where(self.in_bed, stages, UNSCORED)
        self.scoring = replace(scoring, stages=tuple(self.stages), probabilities=None)
        self.is_sleep = np.isin(self.stages, SLEEP_STAGES)
        self.is_scored = self.stages != UNSCORED
        self.any_stage = bool(self.is_scored.any())
        self.place = "sleep"
        """What indices are counted in and divided by the hours of: sleep, or valid recording."""
        self.can_breathe = np.ones(n_epochs, dtype=bool)
        """Epochs in which breathing was recorded well enough to be scored."""
        if scoring.analysed is not None:
            self.can_breathe[:] = False
            self.can_breathe[: scoring.n_epochs] = scoring.analysed
            if not self.any_stage:
                self.as_polygraphy()
        self.sleep_h = self.is_sleep.sum() * EPOCH_S / 3600
        self.breathing_h = (self.is_sleep & self.can_breathe).sum() * EPOCH_S / 3600
        self.spo2_raw: np.ndarray | None = None
        """SpO2 per second as recorded; None without an oximeter."""
        self.spo2: np.ndarray | None = None
        """Plausible SpO2 per second, NaN elsewhere; None where no second is plausible."""
        signal = recording.channel("SPO2")
        if signal is not None:
            self.spo2_raw = per_second(signal, RATE_HZ)
            plausible = plausible_spo2(self.spo2_raw)
            self.spo2 = plausible if np.isfinite(plausible).any() else None

    def as_polygraphy(self) -> None:
        """Without stages: count events in the valid recording, and give no time of any stage."""
        self.place = "valid recording"
        self.is_sleep = self.can_breathe & self.in_bed
        counted = np.where(self.is_sleep, "N2", UNSCORED)
        self.scoring = replace(self.scoring, stages=tuple(counted))

    # ── building quantities ──────────────────────────────────────────────────────────────────

    def put(
        self, name: str, value: float | None, note: str = "", source: str | None = None
    ) -> None:
        """Set a field, ``name`` or ``name.key``; the unit comes from :data:`FIELDS`."""
        head, _, key = name.partition(".")
        quantity = Quantity(
            value=None if value is None else float(value),
            unit=FIELDS[head].unit,
            source=source or self.source,
            note=note,
        )
        if key:
            self.fields.setdefault(head, {})[key] = quantity
        else:
            self.fields[head] = quantity

    def put_null(self, names: Sequence[str], reason: str, source: str | None = None) -> None:
        for name in names:
            self.put(name, None, reason, source)

    def no_sleep_reason(self) -> str:
        if self.place != "sleep":
            return "no epoch has a sleep stage (polygraphy: there is no usable EEG)"
        if not self.any_stage:
            return "no epoch has a sleep stage"
        return "no epoch is scored as sleep"

    def not_looked_for(self, kinds: Sequence[str], what: str) -> str | None:
        """Why these kinds cannot be counted, or None where they can."""
        if not self.scoring.has_events:
            return "the scoring holds stages only, no events"
        if not self.scoring.looked_for(kinds):
            reasons = self.scoring.meta.get("why_not") or {}
            for kind in kinds:
                if kind in reasons:
                    return str(reasons[kind])
            return f"the scoring holds no {what} and does not say that they were looked for"
        return None

    # ── parts ────────────────────────────────────────────────────────────────────────────────

    def run(self, others: Sequence[Scoring]) -> NightSummary:
        self.sleep_times()
        self.stage_shares()
        self.respiratory_indices()
        self.other_indices()
        self.oxygen()
        self.heart()
        self.positions()
        typed = {}
        if self.scoring.looked_for(APNEA_KINDS[:2]):
            typed = {kind: self.asleep_count([kind]) for kind in APNEA_KINDS}
        scorer = self.scoring.scorer
        summary = NightSummary(
            **self.fields,
            scorer={"kind": scorer.kind, "name": scorer.name, "version": scorer.version},
            rules=self.rules(),
            severity=judged(self.fields["ahi"], self.fields["tst"], typed),
            insights=[],
            missing=[],
        )
        if scorer.kind == "automatic":
            summary.details = dict(self.scoring.meta.get("details") or {})
        remarks, summary.not_judged = judged_insights(summary, self.evidence())
        summary.insights.extend(remarks)
        summary.missing.extend(
            _missing(summary, [*self.scoring.problems, *self.doubts], scorer.kind)
        )
        if others:
            self.compare_with(others, summary)
        return summary

    def compare_with(self, others: Sequence[Scoring], summary: NightSummary) -> None:
        """Fill the agreement of this scoring with each other one, and of those among each other."""
        known = [(self.own, summary)]
        for other in others:
            theirs = _Summarizer(other, self.recording, self.measurements).run(())
            known.append((other, theirs))
        agreement = {}
        for index, (first, first_summary) in enumerate(known):
            for second, second_summary in known[index + 1 :]:
                name = second.scorer.kind
                if index:
                    name = f"{first.scorer.kind}/{name}"
                agreement[name] = compare(first, second, first_summary, second_summary)
        summary.agreement = agreement
        summary.review_first = review_first({scoring.scorer.kind: scoring for scoring, _ in known})
        remark = disagreement(summary)
        if remark is not None:
            summary.insights.append(remark)

    def sleep_times(self) -> None:
        minutes = EPOCH_S / 60
        self.put("trt", self.recording.duration_s / 60, source="measured")
        known = [
            name
            for name, time_s in (("off", self.lights_off_s), ("on", self.lights_on_s))
            if time_s is not None
        ]
        if len(known) == 2:
            bed_note = "lights off to lights on"
        elif known:
            end = "start" if known == ["on"] else "end"
            bed_note = f"lights {known[0]} is known, the other end is the {end} of the recording"
        else:
            bed_note = "lights off and on are not known: the whole recording"
        bed_s = (
            self.bed_end_s if self.lights_on_s is not None else self.recording.duration_s
        ) - self.bed_start_s
        self.put("tib", bed_s / 60, bed_note, source=self.source if known else "measured")
        if not self.any_stage:
            self.put_null(("tst", "sleep_efficiency", *FROM_SLEEP_ONSET), self.no_sleep_reason())
            return
        left_out = int((self.in_bed & ~self.is_scored).sum())
        unscored_note = f"{left_out} unscored epochs are in no denominator" if left_out else ""
        tst = self.is_sleep.sum() * minutes
        self.put("tst", tst, unscored_note)
        scored_bed = self.is_scored.sum() * minutes
        self.put("sleep_efficiency", 100 * tst / scored_bed, _joined(bed_note, unscored_note))
        asleep = np.flatnonzero(self.is_sleep)
        if not len(asleep):
            self.put_null(FROM_SLEEP_ONSET, self.no_sleep_reason())
            return
        onset, last = int(asleep[0]), int(asleep[-1])
        origin = "lights off" if self.lights_off_s is not None else "the start of the recording"
        latency_note = f"from {origin}"
        if self.lights_off_s is None:
            latency_note += " (lights off is not known)"
        before = int((~self.is_scored[int(self.bed_start_s // EPOCH_S) : onset]).sum())
        if before:
            latency_note += f"; {before} epochs before it are unscored, sleep may be earlier"
        # Lights off within an epoch of sleep: that epoch began before, the latency is 0.
        latency_s = max(onset * EPOCH_S - self.bed_start_s, 0.0)
        self.put("sleep_onset_latency", latency_s / 60, latency_note)
        self.put("spt", (last + 1 - onset) * minutes)
        scored_period = self.is_scored[onset : last + 1].sum() * minutes
        self.put("sleep_maintenance", 100 * tst / scored_period)
        for name, stage in (("rem_latency", "R"), ("n3_latency", "N3")):
            found = np.flatnonzero(self.stages == stage)
            if len(found):
                self.put(name, (found[0] - onset) * minutes, "from sleep onset")
            else:
                self.put(name, None, f"no epoch of {stage}")
        self.put("waso", (self.stages[onset:] == "W").sum() * minutes)
        within = [stage for stage in self.stages[onset : last + 1] if stage != UNSCORED]
        self.put("awakenings", sum(stage == "W" for stage, _ in groupby(within)))

    def stage_shares(self) -> None:
        for stage in STAGES:
            count = int((self.stages == stage).sum())
            if self.any_stage:
                self.put(f"stage_minutes.{stage}", count * EPOCH_S / 60)
            else:
                self.put(f"stage_minutes.{stage}", None, self.no_sleep_reason())
            if stage == "W":
                continue
            if self.is_sleep.any() and self.any_stage:
                self.put(f"stage_percent.{stage}", 100 * count / self.is_sleep.sum())
            else:
                self.put(f"stage_percent.{stage}", None, self.no_sleep_reason())

    def index(
        self,
        name: str,
        count: int,
        note: str = "",
        source: str | None = None,
        *,
        breathing: bool = False,
    ) -> None:
        """A count in sleep over the hours of sleep (in valid recording, where nothing is staged).

        ``breathing`` leaves out the hours in which breathing could not be scored.
        """
        hours = self.breathing_h if breathing else self.sleep_h
        if hours == 0:
            reason = self.no_sleep_reason()
            if breathing and self.sleep_h:
                reason = "breathing could not be scored in any epoch of sleep"
            self.put(name, None, reason, source)
            return
        counted = f"{count} in {self.place}"
        if self.place != "sleep":
            counted += f" ({hours:.1f} h): without EEG it is not per hour of sleep"
        elif breathing and hours < self.sleep_h:
            lost_min = 60 * (self.sleep_h - hours)
            counted += f"; {lost_min:.1f} min of sleep without a breathing signal are left out"
        self.put(name, count / hours, _joined(counted, note), source)

    def asleep_count(self, kinds: Sequence[str]) -> int:
        return sum(self.scoring.in_sleep(event) for event in self.scoring.events_of(kinds))

    def untyped_in_sleep(self) -> list[tuple[float, float]]:
        return [
            (onset_s, duration_s)
            for onset_s, duration_s in self.scoring.untyped_apneas
            if self.scoring.sleep_stage_between(onset_s, onset_s + duration_s) is not None
        ]

    def respiratory_indices(self) -> None:
        untyped_only = bool((self.scoring.meta.get("details") or {}).get("untyped_apneas"))
        needs = AHI_NEEDS[1:] if untyped_only else AHI_NEEDS
        reason = self.not_looked_for(needs, "apneas or hypopneas")
        if reason is not None:
            self.put_null(RESPIRATORY_FIELDS, reason)
            return
        n_untyped = len(self.untyped_in_sleep())
        untyped_note = f"{n_untyped} apneas without a type are among them" if n_untyped else ""
        unread = [kind for kind in APNEA_KINDS if not self.scoring.looked_for(kind)]
        if unread and not untyped_only:
            names = " and ".join(kind.replace("_", " ") + "s" for kind in unread)
            untyped_note = _joined(untyped_note, f"{names} were not looked for")
        apneas = self.asleep_count(APNEA_KINDS) + n_untyped
        hypopneas = self.asleep_count(["hypopnea"])
        self.index(
            "ahi", apneas + hypopneas, _joined("hypopneas as scored", untyped_note), breathing=True
        )
        self.index("apnea_index", apneas, untyped_note, breathing=True)
        self.index("hypopnea_index", hypopneas, "as scored", breathing=True)
        reasons = self.scoring.meta.get("why_not") or {}
        if self.scoring.looked_for("central_apnea"):
            self.index("cai", self.asleep_count(["central_apnea"]), breathing=True)
        else:
            self.put(
                "cai", None, reasons.get("central_apnea", "central apneas were not looked for")
            )
        if untyped_only:
            self.put("oahi", None, str(self.scoring.meta["details"]["untyped_apneas"]))
        else:
            self.index(
                "oahi",
                self.asleep_count(["obstructive_apnea", "mixed_apnea", "hypopnea"]),
                "hypopneas as scored"
                if not n_untyped
                else f"hypopneas as scored; {n_untyped} apneas without a type are not among them",
                breathing=True,
            )
        if self.scoring.looked_for("rera"):
            self.index(
                "rdi",
                apneas + hypopneas + self.asleep_count(["rera"]),
                _joined("hypopneas as scored", untyped_note),
                breathing=True,
            )
        else:
            self.put("rdi", None, reasons.get("rera", "RERAs were not looked for"))
        self.by_stage()
        self.by_rule(apneas)

    def by_stage(self) -> None:
        spans = [
            (event.onset_s, event.end_s) for event in self.scoring.events_of(RESPIRATORY_KINDS)
        ]
        spans += [
            (onset_s, onset_s + length_s) for onset_s, length_s in self.scoring.untyped_apneas
        ]
        if self.place != "sleep":
            self.put_null(("ahi_rem", "ahi_nrem"), self.no_sleep_reason())
            return
        touched = [self.scoring.sleep_stage_between(*span) for span in spans]
        for name, stages in (("ahi_rem", ("R",)), ("ahi_nrem", ("N1", "N2", "N3"))):
            hours = (np.isin(self.stages, stages) & self.can_breathe).sum() * EPOCH_S / 3600
            if hours == 0:
                what = "REM" if stages == ("R",) else "NREM"
                self.put(name, None, f"no {what} sleep")
            else:
                count = sum(stage in stages for stage in touched)
                self.put(name, count / hours, f"{count} in {hours * 60:.1f} min")

    # ── hypopnea rules ───────────────────────────────────────────────────────────────────────

    def by_rule(self, n_apneas: int) -> None:
        """AHI by AASM rule 1A and 1B, each hypopnea judged by its desaturation and arousal."""
        hypopneas = [
            event for event in self.scoring.events_of("hypopnea") if self.scoring.in_sleep(event)
        ]
        for name, fall_pct, or_arousal in (("ahi_1a", 3.0, True), ("ahi_1b", 4.0, False)):
            verdicts = [
                qualifies(event, self.scoring, self.spo2, fall_pct=fall_pct, or_arousal=or_arousal)
                for event in hypopneas
            ]
            unjudged = sum(verdict is None for verdict in verdicts)
            if unjudged:
                why = "no desaturation can be measured or is scored with its depth"
                if or_arousal and not self.scoring.looked_for("arousal"):
                    why += ", or arousals were not scored"
                self.put(
                    name, None, f"{unjudged} of {len(hypopneas)} hypopneas cannot be judged: {why}"
                )
                continue
            kept = sum(bool(verdict) for verdict in verdicts)
            rule = f"{kept} of {len(hypopneas)} hypopneas have ≥ {fall_pct:g} % desaturation"
            rule += " or an arousal" if or_arousal else ""
            origin = "as scored" if self.spo2 is None else "measured from SpO2"
            note = f"{rule}; desaturation {origin}"
            self.index(name, n_apneas + kept, note, breathing=True)

    # ── other indices ────────────────────────────────────────────────────────────────────────

    def other_indices(self) -> None:
        for name, kind, what in (
            ("arousal_index", "arousal", "arousals"),
            ("plm_index", "plm", "limb movements"),
        ):
            reason = self.not_looked_for([kind], what)
            if reason is not None:
                self.put(name, None, reason)
            else:
                self.index(name, self.asleep_count([kind]))
        for kind in EVENT_KINDS:
            reason = self.not_looked_for([kind], f"{kind.replace('_', ' ')} events")
            if reason is not None:
                self.put(f"event_counts.{kind}", None, reason)
                continue
            events = self.scoring.events_of(kind)
            note = (
                f"{self.asleep_count([kind])} of them in {self.place}"
                if self.is_sleep.any()
                else ""
            )
            self.put(f"event_counts.{kind}", len(events), note)

    # ── oxygen ───────────────────────────────────────────────────────────────────────────────

    def in_sleep_seconds(self, seconds: np.ndarray) -> np.ndarray:
        """The seconds that lie in sleep epochs."""
        per_epoch = int(EPOCH_S)
        asleep = np.repeat(self.is_sleep, per_epoch)
        length = min(len(asleep), len(seconds))
        return seconds[:length][asleep[:length]]

    def oxygen(self) -> None:
        reason, good, lost_min = None, np.zeros(0), 0.0
        if self.spo2_raw is None:
            reason = "no SpO2 channel"
        elif self.spo2 is None:
            reason = "SpO2 has no plausible value"
        elif not self.is_sleep.any():
            reason = self.no_sleep_reason()
        else:
            asleep = self.in_sleep_seconds(self.spo2)
            good = asleep[np.isfinite(asleep)]
            lost_min = (len(asleep) - len(good)) / 60
            reason = None if len(good) else f"SpO2 has no plausible value in {self.place}"
        if reason is not None:
            self.put_null(("spo2_mean", "spo2_nadir", "t90"), reason, "measured")
        else:
            note = f"in {self.place}"
            if lost_min:
                note += (
                    f"; {lost_min:.1f} min of {self.place} left out (sensor off or slipping, or "
                    "outside 50 to 100 %)"
                )
            self.put("spo2_mean", good.mean(), note, "measured")
            self.put("spo2_nadir", good.min(), note, "measured")
            self.put("t90", (good < 90 - DEPTH_TOLERANCE_PCT).sum() / 60, note, "measured")
        for name, limit_pct in (("odi3", 3.0), ("odi4", 4.0)):
            self.desaturation_index(name, limit_pct)

    def desaturation_index(self, name: str, limit_pct: float) -> None:
        """From the scored desaturations where there are any, else measured from SpO2."""
        scored = bool(self.scoring.events_of("desaturation"))
        if self.spo2 is None and self.scoring.looked_for("desaturation"):
            scored = True
        if scored:
            self.scored_odi(name, limit_pct)
        elif self.spo2 is None or self.spo2_raw is None:
            reason = "no desaturations scored and no usable SpO2 channel"
            self.put(name, None, reason, "measured")
        else:
            found = desaturations(self.spo2_raw, limit_pct - DEPTH_TOLERANCE_PCT)
            count = sum(
                self.scoring.sleep_stage_between(onset_s, onset_s + duration_s) is not None
                for onset_s, duration_s, _, _ in found
            )
            self.index(name, count, f"falls of ≥ {limit_pct:g} points {FALL_RULE_NOTE}", "measured")

    def scored_odi(self, name: str, limit_pct: float) -> None:
        events = [
            event
            for event in self.scoring.events_of("desaturation")
            if self.scoring.in_sleep(event)
        ]
        depths = [
            depth if (depth := stated_depth(event)) is not None else fall_within(event, self.spo2)
            for event in events
        ]
        unknown = sum(depth is None for depth in depths)
        if unknown:
            self.put(name, None, f"{unknown} of {len(events)} scored desaturations have no depth")
            return
        count = sum(
            depth is not None and depth >= limit_pct - DEPTH_TOLERANCE_PCT for depth in depths
        )
        note = "scored desaturations by their depth"
        if all(event.rule == DESATURATION_RULE for event in events):
            note = f"falls of ≥ {limit_pct:g} points {FALL_RULE_NOTE}"
        self.index(name, count, note)

    # ── heart and position ───────────────────────────────────────────────────────────────────

    def heart(self) -> None:
        signal = self.recording.channel("HR")
        values: np.ndarray | None = None
        note = f"in {self.place}, from the HR channel"
        if signal is not None:
            seconds = per_second(signal, RATE_HZ)
            low, high = PLAUSIBLE_HR_BPM
            values = self.in_sleep_seconds(
                np.where((seconds >= low) & (seconds <= high), seconds, np.nan)
            )
        elif self.measurements is not None and "ecg_rate_bpm" in self.measurements.values:
            rates = self.measurements.values["ecg_rate_bpm"]
            length = min(len(rates), len(self.is_sleep))
            values = rates[:length][self.is_sleep[:length]]
            note = f"in {self.place}, from ECG beats, mean rate of each epoch (no HR channel)"
        reason = None
        if not self.is_sleep.any():
            reason = self.no_sleep_reason()
        elif values is None:
            reason = "no HR channel and no ECG beats"
        elif not np.isfinite(values).any():
            reason = "no plausible heart rate in sleep"
        if reason is not None or values is None:
            self.put_null(("hr_mean", "hr_min", "hr_max"), reason or "", "measured")
            return
        self.put("hr_mean", np.nanmean(values), note, "measured")
        self.put("hr_min", np.nanmin(values), note, "measured")
        self.put("hr_max", np.nanmax(values), note, "measured")

    def hr_seconds(self) -> np.ndarray | None:
        """Plausible heart rate per second, NaN elsewhere: the HR channel, else ECG beats."""
        low, high = PLAUSIBLE_HR_BPM
        signal = self.recording.channel("HR")
        if signal is not None:
            seconds = per_second(signal, RATE_HZ)
            with np.errstate(invalid="ignore"):
                return np.where((seconds >= low) & (seconds <= high), seconds, np.nan)
        if self.measurements is None or len(self.measurements.beats_s) < 2:
            return None
        beats = np.asarray(self.measurements.beats_s)
        rate = np.full(int(self.recording.duration_s), np.nan)
        for start_s, interval_s in zip(beats[:-1], np.diff(beats), strict=True):
            if interval_s > 0 and low <= 60.0 / interval_s <= high:
                rate[int(start_s) : int(np.ceil(start_s + interval_s))] = 60.0 / interval_s
        return rate

    def evidence(self) -> NightEvidence:
        """What the remarks' rules need beyond the figures."""
        return NightEvidence(
            scoring=self.scoring,
            stages=self.stages,
            is_sleep=self.is_sleep,
            spo2=self.spo2,
            hr=self.hr_seconds(),
            positions=self.position_seconds(),
        )

    def position_seconds(self) -> np.ndarray | None:
        signal = self.recording.channel("POS")
        if signal is None:
            return None
        per = int(RATE_HZ)
        # The code in the middle of each second: a mean of codes would be another position.
        codes = np.rint(np.asarray(signal)[per // 2 :: per])
        return codes if np.isin(codes, list(POSITIONS.values())).any() else None

    def positions(self) -> None:
        codes = self.position_seconds()
        reason = None
        if self.recording.channel("POS") is None:
            reason = "no position channel"
        elif codes is None:
            reason = "the position channel holds no known position"
        elif not self.is_sleep.any():
            reason = self.no_sleep_reason()
        if reason is not None or codes is None:
            for position in ("supine", "left", "right", "prone", "upright"):
                self.put(f"position_minutes.{position}", None, reason or "", "measured")
            self.put("ahi_supine", None, reason or "")
            self.put("ahi_nonsupine", None, reason or "")
            return
        asleep = self.in_sleep_seconds(codes)
        unknown_min = (~np.isin(asleep, list(POSITIONS.values()))).sum() / 60
        note = f"of {self.place}"
        if unknown_min:
            note += f"; {unknown_min:.1f} min in an unknown position"
        for position in ("supine", "left", "right", "prone", "upright"):
            minutes = (asleep == POSITIONS[position]).sum() / 60
            self.put(f"position_minutes.{position}", minutes, note, "measured")
        self.by_position(codes, asleep)

    def by_position(self, codes: np.ndarray, asleep: np.ndarray) -> None:
        no_events = self.not_looked_for(AHI_NEEDS, "apneas or hypopneas")
        onsets = [
            event.onset_s
            for event in self.scoring.events_of(RESPIRATORY_KINDS)
            if self.scoring.in_sleep(event)
        ]
        onsets += [onset_s for onset_s, _ in self.untyped_in_sleep()]
        at_onset = [codes[min(max(int(onset_s), 0), len(codes) - 1)] for onset_s in onsets]
        others = [code for name, code in POSITIONS.items() if name != "supine"]
        for name, wanted, what in (
            ("ahi_supine", [POSITIONS["supine"]], "supine"),
            ("ahi_nonsupine", others, "non-supine"),
        ):
            hours = np.isin(asleep, wanted).sum() / 3600
            if no_events is not None:
                self.put(name, None, no_events)
            elif hours == 0:
                self.put(name, None, f"no {what} sleep")
            else:
                count = int(np.isin(at_onset, wanted).sum())
                self.put(name, count / hours, f"{count} in {hours * 60:.1f} min of {what} sleep")

    # ── words ────────────────────────────────────────────────────────────────────────────────

    def rules(self) -> dict[str, str]:
        return {
            "counting": "an event counts when any part of it lies in an epoch scored as sleep",
            "ahi": "apneas and hypopneas as scored; the scorer's hypopnea rule is kept",
            "ahi_1a": "AASM 1A: hypopneas with ≥ 3 % desaturation or an arousal",
            "ahi_1b": "AASM 1B: hypopneas with ≥ 4 % desaturation",
            "desaturation_of_a_hypopnea": (
                "highest SpO2 from 30 s before the onset to 10 s into it, less the lowest until "
                "45 s after its end; where SpO2 is missing, the scored desaturation in that time"
            ),
            "arousal_of_a_hypopnea": (
                f"an arousal that starts within it or up to {AROUSAL_AFTER_S:g} s after its end"
            ),
            "desaturation": (
                "where this program finds them: a fall of SpO2 from the peak in the minute before "
                "its lowest point (after Karhu et al., Comput. Biol. Med. 2022); where a scorer "
                "marked them, as marked"
            ),
            "latencies": self.fields["sleep_onset_latency"].note
            or "sleep onset is the first epoch of any sleep",
            "severity": f"AHI < 5 none, < 15 mild, < 30 moderate, else severe; {AHI_BANDS_SOURCE}",
        }


def _joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def _missing(summary: NightSummary, problems: Sequence[str], kind: str) -> list[str]:
    """What could not be judged, one sentence a reason, with the fields that it takes away."""
    by_reason: dict[str, list[str]] = {}
    for name, quantity in summary.quantities().items():
        if quantity.value is None:
            by_reason.setdefault(quantity.note, []).append(name)
    sentences = [f"{', '.join(names)}: {reason}." for reason, names in by_reason.items()]
    whose = "Scoring file" if kind == "expert" else f"{kind.capitalize()} scoring"
    return sentences + [f"{whose}: {problem}." for problem in problems]
