"""The rules of the wire: what is refused and how, what is accepted although others refuse it.

REFUSED: rule -> (what arrives, status, text, RFC section). ACCEPTED: rule -> (what arrives, what is
made of it, RFC section). The tables of docs/wire.md are made from these, and every rule has at
least one case in the corpus.
"""

_TARGET = "Malformed Request-URI"
_LINE = "Malformed Request-Line"
_FIELD = "Illegal header line."
_CRLF = "HTTP requires CRLF terminators"
_CL = "Malformed Content-Length Header."
_TE = "Transfer-Encoding must be exactly 'chunked'."
_ORIGIN = (
    "Invalid path in Request-URI: request-target must contain origin-form which starts with "
    'absolute-path (URI starting with a slash "/").'
)
_AUTHORITY = "Invalid path in Request-URI: request-target must match authority-form."
_HEAD = "The headers sent with the request exceed the maximum allowed bytes."
_SIZE = "Malformed chunk size."
_DATA = "Chunk data must be followed by CRLF."

REFUSED = {
    # line ends
    "bare-lf": ("a line that ends with LF alone", 400, _CRLF, "RFC 9112 2.2"),
    "bare-cr-line": ("CR within the request line", 400, _LINE, "RFC 9112 2.2"),
    "bare-cr-field": ("CR within a field line", 400, _FIELD, "RFC 9112 2.2, RFC 9110 5.5"),
    "empty-lines": ("more than four empty lines before a request", 400, _LINE, "RFC 9112 2.2"),
    # request line
    "parts": ("not exactly method, target and version, one space apart", 400, _LINE, "RFC 9112 3"),
    "first-byte": ("a first byte no method may have", 400, _LINE, "RFC 9112 3.1, RFC 9110 5.6.2"),
    "method-token": ("a method that is no token", 400, _LINE, "RFC 9112 3.1, RFC 9110 5.6.2"),
    "method-case": (
        "a method with lower-case letters",
        400,
        "Malformed method name: method names are case-sensitive and uppercase.",
        "RFC 9110 9.1",
    ),
    "method-long": (
        "a method of more than 32 bytes",
        501,
        "The request method is longer than any this server implements.",
        "RFC 9112 3",
    ),
    "protocol": ("a version of another protocol", 400, _LINE + ": bad protocol", "RFC 9112 2.3"),
    "version": ("a version not DIGIT.DIGIT", 400, _LINE + ": bad version", "RFC 9112 2.3"),
    "version-other": (
        "a version other than 1.0 and 1.1",
        505,
        "Cannot fulfill request",
        "RFC 9112 2.3, RFC 9110 15.6.6",
    ),
    "line-long": (
        "a request line longer than max_request_line",
        414,
        "The Request-URI sent with the request exceeds the maximum allowed bytes.",
        "RFC 9112 3",
    ),
    # target
    "target-bytes": (
        "a control byte or a byte above 126 in the target",
        400,
        _TARGET,
        "RFC 3986 2, RFC 9112 3.2",
    ),
    "fragment": ("# in the target", 400, "Illegal #fragment in Request-URI.", "RFC 9112 3.2"),
    "target-form": ("a target of no known form", 400, _ORIGIN, "RFC 9112 3.2"),
    "asterisk": ("* with a method other than OPTIONS", 400, _ORIGIN, "RFC 9112 3.2.4"),
    "authority-form": ("CONNECT to what is no host:port", 400, _AUTHORITY, "RFC 9112 3.2.3"),
    "absolute-authority": (
        "an absolute target with an empty or malformed host, or user information",
        400,
        _TARGET,
        "RFC 9110 4.2.1, 4.2.4",
    ),
    # field lines
    "no-colon": ("a field line without colon", 400, _FIELD, "RFC 9112 5"),
    "space-colon": ("whitespace between name and colon", 400, _FIELD, "RFC 9112 5.1"),
    "fold": ("a folded line, or whitespace before the first field", 400, _FIELD, "RFC 9112 5.2"),
    "empty-name": ("an empty field name", 400, _FIELD, "RFC 9110 5.1"),
    "name-token": ("a field name that is no token", 400, _FIELD, "RFC 9110 5.1"),
    "value-bytes": ("NUL or another control byte in a value", 400, _FIELD, "RFC 9110 5.5"),
    "head-large": ("a head larger than max_head", 413, _HEAD, "RFC 9110 5.4"),
    "fields-many": ("more field lines than max_fields", 431, _HEAD, "RFC 6585 5"),
    # Host
    "host-missing": (
        "HTTP/1.1 without Host",
        400,
        "HTTP/1.1 requires a 'Host' request header.",
        "RFC 9112 3.2",
    ),
    "host-twice": ("Host more than once", 400, "More than one Host header.", "RFC 9112 3.2"),
    "host-malformed": ("a malformed Host", 400, "Malformed Host header.", "RFC 9112 3.2"),
    # framing
    "length-malformed": ("a Content-Length that is not 1 to 18 digits", 400, _CL, "RFC 9110 8.6"),
    "length-twice": (
        "Content-Length more than once, even when equal",
        400,
        "More than one Content-Length header.",
        "RFC 9112 6.3",
    ),
    "length-and-coding": (
        "Content-Length together with Transfer-Encoding",
        400,
        "Content-Length together with Transfer-Encoding.",
        "RFC 9112 6.3, 11.2",
    ),
    "coding": ("a Transfer-Encoding other than one chunked", 400, _TE, "RFC 9112 6.1, 6.3"),
    "coding-1.0": (
        "Transfer-Encoding in HTTP/1.0",
        400,
        "Transfer-Encoding in an HTTP/1.0 request.",
        "RFC 9112 6.1",
    ),
    "type-contradictory": (
        "two different Content-Type fields",
        400,
        "Contradictory Content-Type headers.",
        "RFC 9110 5.3, 8.3",
    ),
    "authorization-contradictory": (
        "two different Authorization fields",
        400,
        "Contradictory Authorization headers.",
        "RFC 9110 5.3, 11.6.2",
    ),
    # chunks
    "chunk-size": (
        "a chunk size that is not 1 to 15 hexadecimal digits, or a malformed extension",
        400,
        _SIZE,
        "RFC 9112 7.1, 7.1.1",
    ),
    "chunk-line-long": ("a chunk line longer than max_chunk_line", 400, _SIZE, "RFC 9112 7.1.1"),
    "chunk-lf": ("a chunk or trailer line that ends with LF alone", 400, _CRLF, "RFC 9112 7.1"),
    "chunk-end": ("anything but CRLF after the data of a chunk", 400, _DATA, "RFC 9112 7.1"),
    "trailer": ("a malformed trailer line", 400, "Illegal trailer line.", "RFC 9112 7.1.2"),
    "trailer-large": ("more trailer than max_trailer or max_fields", 431, _HEAD, "RFC 9112 7.1.2"),
    "body-large": (
        "a body larger than max_body, by its declaration or chunk by chunk",
        413,
        "The entity sent with the request exceeds the maximum allowed bytes.",
        "RFC 9110 15.5.14",
    ),
}

ACCEPTED = {
    "empty-lines": ("up to four CRLF before a request", "skipped", "RFC 9112 2.2"),
    "absolute": (
        "an absolute http or https target whose host differs from Host",
        "the host of the target replaces Host; both schemes are reported, neither is believed",
        "RFC 9112 3.2.2",
    ),
    "double-slash": ("a path that begins with //", "a path, never an authority", "RFC 9112 3.2.1"),
    "target-chars": (
        "visible characters a URI may not hold, such as | or {",
        "kept: browsers send them",
        "RFC 9112 3.2",
    ),
    "percent": ("% without two hexadecimal digits", "kept as it is", "RFC 3986 2.1"),
    "percent-slash": ("%2F in a path", "kept as %2F: it separates nothing", "RFC 3986 2.2"),
    "percent-nul": ("%00, %0D, %0A in a path", "decoded: data like any other", "RFC 3986 2.1"),
    "underscore": (
        "a field name with an underscore",
        "the field is dropped: in an environ it would pass for its hyphenated twin",
        "RFC 9110 5.1",
    ),
    "repeated": (
        "a repeated field that is a list",
        "joined with a comma, Cookie with a semicolon",
        "RFC 9110 5.3, RFC 9113 8.2.3",
    ),
    "repeated-equal": (
        "Content-Type or Authorization repeated with the same value",
        "taken once",
        "RFC 9110 5.3",
    ),
    "obs-text": ("bytes above 127 in a value", "kept, as latin-1", "RFC 9110 5.5"),
    "host-empty": ("an empty Host", "kept", "RFC 9112 3.2"),
    "host-encoded-word": ("Host as an RFC 2047 encoded word", "kept: CherryPy decodes it", "none"),
    "expect-1.0": ("Expect in HTTP/1.0, or without content", "ignored", "RFC 9110 10.1.1"),
    "expect-other": ("another expectation than 100-continue", "ignored", "RFC 9110 10.1.1"),
    "bws": ("whitespace around ; and = of a chunk extension", "ignored", "RFC 9112 7.1.1"),
    "trailer": ("a well-formed trailer section", "dropped", "RFC 9112 7.1.2"),
    "chunk-zeros": ("a chunk size with leading zeros, or 00", "as the number", "RFC 9112 7.1"),
    "authority": ("CONNECT host:port", "passed on, the authority as path", "RFC 9112 3.2.3"),
}
