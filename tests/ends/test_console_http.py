"""The console over HTTP: who gets in, what a form may do, and that every page says what it promises."""

from __future__ import annotations

import html
import json
import re
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import httpx
import pytest

from siyu.api.scopes import GIVES_VALUE_AWAY, READING_POSTS, TILL, allows
from siyu.app.web import PLAIN_ROUTES, VALUE_ROUTES
from siyu.collect.actions import UNKNOWN_SECONDS
from siyu.collect.keys import Scope
from siyu.console.http import routes
from siyu.console.i18n import LOCALES
from siyu.console.question_form import KINDS
from siyu.trust import Verifier
from siyu.trust.proof import read_proof

from .console_brand import open_brand_server
from .server import PASSWORD, WRITE_KEY, Server

KEY = re.compile(r"/console/sources/([0-9a-f]{12})")
CSRF = re.compile(r'name="_csrf" value="([^"]+)"')
PERSON = re.compile(r"/console/persons/([0-9a-f-]{36})")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with open_brand_server(tmp_path_factory.mktemp("console") / "home") as running:
        yield running


@contextmanager
def sign_in(server: Server, name: str = "admin", password: str = PASSWORD) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        form = CSRF.findall(client.get("/console/login").text)[-1]
        answer = client.post("/console/login", data={"_csrf": form, "name": name, "password": password})
        assert answer.status_code == 303, answer.text[-400:]
        yield client


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with sign_in(server) as signed_in:
        yield signed_in


def token(client: httpx.Client) -> str:
    return CSRF.findall(client.get("/console/account").text)[0]


def post(client: httpx.Client, path: str, **fields: str) -> httpx.Response:
    return client.post(path, data={"_csrf": token(client), **fields})


def person_called(client: httpx.Client, text: str) -> str:
    found = PERSON.findall(client.get("/console/persons", params={"q": text}).text)
    assert found, text
    return str(found[0])


def test_no_page_opens_without_a_login(server: Server) -> None:
    """Every route of the console but the login's own leads to the login."""
    router = routes[1]
    asked = 0
    with httpx.Client(base_url=server.url) as stranger:
        for handler in router.routes:
            for one in handler.route_handlers:
                if one.opt.get("signed_out"):
                    continue
                path = re.sub(r"\{[^}]*\}", "x", re.sub(r"\{[^}]*:int\}", "1", handler.path))
                for method in one.http_methods - {"OPTIONS", "HEAD"}:
                    answer = stranger.request(method, path)
                    assert answer.status_code == 303, path
                    assert answer.headers["location"].startswith("/console/login"), path
                    asked += 1
    assert asked > 30


def test_the_root_leads_to_the_console(server: Server) -> None:
    answer = httpx.get(server.url + "/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/console")


def test_the_login_leads_back_to_the_page_that_was_asked_for(server: Server) -> None:
    with httpx.Client(base_url=server.url) as stranger:
        answer = stranger.get("/console/persons?lifecycle=vip")
        assert answer.headers["location"] == "/console/login?next=%2Fconsole%2Fpersons%3Flifecycle%3Dvip"
        page = stranger.get(answer.headers["location"]).text
        assert 'name="next" value="/console/persons?lifecycle=vip"' in page


def test_headers_of_a_page(client: httpx.Client) -> None:
    headers = client.get("/console").headers
    policy = headers["content-security-policy"]
    assert "script-src 'self';" in policy and "unsafe-eval" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"


def test_no_page_has_a_script_of_its_own(client: httpx.Client) -> None:
    for path in ("/console", "/console/persons", "/console/questions/funnel", "/console/sources"):
        page = client.get(path).text
        assert not re.search(r"<script(?![^>]*\bsrc=)", page), path
        assert not re.search(r"\son[a-z]+=", page), path


def test_cookies(server: Server) -> None:
    with sign_in(server) as client:
        cookie = next(c for c in client.cookies.jar if c.name == "siyu_session")
        assert cookie.has_nonstandard_attr("HttpOnly")
        assert str(cookie.get_nonstandard_attr("SameSite")).lower() == "lax"
        assert cookie.expires is not None


def test_signing_out_ends_the_session_on_the_server(server: Server) -> None:
    with sign_in(server) as client:
        stolen = client.cookies["siyu_session"]
        post(client, "/console/logout")
    answer = httpx.get(server.url + "/console", cookies={"siyu_session": stolen})
    assert answer.status_code == 303


def test_a_changed_cookie_opens_nothing(server: Server) -> None:
    with sign_in(server) as client:
        cookie = client.cookies["siyu_session"]
    forged = ("A" if cookie[0] != "A" else "B") + cookie[1:]
    assert httpx.get(server.url + "/console", cookies={"siyu_session": forged}).status_code == 303


@pytest.mark.parametrize("given", ["", "wrong"])
def test_a_form_without_the_token_changes_nothing(client: httpx.Client, given: str) -> None:
    answer = client.post("/console/sources/keys", data={"_csrf": given, "kind": "write", "name": "x", "end": "web"})
    assert answer.status_code == 403
    assert "STALE_FORM" in answer.text


def test_a_form_from_another_site_changes_nothing(client: httpx.Client) -> None:
    answer = client.post(
        "/console/preferences", data={"_csrf": token(client), "theme": "dark"}, headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert answer.status_code == 403


def test_a_wrong_password_says_what_to_do(server: Server) -> None:
    with httpx.Client(base_url=server.url) as stranger:
        form = CSRF.findall(stranger.get("/console/login").text)[-1]
        for name in ("admin", "nobody"):
            answer = stranger.post("/console/login", data={"_csrf": form, "name": name, "password": "no"})
            assert answer.status_code == 401
            assert "账号或密码不对" in answer.text


def test_too_many_wrong_passwords_are_refused_for_that_name(server: Server) -> None:
    with httpx.Client(base_url=server.url, timeout=60) as stranger:
        form = CSRF.findall(stranger.get("/console/login").text)[-1]
        codes = [
            stranger.post("/console/login", data={"_csrf": form, "name": "guessed", "password": f"p{n}"}).status_code
            for n in range(9)
        ]
    assert codes == [401] * 8 + [429]
    with sign_in(server):
        pass


PAGES = (
    "/console",
    "/console/persons",
    "/console/persons?q=138",
    "/console/persons?lifecycle=new&sort=spend",
    "/console/persons?did=bought&sort=spend",
    "/console/persons?end=web",
    "/console/persons?channel=wechat",
    "/console/persons?q=nobody-has-this",
    "/console/questions",
    "/console/segments",
    "/console/tiers",
    "/console/checkins",
    "/console/sources",
    "/console/dead-letters",
    "/console/conflicts",
    "/console/account",
    *(f"/console/questions/{kind}" for kind in KINDS),
)


@pytest.mark.parametrize("locale", LOCALES)
def test_every_page_opens_in_both_languages(client: httpx.Client, locale: str) -> None:
    post(client, "/console/preferences", locale=locale)
    person = person_called(client, "客户00")
    for path in (
        *PAGES,
        f"/console/persons/{person}",
        f"/console/persons/{person}/identity",
        f"/console/persons/{person}/accounts",
        f"/console/persons/{person}/rights",
    ):
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert f'lang="{"zh-CN" if locale == "zh_CN" else "en"}"' in answer.text
        assert ("概览" in answer.text) == (locale == "zh_CN"), path
        assert not re.search(r"%\(\w+\)s", answer.text), path
    post(client, "/console/preferences", locale="zh_CN")


def test_a_statement_is_shown_and_can_be_taken_along(client: httpx.Client) -> None:
    person = person_called(client, "客户00")
    page = client.get(f"/console/persons/{person}/accounts").text
    assert "账单" in page
    file = client.get(f"/console/persons/{person}/statement.csv")
    assert file.status_code == 200
    assert file.text.startswith("\ufefftransfer_id,at,")


def test_each_entry_says_that_it_is_sealed_and_gives_its_proof(client: httpx.Client) -> None:
    person = person_called(client, "客户00")
    until = time.monotonic() + 60
    while not (link := re.search(r'href="(/console/persons/[^"]*/proofs/\d+)"', page := accounts_page(client, person))):
        assert time.monotonic() < until, "nothing is sealed"
        time.sleep(0.2)
    assert "已封存" in page
    key = re.search(r'<span class="mono">(siyu-ledger/[^<]*)</span>', page)
    assert key is not None
    file = client.get(link[1])
    assert file.headers["content-disposition"].startswith('attachment; filename="proof-')
    proof = read_proof(file.content)
    assert proof.verified(Verifier.read(html.unescape(key[1]))).size == proof.size
    assert client.get(f"/console/persons/{person}/proofs/999999999").status_code == 404
    assert httpx.get(str(client.base_url).rstrip("/") + link[1]).status_code in (302, 303, 401)


def accounts_page(client: httpx.Client, person: str) -> str:
    return client.get(f"/console/persons/{person}/accounts").text


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_of_an_answer_lead_to_as_many_persons(client: httpx.Client, kind: str) -> None:
    page = client.get(f"/console/questions/{kind}").text
    answer = client.get(re.search(r'hx-get="(/console/questions/\w+/answer[^"]*)"', page)[1])  # type: ignore[index]
    assert answer.status_code == 200, answer.text
    links = [
        link.replace("&amp;", "&") for link in re.findall(r'href="(/console/questions/[^"]*cell=[^"]*)"', answer.text)
    ]
    assert links, kind
    followed = client.get(links[0])
    assert followed.status_code == 200
    shown = re.search(r"<h1>([\d,]+) 人</h1>", followed.text)
    assert shown is not None
    if kind not in ("paths", "attribution"):  # their numbers count sessions and conversions, not persons
        assert shown[1] in answer.text
    csv = client.get(re.search(r'href="(/console/questions/\w+/csv[^"]*)"', page)[1])  # type: ignore[index]
    assert csv.status_code == 200
    assert csv.content.startswith(b"\xef\xbb\xbf")
    assert len(csv.text.splitlines()) > 1


def answer_of(client: httpx.Client, kind: str, **form: str) -> str:
    page = client.get(client.get(f"/console/questions/{kind}/go", params=form).headers["location"]).text
    return client.get(re.search(r'hx-get="(/console/questions/\w+/answer[^"]*)"', page)[1]).text  # type: ignore[index]


def test_attribution_without_touches_leads_to_the_ends_which_have_them(client: httpx.Client) -> None:
    empty = answer_of(client, "attribution", event="order.paid", channel="nothing_has_this", days="90")
    assert "转化之前没有触点" in empty
    page = client.get(re.search(r'href="(/console/questions/attribution\?q=[^"]*)"', empty)[1]).text  # type: ignore[index]
    assert 'name="channel" value="@end"' in page
    ends = client.get(re.search(r'hx-get="([^"]*/answer[^"]*)"', page)[1]).text  # type: ignore[index]
    assert "小程序" in ends and "首次触点" in ends
    assert "这段时间没有转化" in answer_of(client, "attribution", event="nobody.does_this", days="90")


def test_too_few_buyers_for_a_model_is_said_with_the_next_step(client: httpx.Client) -> None:
    answer = answer_of(client, "clv", event="nobody.does_this", days="all")
    assert "买家还太少" in answer
    assert 'href="/console/sources"' in answer


def test_a_form_becomes_an_address_that_can_be_shared(client: httpx.Client) -> None:
    answer = client.get(
        "/console/questions/funnel/go",
        params={
            "event": ["product.viewed", "order.paid"],
            "order": "ordered",
            "window_n": "7",
            "window_unit": "day",
            "days": "60",
        },
    )
    assert answer.status_code == 303
    page = client.get(answer.headers["location"])
    assert 'value="order.paid"' in page.text
    assert 'name="window_n" min="1" value="7"' in page.text


def test_a_wrong_question_says_which_field(client: httpx.Client) -> None:
    sent = client.get(
        "/console/questions/funnel/go", params={"event": ["a"], "excl_event": "b", "excl_from": "3", "excl_to": "2"}
    )
    page = client.get(sent.headers["location"]).text
    answer = client.get(re.search(r'hx-get="(/console/questions/\w+/answer[^"]*)"', page)[1])  # type: ignore[index]
    assert "INVALID_QUESTION" in answer.text
    assert "exclusions[0].from" in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/console/questions/funnel?q=%00",
        "/console/questions/nothing",
        "/console/persons/not-an-id",
        "/console/sources/nope",
        "/console/questions/funnel/persons?q=e30&cell={",
        "/console/persons?did=active&since=yesterday",
        "/console/conflicts?after=x",
        "/console/persons/00000000-0000-8000-8000-000000000000",
    ],
)
def test_a_bad_address_is_answered_with_words(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert 400 <= answer.status_code < 500
    assert 'role="alert"' in answer.text
    assert "Traceback" not in answer.text


def test_a_question_can_be_saved_and_deleted(client: httpx.Client) -> None:
    page = client.get("/console/questions/rfm").text
    encoded = re.search(r'name="q" value="([^"]+)"', page)[1]  # type: ignore[index]
    post(client, "/console/questions/save", kind="rfm", q=encoded, title="每月 RFM <b>")
    listed = client.get("/console/questions").text
    assert "每月 RFM &lt;b&gt;" in listed
    number = re.search(r'name="id" value="([^"]+)"', listed)[1]  # type: ignore[index]
    post(client, "/console/questions/forget", id=number)
    assert "每月 RFM" not in client.get("/console/questions").text


def test_tags_and_consent(client: httpx.Client) -> None:
    person = f"/console/persons/{person_called(client, '客户03')}"
    assert post(client, person + "/tags", add="广州/广州天河店").status_code == 303
    assert "广州 › 广州天河店" in client.get(person).text
    assert person.rsplit("/", 1)[1] in client.get("/console/persons", params={"tag": "广州"}).text
    post(client, person + "/tags", remove="广州/广州天河店")
    carried = client.get(person).text.split('id="tag-choices"')[0]
    assert "广州 › 广州天河店" not in carried
    assert post(client, person + "/consent", purpose="marketing", channel="sms", granted="no").status_code == 303
    assert "营销 · 短信" in client.get(person).text


def test_the_timeline_goes_on_and_filters(client: httpx.Client) -> None:
    person = f"/console/persons/{person_called(client, '客户00')}"
    assert "浏览商品" in client.get(person).text
    filtered = client.get(person + "/timeline", params={"name": "order.paid"}).text
    assert "浏览商品" not in filtered
    assert client.get(person + "/traits", params={"name": "city"}).text.count("广州") == 1


def test_a_link_is_taken_back_only_after_the_preview(client: httpx.Client) -> None:
    person = f"/console/persons/{person_called(client, '客户05')}"
    page = client.get(person + "/identity").text
    links = re.findall(rf'href="({person}/links/[0-9a-f-]+)"', page)
    assert links
    preview = client.get(links[0])
    assert preview.status_code == 200
    assert client.get(person + "/identity").text.count("/links/") == page.count("/links/")
    assert post(client, links[0], reason="门店平板").status_code == 303
    assert "门店平板" in client.get(person + "/identity").text
    post(client, links[0], restore="1")
    assert "门店平板" not in client.get(person + "/identity").text


def test_conflicts_show_both_persons(client: httpx.Client) -> None:
    page = client.get("/console/conflicts").text
    assert "客户00" in page and "客户01" in page
    assert "唯一标识重复" in page


def test_keys(client: httpx.Client, server: Server) -> None:
    made = post(client, "/console/sources/keys", kind="write", name="测试网站", end="web")
    assert made.status_code == 303
    page = client.get(made.headers["location"]).text
    secret = re.search(r"wk_[0-9a-f]{48}", page)[0]  # type: ignore[index]
    time.sleep(UNKNOWN_SECONDS)  # a key that was just made works by then, in every process
    assert f"{server.url}/sa?project=default&amp;token={secret}" in page
    assert server.batch(
        [{"type": "track", "event": "page.viewed", "anonymousId": "a-9", "messageId": "k1"}], key=secret
    )
    number = KEY.findall(made.headers["location"])[0]
    assert post(client, "/console/sources/revoke", id=number).status_code == 303
    assert "已停用" in client.get(made.headers["location"]).text


def test_an_api_token_is_shown_once(client: httpx.Client) -> None:
    made = post(client, "/console/sources/keys", kind="api", name="脚本", end="")
    secret = re.search(r"at_[0-9a-f]{48}", made.text)[0]  # type: ignore[index]
    assert secret not in client.get("/console/sources").text


NOBODY = "00000000-0000-4000-8000-000000000000"
FILLED = {"person_id": NOBODY, "question_id": NOBODY, "lock_id": NOBODY, "number": NOBODY}


@pytest.mark.parametrize("scope", ["read", "till"])
def test_a_token_does_what_its_scope_says_and_nothing_else(client: httpx.Client, server: Server, scope: Scope) -> None:
    """Every operation of the API is tried: what is not for a till or a reader is refused, the rest is not."""
    made = post(client, "/console/sources/keys", kind="api", name=f"for {scope}", scope=scope)
    secret = re.search(r"at_[0-9a-f]{48}", made.text)[0]  # type: ignore[index]
    described = server.get("/api/openapi.json")["paths"]
    time.sleep(UNKNOWN_SECONDS)
    written = {path for handler in (*PLAIN_ROUTES, *VALUE_ROUTES) for path in handler.paths}
    templates = {re.sub(r":\w+}", "}", path): path for path in written}
    tried = {True: 0, False: 0}
    with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {secret}"}) as holder:
        for path, methods in described.items():
            if not path.startswith("/api/"):
                continue
            for method in (name.upper() for name in methods if name in {"get", "post", "put", "delete"}):
                filled = re.sub(r"{(\w+)}", lambda name: FILLED.get(name[1], "7"), path)
                answer = holder.request(method, filled, json={} if method in {"POST", "PUT"} else None)
                allowed = allows(scope, {method}, {templates[path]})
                assert (answer.status_code != 403) == allowed, (method, path, answer.text[:200])
                if not allowed:
                    assert answer.json()["code"] == "FORBIDDEN" and scope in answer.json()["detail"]
                tried[allowed] += 1
    assert tried[True] >= 20 and tried[False] >= 40
    assert {path for _, path in TILL} | READING_POSTS | GIVES_VALUE_AWAY <= written


def test_a_scope_that_is_none_is_refused(client: httpx.Client) -> None:
    assert post(client, "/console/sources/keys", kind="api", name="x", scope="everything").status_code == 400


def test_dead_letters_are_shown_and_replayed(client: httpx.Client) -> None:
    page = client.get("/console/dead-letters").text
    assert "nameless" in page
    number = re.search(r'name="id" value="(\d+)"', page)[1]  # type: ignore[index]
    again = post(client, "/console/dead-letters/replay", id=number)
    assert again.headers["location"] == "/console/dead-letters?said=refused"
    assert post(client, "/console/dead-letters/replay-all").headers["location"].endswith("again=0&refused=1")


def test_roles(client: httpx.Client, server: Server) -> None:
    for name, role in (("小王", "operator"), ("dev", "developer")):
        answer = post(client, "/console/account/operators", name=name, role=role, password="long enough")
        assert answer.headers["location"] == "/console/account?said=added"
    person = person_called(client, "客户07")
    with sign_in(server, "小王", "long enough") as operator:
        assert operator.get(f"/console/persons/{person}/rights").status_code == 403
        assert post(operator, "/console/sources/keys", kind="api", name="x").status_code == 403
        assert "wk_test" not in operator.get("/console/sources").text
    with sign_in(server, "dev", "long enough") as developer:
        assert post(developer, f"/console/persons/{person}/tags", add="x").status_code == 403
        assert post(developer, "/console/account/operators/remove", name="admin").status_code == 403
        assert post(client, "/console/account/operators/remove", name="dev").status_code == 303
        assert developer.get("/console").status_code == 303
    assert "LAST_MANAGER" not in client.get("/console/account").text
    assert "最后一位管理员" in post(client, "/console/account/operators/remove", name="admin").text


def test_changing_the_password_ends_every_session(client: httpx.Client, server: Server) -> None:
    post(client, "/console/account/operators", name="temp", role="operator", password="first password")
    with sign_in(server, "temp", "first password") as one, sign_in(server, "temp", "first password") as other:
        assert "账号或密码不对" in post(one, "/console/account/password", old="wrong", new="second password").text
        assert "8 到 256" in post(one, "/console/account/password", old="first password", new="short").text
        assert post(one, "/console/account/password", old="first password", new="second password").status_code == 303
        assert other.get("/console").status_code == 303
    with sign_in(server, "temp", "second password"):
        pass


def test_export_and_erasure(client: httpx.Client) -> None:
    person = f"/console/persons/{person_called(client, '客户09')}"
    archive = zipfile.ZipFile(BytesIO(post(client, person + "/export").content))
    assert json.loads(archive.read("person.json"))["traits"]["name"] == "客户09"
    assert post(client, person + "/erase", word="erase", reason="x").status_code == 400
    assert client.get(person).status_code == 200
    receipt = post(client, person + "/erase", word="ERASE", reason="客户要求")
    assert receipt.status_code == 200
    assert "回执" in receipt.text
    assert client.get(person).status_code == 404
    assert not PERSON.findall(client.get("/console/persons", params={"q": "客户09"}).text)


def test_assets_are_kept_by_browsers_and_compressed(client: httpx.Client) -> None:
    page = client.get("/console").text
    for path in re.findall(r'(?:href|src)="(/console/static/[^"#]+)"', page):
        answer = client.get(path.replace("&amp;", "&"))
        assert answer.status_code == 200, path
        assert "immutable" in answer.headers["cache-control"]
    assert client.get("/console/static/console.css").headers["content-encoding"] == "gzip"
    assert client.get("/console/static/../http.py").status_code == 404
    assert client.get("/console/static/vendor/README.md").status_code == 404


def test_every_vendored_file_has_its_licence() -> None:
    vendor = Path(__file__).parents[2] / "src/siyu/console/static/vendor"
    readme = (vendor / "README.md").read_text()
    for file in vendor.iterdir():
        if file.suffix in (".js", ".css"):
            assert f"`{file.name}`" in readme
            assert (vendor / f"{file.name.split('.')[0].removesuffix('-csp')}.LICENSE").read_text()


def crowd(server: Server, count: int) -> None:
    """Persons with one tag and names that begin alike."""
    events = [
        {
            "type": "identify",
            "messageId": f"crowd-{n}",
            "userId": f"crowd-{n:03}",
            "traits": {"name": f"众人{n:03}"},
        }
        for n in range(count)
    ]
    tagged = [
        {"type": "track", "event": "tag.added", "messageId": f"tag-{n}", "userId": f"crowd-{n:03}"}
        | {"properties": {"tag": "众人/茶友"}}
        for n in range(count)
    ]
    before = server.get("/api/stream")["processed"]
    assert server.batch(events)
    assert server.batch(tagged)
    server.wait_processed(before + 2 * count)


WHO = re.compile(r'class="who[^"]*" href="/console/persons/([0-9a-f-]{36})"')
NEXT = re.compile(r'href="([^"]+)" rel="next"')


def test_found_and_tagged_persons_are_paged_to_the_end(client: httpx.Client, server: Server) -> None:
    crowd(server, 120)
    for path in ("/console/persons?q=众人", "/console/persons?tag=众人", "/console/persons?tag=众人/茶友"):
        seen: list[str] = []
        sizes: list[int] = []
        while path:
            page = client.get(path).text
            found = list(dict.fromkeys(WHO.findall(page)))
            seen += found
            sizes.append(len(found))
            following = NEXT.search(page)
            path = html.unescape(following[1]) if following else ""
        assert sizes == [50, 50, 20]
        assert len(set(seen)) == 120
        assert "120" in re.sub(r"<[^>]+>", "", page)


def test_numbers_of_a_source_lead_to_the_persons_behind_them(client: httpx.Client, server: Server) -> None:
    ids = [{"userId": f"arrived-{n % 3}", "messageId": f"arrived-{n}"} for n in range(7)]
    assert server.batch([{"type": "track", "event": "arrived.now", **one} for one in ids])
    for _ in range(100):
        page = client.get("/console/sources").text
        # One event name of the last hour: seven events of three persons.
        link = re.search(r'href="(/console/persons\?did=sent[^"]*event=arrived\.now)">7<', page)
        if link:
            break
        time.sleep(0.1)
    assert link is not None
    listed = client.get(html.unescape(link[1])).text
    assert len(set(WHO.findall(listed))) == 3
    total = re.search(r'href="(/console/persons\?did=sent[^"]*since=1970-01-01[^"]*)">', page)
    assert total is not None
    assert len(set(WHO.findall(client.get(html.unescape(total[1])).text))) >= 40


def test_the_overview_bears_hostile_properties(client: httpx.Client, server: Server) -> None:
    before = server.get("/api/stream")["processed"]
    texts = ('{"n": 1e999, "product": "怪茶一"}', '{"n": 99999999999999999999999, "product": "怪茶二"}')
    for number, text in enumerate(texts):
        names = f'"type":"track","userId":"odd","messageId":"odd-{number}","event":"odd"'
        body = f'{{"batch":[{{{names},"properties":{text}}}]}}'
        assert httpx.post(server.url + "/v1/batch", content=body, auth=(WRITE_KEY, "")).status_code == 200
    server.wait_processed(before + 2)
    page = client.get("/console/overview/live").text
    assert "怪茶一" in page
    assert "怪茶二" in page


def test_a_segment_from_sentence_to_members(client: httpx.Client) -> None:
    page = client.get("/console/segments").text
    assert "生命周期：新客" in page
    text = "累计“支付订单”的次数 至少 1"
    counted = post(client, "/console/segments/count", text=text).text
    count = re.search(r"<b>([\d,]+)</b>", counted)
    assert count and count[1] != "0"
    pointed = post(client, "/console/segments/count", text="累计“支付订单”的颜色").text
    assert "<mark>颜色</mark>" in pointed
    made = post(client, "/console/segments", key="paid", label="买过的人", text=text, events="1")
    assert made.headers["location"] == "/console/segments/paid?said=made"
    for _ in range(150):
        page = client.get("/console/segments/paid").text
        if PERSON.search(page):
            break
        time.sleep(0.2)
    assert count[1] in page
    assert "买过的人" in client.get(f"/console/persons/{PERSON.findall(page)[0]}").text
    sheet = client.get("/console/segments/paid/members.csv")
    assert len(sheet.text.splitlines()) == int(count[1].replace(",", "")) + 1
    answer = post(client, "/console/segments/paid", label="客户", text="生命周期 等于 ")
    assert answer.status_code == 422 and "INVALID_RULE" in answer.text
    assert post(client, "/console/segments/paid", label="客户", text=text).status_code == 303
    assert "客户" in client.get("/console/segments").text
    assert post(client, "/console/segments/paid/delete").headers["location"] == "/console/segments?said=deleted"
    assert client.get("/console/segments/paid").status_code == 404


def test_a_year_of_holidays_is_pasted_uploaded_changed_and_taken_back(client: httpx.Client) -> None:
    path = "/console/calendar/2031"
    assert "2031-01-01," not in client.get("/console/calendar?year=2031").text
    assert post(client, "/console/calendar/99999/remove").status_code == 404
    refused = post(client, path, text="2031-01-01,元旦,rest\n2031-01-02,元旦")
    assert refused.status_code == 422
    assert re.search(r'id="wrong-text".*?(第 2 行|Line 2)', refused.text, re.DOTALL)
    assert post(client, path, text="2030-01-01,元旦,rest").status_code == 422
    file = {"file": ("year.csv", "日期,名称,类型\n2031-01-01,元旦,休\n2031-01-04,元旦,班\n".encode("gb18030"))}
    stored = client.post(path, data={"_csrf": token(client)}, files=file)
    assert stored.status_code == 303
    assert post(client, path + "/day", day="2031-01-01", kind="").status_code == 303
    assert post(client, path + "/day", day="2031-08-08", kind="rest", name="店庆").status_code == 303
    assert post(client, path + "/day", day="2030-08-08", kind="rest", name="店庆").status_code == 422
    shown = client.get("/console/calendar?year=2031&day=2031-08-08").text
    assert "2031-01-04,元旦,work\n2031-08-08,店庆,rest\n</textarea>" in shown
    assert post(client, path + "/remove").status_code == 303
    assert "2031-08-08,店庆" not in client.get("/console/calendar?year=2031").text
