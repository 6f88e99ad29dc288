"""Simulated nights, captions, the objective, the loop, the evaluation; knows no tools, no chat."""
