"""Simulated polysomnographies with known truth, for training, tests and the demo night."""

from train.simulate.artefacts import ARTEFACTS
from train.simulate.export import SCORING_FORMATS, write_night
from train.simulate.layouts import LAYOUTS
from train.simulate.night import CONDITIONS, SimulatedNight, simulate_night

__all__ = [
    "ARTEFACTS",
    "CONDITIONS",
    "LAYOUTS",
    "SCORING_FORMATS",
    "SimulatedNight",
    "simulate_night",
    "write_night",
]
