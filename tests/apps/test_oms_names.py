"""Names, words and times in `POST /orders`: letter by letter, or not at all."""

import pytest

from domain.values import order_id_of
from tests.apps.submits import malformed_at, read, refusal, text

NO_IDS = [
    *(
        "",
        " ",
        "a b",
        "a.b",
        "a*",
        ">",
        "*",
        "a>b",
        "a:b",
        "a/b",
        "../a",
        "a\n",
        "a\r\nb",
        "\ta",
        "a\x00",
        "\x00",
        "\x7f",
        "a" * 65,
        "a" * 5000,
    ),
    *("аlice", "alicе", "ａlice", "alice\u0301", "e\u0301", "é", "\u202eecila", "alice\u200b", "\ufeffalice", "😀", "ſ", "١", "ﬁ", "ı"),
    *(
        "'; DROP TABLE fills; --",
        "a,b=c",
        "a=b",
        'a"b',
        "a\\b",
        "%00",
        "$where",
        "${x}",
        "{{x}}",
        "<script>",
        "a;b",
        "a|b",
        "(a)",
        "@",
        "~",
        "+",
    ),
]


@pytest.mark.parametrize("name", NO_IDS, ids=ascii)
def test_a_name_that_could_be_more_than_a_name_is_malformed(name: str) -> None:  # FAILURES 58, 61, 63, 64
    """An empty name is not an absent one: an order meant for one account must not go to the default account."""
    assert malformed_at(text(account=name)) == "/account"
    assert refusal(text(symbol=name)).code == "unknown_symbol"


@pytest.mark.parametrize(
    "name",
    [
        *("", "a\n", "a\r\nb", "\ta", "a\x00", "\x00", "\x7f", "a" * 129, "a" * 5000, "\x80", "\xa0"),
        *("аlice", "ａlice", "alice\u0301", "é", "\u202eecila", "alice\u200b", "\ufeffalice", "😀", "ſ", "١", "ﬁ"),
    ],
    ids=ascii,
)
def test_a_client_order_id_that_is_not_printable_ascii_is_malformed(name: str) -> None:  # FAILURES 58, 61, 63
    assert malformed_at(text(client_order_id=name)) == "/client_order_id"
    assert malformed_at(text(client_order_id=...), key=name) is None


@pytest.mark.parametrize(
    "name", [" ", "a b", " a ", "a.b", ">", "'; DROP TABLE orders; --", 'a"b', "a\\b", "%00", "=1+1", "{{x}}", "~" * 128]
)
def test_any_printable_ascii_is_a_client_order_id_with_its_case_and_spaces(name: str) -> None:
    assert read(text(client_order_id=name)).client_order_id == name
    assert read(text(client_order_id=name.upper())).client_order_id == name.upper()
    assert read(text(client_order_id=...), name).order_id == order_id_of("alice", name)


@pytest.mark.parametrize("name", ["a", "A-z_0", "-", "_", "0", "a" * 64, "--", "null", "__proto__"])
def test_a_plain_name_is_taken_as_it_is(name: str) -> None:
    terms = read(text(account=name, client_order_id=name))
    assert (terms.account, terms.client_order_id, terms.order_id) == (name, name, order_id_of(name, name))


def test_the_idempotency_key_is_the_client_order_id() -> None:
    assert read(text(client_order_id=...), "k-1").client_order_id == "k-1"
    assert read(text(client_order_id=None), "k-1").order_id == order_id_of("alice", "k-1")
    assert read(text(client_order_id="k-1"), "k-1").client_order_id == "k-1"
    assert malformed_at(text(client_order_id="k-2"), "k-1") == "/client_order_id"
    assert malformed_at(text(client_order_id=""), "k-1") == "/client_order_id"


@pytest.mark.parametrize("symbol", ["btcusdt", "BTCUSDT ", "BTCUSDТ", "BTC/USDT", "\u202eTDSUCTB", "BTCUSDT\u0301", "x" * 60_000])
def test_a_symbol_is_one_of_the_list_letter_by_letter(symbol: str) -> None:  # FAILURES 58
    found = refusal(text(symbol=symbol))
    assert (found.status, found.code, found.extra) == (422, "unknown_symbol", {"found": symbol[:64]})


@pytest.mark.parametrize(("field", "value"), [("side", "BUY"), ("side", " buy"), ("side", "bυy"), ("side", "short"), ("type", "iceberg")])
def test_a_word_is_one_of_the_list_letter_by_letter(field: str, value: str) -> None:  # FAILURES 58
    assert malformed_at(text(**{field: value})) == f"/{field}"
    assert malformed_at(text(**{field: "x - at `$.price` "})) == f"/{field}"


@pytest.mark.parametrize(
    "time_",
    [
        *("", " ", "now", "tomorrow", "0", "1700000000", "2099-01-01", "2099-01-01T00:00:00", "2099-01-01 00:00:00Z", "2099-01-01T00:00Z"),
        *("2099-02-29T00:00:00Z", "2099-13-01T00:00:00Z", "2099-01-32T00:00:00Z", "2099-01-01T25:00:00Z", "2099-01-01T23:59:60Z"),
        *("2099-W01-1T00:00:00Z", "20990101T000000Z", "2099-001T00:00:00Z", "2099-01-01T00:00:00z", "2099-01-01T00:00:00+99:99"),
        *("2099-01-01💥00:00:00Z", "２099-01-01T00:00:00Z", "2099-01-01T00:00:00Z\n", " 2099-01-01T00:00:00Z", "-2099-01-01T00:00:00Z"),
        *(
            "0000-01-01T00:00:00Z",
            "10000-01-01T00:00:00Z",
            "9999-12-31T23:59:59-01:00",
            "0001-01-01T00:00:00+01:00",
            "2099-01-01T00:00:00.Z",
        ),
        *("2099-01-01T00:00:00." + "0" * 60_000 + "Z", "9" * 60_000),
    ],
    ids=lambda time_: ascii(time_[:40]),
)
def test_an_invalid_time_is_malformed(time_: str) -> None:
    assert malformed_at(text(time_in_force="gtd", expire_at=time_)) == "/expire_at"


def test_a_time_is_read_in_its_zone_and_far_ahead() -> None:
    def expiry(written: str) -> int | None:
        return read(text(time_in_force="gtd", expire_at=written)).expire_at

    assert expiry("2099-01-01T00:00:00Z") == expiry("2099-01-01T05:30:00+05:30") == 4_070_908_800_000_000_000
    assert expiry("2099-01-01T00:00:00.000001Z") == 4_070_908_800_000_001_000
    assert expiry("9999-12-31T23:59:59.999999Z") == 253_402_300_799_999_999_000
