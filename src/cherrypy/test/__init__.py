"""Helpers for testing applications: ``helper``, ``webtest`` and ``logtest``; never interactive
unless asked."""
