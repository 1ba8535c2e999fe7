"""What anybody may call: the log, the calendar, the time-stamping authority."""
