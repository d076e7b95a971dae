"""What is signed is known to come from a key that is trusted, or it is refused."""

import base64
import os
import threading

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.config import SigningConfig
from lifecycle.errors import ConfigError
from lifecycle.stores import signing
from lifecycle.stores.signing import make, refusal, sign
from lifecycle.stores.tracking import connect

TEXT = '{"kind":"stage","to":"production"}'


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    public = make(folder / "key.pem")
    return folder / "key.pem", public


@pytest.fixture(scope="module")
def trusting(pair):
    return SigningConfig(key=str(pair[0]), trusted=(pair[1],))


def test_without_a_key_nothing_is_signed_and_without_trust_nothing_is_asked(trusting):
    assert sign(SigningConfig(), TEXT, purpose="entry") == ""
    for signature in ("", "nonsense", sign(trusting, TEXT, purpose="entry")):
        assert refusal(SigningConfig(key=trusting.key), TEXT, signature, purpose="entry") == ""


def test_a_signature_holds_for_its_text_and_purpose_only(trusting):
    signature = sign(trusting, TEXT, purpose="entry")
    assert refusal(trusting, TEXT, signature, purpose="entry") == ""
    assert "another content" in refusal(trusting, TEXT + " ", signature, purpose="entry")
    assert "another content" in refusal(trusting, TEXT, signature, purpose="model")


def test_the_signature_is_that_of_the_standard(trusting, pair):
    _, name, content = sign(trusting, TEXT, purpose="entry").split(":")
    raw = base64.b64decode(pair[1].removeprefix("ed25519:"))
    known = Ed25519PublicKey.from_public_bytes(raw)
    known.verify(base64.b64decode(content), f"lifecycle entry 1\n{TEXT}".encode())
    assert len(raw) == 32
    assert len(name) == 16


@settings(max_examples=25, deadline=None)
@given(text=st.text(max_size=40), position=st.integers(0, 63), bit=st.integers(0, 7))
def test_any_changed_bit_of_a_signature_is_seen(trusting, text, position, bit):
    signature = sign(trusting, text, purpose="entry")
    assert refusal(trusting, text, signature, purpose="entry") == ""
    head, content = signature.rpartition(":")[::2]
    raw = bytearray(base64.b64decode(content))
    raw[position] ^= 1 << bit
    changed = f"{head}:{base64.b64encode(raw).decode()}"
    assert refusal(trusting, text, changed, purpose="entry") != ""


@pytest.mark.parametrize(
    ("signature", "why"),
    [
        ("", "not signed"),
        ("ed25519:", "cannot be read"),
        ("ed25519:0011", "cannot be read"),
        ("rsa:0011:aaaa", "cannot be read"),
        ("ed25519:0011223344556677:AAAA", "key '0011223344556677', which is not one of"),
    ],
)
def test_what_is_no_signature_is_refused(trusting, signature, why):
    assert why in refusal(trusting, TEXT, signature, purpose="entry")


@pytest.mark.parametrize("content", ["", "!", "AAAA", "é", " " * 88])
def test_a_signature_that_names_our_key_but_is_none_is_refused(trusting, content):
    name = sign(trusting, TEXT, purpose="entry").split(":")[1]
    assert refusal(trusting, TEXT, f"ed25519:{name}:{content}", purpose="entry") != ""


def test_another_key_is_named_until_it_is_trusted(trusting, tmp_path):
    public = make(tmp_path / "other.pem")
    other = SigningConfig(key=str(tmp_path / "other.pem"))
    signature = sign(other, TEXT, purpose="entry")
    why = refusal(trusting, TEXT, signature, purpose="entry")
    assert signature.split(":")[1] in why
    both = SigningConfig(trusted=(*trusting.trusted, public))
    assert refusal(both, TEXT, signature, purpose="entry") == ""
    assert refusal(both, TEXT, sign(trusting, TEXT, purpose="entry"), purpose="entry") == ""


def test_a_key_may_be_given_as_file_text_or_pem(trusting, pair):
    signature = sign(trusting, TEXT, purpose="entry")
    file = pair[0].with_name("key.pem.pub")
    note = pair[0].with_name("note.txt")
    note.write_text(f"{pair[1]}\n")
    for given_ in (pair[1], str(file), file.read_text(), str(note)):
        assert refusal(SigningConfig(trusted=(given_,)), TEXT, signature, purpose="entry") == ""


def test_the_private_key_is_the_owners_alone_and_never_overwritten(pair):
    secret = pair[0]
    assert secret.stat().st_mode & 0o777 == 0o600
    assert b"PRIVATE" not in secret.with_name("key.pem.pub").read_bytes()
    before = secret.read_bytes()
    with pytest.raises(ConfigError, match="there already"):
        make(secret)
    assert secret.read_bytes() == before


def test_a_half_of_a_pair_or_a_link_is_not_overwritten_either(tmp_path):
    (tmp_path / "a.pem.pub").write_text("mine")
    with pytest.raises(ConfigError, match="there already"):
        make(tmp_path / "a.pem")
    assert not (tmp_path / "a.pem").exists()
    (tmp_path / "b.pem").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="there already"):
        make(tmp_path / "b.pem")
    assert not (tmp_path / "elsewhere").exists()
    with pytest.raises(ConfigError, match="cannot be written"):
        make(tmp_path / "no" / "folder" / "c.pem")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_may_read_is_not_used(pair, tmp_path, mode):
    open_ = tmp_path / "open.pem"
    open_.write_bytes(pair[0].read_bytes())
    open_.chmod(mode)
    with pytest.raises(ConfigError, match=f"mode is {mode:o}") as caught:
        sign(SigningConfig(key=str(open_)), TEXT, purpose="entry")
    assert caught.value.fix.startswith("chmod 600")


def elliptic():
    return ec.generate_private_key(ec.SECP256R1())


def damaged_private(folder):
    path = folder / "bad.pem"
    path.touch(0o600)
    yield path, b""
    yield path, b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
    yield (
        path,
        elliptic().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def test_what_is_no_private_key_is_one_clear_error(tmp_path):
    for path, content in damaged_private(tmp_path):
        path.write_bytes(content)
        os.utime(path, ns=(len(content), len(content)))
        with pytest.raises(ConfigError, match="no Ed25519 key") as caught:
            sign(SigningConfig(key=str(path)), TEXT, purpose="entry")
        assert "signing-key" in caught.value.fix
    with pytest.raises(ConfigError, match="No such file"):
        sign(SigningConfig(key=str(tmp_path / "gone")), TEXT, purpose="entry")


def test_what_is_no_public_key_is_one_clear_error(pair, tmp_path):
    pem = (
        elliptic()
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    (tmp_path / "ec.pub").write_bytes(pem)
    for name in ("ed25519:AAAA", "ed25519:!", "gone.pub", str(tmp_path / "ec.pub"), str(pair[0])):
        with pytest.raises(ConfigError, match="no Ed25519 key"):
            refusal(SigningConfig(trusted=(name,)), TEXT, "", purpose="entry")


def test_a_private_key_that_was_replaced_is_read_again(tmp_path):
    make(tmp_path / "a.pem")
    make(tmp_path / "b.pem")
    signing_ = SigningConfig(key=str(tmp_path / "a.pem"))
    first = sign(signing_, TEXT, purpose="entry")
    (tmp_path / "b.pem").replace(tmp_path / "a.pem")
    assert sign(signing_, TEXT, purpose="entry") != first


def test_many_threads_may_sign_and_check(trusting):
    found = []

    def work(number):
        signature = sign(trusting, str(number), purpose="entry")
        found.append(refusal(trusting, str(number), signature, purpose="entry"))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [""] * 8


def test_a_client_knows_what_it_signs_with(config, trusting):
    plain = connect(config)
    assert signing.of(plain) == SigningConfig()
    signed = connect(config.with_values(signing__key=trusting.key))
    assert signing.of(signed).key == trusting.key
    assert signing.of(plain).key == ""
