"""What Netlify documents of redirects, rewrites, headers and pages, as sites, requests and answers.

https://docs.netlify.com/manage/routing/redirects/overview, …/redirect-options, …/rewrites-proxies, …/routing/headers;
for slashes, the measurements at https://github.com/slorber/trailing-slash-guide.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

OTHER = "http://other.invalid"
"""Stands for the address of another server, which answers with what it was asked."""


@dataclass(frozen=True)
class Ask:
    """A request, and the answer to it: status, location or body, and further headers."""

    path: str
    status: int
    body: str = ""
    location: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    send: Mapping[str, str] = field(default_factory=dict)
    method: str = "GET"


@dataclass(frozen=True)
class SiteCase:
    """A site, each file of which contains its own name, with rules, and what it answers."""

    name: str
    files: tuple[str, ...]
    asks: tuple[Ask, ...]
    redirects: str = ""
    headers: str = ""
    toml: str = ""

    @property
    def contents(self) -> dict[str, str]:
        """The content of each file, with those of the rules."""
        rules = {"_redirects": self.redirects, "_headers": self.headers, "netlify.toml": self.toml}
        return {**{file: file for file in self.files}, **{name: text for name, text in rules.items() if text}}


Pairs = Mapping[str, str]
NONE: Pairs = {}


def page(path: str, body: str, status: int = 200, headers: Pairs = NONE, send: Pairs = NONE) -> Ask:
    """Return a request that gets a file."""
    return Ask(path, status, body, headers=headers, send=send)


def moved(path: str, location: str, status: int = 301, headers: Pairs = NONE, send: Pairs = NONE) -> Ask:
    """Return a request that gets a redirect."""
    return Ask(path, status, location=location, headers=headers, send=send)


def passed_on(path: str, to: str) -> Ask:
    """Return a request that the other server answers, with the path that it gets."""
    return Ask(path, 200, f"other GET {to}")


def missing(path: str) -> Ask:
    """Return a request that finds nothing."""
    return Ask(path, 404, "Not Found")


PAGES = ("index.html", "file.html", "folder/index.html", "both.html", "both/index.html", "style.css", "LICENSE")

CASES = (
    SiteCase(
        "one page for everything, as in maintenance",
        ("index.html", "maintenance.html"),
        (
            page("/", "maintenance.html", 503, headers={"retry-after": "600"}),
            page("/index.html", "maintenance.html", 503),
            page("/any/where?x=1", "maintenance.html", 503),
        ),
        redirects="/* /maintenance.html 503!",
        headers="/*\n  Cache-Control: no-store\n  Retry-After: 600",
    ),
    SiteCase(
        "slashes and pretty URLs",
        PAGES,
        (
            page("/", "index.html"),
            page("/index.html", "index.html"),
            page("/?a=1", "index.html"),
            page("/file", "file.html"),
            moved("/file/", "/file"),
            page("/file.html", "file.html"),
            moved("/folder", "/folder/"),
            page("/folder/", "folder/index.html"),
            page("/folder/index.html", "folder/index.html"),
            page("/both", "both.html"),
            moved("/both/", "/both"),
            page("/both.html", "both.html"),
            page("/both/index.html", "both/index.html"),
            moved("/folder?a=1", "/folder/?a=1"),
            page("/style.css", "style.css"),
            page("/LICENSE", "LICENSE"),
            missing("/style.css/"),
            missing("/FILE"),
            missing("/nothing"),
            missing("/folder/nothing"),
        ),
    ),
    SiteCase(
        "slashes without pretty URLs",
        PAGES,
        (
            page("/file", "file.html"),
            page("/file/", "file.html"),
            page("/file.html", "file.html"),
            page("/folder", "folder/index.html"),
            page("/folder/", "folder/index.html"),
            page("/folder/index.html", "folder/index.html"),
            page("/both", "both.html"),
            page("/both.html", "both.html"),
            page("/both/index.html", "both/index.html"),
        ),
        toml="[build.processing.html]\npretty_urls = false\n",
    ),
    SiteCase(
        "a page for what is missing",
        ("index.html", "404.html", "en/index.html"),
        (page("/nothing", "404.html", 404), page("/en/nothing", "404.html", 404), page("/404.html", "404.html")),
    ),
    SiteCase(
        "a page for what is missing below a path",
        ("index.html", "404.html", "en/index.html", "en/404.html", "de/404.html"),
        (
            page("/en/nothing", "en/404.html", 404),
            page("/de/nothing", "de/404.html", 404),
            page("/nothing", "404.html", 404),
            page("/en/", "en/index.html"),
        ),
        redirects="/en/* /en/404.html 404\n/de/* /de/404.html 404\n",
    ),
    SiteCase(
        "statuses",
        ("index.html", "store-closed.html"),
        (
            moved("/home", "/"),
            moved("/my-redirect", "/", 302),
            page("/ecommerce", "store-closed.html", 404),
            page("/pass-through", "index.html"),
            moved("/home/", "/"),
            moved("/see", "/", 303),
            moved("/google", "https://www.google.com"),
            moved("/home?a=1", "/?a=1"),
        ),
        redirects="""
            # a comment
            /home / # and another
            /my-redirect / 302
            /ecommerce /store-closed 404
            /pass-through /index.html 200
            /see / 303
            /google https://www.google.com
        """,
    ),
    SiteCase(
        "a single page",
        ("index.html", "partials/chat.html", "app.js"),
        (
            page("/", "index.html"),
            page("/deep/route", "index.html"),
            page("/deep/route?a=1", "index.html"),
            page("/partials/chat.html", "partials/chat.html"),
            page("/app.js", "app.js"),
        ),
        redirects="/* /index.html 200\n",
    ),
    SiteCase(
        "placeholders and splats",
        ("index.html", "blog/new.html"),
        (
            moved("/news/2004/02/12/my-story", "/blog/2004/02/12/my-story"),
            moved("/news/2004/02/12/my-story/", "/blog/2004/02/12/my-story"),
            missing("/news/2004/02/12/my-story/more"),
            missing("/news/2004/02"),
            moved("/articles/2004/01/10/my-story", "/blog/2004/01/10/my-story"),
            moved("/articles", "/blog/"),
            page("/copy/new", "blog/new.html"),
            page("/copy/new.html", "blog/new.html"),
            missing("/copy/old"),
            moved("/pre", "/z/"),
            moved("/prefix/x", "/z/fix/x"),
            moved("/a/1/2/b", "/c/1/2"),
            moved("/a/b", "/c/"),
        ),
        redirects="""
            /news/:year/:month/:date/:slug  /blog/:year/:month/:date/:slug
            /articles/*  /blog/:splat
            /copy/*  /blog/:splat  200
            /pre*  /z/:splat
            /a/*/b  /c/:splat
        """,
    ),
    SiteCase(
        "query parameters",
        ("index.html",),
        (
            moved("/store?id=my-blog-post", "/blog/my-blog-post?id=my-blog-post"),
            moved("/store?id=a%20b&x=1", "/blog/a+b?id=a%20b&x=1"),
            missing("/store"),
            moved("/path?id=1&tag=t", "/tags/t/1?id=1&tag=t"),
            moved("/path?id=1", "/one?id=1"),
            moved("/path", "/none"),
            moved("/fixed?a=b", "/got?a=b"),
            missing("/fixed?a=c"),
            moved("/own?x=1", "/there?y=2"),
        ),
        redirects="""
            /store id=:id  /blog/:id  301
            /path id=:id tag=:tag  /tags/:tag/:id  301
            /path id=1  /one  301
            /path  /none  301
            /fixed a=b  /got
            /own  /there?y=2
        """,
    ),
    SiteCase(
        "files come first, unless a rule is forced, and the first rule counts",
        ("index.html", "old.html", "kept.html", "app/index.html"),
        (
            moved("/old", "/new"),
            page("/kept", "kept.html"),
            moved("/first", "/one"),
            page("/app/x", "app/index.html"),
            page("/rest/kept.html", "kept.html"),
        ),
        redirects="""
            /old /new 301!
            /kept /new 301
            /first /one
            /first /two
            /app/* /app/index.html 200!
            /rest/* /:splat 200
        """,
    ),
    SiteCase(
        "rules that lead to themselves do not count",
        ("index.html", "blog/index.html"),
        (page("/blog/", "blog/index.html"), moved("/loop", "/other")),
        redirects="/blog /blog/ 301!\n/loop /loop/ 301\n/loop /other\n",
    ),
    SiteCase(
        "encoded paths",
        ("a b.txt", "über.html", "100%.txt", "d/é.txt"),
        (
            page("/a%20b.txt", "a b.txt"),
            page("/%C3%BCber", "über.html"),
            page("/%c3%bcber.html", "über.html"),
            page("/100%25.txt", "100%.txt"),
            moved("/authors/c%C3%A9line", "/authors/about-c%C3%A9line"),
            moved("/s/x%20y", "/t/x%20y"),
            page("/e/%C3%A9.txt", "d/é.txt"),
            missing("/a+b.txt"),
        ),
        redirects="/authors/c%C3%A9line /authors/about-c%C3%A9line\n/s/* /t/:splat\n/e/* /d/:splat 200\n",
    ),
    SiteCase(
        "languages and cookies",
        ("index.html", "penguin.html"),
        (
            moved("/greet", "/de", 302, send={"Accept-Language": "de-AT,de;q=0.9"}),
            moved("/greet", "/en", 302, send={"Accept-Language": "fr"}),
            moved("/greet", "/en", 302),
            moved("/greet", "/de", 302, send={"Cookie": "nf_lang=de", "Accept-Language": "fr"}),
            page("/bird", "penguin.html", send={"Cookie": "a=1; is_penguin=1"}),
            missing("/bird"),
        ),
        redirects="""
            /greet /de 302 Language=de,at
            /greet /en 302
            /bird /penguin 200 Cookie=is_penguin
        """,
    ),
    SiteCase(
        "countries, roles and unknown conditions never hold without Netlify",
        ("index.html", "login.html"),
        (moved("/where", "/elsewhere"), page("/admin/x", "login.html", 401)),
        redirects="""
            /where /anz 302 Country=au,nz
            /where /elsewhere
            /admin/* /index.html 200! Role=admin
            /admin/* /login.html 401
        """,
    ),
    SiteCase(
        "rules of a domain",
        ("index.html",),
        (moved("/x", "https://www.example.com/blog/x", send={"Host": "blog.example.com"}), missing("/x")),
        redirects="http://blog.example.com/* https://www.example.com/blog/:splat 301!\n",
    ),
    SiteCase(
        "other servers",
        ("index.html", "taken.txt"),
        (
            passed_on("/api/users?a=1", "/v1/users?a=1"),
            passed_on("/api", "/v1/"),
            passed_on("/one", "/single"),
            page("/taken.txt", "taken.txt"),
            passed_on("/q?id=1", "/?fixed=2"),
            Ask("/api/users", 200, "other POST /v1/users body", method="POST"),
        ),
        redirects=f"""
            /api/*  {OTHER}/v1/:splat  200
            /one {OTHER}/single 200
            /taken.txt {OTHER}/taken 200
            /q {OTHER}/?fixed=2 200
        """,
    ),
    SiteCase(
        "invalid lines are skipped",
        ("index.html",),
        (moved("/good", "/"), missing("/bad"), missing("/worse"), missing("/.netlify/x")),
        redirects="/bad\n/worse nowhere 301\n/.netlify/x / 301\n/odd / abc\n/good /\n",
    ),
    SiteCase(
        "headers",
        ("index.html", "templates/index.html", "assets/app.js", "404.html"),
        (
            page("/", "index.html", headers={"x-all": "a, b", "x-frame-options": "DENY"}),
            page("/templates/", "templates/index.html", headers={"x-frame-options": "SAMEORIGIN", "x-all": "a, b"}),
            page("/assets/app.js", "assets/app.js", headers={"cache-control": "public, max-age=60"}),
            page("/ASSETS/x", "404.html", 404, headers={"cache-control": "public, max-age=60"}),
            page("/nothing", "404.html", 404, headers={"x-all": "a, b"}),
            moved("/away", "/there", headers={"x-all": ""}),
            page("/spa/x", "index.html", headers={"x-spa": "1"}),
        ),
        redirects="/away /there\n/spa/* /index.html 200\n",
        headers="""
            /*
              X-All: a
              X-All: b
              X-Frame-Options: DENY
              # a comment
              Content-Length: 3
            /templates/*
              X-Frame-Options: SAMEORIGIN
            /assets/*
              cache-control: public,max-age=60
            /spa/:any
              X-Spa: 1
              X-Nothing:
              X Spaced: 1
        """,
    ),
    SiteCase(
        "netlify.toml",
        ("index.html", "news.html"),
        (
            page("/feed", "news.html", headers={"x-toml": "1, 2"}),
            moved("/old/x", "/new/x", 302),
            moved("/both", "/file"),
            moved("/legacy?id=7", "/found/7?id=7", 302),
            moved("/lang", "/es", 302, send={"Accept-Language": "es"}),
        ),
        redirects="/both /file\n",
        toml="""
            [[redirects]]
              from = "/feed"
              to = "/news.html"
              status = 200
            [[redirects]]
              from = "/old/*"
              to = "/new/:splat"
              status = 302
            [[redirects]]
              from = "/both"
              to = "/toml"
            [[redirects]]
              origin = "/legacy"
              destination = "/found/:id"
              params = {id = ":id"}
              status = "302"
            [[redirects]]
              from = "/lang"
              to = "/es"
              status = 302
              conditions = {Language = ["es"]}
            [[headers]]
              for = "/*"
              [headers.values]
                X-Toml = '''
                1,
                2'''
        """,
    ),
)
