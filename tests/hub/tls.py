"""Certificates made on the spot by the openssl program: good, expired, and of another host.

Each is self-signed and its own CA: a client trusts it through its file alone (SSL_CERT_FILE, or libcurl's
CURLOPT_CAINFO), so that what is left to refuse is the date or the name.
"""

import dataclasses
import pathlib
import ssl
import subprocess


@dataclasses.dataclass(frozen=True)
class Certificate:
    certificate: pathlib.Path
    key: pathlib.Path

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


def make(folder: pathlib.Path, kind: str = "good") -> Certificate:
    """kind: "good" (127.0.0.1 and localhost, a day), "expired" (ended in 2001) or "wrong-host"."""
    made = Certificate(folder / f"{kind}.pem", folder / f"{kind}.key")
    names = "DNS:elsewhere.invalid" if kind == "wrong-host" else "IP:127.0.0.1,DNS:localhost"
    request, extensions = folder / f"{kind}.csr", folder / f"{kind}.ext"
    extensions.write_text(f"subjectAltName={names}\nbasicConstraints=critical,CA:TRUE\n")
    _openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=kernmill test hub",
             "-keyout", made.key, "-out", request)  # fmt: skip
    dates = ["-days", "1"]
    if kind == "expired":
        _sign_in_the_past(folder, request, extensions, made)
        return made
    _openssl("x509", "-req", "-in", request, "-signkey", made.key, "-extfile", extensions,
             "-out", made.certificate, *dates)  # fmt: skip
    return made


def _sign_in_the_past(folder: pathlib.Path, request, extensions, made: Certificate) -> None:
    """`openssl ca` alone sets both dates in every OpenSSL 3."""
    (folder / "index.txt").write_text("")
    (folder / "ca.cnf").write_text(
        f"[ca]\ndefault_ca=it\n[it]\ndatabase={folder}/index.txt\nnew_certs_dir={folder}\n"
        "rand_serial=yes\ndefault_md=sha256\npolicy=any\n[any]\ncommonName=supplied\n"
    )
    _openssl("ca", "-batch", "-notext", "-selfsign", "-config", folder / "ca.cnf", "-in", request,
             "-keyfile", made.key, "-out", made.certificate, "-extfile", extensions,
             "-startdate", "20000101000000Z", "-enddate", "20010101000000Z")  # fmt: skip


def _openssl(*arguments) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60)
