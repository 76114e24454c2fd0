"""Certificates for tests: an authority, and what it signs; made by the openssl program.

Elliptic curves keep it fast. Every file is readable by the account that the servers run as.
"""

import subprocess
from pathlib import Path

VALID_DAYS = "2"


def _openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def _new_key(path, kind):
    if kind == "ed25519":
        _openssl("genpkey", "-algorithm", "ed25519", "-out", path)
    elif kind == "rsa":
        _openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", path)
    else:
        _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)


class Pair:
    """A certificate and its key."""

    def __init__(self, certificate, key):
        self.certificate = certificate
        self.key = key


class Authority:
    """A certificate authority in `folder`; files belong to `account`."""

    def __init__(self, folder, account, name="test authority", kind="ec"):
        self.folder = Path(folder)
        self.account = account
        self.folder.mkdir(mode=0o755)
        account.take(self.folder)
        self.certificate = self.folder / "ca.crt"
        self.key = self.folder / "ca.key"
        self.kind = kind
        _new_key(self.key, kind)
        digest = [] if kind == "ed25519" else ["-sha256"]
        _openssl(
            "req", "-x509", "-new", "-key", self.key, *digest, "-days", VALID_DAYS,
            "-subj", f"/CN={name}", "-out", self.certificate,
        )  # fmt: skip
        self._hand_over(self.certificate, self.key)

    def _hand_over(self, *paths):
        for path in paths:
            path.chmod(0o600)
            self.account.take(path)

    def issue(self, stem, common_name, names=(), kind="ec", digest="sha256"):
        """A certificate for this common name and these alternative names ("DNS:x", "IP:y")."""
        pair = Pair(self.folder / f"{stem}.crt", self.folder / f"{stem}.key")
        request, extensions = self.folder / f"{stem}.csr", self.folder / f"{stem}.ext"
        _new_key(pair.key, kind)
        _openssl("req", "-new", "-key", pair.key, "-subj", f"/CN={common_name}", "-out", request)
        extensions.write_text(f"subjectAltName={','.join(names)}\n" if names else "")
        _openssl(
            "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key,
            "-CAcreateserial", "-days", VALID_DAYS, "-extfile", extensions, "-out", pair.certificate,
            *([] if self.kind == "ed25519" else [f"-{digest}"]),
        )  # fmt: skip
        self._hand_over(pair.certificate, pair.key)
        return pair
