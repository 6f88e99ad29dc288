"""Simulated nights, captions, the objective, the loop and the evaluation; knows no tools and no chat."""
