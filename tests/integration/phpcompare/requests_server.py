"""What the front tells PHP: superglobals, paths, credentials, headers."""

import base64
from urllib.parse import quote

import front_params
from sides import Request

FORM = "application/x-www-form-urlencoded"


def superglobals(root):
    out = []
    for name, front in front_params.ALL.items():
        def add(label, uri="/dump.php", name=name, front=front, **more):
            params = front(root, uri, **more)
            out.append(Request(f"{name}: {label}", params, more.get("body", b"")))
        add("plain")
        add("query", "/dump.php?a=1&b[]=2&b[]=3&c[k][l]=4&d&=e&f=%20%2B+")
        add("query of one word", "/dump.php?one+two+three")
        add("odd query", "/dump.php?a.b=1&a b=2&a[=3&%00=4&a=%FF&&&b=1;c=2")
        add("cookies", headers={"Cookie": "a=1; b=two%20words; c[x]=3; a=again; d"})
        add("form", method="POST", content_type=FORM, body=b"a=1&b[x]=2&c=%C3%A9&a=3")
        add("form and query", "/dump.php?a=get&g=1", method="POST", content_type=FORM,
            body=b"a=post&p=1")
        add("json", method="POST", content_type="application/json", body=b'{"a": [1, 2]}')
        add("put", method="PUT", content_type="text/plain", body=b"put here")
        add("head", method="HEAD")
        add("path info", "/dump.php/extra/path?x=1", script="/dump.php",
            path_info="/extra/path")
    nginx = out.append

    def more(label, uri="/dump.php", change=None, drop=(), body=b"", pool="main", **options):
        params = front_params.nginx(root, uri, body=body, **options)
        params.update(change or {})
        for name in drop:
            params.pop(name)
        nginx(Request(label, params, body, pool))

    more("https", change={"HTTPS": "on", "REQUEST_SCHEME": "https", "SERVER_PORT": "443"})
    more("empty values", change={"EMPTY": "", "HTTP_EMPTY": "", "CONTENT_LENGTH": ""})
    more("names in lower case", change={"lower_case": "1", "Mixed-Case": "2", "dot.ted": "3"})
    more("long value", change={"HTTP_LONG": "v" * 9000})
    more("many parameters", change={f"P{i}": str(i) for i in range(300)})
    more("utf-8 and raw bytes", change={"HTTP_UTF8": "é", "RAW": b"\xff\xfe\x01"})
    more("HTTP_PROXY", headers={"Proxy": "http://evil.example/"})
    more("no REQUEST_URI", drop=["REQUEST_URI"])
    more("no SCRIPT_NAME", drop=["SCRIPT_NAME"])
    more("no QUERY_STRING", drop=["QUERY_STRING"])
    more("no DOCUMENT_ROOT", drop=["DOCUMENT_ROOT"])
    more("no SERVER_PROTOCOL", drop=["SERVER_PROTOCOL"])
    more("no REDIRECT_STATUS", drop=["REDIRECT_STATUS"])
    more("a request as FCGI_ROLE", change={"FCGI_ROLE": "other"})
    more("environment of the pool", pool="quiet")
    more("argv in the path", "/dump.php?-d+x", pool="quiet")
    more("method in lower case", change={"REQUEST_METHOD": "get"})
    more("own method", method="PROPFIND")
    more("options", method="OPTIONS")
    more("delete", method="DELETE", body=b"x")
    more("too many input variables", "/dump.php?" + "&".join(f"v{i}=1" for i in range(60)))
    more("deep arrays", "/dump.php?a" + "[x]" * 70 + "=1")
    more("repeated parameter", change={"REPEATED": "1"})
    return out


def paths(root, pool):
    """SCRIPT_FILENAME and PATH_INFO, as fronts send them and as they get them wrong."""
    out = []

    def add(label, **params):
        base = {"REQUEST_METHOD": "GET", "QUERY_STRING": "", "SERVER_PROTOCOL": "HTTP/1.1",
                "DOCUMENT_ROOT": root, "CONTENT_LENGTH": ""}
        base.update({name: value for name, value in params.items() if value is not None})
        out.append(Request(label, base, pool=pool))

    file = f"{root}/path.php"
    add("file alone", SCRIPT_FILENAME=file)
    add("file and name", SCRIPT_FILENAME=file, SCRIPT_NAME="/path.php")
    add("nginx", SCRIPT_FILENAME=file, SCRIPT_NAME="/path.php", REQUEST_URI="/path.php")
    add("nginx with path info", SCRIPT_FILENAME=file, SCRIPT_NAME="/path.php", PATH_INFO="/a/b",
        REQUEST_URI="/path.php/a/b")
    add("nginx with empty path info", SCRIPT_FILENAME=file, SCRIPT_NAME="/path.php", PATH_INFO="")
    add("nginx, all in one", SCRIPT_FILENAME=f"{file}/a/b", SCRIPT_NAME="/path.php/a/b",
        REQUEST_URI="/path.php/a/b")
    add("all in one, deep", SCRIPT_FILENAME=f"{file}/a/b/c.php/d", SCRIPT_NAME="/path.php/a/b/c.php/d")
    add("all in one and path info", SCRIPT_FILENAME=f"{file}/a/b", SCRIPT_NAME="/path.php/a/b",
        PATH_INFO="/a/b", PATH_TRANSLATED=f"{root}/a/b")
    add("path info in the name", SCRIPT_FILENAME=f"{file}/a", SCRIPT_NAME="/path.php")
    add("slash behind", SCRIPT_FILENAME=f"{file}/", SCRIPT_NAME="/path.php/")
    add("two slashes", SCRIPT_FILENAME=f"{root}//path.php", SCRIPT_NAME="//path.php")
    add("two slashes behind", SCRIPT_FILENAME=f"{file}//x", SCRIPT_NAME="/path.php//x")
    add("sub folder", SCRIPT_FILENAME=f"{root}/sub/index.php", SCRIPT_NAME="/sub/index.php")
    add("sub folder with info", SCRIPT_FILENAME=f"{root}/sub/index.php/x", SCRIPT_NAME="/sub/index.php/x")
    add("with a blank", SCRIPT_FILENAME=f"{root}/sub/with space.php", SCRIPT_NAME="/sub/with space.php",
        REQUEST_URI="/sub/with%20space.php")
    add("encoded", SCRIPT_FILENAME=f"{root}/sub/{quote('with space.php')}", SCRIPT_NAME="/sub/with%20space.php")
    add("a link", SCRIPT_FILENAME=f"{root}/link.php", SCRIPT_NAME="/link.php")
    add("a linked folder", SCRIPT_FILENAME=f"{root}/linked/index.php", SCRIPT_NAME="/linked/index.php")
    add("PATH_TRANSLATED alone", PATH_TRANSLATED=file, SCRIPT_NAME="/path.php")
    add("PATH_TRANSLATED and info", PATH_TRANSLATED=f"{file}/a", PATH_INFO="/path.php/a", SCRIPT_NAME="/x.php")
    add("name is not the file's end", SCRIPT_FILENAME=file, SCRIPT_NAME="/alias/of.php")
    add("name is longer", SCRIPT_FILENAME=file, SCRIPT_NAME="/app/path.php", REQUEST_URI="/app/path.php")
    add("no root", SCRIPT_FILENAME=file, SCRIPT_NAME="/path.php", DOCUMENT_ROOT="")
    add("root with a slash", SCRIPT_FILENAME=file, SCRIPT_NAME="/path.php", DOCUMENT_ROOT=root + "/")
    add("other root", SCRIPT_FILENAME=f"{file}/a", SCRIPT_NAME="/path.php/a", DOCUMENT_ROOT="/srv")
    add("root and PATH_INFO only", SCRIPT_FILENAME=None, PATH_INFO="/path.php")
    add("REDIRECT_URL", SCRIPT_FILENAME=f"{file}/a", SCRIPT_NAME="/path.php", REDIRECT_URL="/pretty/a",
        PATH_INFO="/a", PATH_TRANSLATED=f"{file}/a")
    add("REDIRECT_URL as cgi wrapper", SCRIPT_FILENAME="/usr/lib/cgi-bin/php", SCRIPT_NAME="/cgi-bin/php",
        REDIRECT_URL="/path.php/a", PATH_INFO="/path.php/a", PATH_TRANSLATED=f"{file}/a")
    add("ORIG names from outside", SCRIPT_FILENAME=file, SCRIPT_NAME="/path.php", ORIG_PATH_INFO="/evil",
        ORIG_SCRIPT_NAME="/evil.php")
    for label, form in {"proxy:fcgi": "proxy:fcgi://localhost", "proxy:fcgi with port": "proxy:fcgi://localhost:9000",
                        "proxy:fcgi v6": "proxy:fcgi://[::1]:9000", "proxy:balancer": "proxy:balancer://one",
                        "proxy:unix": "proxy:unix:/run/x.sock|fcgi://localhost"}.items():
        add(f"apache {label}", SCRIPT_FILENAME=f"{form}{file}", SCRIPT_NAME="/path.php", REQUEST_URI="/path.php",
            SERVER_SOFTWARE="Apache/2.4")
        add(f"apache {label} with info", SCRIPT_FILENAME=f"{form}{file}/a/b", SCRIPT_NAME="/path.php/a/b",
            REQUEST_URI="/path.php/a/b?x=1", SERVER_SOFTWARE="Apache/2.4")
        add(f"apache {label} with query", SCRIPT_FILENAME=f"{form}{file}?x=1", SCRIPT_NAME="/path.php",
            QUERY_STRING="x=1", REQUEST_URI="/path.php?x=1", SERVER_SOFTWARE="Apache/2.4")
    add("apache, PATH_INFO given", SCRIPT_FILENAME=f"proxy:fcgi://localhost{file}/a", SCRIPT_NAME="/path.php",
        PATH_INFO="/a", PATH_TRANSLATED=f"proxy:fcgi://localhost{file}/a", SERVER_SOFTWARE="Apache/2.4")
    add("apache, proxy-fcgi-pathinfo", SCRIPT_FILENAME=file, SCRIPT_NAME="/path.php/a", PATH_INFO="/a",
        PATH_TRANSLATED=f"{root}/a", SERVER_SOFTWARE="Apache/2.4")
    add("apache, missing", SCRIPT_FILENAME=f"proxy:fcgi://localhost{root}/gone.php", SCRIPT_NAME="/gone.php")
    return out


def auth(root):
    def one(label, authorization=None, pool="main", **more):
        headers = {} if authorization is None else {"Authorization": authorization}
        params = front_params.nginx(root, "/auth.php", headers=headers)
        params.update(more)
        return Request(label, params, pool=pool)

    def basic(text):
        return "Basic " + base64.b64encode(text.encode()).decode()

    return [
        one("none"), one("basic", basic("user:secret")), one("basic, no colon", basic("user")),
        one("after it none again"),
        one("basic, empty password", basic("user:")), one("basic, empty user", basic(":pw")),
        one("basic, colons", basic("user:a:b:c")), one("basic, utf-8", basic("jürgen:pässword")),
        one("basic, lower case", basic("user:pw").replace("Basic", "basic")),
        one("basic, no base64", "Basic ***"), one("basic, empty", "Basic "),
        one("digest", 'Digest username="Mufasa", realm="a", nonce="b", uri="/x", response="c"'),
        one("bearer", "Bearer abc.def"), one("empty", ""), one("odd", "Nonsense"),
        one("REMOTE_USER", REMOTE_USER="alice"),
        one("REMOTE_USER and AUTH_TYPE", REMOTE_USER="alice", AUTH_TYPE="Basic"),
        one("REMOTE_USER and basic", basic("bob:pw"), REMOTE_USER="alice"),
        one("PHP_AUTH_USER from the front", PHP_AUTH_USER="mallory"),
        one("REDIRECT_HTTP_AUTHORIZATION", REDIRECT_HTTP_AUTHORIZATION=basic("c:d")),
        one("Authorization as parameter", Authorization=basic("e:f")),
    ]


def request_headers(root):
    def one(label, headers, how="headers", **more):
        params = front_params.nginx(root, f"/misc.php?c={how}", headers=headers)
        params.update(more)
        return Request(f"{how}: {label}", params)

    kinds = {
        "some": {"Accept": "*/*", "User-Agent": "test", "X-Forwarded-For": "192.0.2.9"},
        "names": {"X-ONE-TWO": "1", "x-three": "3", "A": "a", "X--Double": "2"},
        "cookie": {"Cookie": "a=b"}, "empty": {"X-Empty": ""}, "none": {},
        "proxy": {"Proxy": "x"}, "long": {"X-" + "n" * 300: "v" * 300},
        "authorization": {"Authorization": "Basic dTpw"}, "dnt": {"DNT": "1", "Sec-Fetch-Mode": "x"},
    }
    out = [one(label, headers, how) for label, headers in kinds.items() for how in ("headers", "apache")]
    out.append(one("content type and length", {}, CONTENT_TYPE="a/b", CONTENT_LENGTH="0"))
    out.append(one("both kinds of length", {"Content-Length": "5", "Content-Type": "x"}))
    out.append(one("HTTP_ alone", {}, HTTP_="x", HTTP_A_="y", HTTP__B="z"))
    out.append(one("trailing underscores", {}, HTTP_X_="x", HTTP_X__Y="y"))
    return out
