"""Hosting: the only room that knows both the framework and the `kirsch` server."""
