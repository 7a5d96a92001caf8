"""The names of the libraries whose instruments are on."""

SEEN: set[str] = set()
