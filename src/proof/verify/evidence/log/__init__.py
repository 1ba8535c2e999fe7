"""The timestamp log: RFC 6962, signed notes, cosignatures."""
