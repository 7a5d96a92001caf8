"""Certificates: by name, of clients, changed while serving, and what is said of those that are wrong."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from server_kit import Bench, Peer, hello, until
from tls_kit import Pki, TLSPeer, client_context

from kirsch.server.selfsigned import self_signed_certificate
from kirsch.server.server import Server
from kirsch.server.sslnames import distinguished_name, escaped


def subject(peer: TLSPeer) -> str:
    """The common name of the certificate that the server has shown."""
    return str(dict(pair[0] for pair in peer.sock.getpeercert()["subject"])["commonName"])


def connect(bench: Bench, server: Any, pki: Pki, name: str = "localhost", **client: Any) -> TLSPeer:
    context = client_context(pki, **client)
    context.check_hostname = False
    peer = TLSPeer(server.bound_addresses[0], context, name)
    bench.stack.callback(peer.close)
    return peer


def environ_app(seen: list[dict[str, Any]]) -> Any:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(environ)
        return hello(environ, start_response)

    return app


# ---------------------------------------------------------------------------------------- names


def test_a_certificate_for_each_name(bench: Bench, pki: Pki) -> None:
    names = ("one.test", "*.two.test", "deep.two.test")
    sni: dict[str, Any] = {name: pki.issue(name) for name in names}
    sni["bücher.test"] = pki.issue("xn--bcher-kva.test")
    certificate, key = pki.local
    server = bench.server(certificate=certificate, private_key=key, sni=sni)
    for asked, shown in {
        "one.test": "one.test",
        "ONE.test": "one.test",
        "any.two.test": "*.two.test",
        "deep.two.test": "deep.two.test",
        "a.b.two.test": "localhost",
        "two.test": "localhost",
        "other.test": "localhost",
        "xn--bcher-kva.test": "xn--bcher-kva.test",
    }.items():
        peer = connect(bench, server, pki, asked)
        assert (subject(peer), peer.get()[0]) == (shown, 200), asked
    bare = client_context(pki)
    bare.check_hostname = False
    peer = TLSPeer(server.bound_addresses[0], bare, None)  # type: ignore[arg-type]  # no SNI
    assert subject(peer) == "localhost" and peer.get()[0] == 200
    peer.close()


def test_a_chain_of_its_own_is_sent_and_not_trusted(bench: Bench, pki: Pki, tmp_path: Path) -> None:
    middle = pki.issue("Middle CA", ca=True)
    certificate, key = pki.issue("chained", by=middle)
    chain = tmp_path / "chain.pem"  # with the root, as some put it there
    chain.write_bytes(Path(middle[0]).read_bytes() + Path(pki.ca).read_bytes())
    settings = {"certificate": certificate, "private_key": key, "certificate_chain": chain}
    peer = connect(bench, bench.server(**settings), pki)  # the client knows the root only
    assert subject(peer) == "chained"
    other = pki.self_signed("Other CA", ca=True)
    server = bench.server(**settings, client_ca=other[0], verify="required")
    guest = pki.issue("guest")
    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
        connect(bench, server, pki, certificate=guest).get()
    assert until(lambda: server.counters["tls_errors"] == 1)


def test_the_whole_chain_and_the_key_in_one_file(bench: Bench, pki: Pki, tmp_path: Path) -> None:
    middle = pki.issue("Second CA", ca=True)
    certificate, key = pki.issue("whole", by=middle)
    path = tmp_path / "whole.pem"
    path.write_bytes(b"".join(Path(name).read_bytes() for name in (key, certificate, middle[0])))
    assert subject(connect(bench, bench.server(certificate=path), pki)) == "whole"


@pytest.mark.parametrize("password", ["sésame", "sésame".encode(), lambda: "sésame"])
def test_an_encrypted_key(bench: Bench, pki: Pki, password: Any) -> None:
    certificate, key = pki.issue("locked", password="sésame")
    server = bench.server(certificate=certificate, private_key=key, private_key_password=password)
    assert subject(connect(bench, server, pki)) == "locked"


def test_a_ready_context(bench: Bench, pki: Pki) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pki.local)
    server = bench.server(ssl_context=context)
    assert connect(bench, server, pki).get()[0] == 200
    assert server.scheme == "https"


def test_ciphers(bench: Bench, pki: Pki) -> None:
    certificate, key = pki.local
    name = "ECDHE-ECDSA-CHACHA20-POLY1305"
    server = bench.server(certificate=certificate, private_key=key, ciphers=name)
    peer = connect(bench, server, pki, version=ssl.TLSVersion.TLSv1_2)
    assert peer.sock.cipher()[0] == name


# -------------------------------------------------------------------------------------- clients


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_clients_with_certificates(bench: Bench, pki: Pki, version: Any) -> None:
    seen: list[dict[str, Any]] = []
    certificate, key = pki.local
    mine = pki.issue(
        "client",
        subject="/C=AT/O=Kirsch, Söhne/OU=a/OU=b/CN=client",
        san="DNS:client.test,email:c@client.test",
    )
    stranger = pki.self_signed("stranger")
    for verify in ("optional", "required"):
        server = bench.server(
            environ_app(seen),
            certificate=certificate,
            private_key=key,
            client_ca=pki.ca,
            verify=verify,
        )
        assert connect(bench, server, pki, version=version, certificate=mine).get()[0] == 200
        environ = seen[-1]
        assert environ["SSL_CLIENT_VERIFY"] == "SUCCESS"
        dn = "CN=client,OU=b,OU=a,O=Kirsch\\, Söhne,C=AT".encode().decode("latin-1")
        assert environ["SSL_CLIENT_S_DN"] == dn
        assert environ["SSL_CLIENT_S_DN_CN"] == "client"
        assert (environ["SSL_CLIENT_S_DN_OU"], environ["SSL_CLIENT_S_DN_OU_1"]) == ("a", "b")
        assert environ["SSL_CLIENT_I_DN"] == "CN=Test CA"
        assert environ["SSL_CLIENT_SAN_DNS_0"] == "client.test"
        assert environ["SSL_CLIENT_SAN_Email_0"] == "c@client.test"
        pem = ssl.PEM_cert_to_DER_cert(environ["SSL_CLIENT_CERT"])
        assert pem == ssl.PEM_cert_to_DER_cert(Path(mine[0]).read_text())
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            connect(bench, server, pki, version=version, certificate=stranger).get()
        count = len(seen)
        if verify == "optional":
            assert connect(bench, server, pki, version=version).get()[0] == 200
            assert seen[-1]["SSL_CLIENT_VERIFY"] == "NONE"
        else:
            with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
                connect(bench, server, pki, version=version).get()
            assert len(seen) == count


def test_nobody_hides_an_attribute_in_another() -> None:
    rdns = ((("countryName", "AT"),), (("commonName", " a,CN=admin+x\\ "),))
    assert distinguished_name(rdns) == "CN=\\ a\\,CN\\=admin\\+x\\\\\\ ,C=AT"
    assert escaped("#1\0") == "\\#1\\00"


# --------------------------------------------------------------------------------------- reload


def install(pair: tuple[str, str], certificate: Path, key: Path) -> None:
    """Put a certificate in place as programs do: one file after the other, each by rename."""
    for source, target in zip(pair, (certificate, key), strict=True):
        fresh = target.with_suffix(".new")
        shutil.copy(source, fresh)
        os.replace(fresh, target)


def test_changed_files_are_found(bench: Bench, pki: Pki, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("kirsch.server.certificates.CHECK", 0.05)
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    install(pki.issue("before"), certificate, key)
    server = bench.server(certificate=certificate, private_key=key)
    old = connect(bench, server, pki)
    assert subject(old) == "before" and old.get()[0] == 200
    install(pki.issue("after"), certificate, key)
    assert until(lambda: subject(connect(bench, server, pki)) == "after")
    assert old.get()[0] == 200
    # What cannot be used changes nothing, and is said once.
    certificate.write_text("broken")
    for _ in range(10):
        assert subject(connect(bench, server, pki)) == "after"
        time.sleep(0.02)  # several looks at the files
    assert len(bench.errors()) == 1 and str(certificate) in bench.errors()[0]
    install(pki.issue("mended"), certificate, key)
    assert until(lambda: subject(connect(bench, server, pki)) == "mended")
    assert len(bench.errors()) == 1


def test_reload_under_load_drops_nothing(bench: Bench, pki: Pki, tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    pairs = [pki.issue("even"), pki.issue("odd")]
    install(pairs[0], certificate, key)
    server = bench.server(certificate=certificate, private_key=key)
    done = threading.Event()
    failed: list[BaseException] = []
    shown: set[str] = set()
    kept = [connect(bench, server, pki) for _ in range(3)]

    def load() -> None:
        try:
            context = client_context(pki)
            context.check_hostname = False
            while not done.is_set():
                peer = TLSPeer(server.bound_addresses[0], context)
                shown.add(subject(peer))
                assert peer.get()[2] == b"hello"
                peer.close()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=load, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(1, 31):
        install(pairs[number % 2], certificate, key)
        server.reload_tls()
        peer = connect(bench, server, pki)
        assert subject(peer) == ("even", "odd")[number % 2]
        assert all(other.get()[2] == b"hello" for other in (peer, *kept))
    done.set()
    for thread in threads:
        thread.join(10)
    assert failed == [] and shown == {"even", "odd"}
    assert server.counters["tls_errors"] == 0 and bench.errors() == []


def test_reload_by_hand(bench: Bench, pki: Pki) -> None:
    server = bench.server(certificate=pki.local[0], private_key=pki.local[1])
    server.settings.certificate = "/nowhere.pem"
    with pytest.raises(OSError, match=r"certificate: cannot read /nowhere\.pem"):
        server.reload_tls()
    assert subject(connect(bench, server, pki)) == "localhost"
    server.settings.certificate, server.settings.private_key = pki.issue("later")
    server.reload_tls()
    assert subject(connect(bench, server, pki)) == "later"
    with pytest.raises(RuntimeError, match="does not speak TLS"):
        bench.server().reload_tls()


# --------------------------------------------------------------------------------------- faults


def faults(pki: Pki) -> dict[str, tuple[dict[str, Any], str]]:
    certificate, key = pki.local
    locked, locked_key = pki.issue("locked2", password="sesame")
    other_key = pki.issue("someone else")[1]
    text = pki.path("text.pem")
    Path(text).write_text("nothing of use")
    locked_pair = {"certificate": locked, "private_key": locked_key}
    good = {"certificate": certificate, "private_key": key}
    return {
        "no file": (
            {"certificate": "/nowhere/c.pem"},
            "certificate: cannot read /nowhere/c.pem: No such file",
        ),
        "a folder": ({"certificate": str(pki.folder)}, f"cannot read {pki.folder}: Is a directory"),
        "no certificate": ({"certificate": text}, f"certificate: no certificate (PEM) in {text}"),
        "no key file": (
            {"certificate": certificate, "private_key": "/nowhere/k.pem"},
            "private_key: cannot read /nowhere/k.pem: No such file",
        ),
        "key left out": (
            {"certificate": certificate},
            f"private_key: no private key (PEM) in {certificate}; set private_key",
        ),
        "text for a key": (
            {"certificate": certificate, "private_key": text},
            f"private_key: no private key (PEM) in {text}",
        ),
        "another key": (
            {"certificate": certificate, "private_key": other_key},
            f"the key in {other_key} does not belong to the certificate in {certificate}",
        ),
        "no password": (locked_pair, f"{locked_key} is encrypted; set private_key_password"),
        "wrong password": (
            {**locked_pair, "private_key_password": "x"},
            f"private_key_password is wrong for the key in {locked_key}",
        ),
        "a strange password": ({**locked_pair, "private_key_password": 7}, locked_key),
        "no chain": (
            {**good, "certificate_chain": text},
            f"certificate_chain: no certificate (PEM) in {text}",
        ),
        "no authority": ({**good, "verify": "required"}, "needs client_ca"),
        "wrong authority": (
            {**good, "verify": "required", "client_ca": text},
            f"client_ca: no certificate (PEM) in {text}",
        ),
        "a name": ({**good, "sni": {"a.test": (text, key)}}, "sni['a.test']: certificate: no"),
        "ciphers": ({**good, "ciphers": "ROT13"}, "ciphers: OpenSSL knows none of 'ROT13'"),
        "key alone": ({"private_key": key}, "need a certificate beside them"),
    }


def test_what_is_wrong_is_said_with_its_file(pki: Pki) -> None:
    for name, (settings, words) in faults(pki).items():
        server = Server("127.0.0.1:0", hello, **settings)
        with pytest.raises((OSError, ValueError)) as caught:
            server.start()
        assert words in str(caught.value), name
        assert server.listeners == []


def test_settings_out_of_range() -> None:
    for settings in ({"verify": "maybe"}, {"tls_minimum": "1.1"}, {"plain_http": "x"}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            Server("127.0.0.1:0", hello, **settings)


# --------------------------------------------------------------------------------- command line


def test_the_command_line(pki: Pki, tmp_path: Path) -> None:
    (tmp_path / "web.py").write_text(
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [environ['wsgi.url_scheme'].encode()]\n"
    )
    certificate, key = pki.issue("command", password="sesame")
    (tmp_path / "password").write_text("sesame\n")
    private = ["--private-key", key, "--key-password-file", "password"]
    for options in (["--self-signed"], ["--certificate", certificate, *private]):
        command = [sys.executable, "-m", "kirsch", "web:app", "--bind", "127.0.0.1:0", *options]
        with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            line = process.stderr.readline()
            try:
                port = int(line.rpartition(":")[2])
                context = ssl.create_default_context()
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
                peer = TLSPeer(("127.0.0.1", port), context)
                assert peer.get()[2] == b"https"
                assert Peer(("127.0.0.1", port)).get()[0] == 400
                peer.close()
            finally:
                process.terminate()
        assert process.returncode == 0


def test_a_self_signed_certificate(tmp_path: Path, monkeypatch: Any) -> None:
    path = self_signed_certificate(str(tmp_path))
    assert os.stat(path).st_mode & 0o777 == 0o600 and os.listdir(tmp_path) == ["localhost.pem"]
    server = Server("127.0.0.1:0", hello, certificate=path)
    server.start()
    try:
        context = ssl.create_default_context(cafile=path)
        for name in ("localhost", "127.0.0.1"):
            peer = TLSPeer(server.bound_addresses[0], context, name)
            assert peer.get()[0] == 200
            peer.close()
    finally:
        server.stop()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OSError, match="install the package openssl"):
        self_signed_certificate()
