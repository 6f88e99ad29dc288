"""The measurements by name: which channel each is taken from, its system and its unit."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FIELDS", "FIELDS_OF_SYSTEM", "Field"]


@dataclass(frozen=True)
class Field:
    """One measurement per epoch: its channel, the system that its caption belongs to, its unit.

    ``low`` and ``high`` bound what can be true at all; a value outside is withheld when measured
    and refused when read from a text.
    """

    name: str
    channel: str
    system: str
    unit: str
    low: float
    high: float


def _percent(name: str, channel: str, system: str = "brain") -> Field:
    return Field(name, channel, system, "%", 0.0, 100.0)


#: Counts are whole numbers of waves that begin in the epoch; 0 is an answer, nan is none.
_EEG = [
    entry
    for side, channel in (("c3", "EEG_C3_A2"), ("c4", "EEG_C4_A1"))
    for entry in (
        *(
            _percent(f"eeg_{side}_{band}_pct", channel)
            for band in ("delta", "theta", "alpha", "sigma", "beta")
        ),
        Field(f"eeg_{side}_spindle_count", channel, "brain", "", 0.0, 15.0),
        Field(f"eeg_{side}_slow_wave_count", channel, "brain", "", 0.0, 45.0),
    )
]
_EOG = [
    _percent(f"eog_{side}_{movement}_pct", channel)
    for side, channel in (("l", "EOG_L"), ("r", "EOG_R"))
    for movement in ("slow", "saccade")
] + [
    # Both eyes are needed; they are listed with the left one.
    Field("eog_rem_count", "EOG_L", "brain", "", 0.0, 60.0),
    Field("eog_rem_burst_count", "EOG_L", "brain", "", 0.0, 15.0),
]
_CARDIAC = [
    Field("ecg_rate_bpm", "ECG", "cardiac", "bpm", 20.0, 240.0),
    Field("ecg_rmssd_ms", "ECG", "cardiac", "ms", 0.0, 300.0),
    Field("hr_min_bpm", "HR", "cardiac", "bpm", 20.0, 240.0),
    Field("hr_max_bpm", "HR", "cardiac", "bpm", 20.0, 240.0),
    Field("hr_mean_bpm", "HR", "cardiac", "bpm", 20.0, 240.0),
    Field("spo2_min_pct", "SPO2", "cardiac", "%", 40.0, 100.0),
    Field("spo2_mean_pct", "SPO2", "cardiac", "%", 40.0, 100.0),
    Field("spo2_baseline_pct", "SPO2", "cardiac", "%", 40.0, 100.0),
]
_RESPIRATORY = [
    Field("abd_rate_bpm", "ABD", "respiratory", "breaths/min", 3.0, 60.0),
    Field("abd_interval_sd_s", "ABD", "respiratory", "s", 0.0, 10.0),
    Field("thx_rate_bpm", "THX", "respiratory", "breaths/min", 3.0, 60.0),
    Field("thx_interval_sd_s", "THX", "respiratory", "s", 0.0, 10.0),
    # Both belts are needed; they are listed with the thorax.
    Field("thx_abd_phase_deg", "THX", "respiratory", "deg", 0.0, 180.0),
    Field("thx_abd_phase_max_deg", "THX", "respiratory", "deg", 0.0, 180.0),
    Field("af_rate_bpm", "AF", "respiratory", "breaths/min", 3.0, 60.0),
    Field("af_flatness", "AF", "respiratory", "", 0.0, 1.0),
    Field("af_reduction_pct", "AF", "respiratory", "%", 0.0, 100.0),
]
_SOMATIC = [
    Field("emg_median_hz", "EMG_CHIN", "somatic", "Hz", 0.0, 32.0),
    Field("emg_burst_ratio", "EMG_CHIN", "somatic", "", 1.0, 100.0),
    Field("emg_burst_rate_hz", "EMG_CHIN", "somatic", "Hz", 0.0, 4.0),
    Field("position", "POS", "somatic", "code", -1.0, 4.0),
]

#: Every measurement, in the order in which captions state them.
FIELDS: dict[str, Field] = {
    field.name: field for field in [*_EOG, *_EEG, *_CARDIAC, *_RESPIRATORY, *_SOMATIC]
}
FIELDS_OF_SYSTEM: dict[str, tuple[str, ...]] = {
    system: tuple(name for name, field in FIELDS.items() if field.system == system)
    for system in ("brain", "cardiac", "respiratory", "somatic")
}
