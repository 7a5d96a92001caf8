"""Protocols: bytes in, values out; nothing here touches a socket, a thread or a clock."""
