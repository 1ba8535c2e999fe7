"""The widget's files and headers, without a browser."""

import asyncio
import gzip
import json
import posixpath
import re
from base64 import b64encode
from graphlib import TopologicalSorter
from hashlib import sha384
from importlib.resources import files
from types import SimpleNamespace
from typing import Any
from urllib.parse import urljoin

import pytest
from starlette.routing import Router

from proof.partners.types import Environment
from proof.ramp.providers.outcomes import cards
from proof.ramp.records import RecordKind
from proof.ramp.types import Status, TransactionType
from proof.timestamps.types import Currency
from proof.web.widget.assets import loader, loader_path, release, static
from proof.web.widget.serving import FoundWidget, widget_routes

_LOADER_BYTES = 10_000
_URLS = {
    Environment.PRODUCTION: "https://proof.test",
    Environment.SANDBOX: "https://proof.test/sandbox",
}
_WIDGETS = {
    "framed": FoundWidget(Environment.PRODUCTION, ("https://a.test", "https://b.test:8443")),
    "alone": FoundWidget(Environment.PRODUCTION, ()),
    "handed": FoundWidget(Environment.PRODUCTION, (), ("https://*.pay.test", "https://cdn.test")),
    "elsewhere": FoundWidget(Environment.SANDBOX, ()),
}
LANGUAGES = {
    name.split("/")[1].removesuffix(".json"): json.loads(asset.body)
    for name, asset in static().items()
    if name.startswith("i18n/")
}
SCRIPTS = "".join(asset.body.decode() for name, asset in static().items() if name.endswith(".js"))
REASONS = ("completed", "failed", "cancelled", "processing", "error", "closed")
STYLE = static()["widget.css"].body.decode()


async def _find(widget_id: str) -> FoundWidget | None:
    return _WIDGETS.get(widget_id)


def get(path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    router = Router(list(widget_routes(_find, _URLS)))
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError("nothing is read of such a request")

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": [
            (name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()
        ],
        "proof": SimpleNamespace(environment=Environment.PRODUCTION),
    }
    asyncio.run(router(scope, receive, send))
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], found, sent[1]["body"]


def policy(path: str) -> dict[str, str]:
    rules = get(path)[1]["content-security-policy"].split("; ")
    return {name: rest for name, _, rest in (rule.partition(" ") for rule in rules)}


def test_the_loader_is_small_and_comes_the_same_by_both_addresses() -> None:
    assert len(loader().gzipped) < _LOADER_BYTES
    for path in ("/widget.2.0.js", loader_path()):
        status, headers, body = get(path)
        assert (status, body) == (200, loader().body)
        assert headers["content-type"] == "text/javascript; charset=utf-8"
        assert headers["access-control-allow-origin"] == "*"
        assert headers["cross-origin-resource-policy"] == "cross-origin"
    assert "immutable" in get(loader_path())[1]["cache-control"]
    assert "immutable" not in get("/widget.2.0.js")[1]["cache-control"]


def test_the_published_hash_is_the_loaders() -> None:
    told = json.loads(get("/widget.2.0.json")[2])
    for base in ("https://proof.example", "https://proof.example/sandbox", "https://s.example/a"):
        assert urljoin(f"{base}/widget.2.0.json", told["path"]) == base + loader_path()
    body = get(loader_path())[2]
    assert told["integrity"] == "sha384-" + b64encode(sha384(body).digest()).decode()


def test_a_file_comes_compressed_to_who_takes_it_and_not_again_to_who_has_it() -> None:
    path = f"/w/static/{release()}/main.js"
    _, headers, body = get(path, accept_encoding="br, gzip")
    assert headers["content-encoding"] == "gzip"
    assert gzip.decompress(body) == static()["main.js"].body
    status, _, body = get(path, if_none_match=headers["etag"])
    assert (status, body) == (304, b"")
    assert get(f"/w/static/{release()}/../page.html.j2")[0] == 404
    assert get("/w/static/0000000000000000/main.js")[0] == 404


def test_only_the_partners_sites_may_frame_the_page() -> None:
    assert policy("/w/framed")["frame-ancestors"] == "https://a.test https://b.test:8443"
    assert policy("/w/alone")["frame-ancestors"] == "'none'"
    assert policy("/w/unknown")["frame-ancestors"] == "'none'"


def test_the_page_allows_itself_nothing_inline_and_nobody_elses() -> None:
    found = policy("/w/framed")
    assert found["default-src"] == "'none'"
    assert found["connect-src"] == "'self'"
    assert "unsafe" not in str(found)
    assert re.fullmatch(r"'nonce-[\w-]{20,}'", found["script-src"])
    assert found["script-src"] == found["style-src"]
    assert policy("/w/framed")["script-src"] != found["script-src"]
    assert "require-trusted-types-for" in found
    assert found["img-src"] == "'self'"
    assert "frame-src" not in found


def test_a_provider_with_a_widget_of_its_own_is_let_in() -> None:
    found = policy("/w/handed")
    assert found["frame-src"] == "https://*.pay.test https://cdn.test"
    assert found["connect-src"] == "'self' https://*.pay.test https://cdn.test"
    assert found["script-src"].startswith("'nonce-")


def test_every_script_and_style_of_the_page_carries_the_nonce() -> None:
    _, headers, body = get("/w/framed")
    nonce = re.search(r"'nonce-([^']+)'", headers["content-security-policy"])
    assert nonce is not None
    elements = re.findall(rb"<(?:script|link rel=\"(?:stylesheet|modulepreload))[^>]*>", body)
    assert len(elements) > 3
    assert all(f'nonce="{nonce[1]}"'.encode() in element for element in elements)
    assert not re.search(rb" (style|on\w+)=", body)
    named = re.findall(rb'"static/[0-9a-f]+/([^"]+)"', body)
    assert {name.decode() for name in named} <= set(static())


def test_the_page_is_kept_by_nobody_and_tells_nobody_where_it_was() -> None:
    headers = get("/w/framed")[1]
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"


def test_the_page_of_a_receipt_is_the_same_for_whoever_guesses_and_framed_by_nobody() -> None:
    status, headers, body = get("/r/218de02f-0552-4891-b6d9-dc0fffe87a55")
    assert status == 200
    nonce = re.search(r"script-src 'nonce-([^']+)'", headers["content-security-policy"])
    assert nonce is not None
    for path in ("/r/anything", "/r/218de02f-0552-4891-b6d9-dc0fffe87a56"):
        other = get(path)
        found = re.search(r"nonce-([^']+)'", other[1]["content-security-policy"])
        assert found is not None
        assert (other[0], other[2].replace(found[1].encode(), nonce[1].encode())) == (status, body)
    rules = policy("/r/anything")
    assert (rules["frame-ancestors"], rules["default-src"]) == ("'none'", "'none'")
    assert rules["connect-src"] == "'self'"
    assert "require-trusted-types-for" in rules
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-robots-tag"] == "noindex"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    named = re.findall(rb'"\.\./w/static/[0-9a-f]+/([^"]+)"', body)
    assert {name.decode() for name in named} <= set(static())
    assert len(named) == 7
    elements = re.findall(rb"<(?:script|link rel=\"(?:stylesheet|modulepreload))[^>]*>", body)
    assert all(f'nonce="{nonce[1]}"'.encode() in element for element in elements)


def test_every_word_of_a_receipt_that_the_server_names_is_there() -> None:
    english = LANGUAGES["en"]
    script = static()["receipt.js"].body.decode()
    for currency in set(Currency) - {Currency.BTC, Currency.ETH}:
        assert f"{currency.name}: " in script
    refunds = {"requested", "refunded", "charged_back"}
    assert {f"receipt.refund.{status}" for status in refunds} <= english.keys()
    for kind in TransactionType:
        for end in (status for status in Status if status.terminal):
            assert f"outcome.{kind}.{end}.text" in english
        assert f"processing.{kind}.paid" in english
    kinds = {kind.value.rpartition(".")[2] for kind in RecordKind}
    assert kinds == {"opened", "callback", "resolution", "refund", "status"}
    assert all(f'kind === "{kind}"' in script for kind in kinds - {"status"})


def test_a_widget_of_the_other_environment_leads_there() -> None:
    status, headers, _ = get("/w/elsewhere")
    assert (status, headers["location"]) == (307, "https://proof.test/sandbox/w/elsewhere")


def test_an_unknown_widget_says_so_without_a_script() -> None:
    status, _, body = get("/w/unknown")
    assert status == 404
    assert b"does not exist" in body
    assert b"<script" not in body


@pytest.mark.parametrize("path", ["/w/framed", "/r/anything", "/widget.2.0.js", "/widget.2.0.json"])
def test_a_head_has_no_body_and_other_methods_are_refused(path: str) -> None:
    status, headers, body = get(path, "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 0
    status, headers, _ = get(path, "POST")
    assert (status, headers["allow"]) == (405, "GET, HEAD")


def test_seven_languages_say_the_same_things() -> None:
    assert set(LANGUAGES) == {"en", "de", "fr", "es", "pt", "tr", "ar"}
    english = LANGUAGES["en"]
    for texts in LANGUAGES.values():
        assert texts.keys() == english.keys()
        for key, text in texts.items():
            assert text.strip(), key
            assert sorted(re.findall(r"\{\w+\}", text)) == sorted(
                re.findall(r"\{\w+\}", english[key])
            ), key


def test_every_text_the_scripts_ask_for_is_there() -> None:
    asked = set(re.findall(r'"((?:\w+\.)+\w+)"', SCRIPTS)) | set(
        re.findall(r'say\("(\w+)"', SCRIPTS)
    )
    asked -= {name for name in asked if name.endswith((".js", ".json"))} | {"proof.widget"}
    assert len(asked) > 60
    assert asked <= LANGUAGES["en"].keys()


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_partner_is_called_a_shop(language: str) -> None:
    shops = re.compile(r"shop|boutique|tienda|loja|ma[gğ]aza|متجر|merchant site|magasin", re.I)
    assert not [key for key, text in LANGUAGES[language].items() if shops.search(text)]
    assert not shops.search(get("/w/unknown")[2].decode())
    assert not shops.search(re.sub(r"(?s)/\*.*?\*/|//[^\n]*", "", SCRIPTS))


def test_every_outcome_that_a_card_brings_has_plain_words() -> None:
    chosen = {f"test.{card.name}" for card in cards()}
    assert chosen == {key for key in LANGUAGES["en"] if key.startswith("test.")}
    documented = {card.description for card in cards()}
    assert not documented & set(LANGUAGES["en"].values())


def test_every_failure_says_what_to_do() -> None:
    failures = {key for key in LANGUAGES["en"] if key.startswith("failure.")}
    plain = {key for key in failures if not key.endswith(".todo")}
    assert failures - plain == {f"{key}.todo" for key in plain} | {"failure.lasting.todo"}
    listed = static()["failure.js"].body.decode()
    named = re.findall(r'"(\w+)"', listed[: listed.index("const PATIENCE")])
    assert {f"failure.{name}" for name in named} == plain


def test_the_codes_and_reasons_of_the_callbacks_are_documented() -> None:
    page = files("proof.web").joinpath("pages", "widget.md").read_text()
    told = {key.removeprefix("failure.") for key in LANGUAGES["en"] if key.startswith("failure.")}
    codes = {code for code in told if not code.endswith(".todo")} | {"invalid_options"}
    # A page that may not speak to the site around it tells it nothing.
    section = page[page.index("`onError`") : page.index("## Frame or whole window")]
    for word in {*codes - {"wrong_origin"}, *REASONS}:
        assert f"`{word}`" in section, word


def test_no_script_imports_itself_by_way_of_others() -> None:
    imports = {
        name: {
            posixpath.normpath(posixpath.join(posixpath.dirname(name), found))
            for found in re.findall(r'(?:from|import)\s*\(?"(\.[^"]+)"', asset.body.decode())
        }
        for name, asset in static().items()
        if name.endswith(".js")
    }
    assert imports["steps.js"]
    assert set().union(*imports.values()) <= imports.keys()
    TopologicalSorter(imports).prepare()


def test_text_never_becomes_markup() -> None:
    everything = SCRIPTS + loader().body.decode()
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert word not in everything


def _tokens(theme: int) -> dict[str, str]:
    pairs = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", STYLE)
    return {name: (light, dark)[theme] for name, light, dark in pairs}


def test_without_light_dark_the_light_page_is_whole() -> None:
    plain = dict(re.findall(r"^  --([\w-]+): (#\w{6});", STYLE, re.M))
    assert plain == _tokens(0)
    assert STYLE.index("@supports (color: light-dark") < STYLE.index(": light-dark(#")


def _luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
        for channel in channels
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(text: str, other: str) -> float:
    light, dark = sorted((_luminance(text), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("text", "ground", "least"),
    [
        ("ink", "paper", 7),
        ("ink", "raised", 7),
        ("ink", "tint", 7),
        ("quiet", "paper", 4.5),
        ("quiet", "raised", 4.5),
        ("quiet", "ground", 4.5),
        ("accent", "paper", 4.5),
        ("accent", "raised", 4.5),
        ("on-accent", "accent", 4.5),
        ("on-accent", "accent-strong", 4.5),
        ("on-danger", "danger", 4.5),
        ("danger", "danger-ground", 4.5),
        ("danger", "paper", 4.5),
        ("caution", "caution-ground", 4.5),
        ("success", "success-ground", 4.5),
        ("success", "raised", 4.5),
        ("edge", "paper", 3),
        ("edge", "raised", 3),
    ],
)
def test_colours_are_told_apart(text: str, ground: str, least: float, theme: int) -> None:
    tokens = _tokens(theme)
    assert _contrast(tokens[text], tokens[ground]) >= least


def test_every_file_of_the_page_is_served() -> None:
    folder = files("proof.web.widget").joinpath("static")
    assert {path.name for path in folder.iterdir() if not path.is_dir()} <= set(static())
