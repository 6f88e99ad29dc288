"""The error family: each message is one line that names the file, field or value, and a remedy."""

__all__ = [
    "CaptionError",
    "LanguageModelError",
    "MontageError",
    "QueryError",
    "RecordingError",
    "ScoringCancelled",
    "ScoringError",
    "SleepLMError",
    "StoreError",
    "WeightsError",
]


class SleepLMError(Exception):
    """Bad input that a user can mend; the command line prints it and exits with code 2."""


class RecordingError(SleepLMError):
    """A signal file that cannot be read, or holds nothing usable."""


class MontageError(SleepLMError):
    """A channel mapping that does not fit the file or the montage."""


class ScoringError(SleepLMError):
    """A scoring file that cannot be read, or belongs to another night."""


class ScoringCancelled(ScoringError):
    """An automatic scoring that the user stopped; it is not begun again unless asked for."""


class WeightsError(SleepLMError):
    """Model weights that cannot be found, trusted, or fitted to their config."""


class CaptionError(SleepLMError):
    """A caption request for a system that the model does not describe."""


class QueryError(SleepLMError):
    """A question's argument (epoch, time, system, event) that this night cannot answer."""


class StoreError(SleepLMError):
    """A case store that does not fit the model, or is in use by another writer."""


class LanguageModelError(SleepLMError):
    """An LLM that is not known, has no key, cannot be reached, or refused the request."""
