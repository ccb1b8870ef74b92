"""The parameters that each web server sends for a request of PHP."""


def http(headers):
    """Headers of the client as parameters."""
    return {"HTTP_" + name.upper().replace("-", "_"): value for name, value in headers.items()}


def split_uri(uri):
    path, _, query = uri.partition("?")
    return path, query


def nginx(root, uri, *, script=None, method="GET", body=b"", content_type="", headers=None,
          path_info=None):
    """Debian's fastcgi_params and SCRIPT_FILENAME, PATH_INFO as snippets/fastcgi-php.conf has it."""
    path, query = split_uri(uri)
    script_name = script or path
    params = {
        "QUERY_STRING": query, "REQUEST_METHOD": method, "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(body)) if body else "", "SCRIPT_FILENAME": root + script_name,
        "SCRIPT_NAME": script_name, "REQUEST_URI": uri, "DOCUMENT_URI": path,
        "DOCUMENT_ROOT": root, "SERVER_PROTOCOL": "HTTP/1.1", "REQUEST_SCHEME": "http",
        "GATEWAY_INTERFACE": "CGI/1.1", "SERVER_SOFTWARE": "nginx/1.22.1",
        "REMOTE_ADDR": "192.0.2.7", "REMOTE_PORT": "40000", "REMOTE_USER": "",
        "SERVER_ADDR": "192.0.2.1", "SERVER_PORT": "80", "SERVER_NAME": "www.example",
        "REDIRECT_STATUS": "200",
    }
    if path_info is not None:
        params["PATH_INFO"] = path_info
    params.update(http({"Host": "www.example", **(headers or {})}))
    return params


def lighttpd(root, uri, *, script=None, method="GET", body=b"", content_type="", headers=None,
             path_info=None):
    """mod_fastcgi with check-local; CONTENT_LENGTH is there for every request."""
    path, query = split_uri(uri)
    script_name = script or path
    params = {
        "CONTENT_LENGTH": str(len(body)), "QUERY_STRING": query, "REQUEST_URI": uri,
        "REDIRECT_STATUS": "200", "SCRIPT_NAME": script_name,
    }
    if path_info:
        params["PATH_INFO"] = path_info
        params["PATH_TRANSLATED"] = root + path_info
    params.update({
        "SCRIPT_FILENAME": root + script_name, "DOCUMENT_ROOT": root, "REQUEST_METHOD": method,
        "SERVER_PROTOCOL": "HTTP/1.1", "SERVER_SOFTWARE": "lighttpd/1.4.69",
        "GATEWAY_INTERFACE": "CGI/1.1", "REQUEST_SCHEME": "http", "SERVER_PORT": "80",
        "SERVER_ADDR": "192.0.2.1", "SERVER_NAME": "www.example", "REMOTE_ADDR": "192.0.2.7",
        "REMOTE_PORT": "40000",
    })
    if content_type:
        params["CONTENT_TYPE"] = content_type
    params.update(http({"Host": "www.example", **(headers or {})}))
    return params


def apache(root, uri, *, script=None, method="GET", body=b"", content_type="", headers=None,
           path_info=None, form="proxy:fcgi://localhost"):
    """mod_proxy_fcgi behind SetHandler: SCRIPT_FILENAME with what it was proxied to."""
    path, query = split_uri(uri)
    script_name = script or path
    params = http({"Host": "www.example", **(headers or {})})
    params.update({
        "PATH": "/usr/local/bin:/usr/bin:/bin", "SERVER_SIGNATURE": "",
        "SERVER_SOFTWARE": "Apache/2.4.67 (Debian)", "SERVER_NAME": "www.example",
        "SERVER_ADDR": "192.0.2.1", "SERVER_PORT": "80", "REMOTE_ADDR": "192.0.2.7",
        "DOCUMENT_ROOT": root, "REQUEST_SCHEME": "http", "CONTEXT_PREFIX": "",
        "CONTEXT_DOCUMENT_ROOT": root, "SERVER_ADMIN": "webmaster@www.example",
        "SCRIPT_FILENAME": f"{form}{root}{script_name}{path_info or ''}", "REMOTE_PORT": "40000",
        "GATEWAY_INTERFACE": "CGI/1.1", "SERVER_PROTOCOL": "HTTP/1.1", "REQUEST_METHOD": method,
        "QUERY_STRING": query, "REQUEST_URI": uri, "SCRIPT_NAME": script_name,
    })
    if path_info:
        params["PATH_INFO"] = path_info
        params["PATH_TRANSLATED"] = root + path_info
    if content_type:
        params["CONTENT_TYPE"] = content_type
    if body:
        params["CONTENT_LENGTH"] = str(len(body))
    return params


def haproxy(root, uri, *, script=None, method="GET", body=b"", content_type="", headers=None,
            path_info=None):
    """fcgi-app with docroot and path-info; no QUERY_STRING where there is none."""
    path, query = split_uri(uri)
    script_name = script or path
    params = {
        "REMOTE_ADDR": "192.0.2.7", "REMOTE_PORT": "40000", "SERVER_ADDR": "192.0.2.1",
        "SERVER_PORT": "80", "SERVER_NAME": "www.example", "DOCUMENT_ROOT": root,
        "GATEWAY_INTERFACE": "CGI/1.1", "SERVER_PROTOCOL": "HTTP/1.1", "REQUEST_METHOD": method,
        "REQUEST_URI": uri, "SCRIPT_NAME": script_name, "SCRIPT_FILENAME": root + script_name,
    }
    if path_info:
        params["PATH_INFO"] = path_info
    if query:
        params["QUERY_STRING"] = query
    if content_type:
        params["CONTENT_TYPE"] = content_type
    if body:
        params["CONTENT_LENGTH"] = str(len(body))
    params.update(http({"Host": "www.example", **(headers or {})}))
    return params


ALL = {"nginx": nginx, "lighttpd": lighttpd, "apache": apache, "haproxy": haproxy}
