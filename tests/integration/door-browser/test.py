"""A page in a real browser, through the door: it fetches, posts a form, uploads a file and waits."""

import re
import shutil
import subprocess

from door import Door

PAGE = """<!DOCTYPE html>
<html><head><meta charset="utf-8"><title>page</title></head><body>
<p id="fetched"></p><p id="posted"></p><p id="uploaded"></p><p id="waited"></p>
<script>
const show = (id, work) => work
  .then(async (response) => `${response.status} ${await response.text()}`, (failure) => `no: ${failure}`)
  .then((text) => { document.getElementById(id).textContent = text; });
const file = new FormData();
file.append('file', new Blob([new Uint8Array(300000)], {type: 'image/png'}), 'picture.png');
const waiting = show('waited', fetch('wait.cgi'));
Promise.all([
  show('fetched', fetch('echo.cgi?a=b')),
  show('posted', fetch('echo.cgi', {method: 'POST', body: new URLSearchParams({name: 'Ü x', no: 7})})),
  show('uploaded', fetch('upload.cgi', {method: 'POST', body: file})),
]).then(() => fetch('poke.cgi')).then(() => waiting)
  .then(() => { document.title = 'done'; });
</script></body></html>
"""
ECHO = """#!/bin/sh
printf 'Content-Type: text/plain\\n\\n'
printf '%s %s %s' "$REQUEST_METHOD" "$QUERY_STRING" "$(cat)"
"""
# The parts of the form as they arrived: the name of the file, and how long all of it is.
UPLOAD = """#!/bin/sh
printf 'Content-Type: text/plain\\n\\n'
printf '%s of %s bytes: ' "${CONTENT_TYPE%%;*}" "$CONTENT_LENGTH"
tr -d '\\000' | sed -n 's/.*filename="\\([^"]*\\)".*/\\1/p' | tr -d '\\n'
"""
WAIT = """#!/bin/sh
read line <"$GATE"
printf 'Content-Type: text/plain\\n\\n%s' "$line"
"""
POKE = """#!/bin/sh
echo "news for you" >"$GATE"
printf 'Content-Type: text/plain\\n\\n'
"""


def text_of(dom, name):
    return re.search(rf'<p id="{name}">([^<]*)</p>', dom).group(1)


def test_a_page_that_fetches_posts_uploads_and_waits(case):
    browser = shutil.which("chromium")
    if not browser:
        case.skip("chromium is not installed: tools/test all installs it")
    gate = case.fifo("gate")
    case.write("www/index.html", PAGE)
    for name, text in (("echo", ECHO), ("upload", UPLOAD), ("wait", WAIT), ("poke", POKE)):
        case.script(f"www/{name}.cgi", text)
    door = Door(case, f"http.scripts = extension\npm.max_children = 4\nenv[GATE] = {gate}\n")
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
         f"--user-data-dir={case.dir}/browser", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--no-proxy-server",
         "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--virtual-time-budget=20000",
         "--dump-dom", f"http://127.0.0.1:{door.port}/"],
        capture_output=True, text=True, timeout=60, check=False, cwd=case.dir,
        env={"HOME": str(case.dir), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"})
    dom = done.stdout
    assert "<title>done</title>" in dom, (dom, done.stderr[-3000:])
    assert text_of(dom, "fetched") == "200 GET a=b "
    assert text_of(dom, "posted") == "200 POST  name=%C3%9C+x&amp;no=7"
    found = re.fullmatch(r"200 multipart/form-data of (\d+) bytes: picture.png", text_of(dom, "uploaded"))
    assert found and int(found.group(1)) > 300000, dom
    assert text_of(dom, "waited") == "200 news for you"
