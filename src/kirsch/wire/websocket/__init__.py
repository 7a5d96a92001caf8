"""WebSocket (RFC 6455, RFC 7692): the handshake, frames, compression, and the protocol of one peer."""
