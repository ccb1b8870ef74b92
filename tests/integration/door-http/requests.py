"""The table of raw requests: what goes over the wire, and what the door has to make of it.

An outcome is the statuses of all answers in their order, then `+` if the connection could be used
after them: each row is sent together with a request for /probe, and `+` is the answer to that. So
"400" is a refusal that ends the connection, "200 +" an ordinary answer. Interim answers (100) do not
count. A row whose answer is the smuggled request's is seen by the body: it says SMUGGLED.
"""

from collections import namedtuple

Row = namedtuple("Row", "name data outcome has")
PROBE = b"GET /probe HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
FILE = b"0123456789" * 10  # /file
MODIFIED = 1_000_000_000  # of /file: Sun, 09 Sep 2001 01:46:40 GMT
DATE = b"Sun, 09 Sep 2001 01:46:40 GMT"


def lines(*parts, body=b""):
    """A request of these lines."""
    return b"\r\n".join(parts) + b"\r\n\r\n" + body


def get(target, *fields, method=b"GET", body=b""):
    return lines(method + b" " + target + b" HTTP/1.1", b"Host: a", *fields, body=body)


def post(*fields, body=b""):
    return get(b"/run.cgi", *fields, method=b"POST", body=body)


def chunked(body, *fields):
    return post(b"Transfer-Encoding: chunked", *fields, body=body)


def first_line(line):
    return lines(line, b"Host: a")


def field(line):
    return get(b"/file", line)


# Where a message ends -------------------------------------------------------------------------

BODIES = [
    ("a length", post(b"Content-Length: 5", body=b"hello"), "200 +", b"body: hello"),
    ("length 0", post(b"Content-Length: 0"), "200 +", b"CONTENT_LENGTH=0"),
    ("a post without a length", post(), "200 +"),
    ("a post of 1.0 without a length", lines(b"POST /run.cgi HTTP/1.0", body=b"hello"), "411"),
    ("two equal lengths", post(b"Content-Length: 5", b"Content-Length: 5", body=b"hello"), "400"),
    ("two lengths", post(b"Content-Length: 5", b"Content-Length: 0", body=b"hello"), "400"),
    ("a list of lengths", post(b"Content-Length: 5, 5", body=b"hello"), "400"),
    ("length with a sign", post(b"Content-Length: +5", body=b"hello"), "400"),
    ("negative length", post(b"Content-Length: -5", body=b"hello"), "400"),
    ("hexadecimal length", post(b"Content-Length: 0x5", body=b"hello"), "400"),
    ("length with a blank inside", post(b"Content-Length: 5 0", body=b"hello"), "400"),
    ("empty length", post(b"Content-Length: "), "400"),
    ("length with a tab", post(b"Content-Length:\t5", body=b"hello"), "400"),
    ("length above 2^64", post(b"Content-Length: 18446744073709551621", body=b"hello"), "400"),
    ("length above http.max_body", post(b"Content-Length: 2000000"), "413"),
    ("body that does not come", lines(b"POST /run.cgi HTTP/1.1", b"Host: a",
                                      b"Content-Length: 500", body=b"x"), "408"),
    ("a file asked for with a body", get(b"/file", b"Content-Length: 5", body=b"hello"), "200"),
    ("chunks", chunked(b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"), "200 +", b"body: hello world"),
    ("chunk sizes in both cases and with zeros",
     chunked(b"0000A\r\n0123456789\r\nb\r\n0123456789-\r\n0\r\n\r\n"), "200 +", b"CONTENT_LENGTH=21"),
    ("no chunk but the last", chunked(b"0\r\n\r\n"), "200 +", b"CONTENT_LENGTH=0"),
    ("chunk extensions", chunked(b"5;a=b;c=\"d e\"\r\nhello\r\n0;z\r\n\r\n"), "200 +", b"body: hello"),
    ("trailers", chunked(b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n"), "200 +", b"body: hello"),
    ("trailer that would be a length",
     chunked(b"5\r\nhello\r\n0\r\nContent-Length: 90\r\n\r\n"), "200 +", b"CONTENT_LENGTH=5"),
    ("malformed trailer", chunked(b"0\r\nX Y: 1\r\n\r\n"), "400"),
    ("trailer without a colon", chunked(b"0\r\nX-Sum\r\n\r\n"), "400"),
    ("trailers without end", chunked(b"0\r\nX: " + b"a" * 9000), "400"),
    ("blank before a chunk size", chunked(b" 5\r\nhello\r\n0\r\n\r\n"), "400"),
    ("blank behind a chunk size", chunked(b"5 \r\nhello\r\n0\r\n\r\n"), "400"),
    ("chunk size with a sign", chunked(b"+5\r\nhello\r\n0\r\n\r\n"), "400"),
    ("negative chunk size", chunked(b"-5\r\nhello\r\n0\r\n\r\n"), "400"),
    ("chunk size 0x5", chunked(b"0x5\r\nhello\r\n0\r\n\r\n"), "400"),
    ("chunk size that is none", chunked(b"g\r\nhello\r\n0\r\n\r\n"), "400"),
    ("no chunk size", chunked(b"\r\nhello\r\n0\r\n\r\n"), "400"),
    ("chunk size above 2^64", chunked(b"10000000000000005\r\nhello\r\n0\r\n\r\n"), "400"),
    ("chunk size of 2^63", chunked(b"8000000000000000\r\nhello\r\n0\r\n\r\n"), "400"),
    ("chunk larger than http.max_body", chunked(b"200000\r\n" + b"x" * 1_100_000), "413"),
    ("a chunk without its CRLF", chunked(b"5\r\nhello0\r\n\r\n"), "400"),
    ("a chunk longer than its size", chunked(b"3\r\nhello\r\n0\r\n\r\n"), "400"),
    ("bare LF behind a chunk size", chunked(b"5\nhello\r\n0\r\n\r\n"), "400"),
    ("bare LF behind a chunk", chunked(b"5\r\nhello\n0\r\n\r\n"), "400"),
    ("bare LF in a chunk extension", chunked(b"5;a\nhello\r\n0\r\n\r\n"), "400"),
    ("bare LF behind the last chunk", chunked(b"5\r\nhello\r\n0\n\n"), "400"),
    ("a chunk extension of 4 KB", chunked(b"5;" + b"a" * 4096 + b"\r\nhello\r\n0\r\n\r\n"), "400"),
    ("NUL in a chunk extension", chunked(b"5;\0\r\nhello\r\n0\r\n\r\n"), "400"),
    ("gzip", post(b"Transfer-Encoding: gzip", body=b"hello"), "501"),
    ("gzip, chunked", post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"), "501"),
    ("a coding nobody knows", post(b"Transfer-Encoding: cow", body=b"0\r\n\r\n"), "501"),
    ("identity", post(b"Transfer-Encoding: identity", body=b"hello"), "501"),
    ("empty coding", post(b"Transfer-Encoding:", body=b"hello"), "501"),
    ("Chunked in any case", post(b"Transfer-Encoding: ChunKed", body=b"0\r\n\r\n"), "200 +"),
]

# What one program would read in one way and another in the other ------------------------------

SMUGGLING = [
    ("CL.TE", post(b"Content-Length: 6", b"Transfer-Encoding: chunked",
                   body=b"0\r\n\r\nG" + SMUGGLED), "400"),
    ("TE.CL", post(b"Transfer-Encoding: chunked", b"Content-Length: 4",
                   body=b"24\r\n" + SMUGGLED + b"\r\n0\r\n\r\n"), "400"),
    ("chunked twice", post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked",
                           body=b"0\r\n\r\n" + SMUGGLED), "400"),
    ("chunked and identity", post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity",
                                  body=b"0\r\n\r\n" + SMUGGLED), "400"),
    ("chunked, identity", post(b"Transfer-Encoding: chunked, identity",
                               body=b"0\r\n\r\n" + SMUGGLED), "501"),
    ("chunked, chunked", post(b"Transfer-Encoding: chunked, chunked",
                              body=b"0\r\n\r\n" + SMUGGLED), "501"),
    ("xchunked", post(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n" + SMUGGLED), "501"),
    ("chunked in quotes", post(b'Transfer-Encoding: "chunked"', body=b"0\r\n\r\n" + SMUGGLED), "501"),
    ("chunked with a tab", post(b"Transfer-Encoding:\tchunked", body=b"0\r\n\r\n" + SMUGGLED), "400"),
    ("chunked with a vertical tab", post(b"Transfer-Encoding: \x0bchunked",
                                         body=b"0\r\n\r\n" + SMUGGLED), "400"),
    ("chunked, folded", post(b"Transfer-Encoding:", b" chunked", body=b"0\r\n\r\n" + SMUGGLED), "400"),
    ("chunked behind a blank and a colon", post(b"Transfer-Encoding : chunked",
                                                body=b"0\r\n\r\n" + SMUGGLED), "400"),
    ("chunked behind a bare CR", post(b"X: y\rTransfer-Encoding: chunked",
                                      body=b"0\r\n\r\n" + SMUGGLED), "400"),
    ("chunked behind a bare LF", post(b"X: y\nTransfer-Encoding: chunked",
                                      body=b"0\r\n\r\n" + SMUGGLED), "400"),
    ("chunked of HTTP/1.0", lines(b"POST /run.cgi HTTP/1.0", b"Transfer-Encoding: chunked",
                                  body=b"0\r\n\r\n" + SMUGGLED), "400"),
    ("a request in a body", post(b"Content-Length: %d" % len(SMUGGLED), body=SMUGGLED), "200 +",
     b"body: GET /smuggled"),
    ("Content_Length does not count", post(b"Content-Length: 0", b"Content_Length: 5"), "200 +",
     b"CONTENT_LENGTH=0"),
    ("Proxy does not become HTTP_PROXY", get(b"/run.cgi", b"Proxy: http://evil/"), "200 +"),
]

# The first line and the fields ----------------------------------------------------------------

LINES = [
    ("bare LF everywhere", b"GET /file HTTP/1.1\nHost: a\n\n", "400"),
    ("bare LF behind the first line", b"GET /file HTTP/1.1\nHost: a\r\n\r\n", "400"),
    ("bare LF behind a field", b"GET /file HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", "400"),
    ("bare LF at the end", b"GET /file HTTP/1.1\r\nHost: a\r\n\n", "400"),
    ("bare CR in a value", field(b"X: a\rb"), "400"),
    ("CR CR LF", b"GET /file HTTP/1.1\r\r\nHost: a\r\n\r\n", "400"),
    ("a folded line", field(b"X: a\r\n b"), "400"),
    ("a line folded with a tab", field(b"X: a\r\n\tb"), "400"),
    ("a blank before the first field", b"GET /file HTTP/1.1\r\n Host: a\r\n\r\n", "400"),
    ("a blank before the colon", field(b"X : a"), "400"),
    ("a tab before the colon", field(b"X\t: a"), "400"),
    ("no colon", field(b"X"), "400"),
    ("no name", field(b": a"), "400"),
    ("NUL in a name", field(b"X\0: a"), "400"),
    ("NUL in a value", field(b"X: a\0b"), "400"),
    ("a control byte in a value", field(b"X: a\x01b"), "400"),
    ("DEL in a value", field(b"X: a\x7fb"), "400"),
    ("a bracket in a name", field(b"X[]: a"), "400"),
    ("a byte above ASCII in a name", field(b"X\xe4: a"), "400"),
    ("a byte above ASCII in a value", field(b"X: \xe4"), "200 +"),
    ("an empty value", field(b"X:"), "200 +"),
    ("blanks round a value", get(b"/run.cgi", b"X:   a b \t "), "200 +", b"HTTP_X=a b\n"),
    ("the same field twice", get(b"/run.cgi", b"X: a", b"x: b"), "200 +", b"HTTP_X=a, b\n"),
    ("no Host", lines(b"GET /file HTTP/1.1"), "400"),
    ("two Hosts", field(b"Host: b"), "400"),
    ("the same Host twice", field(b"Host: a"), "400"),
    ("an empty Host", lines(b"GET /file HTTP/1.1", b"Host:"), "400"),
    ("a Host with a slash", lines(b"GET /file HTTP/1.1", b"Host: a/b"), "400"),
    ("a Host with a blank", lines(b"GET /file HTTP/1.1", b"Host: a b"), "400"),
    ("a Host with a user", lines(b"GET /file HTTP/1.1", b"Host: u@a"), "400"),
    ("a Host with a port", lines(b"GET /run.cgi HTTP/1.1", b"Host: a:80"), "200 +", b"SERVER_NAME=a\n"),
    ("a Host with a port that is none", lines(b"GET /file HTTP/1.1", b"Host: a:x"), "400"),
    ("a Host with a comma", lines(b"GET /file HTTP/1.1", b"Host: a,b"), "400"),
    ("a Host of IPv6", lines(b"GET /run.cgi HTTP/1.1", b"Host: [::1]:80"), "200 +",
     b"SERVER_NAME=[::1]\n"),
    ("a Host of half an IPv6", lines(b"GET /file HTTP/1.1", b"Host: [::1"), "400"),
    ("HTTP/2.0", first_line(b"GET /file HTTP/2.0"), "505"),
    ("HTTP/0.9 by its name", first_line(b"GET /file HTTP/0.9"), "505"),
    ("HTTP/1.2", first_line(b"GET /file HTTP/1.2"), "505"),
    ("http/1.1", first_line(b"GET /file http/1.1"), "400"),
    ("HTTP/1.10", first_line(b"GET /file HTTP/1.10"), "400"),
    ("HTTP/1", first_line(b"GET /file HTTP/1"), "400"),
    ("HTTP/01.1", first_line(b"GET /file HTTP/01.1"), "400"),
    ("no version", first_line(b"GET /file"), "400"),
    ("HTTP/0.9", b"GET /file\r\n", "400"),
    ("two blanks behind the method", first_line(b"GET  /file HTTP/1.1"), "400"),
    ("two blanks before the version", first_line(b"GET /file  HTTP/1.1"), "400"),
    ("a tab behind the method", first_line(b"GET\t/file HTTP/1.1"), "400"),
    ("a blank in the target", first_line(b"GET /fi le HTTP/1.1"), "400"),
    ("a blank behind the version", first_line(b"GET /file HTTP/1.1 "), "400"),
    ("a blank before the method", first_line(b" GET /file HTTP/1.1"), "400"),
    ("no method", first_line(b"/file HTTP/1.1"), "400"),
    ("no target", first_line(b"GET HTTP/1.1"), "400"),
    ("a method with a slash", first_line(b"G/T /file HTTP/1.1"), "400"),
    ("NUL in the target", first_line(b"GET /fi\0le HTTP/1.1"), "400"),
    ("a control byte in the target", first_line(b"GET /fi\x01le HTTP/1.1"), "400"),
    ("the beginning of TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "400"),
    ("an empty line in front", b"\r\n" + field(b"X: y"), "200 +"),
    ("two empty lines in front", b"\r\n\r\n" + field(b"X: y"), "400"),
    ("a target above http.max_header", first_line(b"GET /" + b"a" * 20000 + b" HTTP/1.1"), "414"),
    ("a head above http.max_header", field(b"X: " + b"a" * 20000), "431"),
    ("a head of many lines", field(b"\r\n".join(b"X%d: y" % n for n in range(300))), "431"),
    ("a head that does not end", b"GET /file HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 20000, "431"),
]

# What is asked for ----------------------------------------------------------------------------

TARGETS = [
    ("absolute form", lines(b"GET http://b/run.cgi?x HTTP/1.1", b"Host: b"), "200 +",
     b"REQUEST_URI=/run.cgi?x\n"),
    ("absolute form counts more than Host", lines(b"GET http://b:81/run.cgi HTTP/1.1", b"Host: c"),
     "200 +", b"HTTP_HOST=b:81\n"),
    ("absolute form without a path", lines(b"GET http://b HTTP/1.1", b"Host: b"), "200 +", b"index"),
    ("absolute form with a user", lines(b"GET http://u@b/ HTTP/1.1", b"Host: b"), "400"),
    ("absolute form of a wrong host", lines(b"GET http://b%20/ HTTP/1.1", b"Host: b"), "400"),
    ("absolute form without a host", lines(b"GET http:///file HTTP/1.1", b"Host: b"), "400"),
    ("absolute form of ftp", lines(b"GET ftp://b/file HTTP/1.1", b"Host: b"), "400"),
    ("authority form", lines(b"CONNECT b:80 HTTP/1.1", b"Host: b:80"), "501"),
    ("authority form of GET", lines(b"GET b:80 HTTP/1.1", b"Host: b:80"), "400"),
    ("a path without its slash", first_line(b"GET file HTTP/1.1"), "400"),
    ("OPTIONS *", get(b"*", method=b"OPTIONS"), "200 +", b"Allow: "),
    ("GET *", get(b"*"), "400"),
    ("a fragment", get(b"/file#x"), "400"),
    ("%00", get(b"/file%00"), "400"),
    ("%zz", get(b"/file%zz"), "400"),
    ("% at the end", get(b"/file%"), "400"),
    ("%2 at the end", get(b"/file%2"), "400"),
    ("a letter encoded", get(b"/fil%65"), "200 +", FILE),
    ("/..", get(b"/../etc/passwd"), "400"),
    ("/%2e%2e", get(b"/%2e%2e/etc/passwd"), "400"),
    ("/%2e%2e%2f", get(b"/%2e%2e%2fetc%2fpasswd"), "400"),
    (".. that stays inside", get(b"/sub/../file"), "400"),
    ("/..%5c", get(b"/..%5cetc"), "404 +"),
    ("%252e%252e", get(b"/%252e%252e/etc/passwd"), "404 +"),
    ("%2F in a path", get(b"/sub%2Fpage"), "200 +", b"page"),
    ("empty and single-dot segments", get(b"//sub/.//page"), "200 +", b"page"),
    ("bytes above ASCII in a path", get(b"/\xc3\xbc"), "404 +"),
    ("GET, method unknown to a file", get(b"/file", method=b"BREW"), "405 +"),
    ("POST to a file", get(b"/file", b"Content-Length: 0", method=b"POST"), "405 +"),
    ("OPTIONS of a file", get(b"/file", method=b"OPTIONS"), "405 +"),
    ("TRACE of a file", get(b"/file", method=b"TRACE"), "405 +"),
    ("TRACE of a script", get(b"/run.cgi", method=b"TRACE"), "200 +", b"REQUEST_METHOD=TRACE"),
    ("OPTIONS of a script", get(b"/run.cgi", method=b"OPTIONS"), "200 +", b"REQUEST_METHOD=OPTIONS"),
    ("PROPFIND of a script", get(b"/run.cgi", method=b"PROPFIND"), "200 +", b"REQUEST_METHOD=PROPFIND"),
    ("BREW of a script", get(b"/run.cgi", method=b"BREW"), "200 +", b"REQUEST_METHOD=BREW"),
    ("get of a script", get(b"/run.cgi", method=b"get"), "200 +", b"REQUEST_METHOD=get"),
    ("get of a file", get(b"/file", method=b"get"), "405 +"),
    ("HEAD of a file", get(b"/file", method=b"HEAD"), "200 +", b"Content-Length: 100"),
    ("HEAD of a script", get(b"/run.cgi", method=b"HEAD"), "200 +"),
    ("HEAD of nothing", get(b"/none", method=b"HEAD"), "404 +"),
    ("100-continue of a file", field(b"Expect: 100-continue"), "200 +"),
    ("100-continue with its body", post(b"Expect: 100-Continue", b"Content-Length: 5", body=b"hello"),
     "200 +", b"body: hello"),
    ("an expectation nobody knows", field(b"Expect: a-miracle"), "417"),
]

# Connections ----------------------------------------------------------------------------------

CONNECTIONS = [
    ("close", field(b"Connection: close"), "200"),
    ("Close among others", field(b"Connection: te , Close"), "200"),
    ("keep-alive", field(b"Connection: keep-alive"), "200 +"),
    ("HTTP/1.0", lines(b"GET /file HTTP/1.0"), "200"),
    ("HTTP/1.0 with keep-alive", lines(b"GET /file HTTP/1.0", b"Connection: Keep-Alive"), "200 +"),
    ("HTTP/1.0 with keep-alive, a script",
     lines(b"GET /length.cgi HTTP/1.0", b"Connection: Keep-Alive"), "200 +"),
    ("two ahead", get(b"/file") + get(b"/run.cgi?2"), "200 200 +", b"QUERY_STRING=2"),
    ("one ahead behind a body", post(b"Content-Length: 5", body=b"hello") + get(b"/file"), "200 200 +"),
    ("fifty ahead", b"".join(get(b"/run.cgi?n" if n % 10 == 0 else b"/file") for n in range(50)),
     " ".join(["200"] * 50) + " +"),
    ("nothing is answered behind a refusal", field(b"X : y") + get(b"/file"), "400"),
    ("nothing is answered behind a close", field(b"Connection: close") + get(b"/file"), "200"),
]

# Ranges and conditions ------------------------------------------------------------------------

RANGES = [
    ("a range", field(b"Range: bytes=10-19"), "206 +", b"Content-Range: bytes 10-19/100"),
    ("a range of one byte", field(b"Range: bytes=0-0"), "206 +", b"Content-Range: bytes 0-0/100"),
    ("a range to the end", field(b"Range: bytes=90-"), "206 +", b"Content-Range: bytes 90-99/100"),
    ("a range to beyond the end", field(b"Range: bytes=90-500"), "206 +",
     b"Content-Range: bytes 90-99/100"),
    ("the last bytes", field(b"Range: bytes=-5"), "206 +", b"Content-Range: bytes 95-99/100"),
    ("more last bytes than there are", field(b"Range: bytes=-500"), "206 +",
     b"Content-Range: bytes 0-99/100"),
    ("no last bytes", field(b"Range: bytes=-0"), "416 +", b"Content-Range: bytes */100"),
    ("beyond the end", field(b"Range: bytes=100-"), "416 +", b"Content-Range: bytes */100"),
    ("beyond 2^64", field(b"Range: bytes=99999999999999999999-"), "416 +"),
    ("several ranges", field(b"Range: bytes=0-1,3-4"), "200 +", FILE),
    ("a range backwards", field(b"Range: bytes=9-5"), "200 +", FILE),
    ("a range of another unit", field(b"Range: lines=1-2"), "200 +", FILE),
    ("a range of nothing", field(b"Range: bytes=-"), "200 +", FILE),
    ("a range of words", field(b"Range: bytes=a-b"), "200 +", FILE),
    ("a range of HEAD", get(b"/file", b"Range: bytes=1-2", method=b"HEAD"), "200 +",
     b"Content-Length: 100"),
    ("If-Range with the date", get(b"/file", b"Range: bytes=1-2", b"If-Range: " + DATE), "206 +"),
    ("If-Range with another date",
     get(b"/file", b"Range: bytes=1-2", b"If-Range: Sun, 09 Sep 2001 01:46:41 GMT"), "200 +", FILE),
    ("If-Range with the tag", get(b"/file", b"Range: bytes=1-2", b"If-Range: TAG"), "206 +"),
    ("If-Range with the tag, weak", get(b"/file", b"Range: bytes=1-2", b"If-Range: W/TAG"), "200 +"),
    ("If-Range with another tag", get(b"/file", b"Range: bytes=1-2", b'If-Range: "x"'), "200 +"),
]
CONDITIONS = [
    ("If-Modified-Since", field(b"If-Modified-Since: " + DATE), "304 +"),
    ("If-Modified-Since, older", field(b"If-Modified-Since: Sun, 09 Sep 2001 01:46:39 GMT"), "200 +"),
    ("If-Modified-Since, newer", field(b"If-Modified-Since: Mon, 10 Sep 2001 01:46:40 GMT"), "304 +"),
    ("If-Modified-Since of RFC 850", field(b"If-Modified-Since: Sunday, 09-Sep-01 01:46:40 GMT"),
     "304 +"),
    ("If-Modified-Since of asctime", field(b"If-Modified-Since: Sun Sep  9 01:46:40 2001"), "304 +"),
    ("If-Modified-Since that is no date", field(b"If-Modified-Since: yesterday"), "200 +"),
    ("If-None-Match", field(b"If-None-Match: TAG"), "304 +"),
    ("If-None-Match, weak", field(b"If-None-Match: W/TAG"), "304 +"),
    ("If-None-Match, any", field(b"If-None-Match: *"), "304 +"),
    ("If-None-Match, a list", field(b'If-None-Match: "x", TAG'), "304 +"),
    ("If-None-Match, two fields", get(b"/file", b'If-None-Match: "x"', b"If-None-Match: TAG"), "304 +"),
    ("If-None-Match, another", field(b'If-None-Match: "x"'), "200 +"),
    ("If-None-Match counts more than the date",
     get(b"/file", b'If-None-Match: "x"', b"If-Modified-Since: " + DATE), "200 +"),
    ("If-Match", field(b"If-Match: TAG"), "200 +"),
    ("If-Match, any", field(b"If-Match: *"), "200 +"),
    ("If-Match, weak", field(b"If-Match: W/TAG"), "412 +"),
    ("If-Match, another", field(b'If-Match: "x"'), "412 +"),
    ("If-Match, two fields", get(b"/file", b'If-Match: "x"', b"If-Match: TAG"), "200 +"),
    ("If-Unmodified-Since", field(b"If-Unmodified-Since: " + DATE), "200 +"),
    ("If-Unmodified-Since, older", field(b"If-Unmodified-Since: Sun, 09 Sep 2001 01:46:39 GMT"), "412 +"),
    ("a condition on a script", get(b"/run.cgi", b"If-None-Match: *"), "200 +"),
]

ROWS = [Row(*row, *[None] * (4 - len(row)))
        for part in (BODIES, SMUGGLING, LINES, TARGETS, CONNECTIONS, RANGES, CONDITIONS)
        for row in part]
