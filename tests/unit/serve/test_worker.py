"""One worker: the signals before and after it answers, its certificate, its end."""

import asyncio
import signal
import ssl

import pytest

from lifecycle.config import Config
from lifecycle.errors import ModelNotFound, ServeError
from lifecycle.serve.worker import Stop, certificate, ends_when_told


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_what_is_loading_and_gives_the_handlers_back(number, capsys):
    before = signal.getsignal(number)
    left = []
    with ends_when_told():
        try:
            signal.raise_signal(number)
            left.append("went on")
        except Exception:  # noqa: BLE001 - as libraries do; it must not keep the signal
            left.append("kept")
        finally:
            left.append("tidied up")
    assert left == ["tidied up"]
    assert signal.getsignal(number) is before
    assert "told to stop" in capsys.readouterr().err


def test_an_error_while_loading_is_still_an_error(capsys):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ModelNotFound), ends_when_told():
        raise ModelNotFound("no such model")
    assert signal.getsignal(signal.SIGTERM) is before
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("numbers", "hurried"),
    [
        ([signal.SIGTERM], False),
        ([signal.SIGINT], True),
        ([signal.SIGTERM, signal.SIGTERM], True),
        ([signal.SIGTERM, signal.SIGINT], True),
    ],
)
def test_a_second_signal_or_an_interrupt_hurries(numbers, hurried):
    async def story():
        stop = Stop()
        for number in numbers:
            stop.tell(number)
        await asyncio.wait_for(stop.wait(), 5)
        return stop

    stop = asyncio.run(story())
    assert (stop.told, stop.hurried) == (True, hurried)


# certificates -----------------------------------------------------------------------------------


def secured(cert, key):
    return Config().with_values(serve__tls_cert=str(cert), serve__tls_key=str(key))


def test_without_files_there_is_no_tls():
    assert certificate(Config()) is None


def test_a_certificate_and_its_key_are_taken(pem):
    context = certificate(secured(*pem))
    assert isinstance(context, ssl.SSLContext)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_half_a_certificate_is_said(pem):
    for config in (secured(pem[0], ""), secured("", pem[1])):
        with pytest.raises(ServeError, match="needs both a certificate and its key") as caught:
            certificate(config)
        assert "--tls-cert" in caught.value.fix


def test_files_that_are_no_certificate_are_named(pem, tmp_path):
    other = tmp_path / "text.pem"
    other.write_text("not PEM")
    for cert, key in ((other, pem[1]), (pem[0], other), (tmp_path / "gone.pem", pem[1])):
        with pytest.raises(ServeError, match="the certificate cannot be used") as caught:
            certificate(secured(cert, key))
        assert caught.value.where == f"{cert}, {key}"
