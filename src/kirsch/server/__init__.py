"""Sockets and threads: the server, which knows no framework."""
