"""The proxy of the environment: the usual variables, and never a proxy for a server on this machine."""

import pytest

from edged.model.errors import RefusedError
from edged.stream.proxy import Proxy, find_proxy

URL = "wss://api.deepgram.com/v1/listen?model=nova-3"
PLAIN = "ws://recogniser.example:8700/v1/listen"
HTTP, SOCKS = "http://proxy.example:3128", "socks5://proxy.example:1080"
PASSWORD = "c0ffee0123456789abcdef"


def test_no_proxy_is_named() -> None:
    assert find_proxy(URL, {}) is None
    assert find_proxy(URL, {"https_proxy": "", "ALL_PROXY": " "}) is None


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
    assert find_proxy(url, environ) == (Proxy(variable, "proxy.example", 3128) if variable else None)


@pytest.mark.parametrize(
    "url", ["ws://127.0.0.1:8700/v1/listen", "ws://localhost/", "wss://[::1]/", "WS://127.1.2.3/v1/listen"]
)
def test_to_this_machine_there_is_none(url: str) -> None:
    """The key would leave it in plain text; not even one that can't be used matters."""
    every = ("ws_proxy", "wss_proxy", "http_proxy", "https_proxy", "all_proxy", "socks_proxy")
    assert find_proxy(url, dict.fromkeys(every, HTTP)) is None
    assert find_proxy(url, dict.fromkeys(every, SOCKS)) is None


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
    assert bool(find_proxy(URL, {"https_proxy": HTTP, "NO_PROXY": no_proxy})) is proxied


@pytest.mark.parametrize(
    ("host", "no_proxy", "proxied"),
    [
        ("192.168.7.8", "192.168.0.0/16", False),
        ("192.168.7.8", "localhost, 192.168.1.1/16", False),
        ("192.168.7.8", "*.example.com 192.168.7.8/32", False),
        ("192.168.7.8", "192.168.7.8", False),
        ("192.168.7.8", "192.168.7.8:8700", False),
        ("192.168.7.8", "192.168.7.8:80", True),
        ("192.168.7.8", "10.0.0.0/8,192.168.8.0/24,192.168.0.0/99,192.168", True),
        ("[fd00::17]", "fd00::/8", False),
        ("[fd00::17]", "[fd00:0::17]", False),
        ("[fd00::17]", "[FD00::17]:8700", False),
        ("[fd00::17]", "[fd00::17]:80,fd00::1:7,192.168.0.0/16", True),
        ("[::ffff:192.168.7.8]", "192.168.0.0/16", False),
        ("pi.example.com", "*.example.com", False),
        ("pi.example.com.", "example.com", False),
        ("pi.example.com", "example.com.", False),
        ("pi.example.com", "*.com:8700", False),
        ("pi.example.com", "*example.org,.,192.168.0.0/16", True),
    ],
)
def test_addresses_and_subnets_that_are_exempt(host: str, no_proxy: str, proxied: bool) -> None:
    """The list is read as curl and Go read it; a name is in no subnet, as edged does not look it up."""
    url = f"ws://{host}:8700/v1/listen"
    assert bool(find_proxy(url, {"http_proxy": HTTP, "no_proxy": no_proxy})) is proxied


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
    with pytest.raises(RefusedError) as error:
        find_proxy(URL, {variable: address})
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
    with pytest.raises(RefusedError, match="https_proxy in the environment names no proxy that can be used") as error:
        find_proxy(URL, {"https_proxy": address})
    assert PASSWORD not in str(error.value)


def test_the_scheme_may_be_left_out() -> None:
    """The default scheme is that of curl."""
    assert find_proxy(URL, {"https_proxy": "proxy.example:3128"}) == Proxy("https_proxy", "proxy.example", 3128)


@pytest.mark.parametrize(
    ("address", "host", "port", "tls"),
    [
        ("http://proxy.example", "proxy.example", 80, False),
        ("https://proxy.example", "proxy.example", 443, True),
        ("http://[fd00::1]:3128", "fd00::1", 3128, False),
    ],
)
def test_where_a_proxy_is(address: str, host: str, port: int, tls: bool) -> None:
    assert find_proxy(URL, {"https_proxy": address}) == Proxy("https_proxy", host, port, tls)


def test_an_address_in_a_request_has_brackets() -> None:
    request = Proxy("https_proxy", "proxy.example", 3128).connect_request("fd00::17", 443, "edged")
    assert request == b"CONNECT [fd00::17]:443 HTTP/1.1\r\nHost: [fd00::17]:443\r\nUser-Agent: edged\r\n\r\n"


def test_a_password_that_is_no_text_in_this_locale_is_sent_as_its_bytes() -> None:
    proxy = find_proxy("wss://api.deepgram.com/v1/listen", {"https_proxy": "http://u:p\udce4%40@proxy.example"})
    assert proxy is not None
    assert proxy.user_and_password == b"u:p\xe4@"
