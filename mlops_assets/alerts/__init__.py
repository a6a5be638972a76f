"""Alerts: what went wrong, told once to those who own it, and told again when it is over.

``sources`` read Dagster's storage, ``store`` remembers, ``routes`` says who hears of what, ``deliver``
sends through ``channels``, and ``sensor`` runs it all. See ``docs/alerts.md``.
"""
