"""What can go wrong behind a port, in words that say what happened, what it means and what to do."""


class EngineError(Exception):
    """An engine could not do what was asked."""


class Unavailable(EngineError):
    """No answer, or a time-out: nothing is known of the outcome. Never evidence of a bad request."""


class Refused(EngineError):
    """Refused on its own merits (too large, invalid): the same call will be refused again."""


class Misconfigured(EngineError):
    """Topics, partition counts, schema or versions are not what this code needs; the message says what to do."""


class Owned(EngineError):
    """Another live process owns what was claimed."""


class OutOfRange(EngineError):
    """An offset below the log's start or above its end was asked for."""
