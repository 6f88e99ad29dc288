"""Logistic regression by L-BFGS, so that probes need numpy and scipy alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

__all__ = ["LogisticRegression"]


class LogisticRegression:
    """Multinomial logistic regression on z-scored features, classes weighted equally.

    Parameters
    ----------
    strength : float
        Of the penalty: ``strength / 2 · |w|²`` beside the mean loss over classes.
    steps : int
        L-BFGS iterations at most.
    """

    def __init__(self, strength: float = 1e-2, steps: int = 200) -> None:
        self.strength, self.steps = strength, steps
        self.labels: list[str] = []
        self._center = self._scale = self._weights = np.zeros(0)

    def fit(self, features: np.ndarray, labels: Sequence[str]) -> LogisticRegression:
        """Learn from features [N, F] and N labels.

        Raises
        ------
        ValueError
            There is no row, or a feature is not finite.
        """
        features = np.asarray(features, dtype=float)
        if not len(features) or not np.isfinite(features).all():
            raise ValueError("logistic regression needs rows of finite features")
        self.labels = sorted(set(labels))
        self._center, scale = features.mean(axis=0), features.std(axis=0)
        self._scale = np.where(scale > 1e-9, scale, 1.0)
        rows = self._rows(features)
        place = {label: column for column, label in enumerate(self.labels)}
        target = np.array([place[label] for label in labels])
        n_labels, width = len(self.labels), rows.shape[1]
        share = 1.0 / (n_labels * np.bincount(target, minlength=n_labels)[target])
        wanted = np.zeros((len(rows), n_labels))
        wanted[np.arange(len(rows)), target] = 1.0

        def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
            weights = flat.reshape(width, n_labels)
            logits = rows @ weights
            log_likely = log_softmax(logits, axis=1)
            free = weights.copy()
            free[-1] = 0.0  # the intercept is not penalised
            value = -float((share * (log_likely * wanted).sum(axis=1)).sum())
            value += self.strength / 2 * float((free**2).sum())
            slope = rows.T @ (share[:, None] * (np.exp(log_likely) - wanted))
            return value, (slope + self.strength * free).ravel()

        found = minimize(
            loss,
            np.zeros(width * n_labels),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": self.steps},
        )
        self._weights = found.x.reshape(width, n_labels)
        return self

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Of each label, in the order of :attr:`labels`: float [N, labels]."""
        return softmax(self._rows(np.asarray(features, dtype=float)) @ self._weights, axis=1)

    def predict(self, features: np.ndarray) -> list[str]:
        return [self.labels[best] for best in self.probabilities(features).argmax(axis=1)]

    def _rows(self, features: np.ndarray) -> np.ndarray:
        scaled = np.clip((features - self._center) / self._scale, -8.0, 8.0)
        return np.column_stack([scaled, np.ones(len(scaled))])
