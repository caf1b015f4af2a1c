"""What a TLS connection to an LLM server is made with: whom we trust, and who we are."""

import ssl

from runtime.settings import Tls


class TlsFileError(Exception):
    """A file that cannot be used: which setting names it, and why. Nothing of what is in it is told."""


def context_of(settings: Tls) -> ssl.SSLContext:
    """The system's authorities, or only our own where there is one; with a certificate where we are asked for one.

    Reads files: call it at the start.
    """
    own = settings.ca_file
    context = ssl.create_default_context() if own is None else _trusting_nobody()
    if own is not None:
        try:
            context.load_verify_locations(own)
        except OSError as error:
            raise TlsFileError(f"ca_file: {own} {_why(error)}") from None
    if settings.cert_file is not None:
        try:
            # the password of an encrypted key would be asked for at the terminal; an empty one is refused
            context.load_cert_chain(settings.cert_file, settings.key_file, password="")
        except OSError as error:
            raise TlsFileError(f"cert_file: {settings.cert_file} and its key_file {_why(error)}") from None
    return context


def _trusting_nobody() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies, and asks for the server's name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"cannot be used ({error.reason or 'no certificate in PEM'})"
    return f"cannot be read ({error.strerror})"
