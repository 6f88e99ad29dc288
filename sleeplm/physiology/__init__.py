"""Measurements of a night by channel and epoch; numpy and scipy are all it needs."""

from sleeplm.physiology.fields import FIELDS, FIELDS_OF_SYSTEM, Field
from sleeplm.physiology.measurements import NightMeasurements, measure_night
from sleeplm.physiology.oximetry import desaturations
from sleeplm.physiology.quality import NightQuality, Quality, QualityStretch, quality_night
from sleeplm.physiology.waves import Wave

__all__ = [
    "FIELDS",
    "FIELDS_OF_SYSTEM",
    "Field",
    "NightMeasurements",
    "NightQuality",
    "Quality",
    "QualityStretch",
    "Wave",
    "desaturations",
    "measure_night",
    "quality_night",
]
