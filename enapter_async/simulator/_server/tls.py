"""TLS for the simulator: the user's own certificate, or one that is made for the run."""

from __future__ import annotations

import os
import shutil
import ssl
import tempfile
import weakref
from pathlib import Path

from .texts import require_text

StrPath = str | os.PathLike[str]
Tls = bool | StrPath | tuple[StrPath, StrPath]
"""True makes a certificate; files are a certificate with its key, in one file or in two."""

_NAMES = ("localhost", "127.0.0.1", "::1", "enapter-gateway.local")


class RunCertificate:
    """A certificate for loopback and for one host, by an authority that exists only for this run.

    Attributes:
        context: Serves it.
        ca_file: PEM file of the authority. It is deleted with this object, at the latest when the process ends.

    Raises:
        ImportError: The extra `tls` is not installed.
    """

    def __init__(self, host: str) -> None:
        try:
            import trustme
        except ImportError:
            raise ImportError(
                "a certificate is made by trustme, which is not installed: pip install 'enapter-async[tls]'"
            ) from None
        authority = trustme.CA()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*dict.fromkeys(filter(None, (*_NAMES, host)))).configure_cert(self.context)  # pyright: ignore[reportUnknownMemberType]
        folder = tempfile.mkdtemp(prefix="enapter-simulator-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.ca_file = Path(folder, "ca.pem")
        authority.cert_pem.write_to_path(self.ca_file)


def load_certificate(files: StrPath | tuple[StrPath, StrPath]) -> ssl.SSLContext:
    """Load a certificate and its key.

    Raises:
        TypeError: A path has the wrong type.
        ValueError: The files cannot be used.
    """
    certificate, key = files if isinstance(files, tuple) else (files, None)
    for file in (certificate,) if key is None else (certificate, key):
        require_text("tls", file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without a password function, OpenSSL asks the terminal for the password of an encrypted key.
        context.load_cert_chain(certificate, key, password=lambda: "")
    except ssl.SSLError as error:
        mismatch = error.reason == "KEY_VALUES_MISMATCH"
        reason = "the key belongs to another certificate" if mismatch else "expected PEM, and a key without password"
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
    else:
        return context
    named = os.fspath(certificate) if key is None else f"{os.fspath(certificate)} with key {os.fspath(key)}"
    raise ValueError(f"certificate {named} cannot be used: {reason}")
