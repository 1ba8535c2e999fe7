"""A witness: it remembers the newest checkpoint of each log it was told of, and cosigns only what
extends it.

Source: c2sp.org/tlog-witness@v1.1.0, in which another root at the size held is a wrong proof (422), while
v1.0.0 answered 409; c2sp.org/tlog-cosignature@v1.1.0-rc.1.

A request, in crash order; whatever line the process stops at, nothing is signed that it could forget:
wire.py reads it, log_keys.py checks the log's signature, decision.py decides against the head in
memory; store.py makes the new head durable if the stored one is still what was decided on; service.py
signs what is durable, and answers.
"""
