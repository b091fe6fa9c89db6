"""Who may talk to the server; the probes of spec/gui-technology.md and more."""

from __future__ import annotations

import pytest
from starlette.websockets import WebSocketDisconnect

import small_project
from gui_client import BASE, READER, SOCKET, TOKEN, client_of
from vitreous.gui.guard import CSP, Access
from vitreous.gui.server import create_app

FOREIGN = "https://evil.example"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Return one project for all probes: hardly any of them gets to change it."""
    made = small_project.make(tmp_path_factory.mktemp("guard") / "project")
    small_project.finished_external(made)
    (made.root.parent / "secret.txt").write_text("secret")
    (made.root / "outward").symlink_to(made.root.parent)
    (made.root / "outward.star").symlink_to("/etc/passwd")
    return made


@pytest.fixture(scope="module")
def app(project):
    return create_app(project.root, access=Access(TOKEN, READER))


@pytest.fixture(scope="module")
def client(app):
    with client_of(app) as made:
        yield made


def test_without_a_token_nothing_is_told(stranger):
    for path in ("/", "/api/jobs", "/api/openapi.json", "/assets/x.js"):
        answer = stranger.get(path)
        assert answer.status_code == 401
        assert "token" in answer.text


@pytest.mark.parametrize("wrong", ["x", TOKEN[:-1], TOKEN + "x", "", "\xff" * 20])
def test_a_wrong_token_is_refused(stranger, wrong):
    answer = stranger.get(
        "/api/jobs", headers={"authorization": f"Bearer {wrong}".encode("latin-1")}
    )
    assert answer.status_code == 401


def test_the_token_in_the_address_becomes_a_cookie(stranger):
    answer = stranger.get(f"/graph?token={TOKEN}&a=b", follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/graph?a=b"
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("vitreous_8710=")
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert stranger.get("/api/jobs").status_code == 200


def test_a_wrong_token_in_the_address_gives_no_cookie(stranger):
    answer = stranger.get("/?token=wrong", follow_redirects=False)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


def test_the_address_after_a_token_never_leads_to_another_server(stranger):
    answer = stranger.get(f"{BASE}//evil.example/?token={TOKEN}", follow_redirects=False)
    assert answer.status_code == 303
    assert not answer.headers["location"].startswith("//")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8710", "127.0.0.1.evil.example", ""]
)
def test_a_foreign_host_is_refused(client, host):
    assert client.get("/api/jobs", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost:1234", "127.0.0.1", "[::1]:8710", "LOCALHOST:8710"])
def test_this_machine_may_be_called_by_any_port(client, host):
    assert client.get("/api/jobs", headers={"host": host}).status_code == 200


def test_a_proxy_name_is_taken_when_it_was_listed(project):
    access = Access(TOKEN, hosts=frozenset({"em.lab"}), origins=frozenset({"https://em.lab"}))
    listed = client_of(create_app(project.root, access=access))
    headers = {"host": "em.lab", "origin": "https://em.lab"}
    assert listed.get("/api/jobs", headers=headers).status_code == 200
    assert listed.get("/api/jobs", headers={"host": "em.other"}).status_code == 421


@pytest.mark.parametrize("origin", [FOREIGN, "null", "http://127.0.0.1:9999", "file://"])
def test_a_foreign_origin_is_refused(client, origin):
    assert client.get("/api/jobs", headers={"origin": origin}).status_code == 403
    assert (
        client.post("/api/project/reread", json={}, headers={"origin": origin}).status_code == 403
    )


def test_requests_that_other_sites_cause_are_refused(client):
    answer = client.get("/api/jobs", headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 403


def test_our_own_pages_may_call(client):
    assert client.get("/api/jobs", headers={"origin": BASE}).status_code == 200


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        (SOCKET, {"origin": FOREIGN}),
        (SOCKET, {}),
        (SOCKET, {"origin": BASE, "authorization": ""}),
        (SOCKET, {"origin": BASE, "authorization": "Bearer wrong"}),
        ("ws://evil.example:8710/api/events", {"origin": "http://evil.example:8710"}),
    ],
)
def test_a_websocket_is_refused(client, url, headers):
    with pytest.raises(WebSocketDisconnect), client.websocket_connect(url, headers=headers):
        pass


def test_a_websocket_of_our_own_pages_is_taken(client):
    with client.websocket_connect(SOCKET, headers={"origin": BASE}) as socket:
        assert socket.receive_json()["kind"] == "hello"


PATHS = [
    "../secret.txt",
    "External/../../secret.txt",
    "/etc/passwd",
    "%2e%2e/secret.txt",
    "..%2fsecret.txt",
    "outward/secret.txt",
    "outward.star",
    ".//../secret.txt",
    "~/secret",
]
ROUTES = ["files", "files/raw", "display", "images/table", "images/one", "volumes/meta"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("route", ROUTES)
def test_nothing_outside_of_the_project_is_shown(client, route, path):
    for text in (path, path.replace("%2e", ".").replace("%2f", "/")):
        answer = client.get(f"/api/{route}?path={text}")
        assert answer.status_code == 404, (route, text, answer.text)
        assert "secret\n" not in answer.text


@pytest.mark.parametrize(
    "path", ["/../../etc/passwd", "/..%2f..%2fetc%2fpasswd", "/assets/..%2f..%2fguard.py"]
)
def test_the_pages_show_nothing_but_themselves(client, path):
    answer = client.get(path)
    assert "root:" not in answer.text
    assert "hmac" not in answer.text


@pytest.mark.parametrize("target", ["/api/files?path=a%00b", "/%00", "/api/jobs/%00"])
def test_a_nul_is_a_bad_request(client, target):
    assert client.get(target).status_code == 400


def test_a_nul_in_a_body_is_a_bad_request(client):
    answer = client.post("/api/jobs/1/alias", json={"alias": "a\0b"})
    assert answer.status_code == 400


def test_a_change_must_be_json(client):
    body = '{"alias": "x"}'
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        answer = client.post("/api/jobs/1/alias", content=body, headers={"content-type": kind})
        assert answer.status_code == 415
    assert client.get("/api/jobs/1").json()["alias"] is None


def test_a_body_that_is_too_large_is_refused_before_it_is_read(client):
    headers = {"content-type": "application/json", "content-length": str(1 << 40)}
    assert client.post("/api/jobs/1/alias", content=b"{}", headers=headers).status_code == 413
    large = b'{"alias": "' + b"x" * (25 << 20) + b'"}'
    answer = client.post(
        "/api/jobs/1/alias", content=large, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 413


def test_a_very_long_address_is_refused(client):
    assert client.get(f"/api/files?path={'a' * 20_000}").status_code == 414


def test_a_reader_sees_everything_and_changes_nothing(reader, client):
    assert reader.get("/api/jobs").json() == client.get("/api/jobs").json()
    assert reader.get("/api/project").json()["read_only"] is True
    assert client.get("/api/project").json()["read_only"] is False
    schema = client.get("/api/openapi.json").json()
    for path, acts in schema["paths"].items():
        for method in set(acts) - {"get"}:
            address = path.replace("{n}", "1").replace("{row}", "0").replace("{key}", "k")
            if address.endswith(("/check", "/images/average")):
                continue
            answer = reader.request(method, address.replace("{word}", "class2d"), json={})
            assert answer.status_code == 403, (method, path)


def test_a_reader_may_check_a_form(reader):
    answer = reader.post("/api/types/maskcreate/check", json={"values": {}})
    assert answer.status_code == 200
    assert answer.json()["ok"] is False


def test_an_empty_read_only_token_opens_nothing(project):
    access = Access(TOKEN, "")
    assert access.right_of("") == ""
    assert access.right_of(READER) == ""
    assert access.right_of(TOKEN) == "all"


def test_every_answer_keeps_pages_from_loading_elsewhere(client, stranger):
    for answer in (
        client.get("/"),
        client.get("/api/jobs"),
        client.get("/api/nope"),
        stranger.get("/"),
    ):
        assert answer.headers["content-security-policy"] == CSP
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
    assert "unsafe" not in CSP
    assert "frame-ancestors 'none'" in CSP


def test_a_header_that_stands_twice_is_refused(client):
    headers = [("host", "127.0.0.1:8710"), ("host", "evil.example")]
    assert client.get("/api/jobs", headers=headers).status_code in (400, 421)


def test_files_of_the_user_never_run_as_pages(client, project):
    (project.root / "page.html").write_text("<script>alert(1)</script>")
    (project.root / "drawing.svg").write_text("<svg onload='alert(1)'/>")
    for name in ("page.html", "drawing.svg"):
        answer = client.get(f"/api/files/raw?path={name}")
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"].startswith("attachment")
        assert "default-src 'none'" in answer.headers["content-security-policy"]
