"""Words of HTTP: pure values that the server and the framework both speak; nothing here does I/O."""
