"""/operator/v1: what operators do over HTTP."""
