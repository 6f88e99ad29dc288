"""Simulated polysomnographies with known truth, for training, tests and the demo night."""

from train.simulate.export import write_night
from train.simulate.night import CONDITIONS, SimulatedNight, simulate_night

__all__ = ["CONDITIONS", "SimulatedNight", "simulate_night", "write_night"]
