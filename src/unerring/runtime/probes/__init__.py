"""Probes of an endpoint before a session's first step: whether it draws a new answer each time it is asked."""
