"""A self-signed certificate for localhost, made by the openssl command: for development, and only there."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile

DAYS = 30
NAMES = "DNS:localhost,DNS:*.localhost,IP:127.0.0.1,IP:::1"


def self_signed_certificate(folder: str | None = None) -> str:
    """Make a certificate with its key; the path of the one file (PEM) that holds both.

    Without `folder` it lives as long as this process. Raises OSError that says what is missing.
    """
    command = shutil.which("openssl")
    if command is None:
        raise OSError(
            2,
            "a self-signed certificate needs the openssl command: install the package openssl, "
            "or bring a certificate of your own (--certificate, --private-key)",
        )
    if folder is None:
        folder = tempfile.mkdtemp(prefix="kirsch-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path, key = os.path.join(folder, "localhost.pem"), os.path.join(folder, "localhost.key")
    arguments = [
        *(command, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
        *("-nodes", "-keyout", key, "-out", path, "-days", str(DAYS), "-subj", "/CN=localhost"),
        *("-addext", f"subjectAltName={NAMES}", "-addext", "extendedKeyUsage=serverAuth"),
    ]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode:
        words = done.stderr.strip().splitlines() or ["no reason given"]
        raise OSError(5, f"openssl did not make a certificate: {words[-1]}")
    with open(key, encoding="ascii") as file:
        secret = file.read()
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    os.chmod(path, 0o600)
    with os.fdopen(fd, "a", encoding="ascii") as file:
        file.write(secret)
    os.unlink(key)
    return path
