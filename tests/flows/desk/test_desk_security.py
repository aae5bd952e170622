"""The desk's doors: who is let in, what for, and what no page of another's can make it do."""

from base64 import b64encode
from collections.abc import Iterator

import pytest
from fastapi.routing import APIRoute

from flows.desk.app import ROUTERS
from flows.desk.identity import FORM_COOKIE, AttemptLimit, form_token
from flows.desk.signing import next_page
from tasks.ledger import ItemFilter
from tasks.ledger.people import Role, add_person, remove_person
from tests.desks import HTML, LOCAL, PASSWORD, Curator, House, OpenHouse, token_in


def basic(name: str, password: str) -> dict[str, str]:
    """HTTP Basic."""
    return {"Authorization": "Basic " + b64encode(f"{name}:{password}".encode()).decode()}


def routes() -> Iterator[tuple[str, str]]:
    """Every route, with each of its methods."""
    for router in ROUTERS:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            for method in sorted(route.methods):
                yield method, route.path_format.replace("{item_id}", "1")


def test_nobody_sees_anything_unless_known(house: House) -> None:
    """Whatever the page: only the form by which one signs in, scripts and styles are there."""
    client = house.client()
    public = {"/sign-in", "/static/{version}/{name}", "/favicon.ico"}
    tried = 0
    for method, path in routes():
        if path in public:
            continue
        answer = client.request(method, path, headers=HTML)
        assert answer.status_code in {303, 401}, (method, path, answer.status_code)
        if answer.status_code == 303:
            assert answer.headers["location"].startswith("/sign-in?next=")
        tried += 1
    assert tried >= 20


def test_nothing_is_changed_without_the_browsers_own_word(house: House) -> None:
    """By any route there is: no other page can send a form in this person's name."""
    anna = house.signed_in("Anna", Role.RUN)
    ben = house.signed_in("Ben")
    changing = {"POST", "PUT", "PATCH", "DELETE"}
    paths = [path for method, path in routes() if method in changing]
    assert len(paths) >= 6
    for path in paths:
        for headers in ({}, {"X-CSRF-Token": "x"}, {"X-CSRF-Token": ben.token}):
            answer = anna.client.post(path, data={"csrf": "x"}, headers=headers)
            assert answer.status_code == 403, path
            assert "load it again" in answer.text


def test_files_of_nobody_and_of_whoever_may_not_hand_them_in_are_not_read(house: House) -> None:
    """Who sent a form is looked at before its body, which may be large and may be anything."""
    path, broken = "/references/deliveries/by-form", {"Content-Type": "multipart/form-data"}
    nobody, lou, anna = house.client(), house.signed_in("Lou", Role.LOOK), house.signed_in("Anna")
    nobody.cookies.set(house.desk.cookie(FORM_COOKIE), "made up")
    for word in ({}, {"X-CSRF-Token": form_token("made up")}):
        assert nobody.post(path, content=b"x", headers=broken | word).status_code == 401
    decision = nobody.post(f"/api/items/{house.ids()[0]}/decision", json={"kind": "approve"})
    assert decision.status_code == 401  # whose session has ended is told to sign in, not to reload
    refused = lou.client.post(path, content=b"x", headers=broken)
    assert refused.status_code == 403
    assert "role decide" in refused.text
    assert anna.client.post(path, content=b"x", headers=broken).status_code == 400
    many = b"--b\r\n" * 10_000  # never ended: it is not parted to its end
    headers = {"Content-Type": "multipart/form-data; boundary=b", "X-CSRF-Token": anna.token}
    assert "more than 250" in anna.client.post(path, content=many, headers=headers).text
    fields = "a=b&" * 300_000
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert nobody.post(path, content=fields, headers=headers).status_code == 413


def test_what_a_path_is_not_for_is_refused_with_what_it_is_for(house: House) -> None:
    """All of it, whichever of its routes comes first."""
    rita = house.signed_in("Rita", Role.RUN)
    headers = {"X-CSRF-Token": rita.token}
    allowed = {
        "/api/items/1/correction": "GET, HEAD, POST",
        "/sign-in": "GET, HEAD, POST",
        "/api/items/1/decision": "POST",
        "/files/a/b": "GET, HEAD",
    }
    for path, methods in allowed.items():
        answer = rita.client.request("DELETE", path, headers=headers)
        assert (answer.status_code, answer.headers["allow"]) == (405, methods), path


def test_what_can_be_got_can_be_asked_about(house: House) -> None:
    """HEAD says what GET says, wherever that is answered, and sends no body."""
    rita = house.signed_in("Rita", Role.RUN)
    item = house.ids()[0]
    pages = ("/", "/review", "/wall", "/archive", "/orders", "/models", "/references", "/pace")
    urls = [*pages, f"/items/{item}", f"/items/{item}/files/access", f"/items/{item}/doubt.png"]
    urls += ["/api/me", "/api/openapi.json", "/metrics", "/static/0/nothing", "/files/nothing"]
    for url in urls:
        got = rita.client.get(url, headers=HTML)
        asked = rita.client.head(url, headers=HTML)
        assert (asked.status_code, asked.content) == (got.status_code, b""), url
        assert asked.headers.get("content-type") == got.headers.get("content-type"), url
    answer = rita.client.head("/api/items/1/decision")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert house.client().head("/review", headers=HTML).headers["location"].startswith("/sign-in")


def test_roles_bound_what_a_person_may_do(house: House) -> None:
    """Who may look may not decide; who decides sees nothing that is held, nor the output."""
    item, other = house.ids()[:2]
    looker, curator, boss = (
        house.signed_in(name, role)
        for name, role in (("Lou", Role.LOOK), ("Cleo", Role.DECIDE), ("Rita", Role.RUN))
    )
    assert looker.client.get("/review", headers=HTML).status_code == 200
    assert 'data-kind="approve"' not in looker.client.get("/review", headers=HTML).text
    refused = looker.decide(item, "approve")
    assert refused.status_code == 403
    assert "role decide" in refused.json()["detail"]
    assert curator.decide(item, "hold", "rights").status_code == 200
    urls = [f"/items/{item}", f"/api/items/{item}", f"/review?item={item}"]
    shown = boss.client.get(f"/api/items/{item}").json()
    urls += [f"{shown['scan']}/info.json", f"{shown['colour']}/full/max/0/default.jpg"]
    urls += [f"/items/{item}/files/master", f"/items/{item}/doubt.png"]
    for url in urls:
        assert curator.client.get(url).status_code == 404, url
        assert boss.client.get(url).status_code == 200, url
    assert f'/items/{item}"' not in curator.client.get(f"/search?q={item}").text
    for url in ("/metrics", "/files/nothing"):
        assert curator.client.get(url).status_code == 401
    assert boss.client.get("/metrics").status_code == 200
    assert curator.client.get(f"/api/items/{other}").status_code == 200


def test_no_list_names_what_is_held(house: House) -> None:
    """Held itself, or turned down before it was held: by no page, filter or form."""
    held, rejected, other = house.ids()[:3]
    names = {row.id: row.uri for row in house.ledger.list_items(ItemFilter(), limit=100)}
    cleo, rita = house.signed_in("Cleo"), house.signed_in("Rita", Role.RUN)
    assert cleo.decide(held, "hold", "rights").status_code == 200
    assert cleo.decide(rejected, "reject").status_code == 200
    house.ledger.hold(ItemFilter(uri=names[rejected]), who="Rita", why="rights")

    def named_in(who: Curator, path: str) -> set[int]:
        text = who.client.get(path, headers={"Accept": "*/*"}).text
        return {item for item, uri in names.items() if uri.rpartition("/")[2] in text}

    for page in ("/api/queue", "/wall", "/wall/more", "/review", "/review/end"):
        for status, item in (("held", held), ("rejected", rejected)):
            assert not named_in(cleo, f"{page}?status={status}"), (page, status)
            if "end" not in page:
                assert item in named_in(rita, f"{page}?status={status}"), (page, status)
    chosen = {"item": f"{held},{rejected},{other}", "as_of": "2999-01-01T00:00:00+00:00"}
    for path in ("/wall/confirm", "/wall/decide"):
        form = chosen | {"csrf": cleo.token, "kind": "approve", "confirmed": "9"}
        page = cleo.client.post(path, data=form, headers=HTML).text
        shown = {item for item, uri in names.items() if f'alt="{uri.rpartition("/")[2]}"' in page}
        assert shown == {other}


def test_ones_own_hold_is_taken_back(house: House) -> None:
    """Though it hides the item at once; nobody else learns of it, and others' holds stay."""
    item, uri = house.ids()[0], house.ledger.list_items(ItemFilter(), limit=1)[0].uri
    cleo, ben = house.signed_in("Cleo"), house.signed_in("Ben")
    made = cleo.decide(item, "hold").json()["decision"]
    assert ben.post(f"/api/items/{item}/undo?decision={made}").status_code == 404
    assert cleo.post(f"/api/items/{item}/undo?decision={made}").json() == {"items": 1}
    assert cleo.client.get(f"/api/items/{item}").json()["status"] == "review"
    made = cleo.decide(item, "hold").json()["decision"]
    house.ledger.hold(ItemFilter(uri=uri), who="Rita", why="sacred")
    told = cleo.post(f"/api/items/{item}/undo?decision={made}")
    assert (told.status_code, "stays held" in told.json()["detail"]) == (409, True)
    assert cleo.client.get(f"/api/items/{item}").status_code == 404


def test_a_session_ends_when_the_person_goes(house: House) -> None:
    """At once: what a browser holds is worth nothing then."""
    anna = house.signed_in("Anna")
    assert anna.client.get("/api/me").json()["name"] == "Anna"
    out = anna.client.post("/sign-out", data={"csrf": anna.token})
    assert out.status_code == 303
    assert anna.client.get("/api/me").status_code == 401
    again = house.signed_in("Anna")
    name = f"autochrome-desk-{house.settings.web_port}"
    cookie = again.client.cookies.get(name)
    assert house.client(Cookie=f"{name}={cookie}").get("/api/me").status_code == 200
    assert house.client(Cookie=f"autochrome-desk-1={cookie}").get("/api/me").status_code == 401
    remove_person(house.ledger, "Anna")
    fresh = house.client(Cookie=f"{name}={cookie}")
    assert fresh.get("/api/me").status_code == 401


def test_cookies_are_for_this_server_alone(house: House) -> None:
    """No script reads them, no other site sends them, under TLS none travels without."""
    add_person(house.ledger, "Anna", Role.LOOK, password=PASSWORD)
    for headers, name in (({}, "autochrome-desk-"), ({"X-Forwarded-Proto": "https"}, "__Host-")):
        client = house.client(**headers)
        page = client.get("/sign-in", headers=HTML)
        form_cookie = page.headers["set-cookie"].partition(";")[0]
        data = {"name": "Anna", "password": PASSWORD, "csrf": token_in(page)}
        answer = client.post("/sign-in", data=data, headers={"Cookie": form_cookie})
        said = answer.headers["set-cookie"]
        assert said.startswith(name)
        assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(said.split("; "))
        assert ("Secure" in said) == bool(headers)


def test_wrong_passwords_are_counted(house: House) -> None:
    """After ten, even the right one has to wait; so it is with HTTP Basic."""
    add_person(house.ledger, "Anna", Role.LOOK, password=PASSWORD)
    client = house.client()
    data = {"name": "Anna", "csrf": token_in(client.get("/sign-in", headers=HTML))}
    for _ in range(10):
        answer = client.post("/sign-in", data=data | {"password": "wrong"}, headers=HTML)
        assert answer.status_code == 403
        assert "do not fit" in answer.text
    late = client.post("/sign-in", data=data | {"password": PASSWORD}, headers=HTML)
    assert late.status_code == 429
    assert int(late.headers["retry-after"]) > 60
    assert "wrong" not in late.text


def test_behind_a_proxy_tries_are_those_of_whoever_asks_it(open_house: OpenHouse) -> None:
    """One who guesses locks nobody else out; of who is no proxy, such a word counts for nothing."""
    for proxies, others in ((("testclient",), 403), (("10.0.0.1",), 429)):
        house = open_house(desk_proxies=proxies)
        client = house.client()
        token = token_in(client.get("/sign-in", headers=HTML))
        codes = []
        for number, address in enumerate(["203.0.113.9"] * 11 + ["203.0.113.7"]):
            said = {"X-Forwarded-For": f"198.51.100.{number}, {address}"}
            form = {"name": f"Nobody {number}", "password": "x", "csrf": token}
            codes.append(client.post("/sign-in", data=form, headers=HTML | said).status_code)
        assert codes == [403] * 10 + [429, others]


def test_tries_are_forgotten_after_a_while() -> None:
    """And those of others are their own."""
    tries = AttemptLimit(most=2, within_s=0.05)
    tries.failed("Anna")
    assert tries.wait_s("Anna") == 0
    tries.failed("Anna", "Ben")
    assert 0 < tries.wait_s("Anna", "Ben") <= 0.05
    assert tries.wait_s("Ben") == 0


def test_programs_show_name_and_password(house: House) -> None:
    """By HTTP Basic: a person's own. This machine's password opens figures and files alone."""
    add_person(house.ledger, "Anna", Role.DECIDE, password=PASSWORD)
    client = house.client()
    assert client.get("/api/me", headers=basic("Anna", PASSWORD)).json()["role"] == "decide"
    assert client.get("/api/me", headers=basic("Anna", "wrong")).status_code == 401
    assert client.get("/api/me", headers=basic(*LOCAL)).status_code == 401
    assert client.get("/metrics", headers=basic(*LOCAL)).status_code == 200
    item = house.ids()[0]
    told = client.get(f"/api/items/{item}", headers=basic("Anna", PASSWORD)).json()
    token = client.get("/api/me", headers=basic("Anna", PASSWORD)).json()["form_token"]
    made = client.post(
        f"/api/items/{item}/decision",
        json={"kind": "approve", "seen": told["seen"]},
        headers=basic("Anna", PASSWORD) | {"X-CSRF-Token": token},
    )
    assert made.status_code == 200


def test_on_this_machine_the_link_lets_in(open_house: OpenHouse) -> None:
    """Its password does, without a login by name; pages of other servers may not use it."""
    house = open_house(host="127.0.0.1")
    client = house.client()
    asked = client.get("/review", headers=HTML)
    assert asked.status_code == 401
    assert asked.headers["www-authenticate"].startswith("Basic ")
    known = basic(*LOCAL)
    assert client.get("/api/me", headers=known).json()["role"] == "run"
    assert client.get("/review", headers=known | HTML).status_code == 200
    entered = client.get("/enter", headers=known)
    assert entered.headers["location"] == "http://127.0.0.1:4201/"
    for foreign in ({"Origin": "http://127.0.0.1:8000"}, {"Host": "evil.example.org"}):
        assert client.get("/api/me", headers=known | foreign).status_code in {400, 403}


def test_a_proxys_word_counts_where_it_is_switched_on(house: House, open_house: OpenHouse) -> None:
    """From its own address, about people who are known, said once; else anybody could say it."""
    add_person(house.ledger, "Anna", Role.DECIDE, password=None)
    said = {"Remote-User": "Anna"}
    assert house.client().get("/api/me", headers=said).status_code == 401
    trusting = open_house(desk_proxy_header="Remote-User", desk_proxies=("testclient",))
    assert trusting.client().get("/api/me", headers=said).json()["role"] == "decide"
    assert trusting.client().get("/api/me", headers={"Remote-User": "Eve"}).status_code == 401
    twice = [("Remote-User", "Anna"), ("Remote-User", "Anna")]
    assert trusting.client().get("/api/me", headers=twice).status_code == 401
    elsewhere = open_house(desk_proxy_header="Remote-User", desk_proxies=("10.0.0.1",))
    assert elsewhere.client().get("/api/me", headers=said).status_code == 401


@pytest.mark.parametrize(
    ("asked", "onward"),
    [
        ("/review?item=3", "/review?item=3"),
        ("//evil.example.org", "/"),
        ("/\\evil.example.org", "/"),
        ("https://evil.example.org/", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\r\nSet-Cookie: x", "/"),
        ("", "/"),
    ],
)
def test_signing_in_leads_to_pages_of_ours_alone(asked: str, onward: str) -> None:
    """Whatever a link to the form says."""
    assert next_page(asked) == onward


def test_pages_run_nothing_but_our_own_scripts(house: House) -> None:
    """No script or style in line, and a policy that says so."""
    anna = house.signed_in("Anna")
    for path in ("/review", "/search?q=0", "/pace", f"/items/{house.ids()[0]}", "/sign-in"):
        page = anna.client.get(path, headers=HTML)
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["cache-control"] == "no-store"
        for forbidden in (" style=", "<style", " onclick", " onload", "javascript:"):
            assert forbidden not in page.text, (path, forbidden)


def test_a_hostile_key_is_text(house: House) -> None:
    """And so is whatever a person types."""
    anna = house.signed_in("Anna")
    evil = "<img src=x onerror=alert(1)>"
    page = anna.client.get("/search", params={"q": evil}, headers=HTML)
    assert evil not in page.text
    assert "&lt;img" in page.text
    item = house.ids()[0]
    assert anna.decide(item, "reject", evil).status_code == 200
    for path in (f"/items/{item}", f"/review?item={item}"):
        shown = anna.client.get(path, headers=HTML).text
        assert evil not in shown
        assert "&lt;img src=x" in shown
    assert house.ledger.list_items(ItemFilter(ids=[item]), limit=1)[0].status == "rejected"


def test_what_is_too_large_is_refused(house: House) -> None:
    """Said or not how large it is."""
    anna = house.signed_in("Anna")
    body = b"x" * (2 << 20)
    headers = {"X-CSRF-Token": anna.token}
    url = f"/api/items/{house.ids()[0]}/decision"
    assert anna.client.post(url, content=body, headers=headers).status_code == 413
    chunks = iter([b"x" * (1 << 20)] * 3)
    assert anna.client.post(url, content=chunks, headers=headers).status_code == 413
    form = {"csrf": anna.token, "why": "x" * 100_000}
    assert anna.client.post("/review/decide", data=form).status_code == 413
