"""The framework: one request from its path to its response, and what the process owns."""
