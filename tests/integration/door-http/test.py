"""A table of raw requests, to the door and to nginx: what is refused, and how a message ends.

nginx has the same folder and the same pool. Every difference between the two has its reason in
differences.py; one that has none, or has gone, is a failure.
"""

import os
from concurrent.futures import ThreadPoolExecutor

from case import plain_only
from differences import DIFFERENCES
from door import Door
from requests import FILE, MODIFIED
from wire import observe, piece_of, table

SCRIPT = """#!/bin/sh
printf 'Content-Type: text/plain\\n\\n'
env | sort
echo "body: $(cat)"
"""
POOL = """
listen = {dir}/pool.sock
listen.mode = 0666
http.scripts = extension
http.max_body = 1M
http.read_timeout = 1s
pm.max_children = 4
"""
NGINX = """
  large_client_header_buffers 2 16k;
  client_header_timeout 1s;
  client_body_timeout 1s;
  keepalive_timeout 3s;
  lingering_timeout 1s;
  server {
    listen 127.0.0.1:{port};
    root ROOT;
    client_max_body_size 1m;
    index index.html;
    location ~ ^(/[a-z]+[.]cgi)(/.*)?$ {
      fastcgi_param SCRIPT_FILENAME $document_root$1;
      fastcgi_param PATH_INFO $2;
      fastcgi_param SCRIPT_NAME $1;
      fastcgi_param REQUEST_METHOD $request_method;
      fastcgi_param REQUEST_URI $request_uri;
      fastcgi_param QUERY_STRING $query_string;
      fastcgi_param CONTENT_LENGTH $content_length;
      fastcgi_param CONTENT_TYPE $content_type;
      fastcgi_param SERVER_NAME $host;
      fastcgi_param SERVER_PROTOCOL $server_protocol;
      fastcgi_param HTTP_PROXY "";
      fastcgi_pass unix:DIR/pool.sock;
    }
  }
"""


def door_of(case):
    """The door, and the tag of /file there."""
    case.write("www/index.html", "index\n")
    case.write("www/probe", "probe\n")
    case.write("www/smuggled", "smuggled\n")
    case.write("www/sub/page", "page\n")
    (case.dir / "www" / "file").write_bytes(FILE)
    os.utime(case.dir / "www" / "file", (MODIFIED, MODIFIED))
    case.script("www/run.cgi", SCRIPT)
    case.script("www/length.cgi", "#!/bin/sh\nprintf 'Content-Length: 2\\n\\nok'\n")
    door = Door(case, POOL)
    return door, tag_of(door)


def tag_of(server):
    return server.get("/file")[1]["ETag"].encode()


def to_all(port, tag, piece=lambda row: 0):
    """[(row, observed)]"""
    with ThreadPoolExecutor(12) as threads:
        return [(row, seen) for row, seen in
                zip(table(), threads.map(lambda row: observe(port, row, tag, piece(row)), table()))]


def complain(lines):
    assert not lines, "\n".join(["", *lines])


def test_every_request_of_the_table(case):
    door, tag = door_of(case)
    wrong = []
    for row, seen in to_all(door.port, tag):
        if seen.outcome != row.outcome:
            wrong.append(f"{row.name}: {seen.outcome}, not {row.outcome}")
        elif row.has and row.has not in seen.said:
            wrong.append(f"{row.name}: no {row.has} in {seen.said}")
        elif "+" not in row.outcome and b"\r\nConnection: close" not in seen.heads:
            wrong.append(f"{row.name}: closed without a word")
        elif b"HTTP_PROXY" in seen.said:
            wrong.append(f"{row.name}: HTTP_PROXY")
    case.say(f"{len(table())} requests, {sum(row.outcome[0] == '4' for row in table())} of them refused")
    complain(wrong)


def test_the_same_byte_by_byte(case):
    door, tag = door_of(case)
    complain([f"{row.name}: {seen.outcome}, not {row.outcome}"
              for row, seen in to_all(door.port, tag, piece_of) if seen.outcome != row.outcome])
    assert len(door.fpm.doors()) == 1 and not door.fpm.find("exited on signal")


@plain_only
def test_nginx_as_a_control(case):
    door, tag = door_of(case)
    nginx = case.nginx("", NGINX.replace("ROOT", f"{case.dir}/www").replace("DIR", str(case.dir)))
    here = {row.name: seen.outcome for row, seen in to_all(door.port, tag)}
    reasons = {name: reason for reason, names in DIFFERENCES for name in names}
    wrong, said = [], []
    for row, there in to_all(nginx.port, tag_of(nginx)):
        reason = reasons.pop(row.name, None)
        if here[row.name] == there.outcome:
            if reason:
                wrong.append(f"{row.name}: no difference, but there is a reason for one")
            continue
        said.append(f"{row.name}: {here[row.name]}, nginx: {there.outcome}: {reason}")
        if not reason:
            wrong.append(f"{row.name}: {here[row.name]}, nginx: {there.outcome}, and no reason")
    case.say(f"{len(table()) - len(said)} requests are answered as by nginx, {len(said)} are not:")
    for line in said:
        case.say("  " + line)
    complain(wrong + [f"{name}: no such row" for name in reasons])
