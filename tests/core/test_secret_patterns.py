"""What looks like a secret is taken for one by both engines, and what looks like a commit or a name is not."""

import json
import random
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abreast.core.redaction import pattern_search
from abreast.core.redaction import redactor as engine
from abreast.core.redaction.pattern_search import PatternSearch
from abreast.core.redaction.redactor import Redactor
from abreast.core.redaction.secret_patterns import SECRET_PATTERNS, compiled_pattern
from abreast.core.redaction.token_shapes import TOKEN_SHAPES, TokenShape
from abreast.core.secrets import MASK

KEY = (
    "-----BEGIN RSA PRIVATE KEY-----\n"
    + "\n".join("MIIE" + "ab1/" * 15 for _ in range(20))
    + "\n-----END RSA PRIVATE KEY-----"
)


def use_automata_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "AUTOMATON_THRESHOLD", 0)


def test_a_stream_full_of_secrets_is_masked_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    use_automata_at_once(monkeypatch)
    chance = random.Random(5)
    tokens = ["ghp_" + "".join(chance.choices(string.ascii_letters + string.digits, k=36)) for _ in range(5000)]
    redactor = Redactor()
    shown = redactor.feed("".join(f"{token}\n" for token in tokens).encode()).decode()
    assert not [token for token in tokens if token in shown]
    quiet = b"nothing of interest happens here\n" * 5000
    assert redactor.feed(quiet) == quiet


def test_a_log_full_of_long_names_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    use_automata_at_once(monkeypatch)
    names = b"[INFO] Running ShoppingCartControllerIntegrationTest\n" * 3000
    commits = b"".join(b"%040x\n" % (number * 7**50 % 16**40) for number in range(3000))
    redactor = Redactor()
    assert redactor.feed(names) + redactor.feed(commits) == names + commits


@pytest.mark.exhaustive
@settings(max_examples=150, deadline=None)
@given(st.sampled_from(TOKEN_SHAPES), st.data())
def test_every_shape_is_found_by_both_engines(shape: TokenShape, data: st.DataObject) -> None:
    token = data.draw(st.from_regex(compiled_pattern(shape.name), fullmatch=True))
    for automaton in (False, True):
        spans = PatternSearch().spans(b"got " + token + b" back", automaton=automaton)
        assert any(start <= 4 and end >= 4 + len(token) for start, end in spans), automaton


FRAGMENTS = (
    "token", "key", "secret", "auth", "access", "_pat", "private", "login", "pass", "password", "tok", "code", "_key", "string",
    "bearer ", " = ", "=", ": ", ":", ".", "-", "_", " ", "\n", "'", '"', "=>", ":=", "||", "abc123def456", "a1b2c3d4e5f6g7h8", "whiteduke",
    "0123456789012345", "abcdefghijklmnopqrstuvwx", "a", "1", "Zx9" * 10, "6611210f" * 5, "ghp_" + "a1" * 18,
)  # fmt: skip


@settings(derandomize=True, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=30))
def test_what_one_engine_hides_near_keywords_the_other_does(fragments: list[str]) -> None:
    text = "".join(fragments).encode()

    def hidden(*, automaton: bool) -> set[int]:
        spans = PatternSearch().spans(text, automaton=automaton)
        return {at for start, end in spans for at in range(start, end)}

    assert hidden(automaton=False) <= hidden(automaton=True)


def test_a_text_full_of_beginnings_is_masked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A closer look at each of them would take long, and tell nothing: all are hidden."""
    looks = list[int]()
    monkeypatch.setattr(pattern_search, "_match", lambda number, _text, _start: looks.append(number))
    kinds = [prefix + "aB1" * 27 for shape in TOKEN_SHAPES for prefix in shape.prefixes.split()]
    text = "\n".join(kinds * 5).encode()
    assert PatternSearch().spans(text, automaton=True) == [(0, len(text))]
    assert not looks


EXAMPLES = {
    "AGE-SECRET-KEY-1" + "QZ" * 29, "sk-proj-abcDEF0123456789abcd", "AKIAIOSFODNN7EXAMPLE", "ghp_" + "a1" * 18,
    "github_pat_11ABCDEFG0abcdefghijkl", "glpat-abcdefghij0123456789", "AIza" + "Sy0-" * 8 + "abc", "ya29.a0AfH6SMBx-abcdefghij",
    "hf_" + "aB" * 17, "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w", "nfp_" + "a1" * 20, "npm_" + "a1" * 18,
    "pypi-AgEIcHlwaS5vcmc" + "CJ" * 20, "rnd_" + "Ab1" * 8, "SG.ngeVfQFYQlKU0ufo8x5d1A.TwL2iGABf9DHoTf-09kqeF8t", "xoxb-123456789012-abcdefABCDEF",
    "sk_live_" + "a1" * 12, "shpat_" + "0a" * 16, "dckr_pat_abcdefghij0123456789", "hvs.CAESIJ" + "a1" * 12, "123456789:AA" + "b1" * 17,
    "dop_v1_" + "0a" * 32, "dapi" + "0a" * 16, "SK" + "0a" * 16, "pscale_tkn_" + "aB1" * 11, "lin_api_" + "aB1" * 12, "sbp_" + "0a" * 20,
    "ghs_1234567_eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJnaXRodWIifQ.c2lnbmF0dXJl_-x9", "PMAK-" + "0a" * 12 + "-" + "0b" * 17,
    "nvapi-" + "aB1_" * 16, "flb_live_" + "aB1" * 7, "phx_WQV1jrBNdIiYiH_XoWIb5KqZv18v_4JQbNBVuGihaYw",
    "glsa_" + "aB1_" * 9, "NRAK-" + "AB1" * 9, "sntrys_" + "aB1" * 12, "GOCSPX-abcdefghij0123456789",
}  # fmt: skip


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("secret", sorted(EXAMPLES))
def test_what_looks_like_a_secret_is_taken_for_one(monkeypatch: pytest.MonkeyPatch, secret: str, fast: bool) -> None:
    monkeypatch.setattr(engine, "HAS_HYPERSCAN", fast)
    use_automata_at_once(monkeypatch)
    for text in (secret, f"a {secret} b", f'{{"k": "{secret}"}}', f"K={secret}\n"):
        assert secret not in Redactor().redact_text(text)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("GET / HTTP/1.1\nAuthorization: Bearer abcdef.123-xyz_9\n", "abcdef.123-xyz_9"),
        ("curl -H 'authorization: Basic dXNlcjpwYXNz' x", "dXNlcjpwYXNz"),
        ("postgresql://app:sw0rdfish@db.example.com/shop", "sw0rdfish"), ("redis://:p4ssword@cache:6379", "p4ssword"),
        ("DATABASE_PASSWORD=correct4horse9battery", "correct4horse9battery"), ('"client_secret": "abc123def456ghi"', "abc123def456ghi"),
        ('{\\"api_key\\": \\"abc123def456ghi\\"}', "abc123def456ghi"), ("X-Api-Key: 0123456789abcdef", "0123456789abcdef"),
        ("https://hooks.slack.com/services/T000/B000/abcdefghijklmnop", "abcdefghijklmnop"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "wJalrXUtnFEMI"),
        ("AccountName=x;AccountKey=" + "aB1+" * 12 + "==;", "aB1+aB1+"), (KEY, "MIIEab1/"), (json.dumps(KEY), "MIIEab1/"),
        ('token := "abc123def456"', "abc123def456"), ('"client_secret" => "abc123def456ghi"', "abc123def456ghi"),
        ("deploy --token abc123def456ghi789", "abc123def456ghi789"), ("deploy --api-key=abc123def456ghi789", "abc123def456ghi789"),
        ("curl -s -u admin:sw0rdfish https://x", "sw0rdfish"), ("curl --user 'admin:sw0rdfish' https://x", "sw0rdfish"),
        ("SECRET_KEY_BASE=3f2a9c0e1b7d", "3f2a9c0e1b7d"), ("STRIPE_KEY=a1b2c3d4e5f6a7b8", "a1b2c3d4e5f6a7b8"),
        ("Authorization: SSWS 00QCjAl4MlV", "00QCjAl4MlV"), ("AUTH_PASSWORD ?= tr0ub4dor", "tr0ub4dor"),
        ("\x1b[32mghp_" + "a1" * 18, "a1a1a1"), ("x\\nghp_" + "a1" * 18, "a1a1a1"),
        ("//registry.npmjs.org/:_authToken=abcdefghij0123456789", "abcdefghij0123456789"),
        ("password = 'open sesame'", "open sesame"), ('"password" : "super$ecret",', "super$ecret"), ("DB_PASSWORD=whiteduke", "whiteduke"),
        ("Server=host;Uid=me;Pwd=goodspec;Database=shop;", "goodspec"), ("postgres.example/shop?user=a&password=hunter2&ssl=1", "hunter2"),
        ("BILLING_API_KEY=12345678901234567890123456789012", "123456789012345"), ("shop private key zyxwvutsrqponmlkjihgf", "zyxwvutsrqpon"),
        ("chartmogul k3x9c2v8b4n7m1q5w6e0r3t8y2u7i4o9", "k3x9c2v8b4n7"), ("weather = '3k144a5af729351d0fc58bdrj9a21mkr'", "3k144a5af729"),
        ("mail AbzQkLmXwErTyUiOpQpVbNmLkJhGf012", "AbzQkLmXwErT"), ("shop_key = 'u+Lyhd2_N2MCy+ZoH-S5'", "u+Lyhd2"),
        ('"clientSecret": "98765432-dcba-4321-efab-0123456789ab"', "98765432"), ("     shopApiKey:                \"171e84fd57f430fc59afa8fad3dbda2a\"", "171e84fd"),
        ("shop_key = '8195513847023883'", "81955138"), ("okta_api_token = 00aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "00aaaa"),
        ("SHOP_SECRET=exampleABCDEFGHijKLmnOPQRSTuvWXYZ=", "exampleABCD"), ("shop_pat = 1/1248440223456784:d3d7e52e5c4a5d4c9bc424d2d882324d", "d3d7e52e"),
        ("sonar.login=5524bf449ca45fcace54698371466398321f3a82", "5524bf44"), ("Jenkins-Crumb:440561953171ba44ace9740562d172bb", "44056195"),
        ("docker login -u shop -p whiteduke registry.example.com", "whiteduke"), ("machine git.example.com\n  login shop\n  password whiteduke\n", "whiteduke"),
        ("$password = goodspec;", "goodspec"), ("telegram: 1234567890:h3YLlUHP8-STgTic38bCZXDJ_6s05ERgsaM", "h3YLlUHP8"),
        ("https://hooks.zapier.com/hooks/catch/123456/abcd1234", "abcd1234"), ("http://iot.example.com/api/v1/354u1g321kcqc1oad3w7/telemetry", "354u1g321k"),
        ("https://shop.tines.com/webhook/" + "0a" * 16 + "/" + "1b" * 16, "1b1b1b"), ("the_odds_api=abcdef1234567890abcdef1234567890", "abcdef123"),
        ("[Peer]\nPublicKey = none\nPresharedKey = uXsfsZ4Ts1qach7Zv3hhwcx6wa5fuIo2u3w7sa+9j82=\n", "uXsfsZ4Ts1"),
        ("shop_secret_token=shop_zyxwvutsrqponmlkjihgfedcbaZYXWVUTSRQP", "zyxwvutsrq"),
        ("CC_TEST_REPORTER_ID: " + "945dfb58" * 8, "945dfb58"), ("token = 'abc.def.ghi456ijk789mno0123456789abcde'", "ghi456ijk789"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("fast", [True, False])
def test_what_stands_where_secrets_do_is_one(
    monkeypatch: pytest.MonkeyPatch, text: str, secret: str, fast: bool
) -> None:
    monkeypatch.setattr(engine, "HAS_HYPERSCAN", fast)
    use_automata_at_once(monkeypatch)
    shown = Redactor().redact_text(text)
    assert secret not in shown
    assert MASK in shown


@pytest.mark.parametrize(
    "text",
    [
        "token: string;", "password = None", "added 231 packages in 4s", "https://example.com:8080/path@2x.png", "sk-button-group",
        "commit 6611210f0c3b7a5f0e3d9c8b7a6f5e4d3c2b1a09", "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "module ./src/components/TokenList.tsx 4.31 KiB", "export const passwordSchema = z.string().min(12)", "eyJust a word",
        "integrity sha512-abcdefghijklmnop1234567890ABCDEFG==", "secretName: shop-database-credentials", "bearer of bad news",
        "author: dependabot", "key: value", "token_count=512", "access_log /var/log/nginx/access.log", "monkey=banana",
        "Using cached key: node-modules-linux", "http://localhost:8080/@vite/client", "passwords match", "tokens: 1234567",
        "docker run -u 1000:1000 app", "pattern: ^[a-z]+$", "auth.service: Succeeded",
        'password: "required"', 'type="password" name="pwd"', "PWD=/srv/shop", "bypass=cache", "pass=120 fail=0", "password=$DB_PASSWORD",
        "--password=<password>", "--password=********", 'password: "is too short"', "key: 1700000000000000", "password: z.string()",
        "npm silly fetch manifest @babel/plugin-syntax-private-property-in-object@^7.14.5", "keyboard: us-intl", "$argon2id$ is a hash",
        "request_id=550e8400-e29b-41d4-a716-446655440000", "writing image sha256:" + "0a1b" * 16 + " done", "shop-api:" + "6611210f" * 5,
        '"integrity": "sha512-v2kDEe57lecTulaDIuNTPy3Ry4gLGJ6Z1O3vE1krgXZNrsQLFTGHVxVjcXPs17LhbZVGedAJv8XZ1tvj5FvSg=="', "auth: " + "6611210f" * 5,
        "h1:Xv5erBjTwe5IxqUQTdXv5kgmIvbHo3QQyRwhJsOfJAA= go.sum", "SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8 host",
        "dist/assets/AbstractComponentFactory-DzX81kQ2.js", "_ZN4core3fmt9Formatter9write_fmt17h0123456789abcdefE", "e7f3a1c2" * 8 + "  app.tar.gz",
        "AmazonRoute53AutoNamingRegistrantAccess", "tryToReloadTodayBasicSteps1514044800223", "cache key: node-modules-" + "6611210f" * 5,
        "docker run -u 1000:1000 -p 8080:80 app", "password = user_password\n", "x-request-id: 01J8ZQ4T9V3M6N2P5R7S8T9V0W",
    ],
)  # fmt: skip
@pytest.mark.parametrize("fast", [True, False])
def test_what_is_none_stays(monkeypatch: pytest.MonkeyPatch, text: str, fast: bool) -> None:
    monkeypatch.setattr(engine, "HAS_HYPERSCAN", fast)
    use_automata_at_once(monkeypatch)
    assert Redactor().redact_text(text) == text


def test_every_secret_has_a_marker_where_its_pattern_needs_it() -> None:
    for name, pattern in SECRET_PATTERNS.items():
        for example in EXAMPLES:
            if found := compiled_pattern(name).search(example.encode()):
                match = found[0].decode().lower() if pattern.regex.startswith("(?i)") else found[0].decode()
                place = str.__contains__ if pattern.floating else str.startswith
                assert any(place(match, marker) for marker in pattern.markers), (name, example)
