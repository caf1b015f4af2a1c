"""The pool over TLS."""

import asyncio
import ssl
import subprocess
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.upstream.dialing import Dialer
from proxy.upstream.errors import UpstreamConnectError, UpstreamError
from proxy.upstream.pool import PoolLimits, UpstreamPool
from proxy.upstream.tls import TlsFileError, context_of
from runtime.settings import Tls
from tests.support.asking import MEGABYTE, REQUEST, ask, echo_forever
from tests.support.both_loops import BOTH_LOOPS, LoopFactory, run_on
from tests.support.scripted_server import RecordingSink, ScriptedServer, serve


async def over_tls(paths: tuple[Path, Path], scenario: Callable[[ScriptedServer], Coroutine[None, None, None]]) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*paths)
    async with serve(echo_forever, tls=context) as server:
        await scenario(server)


@BOTH_LOOPS
def test_https_verifies_the_server_and_keeps_the_connection(
    loop_factory: LoopFactory, certificate: tuple[Path, Path]
) -> None:
    body = bytes(range(256)) * (3 * MEGABYTE // 256)

    async def scenario(server: ScriptedServer) -> None:
        pool = UpstreamPool(server.origin, PoolLimits(), tls=ssl.create_default_context(cafile=certificate[0]))
        assert await ask(pool, b"a") == b"0:a"
        assert await ask(pool, body) == b"0:" + body
        assert pool.idle == 1
        await pool.close()

    run_on(loop_factory, lambda: over_tls(certificate, scenario))


@BOTH_LOOPS
def test_https_refuses_a_certificate_nobody_vouches_for(
    loop_factory: LoopFactory, certificate: tuple[Path, Path]
) -> None:
    async def scenario(server: ScriptedServer) -> None:
        pool = UpstreamPool(server.origin, PoolLimits())
        with pytest.raises(UpstreamConnectError, match="certificate verify failed"):
            await pool.send(REQUEST, RecordingSink())
        assert pool.active == 0
        await pool.close()

    run_on(loop_factory, lambda: over_tls(certificate, scenario))


@dataclass(frozen=True)
class Authority:
    """A certificate authority, a server's certificate by the name of `llm.internal`, and a client's."""

    folder: Path

    @classmethod
    def made(cls, folder: Path) -> "Authority":
        made = cls(folder)
        usage = ["-addext", "keyUsage=critical,keyCertSign"]  # without it, it is none for Python 3.13
        made._openssl("req", "-x509", *_NEW_KEY, "-days", "2", "-subj", "/CN=farebox-test-ca", *usage, "-out", "ca.pem")
        (folder / "ca.key").write_bytes((folder / "new.key").read_bytes())
        for name, extension in (("server", "subjectAltName=DNS:llm.internal"), ("client", "keyUsage=digitalSignature")):
            (folder / f"{name}.ext").write_text(f"{extension}\nauthorityKeyIdentifier=keyid\n")
            made._openssl("req", *_NEW_KEY, "-subj", f"/CN={name}", "-out", f"{name}.csr")
            (folder / f"{name}.key").write_bytes((folder / "new.key").read_bytes())
            signing = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", f"{name}.ext"]
            made._openssl("x509", "-req", "-in", f"{name}.csr", *signing, "-out", f"{name}.pem")
        return made

    def _openssl(self, *arguments: str) -> None:
        try:
            subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)
        except FileNotFoundError:
            pytest.skip("the openssl command is not installed")

    def file(self, name: str) -> str:
        return str(self.folder / name)

    def server_context(self, *, asks_for_a_certificate: bool) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.file("server.pem"), self.file("server.key"))
        if asks_for_a_certificate:
            context.load_verify_locations(self.file("ca.pem"))
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def settings(self, **others: object) -> Tls:
        return Tls.model_validate({"ca_file": self.file("ca.pem"), "server_name": "llm.internal"} | others)

    @property
    def our_certificate(self) -> dict[str, object]:
        return {"cert_file": self.file("client.pem"), "key_file": self.file("client.key")}


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "new.key")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.made(tmp_path_factory.mktemp("authority"))


def trying(
    loop_factory: LoopFactory, authority: Authority, settings: Tls, *, asks_for_a_certificate: bool = False
) -> bytes | str:
    """What a server of the authority answers; the reason if it does not."""
    found: list[bytes | str] = []

    async def scenario() -> None:
        context = authority.server_context(asks_for_a_certificate=asks_for_a_certificate)
        async with serve(echo_forever, tls=context) as server:
            dialer = Dialer(5, settings.server_name)
            pool = UpstreamPool(server.origin, PoolLimits(), tls=context_of(settings), connect=dialer)
            try:
                found.append(await asyncio.wait_for(ask(pool, b"a"), 10))
            except (UpstreamError, AssertionError) as error:
                found.append(str(error))
            await pool.close()

    run_on(loop_factory, scenario)
    return found[0]


@BOTH_LOOPS
def test_an_authority_of_our_own_vouches_for_a_name(loop_factory: LoopFactory, authority: Authority) -> None:
    assert trying(loop_factory, authority, authority.settings()) == b"0:a"
    assert "certificate verify failed" in str(trying(loop_factory, authority, Tls(server_name="llm.internal")))
    assert "Hostname mismatch" in str(trying(loop_factory, authority, authority.settings(server_name="other.internal")))
    assert "IP address mismatch" in str(trying(loop_factory, authority, authority.settings(server_name=None)))


@BOTH_LOOPS
def test_a_server_may_ask_for_our_certificate(loop_factory: LoopFactory, authority: Authority) -> None:
    ours = authority.settings(**authority.our_certificate)
    assert trying(loop_factory, authority, ours, asks_for_a_certificate=True) == b"0:a"
    refused = trying(loop_factory, authority, authority.settings(), asks_for_a_certificate=True)
    assert isinstance(refused, str)


def test_files_that_cannot_be_used_are_told_by_their_setting(authority: Authority, tmp_path: Path) -> None:
    with pytest.raises(TlsFileError, match=r"^ca_file: .*/none\.pem cannot be read \(No such file or directory\)$"):
        context_of(Tls(ca_file=tmp_path / "none.pem"))
    (tmp_path / "word.pem").write_text("word")
    with pytest.raises(TlsFileError, match=r"^ca_file: .*/word\.pem cannot be used"):
        context_of(Tls(ca_file=tmp_path / "word.pem"))
    mixed = {"cert_file": authority.file("server.pem"), "key_file": authority.file("client.key")}
    with pytest.raises(TlsFileError, match=r"^cert_file: .*server\.pem and its key_file cannot be used \(KEY_VALUES"):
        context_of(authority.settings(**mixed))


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_its_password(authority: Authority) -> None:
    authority._openssl("ec", "-aes128", "-passout", "pass:word", "-in", "client.key", "-out", "locked.key")
    locked = {"cert_file": authority.file("client.pem"), "key_file": authority.file("locked.key")}
    with pytest.raises(TlsFileError, match="cannot be used"):
        context_of(authority.settings(**locked))
