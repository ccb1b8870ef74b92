"""Real applications of Debian behind nginx: log in, write, read back."""

import hashlib
import html
import http.client
import http.cookies
import os
import pathlib
import re
import shutil
import sqlite3
from urllib.parse import urlencode

from case import needs_root, plain_only
from fpm import give_to_service_user

DOKUWIKI = pathlib.Path("/usr/share/dokuwiki")
PHPLITEADMIN = pathlib.Path("/usr/share/phpliteadmin/phpliteadmin.php")
PASSWORD = "correct horse"

LOCATIONS = """
    root {root};
    index index.php doku.php;
    location / {{ try_files $uri $uri/ =404; }}
    location ~ [^/]\\.php(/|$) {{
      fastcgi_split_path_info ^(.+\\.php)(/.+)$;
      include /etc/nginx/fastcgi_params;
      fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
      fastcgi_param PATH_INFO $fastcgi_path_info;
      fastcgi_pass {address};
    }}
"""


class Browser:
    """Keeps cookies, sends forms and follows redirections."""

    def __init__(self, nginx):
        self.nginx, self.cookies = nginx, {}
        self.requests = 0

    def get(self, path):
        return self._ask("GET", path)

    def post(self, path, fields, files=None, status=200):
        if files is None:
            return self._ask("POST", path, urlencode(fields).encode(),
                             "application/x-www-form-urlencoded", status=status)
        return self._ask("POST", path, multipart(fields, files),
                         "multipart/form-data; boundary=browser", status=status)

    def _ask(self, method, path, body=None, kind=None, follow=5, status=200):
        headers = {"Host": "localhost",
                   "Cookie": "; ".join(f"{key}={value}" for key, value in self.cookies.items())}
        if kind:
            headers["Content-Type"] = kind
        connection = http.client.HTTPConnection("127.0.0.1", self.nginx.port, timeout=60)
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        text = response.read()
        connection.close()
        self.requests += 1
        for line in response.headers.get_all("Set-Cookie") or []:
            for key, morsel in http.cookies.SimpleCookie(line).items():
                if morsel["max-age"] == "0":
                    self.cookies.pop(key, None)
                else:
                    self.cookies[key] = morsel.coded_value
        where = response.headers.get("Location")
        if response.status in (301, 302, 303) and where and follow:
            return self._ask("GET", re.sub(r"^https?://[^/]+", "", where), follow=follow - 1)
        assert response.status == status, (method, path, response.status, text[-2000:])
        return text.decode(errors="replace")


def multipart(fields, files):
    parts = [f'--browser\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
             for name, value in fields.items()]
    parts += [f'--browser\r\nContent-Disposition: form-data; name="{name}"; filename="{file}"\r\n'
              f"Content-Type: {kind}\r\n\r\n".encode() + content + b"\r\n"
              for name, (file, kind, content) in files.items()]
    return b"".join(parts) + b"--browser--\r\n"


def hidden(page, form=""):
    """The hidden fields of the form whose tag contains `form`."""
    found = re.search(rf"<form[^>]*{form}[^>]*>.*?</form>", page, re.S)
    assert found, f"no form /{form}/ in {page[-3000:]}"
    fields = {}
    for tag in re.findall(r"<input[^>]*>", found.group(0)):
        said = dict(re.findall(r"""(\w+)=["']([^"']*)["']""", tag))
        if said.get("type") == "hidden":
            fields[html.unescape(said["name"])] = html.unescape(said.get("value", ""))
    return fields


def serve(case, root):
    """php-fpm and nginx on that folder; a browser."""
    case.needs_php()
    give_to_service_user(root)
    tmp = case.folder("tmp")
    fpm = case.fpm({"www": f"pm = dynamic\npm.max_children = 4\npm.min_spare_servers = 1\n"
                           f"pm.max_spare_servers = 2\nphp_admin_value[upload_tmp_dir] = {tmp}\n"
                           f"php_value[session.save_path] = {tmp}\n"
                           "php_admin_flag[log_errors] = on\ncatch_workers_output = yes\n"},
                   program=case.php_fpm)
    nginx = case.nginx(LOCATIONS.format(root=root, address=fpm.nginx_address()))
    return fpm, Browser(nginx)


def needs(case, path, package):
    if not path.exists():
        case.skip(f"{package} is not installed")


def wiki(case):
    """A DokuWiki with one user, in the case's folder."""
    needs(case, DOKUWIKI, "dokuwiki")
    root, conf, data = case.dir / "wiki", case.dir / "conf", case.dir / "data"
    shutil.copytree(DOKUWIKI, root, ignore=shutil.ignore_patterns("install.php", ".htaccess"))
    shutil.copytree("/etc/dokuwiki", conf, ignore=shutil.ignore_patterns("*.auth.php", "local.php"))
    for folder in ("attic", "cache", "index", "locks", "log", "media", "media_attic", "media_meta",
                   "meta", "pages", "tmp"):
        (data / folder).mkdir(parents=True)
    sha1 = hashlib.sha1(PASSWORD.encode()).hexdigest()
    (conf / "users.auth.php").write_text(f"writer:{sha1}:A Writer:writer@localhost:admin,user\n")
    (conf / "acl.auth.php").write_text("*\t@ALL\t1\n*\t@user\t8\n")
    (conf / "local.php").write_text(f"""<?php
$conf['title'] = 'Test wiki';
$conf['useacl'] = 1;
$conf['superuser'] = '@admin';
$conf['savedir'] = '{data}';
$conf['updatecheck'] = 0;
""")
    (root / "inc/preload.php").write_text(f"<?php define('DOKU_CONF', '{conf}/');\n")
    for folder in (conf, data):
        give_to_service_user(folder)
    return root, data


@needs_root
@plain_only
def test_dokuwiki_keeps_pages_and_files(case):
    root, data = wiki(case)
    fpm, browser = serve(case, root)
    page = browser.get("/doku.php?id=start")
    assert "This topic does not exist yet" in page, page[-2000:]
    page = browser.get("/doku.php?id=start&do=login")
    page = browser.post("/doku.php?id=start", {**hidden(page, "dw__login"), "do": "login",
                                               "u": "writer", "p": "wrong"}, status=403)
    assert "Sorry, username or password was wrong" in page, page[-2000:]
    page = browser.post("/doku.php?id=start", {**hidden(page, "dw__login"), "do": "login",
                                               "u": "writer", "p": PASSWORD})
    assert "A Writer" in page, page[-2000:]
    text = "====== Größe ======\nWritten by the **test**, 1 < 2 & 3.\n\n  * one\n  * two\n"
    page = browser.get("/doku.php?id=notes:first&do=edit")
    fields = {**hidden(page, "dw__editform"), "wikitext": text, "summary": "a test",
              "do[save]": "1"}
    page = browser.post("/doku.php?id=notes:first", fields)
    assert "<strong>test</strong>" in page and "1 &lt; 2 &amp; 3." in page, page[-3000:]
    assert (data / "pages/notes/first.txt").read_text() == text
    for number in range(5):  # and again, by other workers
        assert "Größe" in browser.get(f"/doku.php?id=notes:first&purge={number}")
    assert "a test" in browser.get("/doku.php?id=notes:first&do=revisions")
    image = (DOKUWIKI / "lib/images/license/badge/cc-by.png").read_bytes()
    token = hidden(browser.get("/doku.php?id=start&do=media&ns=notes&tab_files=upload"),
                   "dw__upload")
    browser.post("/doku.php?id=start&do=media&ns=notes", {**token, "mediaid": "picture.png"},
                 {"upload": ("picture.png", "image/png", image)})
    assert (data / "media/notes/picture.png").read_bytes() == image
    connection = http.client.HTTPConnection("127.0.0.1", browser.nginx.port, timeout=60)
    connection.request("GET", "/lib/exe/fetch.php?media=notes:picture.png")
    response = connection.getresponse()
    assert response.status == 200 and response.read() == image
    assert response.headers["Content-Type"] == "image/png", response.headers.items()
    connection.close()
    assert len(browser.get("/lib/exe/css.php?t=dokuwiki")) > 20000  # LESS, compiled in PHP
    case.say(f"dokuwiki: {browser.requests} requests")
    assert not fpm.find("PHP (Fatal|Parse)"), fpm.text
    fpm.stop()


@needs_root
@plain_only
def test_phpliteadmin_keeps_rows_in_sqlite(case):
    needs(case, PHPLITEADMIN, "phpliteadmin")
    root, data = case.folder("admin"), case.folder("databases")
    shutil.copy(PHPLITEADMIN, root / "index.php")
    shutil.copytree(PHPLITEADMIN.parent / "languages", root / "languages")
    # It is looked for in the working folder, which is the script's.
    (root / "phpliteadmin.config.php").write_text(
        f"<?php\n$password = '{PASSWORD}';\n$directory = '{data}';\n$theme = '';\n")
    give_to_service_user(data)
    fpm, browser = serve(case, root)

    def send(path, fields, page):
        token = re.search(r'name="token" value="(\w+)"', page)
        return browser.post(path, {**({"token": token.group(1)} if token else {}), **fields})

    page = browser.get("/index.php")
    login = {"login": "true", "proc_login": "true"}
    page = send("/index.php", {**login, "password": "wrong"}, page)
    assert "Incorrect password" in page, page[-2000:]
    page = send("/index.php", {**login, "password": PASSWORD}, page)
    page = send("/index.php", {"new_dbname": "notes"}, page)
    file = data / "notes"
    assert file.exists(), (os.listdir(data), page[-3000:])
    statements = ["CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT)"] + [
        f"INSERT INTO note (text) VALUES ('line {number} é <b>')" for number in range(20)]
    page = browser.get(f"/index.php?database={file}&view=sql")
    page = send(f"/index.php?database={file}&view=sql",
                {"query": "Go", "delimiter": ";", "queryval": ";\n".join(statements)}, page)
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as database:
        rows = database.execute("SELECT count(*), max(text) FROM note").fetchall()
    database.close()
    assert rows == [(20, "line 9 é <b>")], (rows, page[-3000:])
    page = browser.get(f"/index.php?database={file}&table=note&action=row_view")
    assert "line 19 &eacute; &lt;b&gt;" in page, page[-5000:]
    case.say(f"phpliteadmin: {browser.requests} requests")
    assert not fpm.find("PHP (Fatal|Parse)"), fpm.text
    fpm.stop()
