"""Which proxy the environment names: the usual variables, and never for a server on this machine."""

import pytest

from edged.errors import Refused
from edged.stream.proxy import Proxy, proxy_for

URL = "wss://api.deepgram.com/v1/listen?model=nova-3"
PLAIN = "ws://recogniser.example:8700/v1/listen"
HTTP, SOCKS = "http://proxy.example:3128", "socks5://proxy.example:1080"
PASSWORD = "c0ffee0123456789abcdef"


def test_no_proxy_is_named() -> None:
    assert proxy_for(URL, {}) is None
    assert proxy_for(URL, {"https_proxy": "", "ALL_PROXY": " "}) is None


@pytest.mark.parametrize(
    ("url", "environ", "variable"),
    [
        (URL, {"https_proxy": HTTP}, "https_proxy"),
        (URL, {"HTTPS_PROXY": HTTP}, "https_proxy"),
        (URL, {"http_proxy": HTTP}, None),
        (URL, {"all_proxy": HTTP}, "all_proxy"),
        (URL, {"all_proxy": SOCKS, "socks_proxy": SOCKS, "https_proxy": HTTP}, "https_proxy"),
        (URL, {"https_proxy": "", "HTTPS_PROXY": HTTP}, None),
        (URL, {"wss_proxy": HTTP, "https_proxy": SOCKS}, "wss_proxy"),
        (PLAIN, {"http_proxy": HTTP}, "http_proxy"),
        (PLAIN, {"http_proxy": SOCKS, "https_proxy": HTTP}, "https_proxy"),
        (PLAIN, {"all_proxy": HTTP}, "all_proxy"),
    ],
)
def test_the_variable_that_counts(url: str, environ: dict[str, str], variable: str | None) -> None:
    """One for all schemes counts least, lower case more than upper case, and empty is none."""
    assert proxy_for(url, environ) == (Proxy(variable, HTTP) if variable else None)


@pytest.mark.parametrize(
    "url", ["ws://127.0.0.1:8700/v1/listen", "ws://localhost/", "wss://[::1]/", "WS://127.1.2.3/v1/listen"]
)
def test_to_this_machine_there_is_none(url: str) -> None:
    """The key would leave it in plain text; not even one that can't be used matters."""
    every = ("ws_proxy", "wss_proxy", "http_proxy", "https_proxy", "all_proxy", "socks_proxy")
    assert proxy_for(url, dict.fromkeys(every, HTTP)) is None
    assert proxy_for(url, dict.fromkeys(every, SOCKS)) is None


@pytest.mark.parametrize(
    ("no_proxy", "proxied"),
    [
        ("*", False),
        ("api.deepgram.com", False),
        ("example.org, .Deepgram.com", False),
        ("deepgram.com", False),
        ("api.deepgram.com:443", False),
        ("api.deepgram.com:444", True),
        ("gram.com", True),
        ("example.org,,", True),
        ("", True),
    ],
)
def test_hosts_that_are_exempt(no_proxy: str, proxied: bool) -> None:
    assert bool(proxy_for(URL, {"https_proxy": HTTP, "NO_PROXY": no_proxy})) is proxied


@pytest.mark.parametrize(
    ("variable", "address"),
    [
        ("https_proxy", SOCKS),
        ("https_proxy", f"socks5h://user:{PASSWORD}@proxy.example:1080"),
        ("all_proxy", "socks://proxy.example:1080/"),
        ("socks_proxy", "proxy.example:1080"),
    ],
)
def test_socks_is_not_spoken(variable: str, address: str) -> None:
    """The variable is named, with what to do, and the address is not: it may have a password."""
    with pytest.raises(Refused) as error:
        proxy_for(URL, {variable: address})
    said = f"{variable} in the environment names a SOCKS proxy, which edged does not speak: "
    assert str(error.value) == f"{said}name an HTTP proxy in https_proxy, or unset it"


@pytest.mark.parametrize(
    "address",
    [
        f"gopher://user:{PASSWORD}@proxy.example:1",
        f"http://user:{PASSWORD}@",
        f"http://{PASSWORD}@proxy.example:3128",
        f"http://user:{PASSWORD}@proxy..example:3128",
        f"http://user:{PASSWORD}@proxy.example:port",
        f"http://user:{PASSWORD}@proxy.example:99999",
        "http://[::1",
        f"http://proxy.example/{PASSWORD}",
        f"http://proxy.example?{PASSWORD}",
        f"http://proxy.example#{PASSWORD}",
    ],
)
def test_a_senseless_address(address: str) -> None:
    with pytest.raises(Refused, match="https_proxy in the environment names no proxy that can be used") as error:
        proxy_for(URL, {"https_proxy": address})
    assert PASSWORD not in str(error.value)


def test_the_scheme_may_be_left_out() -> None:
    """As curl has it."""
    assert proxy_for(URL, {"https_proxy": "proxy.example:3128"}) == Proxy("https_proxy", HTTP)
