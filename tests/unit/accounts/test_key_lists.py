"""What a key may be restricted to: read, made plain, and refused with the place of the mistake."""

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.key_lists import MAX_ENTRIES, MAX_LIST_CHARS, MAX_MODEL_CHARS, models, networks, routes, show_network

NO_LISTS: list[Any] = [None, "a", 5, {}, {"a": 1}, True, [], ()]
NO_ENTRIES: list[Any] = [None, 5, True, ["a"], {"a": "b"}, "", b"a"]


@pytest.mark.parametrize("parse", [models, routes, networks])
@pytest.mark.parametrize("given_list", NO_LISTS, ids=repr)
def test_what_is_no_list(parse: Any, given_list: Any) -> None:
    with pytest.raises(ValueError, match=r"^must (be a list of strings|have at least one entry)"):
        parse(given_list)


@pytest.mark.parametrize("parse", [models, routes, networks])
@pytest.mark.parametrize("entry", NO_ENTRIES, ids=repr)
def test_what_is_no_entry_is_told_by_its_place(parse: Any, entry: Any) -> None:
    good = {models: "a", routes: "/v1/chat/completions", networks: "10.0.0.1"}[parse]
    with pytest.raises(ValueError, match=r"^entry 2 must "):
        parse([good, entry])


def test_a_list_has_an_end() -> None:
    assert len(models([str(n) for n in range(MAX_ENTRIES)])) == MAX_ENTRIES
    for count in (MAX_ENTRIES + 1, 10_000):
        with pytest.raises(ValueError, match=rf"at most {MAX_ENTRIES} entries"):
            models([str(n) for n in range(count)])
    with pytest.raises(ValueError, match=rf"at most {MAX_LIST_CHARS} characters"):
        models([f"{n:0{MAX_MODEL_CHARS}}" for n in range(MAX_ENTRIES)])


@pytest.mark.parametrize(
    "name",
    [
        "gpt-4o",
        "meta-llama/Llama-3.1-8B-Instruct",
        "ft:gpt-4o:org::abc",
        "llama3:8b",
        "gpt-*",
        "*",
        "模型",
        "a b",
        "'; DROP TABLE ai_api_keys; --",
        "x" * MAX_MODEL_CHARS,
    ],
)
def test_a_model_is_called_as_it_is(name: str) -> None:
    assert models([name]) == (name,)


@pytest.mark.parametrize(
    "name",
    [
        " a",
        "a ",
        "a\tb",
        "a\nb",
        "a\x00",
        "a\u202eb",
        "a\u200bb",
        "\ud800",
        "\ue000",
        "a\u2028b",
        "*a",
        "a*b",
        "**",
        "x" * (MAX_MODEL_CHARS + 1),
    ],
    ids=repr,
)
def test_what_is_no_model(name: str) -> None:
    with pytest.raises(ValueError, match=r"^entry 1 "):
        models([name])


def test_names_that_differ_in_case_are_two_and_the_same_twice_is_a_mistake() -> None:
    assert models(["a", "A"]) == ("a", "A")
    with pytest.raises(ValueError, match=r"^entry 3 is there twice"):
        models(["a", "A", "a"])


def test_a_route_has_one_name() -> None:
    assert routes(["/v1/chat/completions", "/api/chat"]) == ("/v1/chat/completions", "/api/chat")
    assert routes(["/api/v1/embeddings"]) == ("/v1/embeddings",)
    with pytest.raises(ValueError, match="twice"):
        routes(["/v1/embeddings", "/api/v1/embeddings"])


@pytest.mark.parametrize(
    "path",
    [
        "chat", "/", "/v1", "/v1/", "/v2/chat", "/v1/chat/", "/v1//chat", "/v1/../admin", "/v1/Chat", "/v1/chat?a=b",
        "/v1/chat%2fx", "http://h/v1/chat", "/v1/chat\n", "/v1/*", "/v1/" + "x" * 100, "/api/v1/", "/ap\u0131/chat",
    ],
)  # fmt: skip
def test_what_is_no_route(path: str) -> None:
    with pytest.raises(ValueError, match=r"^entry 1 must be a path"):
        routes([path])


@pytest.mark.parametrize(
    ("text", "network", "shown"),
    [
        ("192.0.2.7", "192.0.2.7/32", "192.0.2.7"),
        ("192.0.2.7/32", "192.0.2.7/32", "192.0.2.7"),
        ("10.0.0.0/8", "10.0.0.0/8", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0", "0.0.0.0/0"),
        ("2001:DB8::/32", "2001:db8::/32", "2001:db8::/32"),
        ("::1", "::1/128", "::1"),
        ("::/0", "::/0", "::/0"),
        ("::ffff:192.0.2.7", "192.0.2.7/32", "192.0.2.7"),
        ("::ffff:c000:207", "192.0.2.7/32", "192.0.2.7"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8", "10.0.0.0/8"),
        ("::ffff:0:0/96", "0.0.0.0/0", "0.0.0.0/0"),
    ],
)
def test_an_address_or_a_network(text: str, network: str, shown: str) -> None:
    (found,) = networks([text])
    assert found == ip_network(network) and show_network(found) == shown


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("10.0.0.1/8", "write 10.0.0.0/8, or 10.0.0.1 for the one address"),
        ("2001:db8::1/64", "write 2001:db8::/64, or 2001:db8::1 for the one address"),
    ],
)
def test_bits_beyond_the_length_are_not_guessed_away(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        networks([text])


@pytest.mark.parametrize(
    "text",
    [
        "localhost", "10.0.0", "10.0.0.256", "010.0.0.1", "10.0.0.1 ", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "/8",
        "10.0.0.0/255.0.0.0", "::1%eth0", "fe80::1%1", "::g", "1.2.3.4:80", "[::1]", "\u0661\u0660.0.0.1",
        "10.0.0.0/\u0668",        "::/129", "10.0.0.0/8/8", "x" * 1000, "0x7f.1", "10.0.0.1\n", "3232235777",
    ],
)  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"^entry 1 must be an IP address"):
        networks([text])


def test_one_network_in_two_spellings_is_there_twice() -> None:
    with pytest.raises(ValueError, match=r"^entry 2 is there twice"):
        networks(["10.0.0.1", "::ffff:10.0.0.1"])


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)), st.integers(0, 128))
def test_any_network_is_read_as_it_is_shown(address: Any, length: int) -> None:
    network = ip_network((int(address) if address.version == 4 else address, min(length, address.max_prefixlen)), False)
    assert isinstance(network, IPv4Network | IPv6Network)
    (found,) = networks([str(network)])
    assert networks([show_network(found)]) == (found,)
    if network.version == 6 and network.prefixlen >= 96 and network.network_address in ip_network("::ffff:0:0/96"):
        assert found.version == 4
    else:
        assert found == network


@given(st.text(max_size=60))
def test_noise_is_an_address_or_a_mistake_and_nothing_else(text: str) -> None:
    try:
        (found,) = networks([text])
    except ValueError:
        return
    assert ip_address(str(found.network_address)) in found


@given(st.text(max_size=30))
def test_noise_is_a_name_that_the_database_can_hold_or_a_mistake(text: str) -> None:
    try:
        (name,) = models([text])
    except ValueError:
        return
    assert name == text and "\x00" not in name and name.encode()
