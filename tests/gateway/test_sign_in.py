"""Signing in: the development provider, and the console in front of it."""

import base64
import json
import re
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from services.gateway.accounts import Accounts
from services.gateway.app import create_app
from services.gateway.auth import Asker, IssuerKeys, Tokens
from services.gateway.development_provider import DevelopmentProvider, challenge
from services.gateway.problems import Fault
from shared.config import Settings
from shared.errors import Invalid, Unavailable
from tests.gateway.world import ME, OFFER, SOME_ID, TERMS, Answering, World

RETURN = "http://127.0.0.1:8080/anmelden/antwort"
VERIFIER = "an-unguessable-verifier-of-at-least-43-characters"
ASKED = {
    "response_type": "code",
    "client_id": "console",
    "redirect_uri": RETURN,
    "state": "s",
    "nonce": "n",
    "code_challenge": challenge(VERIFIER),
    "code_challenge_method": "S256",
}


def claims_of(token: str) -> dict:
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def code_for(world: World, sub: str = "ayse") -> str:
    answer = world.client.post("/provider/authorize", data={**ASKED, "sub": sub})
    assert answer.status_code == 303
    query = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert query["state"] == ["s"]
    return query["code"][0]


def exchanged(world: World, stolen: str, **other: str):
    form = {
        "grant_type": "authorization_code",
        "code": stolen,
        "code_verifier": VERIFIER,
        "redirect_uri": RETURN,
        "client_id": "console",
    }
    return world.client.post("/provider/token", data=form | other)


def sign_in(world: World, sub: str = "ayse"):
    began = world.client.get("/anmelden", base_url="http://127.0.0.1:8080")
    asked = parse_qs(urlsplit(began.headers["Location"]).query)
    form = {name: values[0] for name, values in asked.items()} | {"sub": sub}
    chosen = world.client.post("/provider/authorize", data=form, base_url="http://127.0.0.1:8080")
    where = urlsplit(chosen.headers["Location"])
    return world.client.get(f"{where.path}?{where.query}", base_url="http://127.0.0.1:8080")


def page(world: World, path: str = "/meine-daten"):
    return world.client.get(path, base_url="http://127.0.0.1:8080")


def csrf(world: World) -> str:
    return re.search(r'name="csrf" value="([^"]+)"', page(world).get_data(as_text=True)).group(1)


@pytest.mark.parametrize("mode", ["production", "test"])
def test_the_development_provider_refuses_to_start_outside_the_demonstration(tmp_path, clock, mode):
    settings = Settings(mode=mode, state=tmp_path, keys=tmp_path, issuer="https://sign-in.example")
    with pytest.raises(Invalid, match=r"provider\.demo_only"):
        DevelopmentProvider(settings, Accounts(tmp_path / "demo.json"), clock)
    app = create_app(settings, Answering(), clock=clock)
    assert not [rule for rule in app.url_map.iter_rules() if "provider" in str(rule) or "well-known" in str(rule)]
    assert app.test_client().post("/provider/token").status_code == 404


def test_discovery_says_where_everything_is(world):
    found = world.client.get("/.well-known/openid-configuration").json
    assert found["issuer"] == world.settings.issuer
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        assert found[name].startswith(world.settings.issuer)
    assert found["code_challenge_methods_supported"] == ["S256"]


def test_tokens_are_signed_by_the_published_key_and_name_one_agency(world):
    keys = KeySet.import_key_set(world.client.get("/provider/jwks").json)
    assert all("d" not in key for key in world.client.get("/provider/jwks").json["keys"])
    claims = jwt.decode(world.token("partner_system"), keys, algorithms=["ES256"]).claims
    assert claims["iss"] == world.settings.issuer
    assert claims["exp"] - claims["iat"] == 15 * 60
    assert {name: claims[name] for name in ("aud", "sub", "role", "agency", "partner")} == {
        "aud": "handschlag",
        "sub": "drv-system",
        "role": "partner_system",
        "agency": "jobcenter",
        "partner": "drv",
    }


def test_a_program_signs_in_by_header_or_by_form(world):
    form = {"grant_type": "client_credentials", "client_id": "jobcenter-app", "client_secret": "jc secret"}
    answer = world.client.post("/provider/token", data=form)
    assert (answer.status_code, answer.json["token_type"], answer.json["expires_in"]) == (200, "Bearer", 900)
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("jobcenter-app", "wrong"),
        ("jobcenter-app", ""),
        ("nobody", "jc secret"),
        ("", ""),
        ("nobody", "no such client"),
    ],
)
def test_a_wrong_secret_opens_nothing(world, user, password):
    answer = world.client.post("/provider/token", data={"grant_type": "client_credentials"}, auth=(user, password))
    assert (answer.status_code, answer.json) == (401, {"error": "invalid_client"})


def test_other_grants_are_not_supported(world):
    for form in ({}, {"grant_type": "password", "username": "ayse", "password": "x"}):
        answer = world.client.post("/provider/token", data=form)
        assert (answer.status_code, answer.json["error"]) == (400, "unsupported_grant_type")


def test_the_code_flow_with_pkce_gives_tokens_once(world):
    code = code_for(world)
    answer = exchanged(world, code)
    assert answer.status_code == 200
    access, identity = claims_of(answer.json["access_token"]), claims_of(answer.json["id_token"])
    assert (access["sub"], access["role"], access["person_id"], access["aud"]) == ("ayse", "citizen", ME, "handschlag")
    assert (identity["aud"], identity["nonce"], identity["name"]) == ("console", "n", "Ayşe Demir")
    assert "name" not in access
    assert "client_id" not in access
    assert exchanged(world, code).json == {"error": "invalid_grant"}


@pytest.mark.parametrize(
    "other",
    [{"code_verifier": "x" * 43}, {"redirect_uri": "http://evil.example/"}, {"client_id": "other"}, {"code": "guess"}],
)
def test_a_stolen_code_is_worth_nothing(world, other):
    code = code_for(world)
    answer = exchanged(world, code, **other)
    assert (answer.status_code, answer.json) == (400, {"error": "invalid_grant"})


def test_a_code_is_good_for_a_minute(world):
    code = code_for(world)
    world.clock.move(seconds=61)
    assert exchanged(world, code).json == {"error": "invalid_grant"}


@pytest.mark.parametrize(
    "other",
    [
        {"redirect_uri": "http://evil.example/"},
        {"redirect_uri": RETURN + "/x"},
        {"client_id": "evil"},
        {"response_type": "token"},
        {"code_challenge_method": "plain"},
        {"code_challenge": ""},
    ],
)
def test_nobody_is_sent_to_an_address_that_is_not_ours_and_nobody_gets_a_code_without_pkce(world, other):
    for answer in (
        world.client.get("/provider/authorize", query_string=ASKED | other),
        world.client.post("/provider/authorize", data=ASKED | other | {"sub": "ayse"}),
    ):
        assert answer.status_code == 400
        assert "Location" not in answer.headers


def test_the_page_shows_the_demo_persons_as_buttons(world):
    text = world.client.get("/provider/authorize", query_string=ASKED).get_data(as_text=True)
    assert "Ayşe Demir" in text
    assert "Jana Weber" in text
    assert "Demodaten" in text


def test_a_browser_signs_in_and_sees_its_own_data(world):
    world.calls.answers["exchange.disclosures"] = {"next": None}
    answer = sign_in(world)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/meine-daten")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    text = page(world).get_data(as_text=True)
    assert "Meine Einwilligungen" in text
    assert "Angemeldet als: Bürgerin oder Bürger" in text
    about = {question["person_id"] for _, method, question, _ in world.calls.asked if method != "partners"}
    assert about == {ME}
    assert {caller.role for *_, caller in world.calls.asked} == {"citizen"}


def test_an_answer_that_this_browser_did_not_ask_for_is_refused(world):
    stolen = code_for(world)
    world.client.get("/anmelden", base_url="http://127.0.0.1:8080")
    answer = world.client.get(f"/anmelden/antwort?state=s&code={stolen}", base_url="http://127.0.0.1:8080")
    assert (answer.status_code, answer.json["code"]) == (401, "session.sign_in_failed")
    assert page(world).headers["Location"] == "/anmelden"


def test_a_session_ends_with_its_token(world):
    sign_in(world)
    world.clock.move(minutes=15, seconds=1)
    assert page(world).headers["Location"] == "/anmelden"


def test_a_cookie_changed_by_hand_is_nobody(world):
    sign_in(world)
    key = ("127.0.0.1", "/", "handschlag")
    cookie = world.client._cookies[key]
    world.client.set_cookie("handschlag", "x" + cookie.value[1:], domain="127.0.0.1")
    assert page(world).headers["Location"] == "/anmelden"


def test_a_citizen_withdraws_by_a_button(world):
    world.calls.answers["consent.consents"] = {
        "items": [
            {
                "consent_id": SOME_ID,
                "terms": TERMS,
                "status": "given",
                "given_on": "2026-03-02",
                "withdrawn_on": None,
                "version": 1,
            }
        ]
    }
    sign_in(world)
    text = page(world).get_data(as_text=True)
    assert f'action="/meine-daten/einwilligungen/{SOME_ID}/widerruf"' in text
    answer = world.client.post(
        f"/meine-daten/einwilligungen/{SOME_ID}/widerruf",
        data={"csrf": csrf(world)},
        base_url="http://127.0.0.1:8080",
    )
    where = f"/meine-daten/einwilligungen/{SOME_ID}/widerruf"
    assert (answer.status_code, answer.headers["Location"]) == (303, where)
    assert "consent.withdraw_consent" in world.calls.names()


def test_what_a_citizen_is_asked_has_two_equal_answers_one_click_each(world):
    offered = {"consent_id": SOME_ID, "offer": OFFER, "status": "offered", "offered_on": "2026-03-02", "version": 1}
    world.calls.answers["consent.consents"] = {"items": [], "offers": [offered]}
    world.calls.answers["consent.offer"] = offered
    partner = {"partner_id": "drv", "name": "Rentenversicherung", "body": "b", "domain": "d", "channel": "feed"}
    world.calls.answers["exchange.partners"] = {"items": [partner], "next": None}
    sign_in(world)
    text = page(world).get_data(as_text=True)
    assert "Darf Rentenversicherung etwas über Sie erfahren?" in text
    assert "Ihre Leistungen bleiben, wie sie sind." in text
    form = r'<form method="post" action="(/meine-daten/anfragen/[^"]+)">.*?<button ([^>]*)>(Ja|Nein)<'
    answers = re.findall(form, text)
    assert [(path.rpartition("/")[2], word) for path, _, word in answers] == [("ja", "Ja"), ("nein", "Nein")]
    assert answers[0][1] == answers[1][1]
    for path, operation in zip((path for path, _, _ in answers), ("accept_offer", "decline_offer"), strict=True):
        world.client.post(path, data={"csrf": csrf(world)}, base_url="http://127.0.0.1:8080")
        callee, method, question, _ = world.calls.asked[-2]
        assert (callee, method) == ("consent", operation)
        assert question["answer"]["given_by"] == ["data_subject"]


@pytest.mark.parametrize("paused", [None, "2026-03-02"])
def test_a_citizen_lets_a_consent_rest_and_count_again_by_a_button(world, paused):
    status = "paused" if paused else "given"
    item = {"consent_id": SOME_ID, "terms": TERMS, "status": status, "given_on": "2026-03-02", "withdrawn_on": None}
    world.calls.answers["consent.consents"] = {"items": [{**item, "version": 1, "paused_on": paused}], "offers": []}
    sign_in(world)
    text = page(world).get_data(as_text=True)
    assert (f"/{SOME_ID}/weiter" in text, f"/{SOME_ID}/pause" in text) == (bool(paused), not paused)
    assert f"/{SOME_ID}/widerruf" in text


@pytest.mark.parametrize("form", [{}, {"csrf": ""}, {"csrf": "guess"}])
def test_a_form_of_another_page_changes_nothing(world, form):
    sign_in(world)
    for path in (f"/meine-daten/einwilligungen/{SOME_ID}/widerruf", "/abmelden"):
        answer = world.client.post(path, data=form, base_url="http://127.0.0.1:8080")
        assert answer.status_code == 403
    assert "consent.withdraw_consent" not in world.calls.names()


def test_who_leaves_is_signed_out(world):
    sign_in(world)
    world.client.post("/abmelden", data={"csrf": csrf(world)}, base_url="http://127.0.0.1:8080")
    assert page(world).headers["Location"] == "/anmelden"


def test_another_role_sees_nothing_on_the_citizens_page(world):
    sign_in(world, "weber")
    assert "Mit Ihrer Rolle gibt es hier nichts zu sehen" in page(world).get_data(as_text=True)
    assert world.calls.asked == []


def test_the_session_opens_no_door_to_the_interface(world):
    sign_in(world)
    assert page(world, "/v1/consents").status_code == 401


def test_every_page_is_accessible_and_runs_nothing_from_elsewhere(world):
    sign_in(world)
    paths = (
        "/",
        "/meine-daten",
        "/problems/token-expired",
        f"/provider/authorize?{urlencode(ASKED)}",
        "/law",
        "/law/try",
    )
    for path in paths:
        answer = page(world, path)
        text = answer.get_data(as_text=True)
        assert answer.status_code == 200, path
        assert '<html lang="de">' in text
        assert text.count("<h1>") == 1
        assert "Zum Inhalt springen" in text
        assert text.count("<table>") == text.count("<caption>")
        assert not re.search(r"<script|style=|\son\w+=|(src|href|action)=\"https?://", text), path
        assert "Demodaten" in text
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Demodaten" not in _production_start(world)


def test_a_browser_meets_problems_as_pages(world):
    answer = world.client.get("/nirgends", headers={"Accept": "text/html,*/*;q=0.8"})
    assert answer.status_code == 404
    assert "Diese Seite gibt es nicht" in answer.get_data(as_text=True)


def _production_start(world: World) -> str:
    settings = Settings(
        mode="production", state=world.folder / "p", keys=world.folder / "p", issuer="https://sign-in.example"
    )
    return create_app(settings, Answering(), clock=world.clock).test_client().get("/").get_data(as_text=True)


class Issuer:
    """A sign-in service elsewhere."""

    def __init__(self) -> None:
        self.fetched: list[str] = []
        self.turn()

    def turn(self) -> None:
        self.key = ECKey.generate_key("P-256", {"use": "sig"})
        self.key.ensure_kid()

    def fetch(self, url: str):
        self.fetched.append(url)
        if url.endswith("openid-configuration"):
            return {"jwks_uri": "https://sign-in.example/keys"}
        return {"keys": [self.key.as_dict(private=False)]}

    def token(self, now: float, **other) -> str:
        claims = {
            "iss": "https://sign-in.example",
            "aud": "handschlag",
            "exp": now + 60,
            "sub": "s",
            "role": "auditor",
            "agency": "jobcenter",
        }
        return jwt.encode({"alg": "ES256", "kid": self.key.kid}, claims | other, self.key)


def test_a_configured_issuer_is_believed_by_its_published_keys(clock):
    issuer = Issuer()
    tokens = Tokens("https://sign-in.example", IssuerKeys("https://sign-in.example", issuer.fetch), clock)
    now = clock.now().timestamp()
    assert tokens.asker(f"Bearer {issuer.token(now)}").role == "auditor"
    tokens.asker(f"Bearer {issuer.token(now)}")
    assert len(issuer.fetched) == 2
    for wrong, code in (
        ({"iss": "https://evil.example"}, "token.misdirected"),
        ({"aud": "other"}, "token.misdirected"),
        ({"nbf": now + 60}, "token.misdirected"),
        ({"exp": now - 1}, "token.expired"),
        ({"exp": "later"}, "token.malformed"),
        ({"role": ["auditor"]}, "token.unclear"),
        ({"role": "king"}, "token.unclear"),
        ({"agency": ""}, "token.unclear"),
        ({"agency": ["a", "b"]}, "token.unclear"),
        ({"partner": "drv"}, "token.unclear"),
        ({"role": "partner_system"}, "token.unclear"),
        ({"role": "partner_system", "partner": ["a", "b"]}, "token.unclear"),
        ({"role": "citizen"}, "token.unclear"),
    ):
        with pytest.raises(Fault, match=code):
            tokens.asker(f"Bearer {issuer.token(now, **wrong)}")


def test_a_new_key_of_the_issuer_is_looked_for_but_not_on_every_request(clock, monkeypatch):
    issuer, moment = Issuer(), [1000.0]
    monkeypatch.setattr("services.gateway.auth.time.monotonic", lambda: moment[0])
    tokens = Tokens("https://sign-in.example", IssuerKeys("https://sign-in.example", issuer.fetch), clock)
    now = clock.now().timestamp()
    tokens.asker(f"Bearer {issuer.token(now)}")
    issuer.turn()
    with pytest.raises(Fault, match=r"token\.bad_signature"):
        tokens.asker(f"Bearer {issuer.token(now)}")
    moment[0] += 31
    tokens.asker(f"Bearer {issuer.token(now)}")


def test_an_issuer_that_does_not_answer_lets_nobody_in(clock):
    def fetch(_url: str):
        raise ValueError

    tokens = Tokens("https://sign-in.example", IssuerKeys("https://sign-in.example", fetch), clock)
    with pytest.raises(Unavailable, match=r"issuer\.unavailable"):
        tokens.asker(f"Bearer {Issuer().token(clock.now().timestamp())}")


def test_only_a_program_with_its_own_credentials_is_a_machine():
    person = {"sub": "weber", "client_id": "console", "role": "case_worker", "agency": "jobcenter"}
    assert not Asker.of(person).machine
    assert Asker.of({**person, "client_id": "weber"}).machine
