"""HTTP/1: request heads, bodies, response heads, and whether a connection lives on."""
