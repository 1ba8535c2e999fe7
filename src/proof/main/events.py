"""How processes tell what happens."""

import sys

import structlog
from structlog.tracebacks import ExceptionDictTransformer


def configure_logging() -> None:
    """JSON lines on standard error, one an event."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            # Local variables hold tokens and secrets; a traceback names files and lines only.
            structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
