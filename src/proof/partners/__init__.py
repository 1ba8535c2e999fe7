"""Partners: records, environments, credentials, allowlists, signing secrets, audit."""
