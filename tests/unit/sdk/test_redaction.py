"""Secrets are known by their looks and by their names; what is none comes through untouched."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from time import thread_time

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clew.sdk.redaction import Redactor
from clew.sdk.secrets_known import MAIL, NAMED, RULES, is_card, passes_luhn

SECRETS = {
    "an OpenAI key": ("sk-", "proj-Ab12Cd34Ef56Gh78Ij90"),
    "a key of small letters": ("sk-", "abcdefghijklmnopqrstuvwx"),
    "an Anthropic key": ("sk-ant-", "api03-Xy9_Zw8-Vu7Ts6Rq5Po4"),
    "a Stripe key": ("sk_live_", "4eC39HqLyjWDarjtT1zdp7dc"),
    "a Langfuse key": ("pk-lf-", "1234abcd-5678-90ef-1234-567890abcdef"),
    "a LangSmith key": ("lsv2_pt_", "0123456789abcdef0123456789abcdef_0123456789"),
    "a key of our own": ("clew_ingest_", "Zk3v9Qd0mP1xY7wR2tU5aB8cE4fH6jL0nO1pQ2rS3tU"),
    "a GitHub token": ("ghp_", "0123456789abcdefghijABCDEFGHIJ012345"),
    "a fine-grained GitHub token": ("github_pat_", "11ABCDEFG0abcdefghijkl_mnopqrstuv"),
    "a GitLab token": ("glpat-", "AbCd1234EfGh5678IjKl"),
    "a Slack token": ("xoxb-", "123456789012-abcdefABCDEF"),
    "an AWS key": ("AKIA", "IOSFODNN7EXAMPL9"),
    "a Google key": ("AIza", "SyD-9tSrke72PouQMnMX-a7eZSW0jkFMBW"),
    "a Hugging Face token": ("hf_", "AbCdEfGhIjKlMnOpQrStUvWx"),
    "an npm token": ("npm_", "abcdefghij0123456789ABCDEFGHIJ012345"),
    "a PyPI token": ("pypi-", "AgEIcHlwaS5vcmcCJDU0ZTk2ZjI0LWI4"),
    "a SendGrid key": ("SG.", "ngeVfQFYQlKU0ufo8x5d1A.TwL2iGABf9DHoTf-09kqeF8tAmbihYzrnopKc-1s5cr"),
    "a JWT": ("eyJ", "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"),
    "a bearer token": ("Bearer ", "mF_9.B5f-4.1JqM"),
    "a long bearer token in small letters": ("bearer ", "1JqMabcd9876mF_B5f-41JqM"),
    "basic credentials": ("Basic ", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
    "a mail address": ("", "jane.doe+test@example.co.uk"),
    "a mail address in a query": ("", "jane.doe%40example.com"),
    "a card number": ("", "4111111111111111"),
    "a card number in groups": ("", "5500 0055 5555 5559"),
    "a card number with hyphens": ("", "4012-8888-8888-1881"),
    "an American Express card": ("", "3782 822463 10005"),
    "a password in a URL": ("postgres://jane:", "hunter2"),
    "a key in a query": ("https://api.test/v1?api_key=", "abc123"),
    "a token in a query": ("https://api.test/v1?x=1&access_token=", "abc123"),
    "a password in JSON": ('{"user": "jane", "password": "', "hunter2"),
    "a password in JSON in JSON": ('{\\"password\\": \\"', "hunter2"),
    "a password in a Python dict": ("{'db_password': '", "hunter2"),
    "a password in a repr": ("User(name='jane', password='", "hunter2"),
    "a password in a connection string": ("host=db user=jane password=", "hunter2"),
    "an environment": ("PGPASSWORD=", "hunter2"),
    "a header": ("X-Api-Key: ", "abc123"),
    "a header of curl": ('curl -H "Authorization: token ', "abc123abc"),
    "a cookie": ("Cookie: ", "session=abc123; theme=dark"),
    "a private key": (
        "-----BEGIN RSA PRIVATE KEY-----\n",
        "MIIEpAIBAAKCAQEAxVKmD2Lyq3Y8mJ4t7bM0nV1wR5pQ9zX2\n-----END RSA PRIVATE KEY-----",
    ),
}
AFTER = {"a password in a URL": "@db.test/shop", "a password in JSON": '"}', "a password in JSON in JSON": '\\"}'}
AROUND: dict[str, Callable[[str], str]] = {
    "alone": lambda text: text,
    "in a sentence": lambda text: f"It says {text} and no more.",
    "in lines": lambda text: f"first\n{text}\nlast",
    "after letters of another script": lambda text: f"Schlüssel: 鍵 {text} »",
    "late in a long text": lambda text: f"{'the quick brown fox. ' * 300}{text} {'jumps over it. ' * 300}",
}


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("what", SECRETS)
def test_a_secret_is_taken_out_wherever_it_stands_in_a_text(what, around):
    before, secret = SECRETS[what]
    text = AROUND[around](before + secret + AFTER.get(what, ""))

    cleaned = Redactor().text(text)

    assert secret not in cleaned
    assert "[redacted: " in cleaned
    assert cleaned[:2] == text[:2] or around == "alone"


@pytest.mark.parametrize("what", SECRETS)
@pytest.mark.parametrize("length", [0, 30, 45, 65, 97, 122, 200, 300, 20_000, 24_930, 70_000])
def test_a_packed_secret_is_noticed_whatever_length_stands_before_it(what, length):
    """In MessagePack the length of a text stands right before it, and may look like a letter or a digit."""
    before, secret = SECRETS[what]
    text = before + secret + AFTER.get(what, "")
    packed = msgspec.msgpack.encode({"question": text + " " * max(0, length - len(text))})

    assert not Redactor().is_clean(packed)


ORDINARY = [
    "The customer asked whether a refund for order 48213 is possible within 30 days of 2025-11-03.",
    "Basic authentication, basic configuration and the Basic Understanding of it; a bearer of bad-news-from-afar",
    "f81d4fae-7dec-11d0-a765-00a0c91e6bf6 and 0190f3a2-5c1e-7b3d-9f00-4111111111112222",
    "task-f81d4fae-7dec-11d0-a765-00a0c91e6bf6 risk-assessment-management-2025 disk-4f3a9b2c1d0e8f7a",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "1763700000123 1763700000123456 1763700000000000000 20251103120000 2025-11-03T12:00:00.123456789+01:00",
    "978-3-16-148410-0 4006381333931 +49 170 1234567 192.168.178.100:8080 0.4111111111111111",
    "Rows: 4 5 6 7 8 9 1 2 3 4 5 6 7 8 | 4111 1111 1111 1112 | 1234567812345678",
    "def f(token=token, password=None, api_key=os.environ['KEY']):\n    return token == expected_token",
    "password = getpass()\nsecret: str = settings.secret\nself.token = self.next(tokens)\nif token=='x' or key==4:",
    "class Cookie: pass  # the token: a piece of text; Password: 8 letters; Authorization: the process",
    "@clew.traced\ndef a(b): return b @ c.T",
    "git clone git@github.com:owner/name.git; pip install 'x @ https://host/x.whl'; icon@2x.png; react@18.2.0",
    "npm i @scope/name@1.2.3 && docker pull image@sha256:9b2c1d0e8f7a9b2c1d0e8f7a9b2c1d0e8f7a9b2c1d0e8f7a9b2c1d0e",
    "https://user.test/path?page=2&sort=key&max_tokens=200#token and http://localhost:8080/a/b?mail=no",
    '{"input_tokens": 812, "max_tokens": 4096, "key": "value", "author": "Jane", "token": " the", "logprob": -0.1}',
    "<div class='sk-estimator-doc-link sk-folding-cube'>pypi-simple, hf_hub, npm_config_cache, xoxo, SG.net</div>",
    "clew_sample_rate_of_operation CLEW_SAMPLE_RATES CLEW_REDACT_NAMES=0 clew_ingest_batch_of_spans_at_once",
    "TOKEN=$(cat token.txt) PASSWORD=$1 token=None password=null",
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkgg==",
    "日本語のテキスト、絵文字 🙂 und Umlaute äöü, “quotes” … [sic]",
    "internationalization_of_the_VectorStoreRetriever_documents-and-other-things",
    "",
    "@",
]


@pytest.mark.parametrize("text", ORDINARY, ids=lambda text: text[:30])
def test_ordinary_text_comes_through_untouched(text):
    """A trace in which every second id is a redacted card is of no use."""
    assert Redactor().text(text) is text


def test_ordinary_text_does_so_also_without_the_first_look():
    """The first look may let pass too much; what it lets pass must be sorted out by the rules."""
    redactor = Redactor()
    redactor._prescan.hints = lambda raw: ~0

    assert [text for text in ORDINARY if redactor.text(text) != text] == []


def test_this_projects_own_code_has_no_secrets(pytestconfig):
    """Code is what models read and write."""
    redactor = Redactor()
    folder = pytestconfig.rootpath / "src/clew"
    files = [*folder.glob("sdk/*.py"), *folder.glob("wire/*.py"), *folder.glob("ui/**/*.js")]
    found = {path.name: redactor.text(path.read_text("utf-8")) for path in files}

    assert len(files) > 50
    wrong = {
        name: re.findall(r".{30}\[redacted: [^{].{30}", text)
        for name, text in found.items()
        if name not in ("redaction.py", "secrets_known.py", "prescan.py", "processing.py")
    }
    assert {name: lines for name, lines in wrong.items() if lines} == {}


# By name.


@pytest.mark.parametrize(
    "name",
    ["password", "db.password", "X-Api-Key", "userPassword", "OPENAI_API_KEY", "http.request.header.authorization",
     "Set-Cookie", "accessToken", "clientSecret", "DBPASSWORD", "aws_secret_access_key", "credentials", "pwd"],
)  # fmt: skip
@pytest.mark.parametrize("value", ["x1-short", 12345, ["a", "b"], {"deep": "x"}])
def test_what_stands_under_the_name_of_a_secret_is_one(name, value):
    redactor = Redactor()
    payload = {"a": [{name: value, "other": 1}]}

    cleaned = redactor(payload)

    if name == "accessToken" and value == 12345:
        assert cleaned is payload  # Numbers of tokens are counts.
        return
    assert cleaned == {"a": [{name: f"[redacted: {name}]", "other": 1}]}
    assert not redactor.is_clean(b"", payload)
    assert payload["a"][0][name] == value, "what the user holds stays as it is"


@pytest.mark.parametrize(
    "payload",
    [
        {
            "input_tokens": 5,
            "token_count": 7,
            "max_tokens": 100,
            "author": "x",
            "key": "x",
            "monkey": "x",
            "secretary": "y",
        },
        {"token": " the", "logprob": -0.1},
        {"token": {"id": 5, "text": " the"}},
        {"password": None, "secret": "", "token": True, "cost_per_token": 0.002},
        {"passwords_checked": "3", "tokenizer": "x", "cookie_banner": "yes"},
    ],
)
def test_names_like_those_of_secrets_are_none(payload):
    assert Redactor()(payload) is payload


def test_names_of_ones_own_are_added():
    redactor = Redactor(names=["ssn", "patientId", "date of birth"])

    cleaned = redactor({"user.ssn": 123, "patient_id": "p1", "dateOfBirth": "1970", "text": '{"ssn": "078-05"}'})

    assert cleaned == {
        "user.ssn": "[redacted: user.ssn]",
        "patient_id": "[redacted: patient_id]",
        "dateOfBirth": "[redacted: dateOfBirth]",
        "text": '{"ssn": "[redacted: ssn]"}',
    }


def test_headers_as_pairs_and_as_names_with_values_count():
    """So frameworks and recordings keep them."""
    redactor = Redactor()
    pairs = {"headers": [["Authorization", "xyz"], ("accept", "*/*")]}
    named = [{"name": "X-Api-Key", "value": "xyz"}, {"key": "password", "value": "pw"}, {"name": "a", "value": "b"}]

    assert redactor(pairs) == {"headers": [["Authorization", "[redacted: Authorization]"], ("accept", "*/*")]}
    assert redactor(named) == [
        {"name": "X-Api-Key", "value": "[redacted: X-Api-Key]"},
        {"key": "password", "value": "[redacted: password]"},
        {"name": "a", "value": "b"},
    ]
    assert not redactor.is_clean(b"", pairs)
    assert not redactor.is_clean(b"", named)


def test_without_looks_names_stay():
    redactor = Redactor(looks=False)

    assert redactor({"password": "x", "text": "jane@example.com"}) == {
        "password": "[redacted: password]",
        "text": "jane@example.com",
    }


def test_a_secret_used_as_a_key_is_taken_out():
    assert Redactor()({"jane@example.com": 1, "b": 2}) == {"[redacted: mail address]": 1, "b": 2}


def test_bytes_are_described():
    """As base64 nobody would find a secret in them any more."""
    redactor = Redactor()

    assert redactor([b"sk-abcdefghijklmnop1234", bytearray(b"xy")]) == ["<23 bytes>", "<2 bytes>"]
    assert not redactor.is_clean(b"", {"a": [{"b": b"x"}]})


def test_what_was_cut_in_the_middle_of_a_key_is_known_by_its_beginning():
    assert Redactor().text("failed with sk-proj-Ab1… [5000 characters]") == (
        "failed with [redacted: key]… [5000 characters]"
    )


@pytest.mark.parametrize(("number", "is_one"), [("4111111111111111", True), ("4111111111111112", False)])
def test_cards_pass_a_checksum(number, is_one):
    assert passes_luhn(number) is is_one
    assert is_card(number) is is_one


MARKS = [*"@=:?&/\\\"' \n\t-_.…[", "é", "鍵", "://", "%40", "… [5 characters]", "abc", "A", "4111", "1234"]
BEGUN = ["token", "password", "X-Api-Key", "Authorization", "Bearer ", "sk-", "eyJ"]
PIECES = [*(before + secret for before, secret in SECRETS.values()), *ORDINARY, *MARKS, *BEGUN]
QUICK, THOROUGH = Redactor(), Redactor()
THOROUGH._prescan.hints = lambda raw: ~0  # type: ignore[method-assign]


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join))
@example("sk-…sk-proj-Ab12Cd34Ef56Gh78Ij90")
@example("sk-… sk-proj-Ab12Cd34Ef56Gh78Ij90")
def test_what_the_rules_would_find_the_first_look_lets_through(text):
    """It is what makes redaction cheap, and must not be what makes it blind."""
    lower_case_scheme = "bearer " in text or "basic " in text
    found = QUICK.text(text)
    assert found == THOROUGH.text(text) or lower_case_scheme
    assert QUICK._prescan(text.encode()) or found == text, "the look at a whole span is as good"


# Adversaries.

HOSTILE = {
    "one long word": "a",
    "at signs": "a@",
    "dots and at signs": "a.b@c.",
    "digits": "4",
    "spaced digits": "4 ",
    "digits in groups": "4111 ",
    "slashes": "://",
    "colons": "://a:",
    "key heads": "sk-",
    "key heads and words": " sk-abcdefghijklm",
    "jwt heads": "eyJ",
    "dots after jwt": "eyJaaaaaaaaaaaaaaaaaaaa.",
    "bearers": "bearer ",
    "quotes": '"',
    "backslashes": "\\",
    "names": 'password="',
    "names and colons": '"password":',
    "equals": "a=",
    "headers": "x-key: ",
    "hyphens": "a-",
    "begins": "-----BEGIN PRIVATE KEY-----",
    "cuts": "sk-a… ",
    "blanks": " ",
    "lines": "\n",
}


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_the_work_grows_with_the_text_and_no_faster(unit):
    """A text may come from anybody; four times the text may take about four times as long."""

    def worth(chars: int) -> float:
        text = (unit * (chars // len(unit) + 1))[:chars]
        best = float("inf")
        for _ in range(2):
            begun = thread_time()
            Redactor().text(text)
            best = min(best, thread_time() - begun)
        return best

    small, large = worth(25_000), worth(100_000)

    assert large < 10 * small + 0.005


@pytest.mark.parametrize(
    "rule", [*(rule.pattern for rule in RULES), MAIL.pattern, NAMED], ids=lambda rule: rule.pattern[:30]
)
def test_each_pattern_alone_is_linear(rule):
    """Also where the first look would have sorted the text out."""
    slow = []
    for name, unit in HOSTILE.items():
        took = []
        for chars in (10_000, 40_000):
            text = unit * (chars // len(unit))
            best = float("inf")
            for _ in range(2):
                begun = thread_time()
                rule.sub("", text)
                best = min(best, thread_time() - begun)
            took.append(best)
        if took[1] > 10 * took[0] + 0.005:
            slow.append((name, took))
    assert slow == []


@pytest.mark.parametrize("unit", ["digits in groups", "names and colons", "dots and at signs", "headers"])
def test_a_megabyte_of_the_worst_is_bounded_work(unit):
    """A microsecond a character, on a machine of 2020; the bound leaves room for a slow one."""
    text = HOSTILE[unit] * ((1 << 20) // len(HOSTILE[unit]))
    begun = thread_time()
    Redactor().text(text)

    assert thread_time() - begun < 30


def test_json_stays_json():
    """Tools read it."""
    text = json.dumps({"password": 'a"b\\c', "user": {"api_key": "k", "n": 1}, "mail": "jane@example.com"})

    assert json.loads(Redactor().text(text)) == {
        "password": "[redacted: password]",
        "user": {"api_key": "[redacted: api_key]", "n": 1},
        "mail": "[redacted: mail address]",
    }
