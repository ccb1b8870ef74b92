"""What the comparison leaves out, all of it: masks and known differences; and the pools."""

# (name, pattern, replacement): in both streams of every answer.
MASKS = [
    ("own folder", rb"\bside[123]\b", b"side"),
    ("REQUEST_TIME", rb'(REQUEST_TIME(?:_FLOAT)?"?: ?)[0-9.]+', rb"\1NOW"),
    ("upload name", rb"/php[A-Za-z0-9]{6}\b", b"/phpXXXXXX"),
    ("session id", rb"(PHPSESSID|OWN)=[0-9a-z,-]{26,32};", rb"\1=ID;"),
    ("dates of caching", rb"(?m)^((?:Expires|Last-Modified): )\w{3}, \d\d \w{3} (?!1981|1970)"
                         rb"\d{4} [\d:]{8} GMT", rb"\1DATE"),
    ("PHP_BINARY", rb'("PHP_BINARY":"|PHP_BINARY=)[^"\n]*', rb"\1"),
    # php-fpm's opcache serves the other pools as well.
    ("opcache counters", rb"(Cache (?:hits|misses)|(?:Used|Free|Wasted) memory|Interned Strings \w+ memory|Number of strings"
                         rb"|Cached (?:scripts|keys)|Start time|Last restart time)( </td><td class=\"v\">)[^<]*", rb"\1\2NUMBER"),
    ("variables of the moment", rb"(\[?'?(?:REMOTE_PORT|REQUEST_TIME|REQUEST_TIME_FLOAT)'?\]? *</td><td class=\"v\">)[\d.]+",
     rb"\1NOW"),
    ("status times", rb'(start[ -](?:time|since)(?:</th><td>|"?:|>) *)[^<,\n}]+', rb"\1TIME"),
    ("status pid", rb'((?:<|")?pid(?:"|>|:) *:?)\d+', rb"\1PID"),
    ("status duration", rb'(request[ -]duration(?:"|>|:) *:?)\d+', rb"\1DURATION"),
    ("status cpu and memory", rb'(last[ -]request[ -](?:cpu|memory)(?:"|>|:) *:?)[\d.]+',
     rb"\1NUMBER"),
    # php-fpm cannot know the queue of a UNIX socket and says 0.
    ("status queue length", rb'(listen[ -_]queue[ -_]len(?:gth)?(?:</th><td>|"?:|>| ) *)\d+',
     rb"\1NUMBER"),
    ("status table", rb"<td>\d+</td>(<td>Running</td>)<td>[^<]*</td><td>\d+</td>(<td>\d+</td>)<td>\d+</td>",
     rb"PID \1 TIMES \2 DURATION"),
    ("openmetrics times", rb"(phpfpm_start_since )\d+", rb"\1TIME"),
]

LEAK = "php-fpm keeps a PHP_VALUE for later requests of the worker, which other sites then have"

REMNANT = "getenv() of php-fpm shows what lay in memory behind the end of SCRIPT_FILENAME"
PROXY = "what a client's header Proxy says never reaches a script (httpoxy), in php-fpm here it does"
TWICE = "a header callback that prints makes php-fpm send the header twice, the second time as body"
CHILDREN = "what a script starts has no descriptor of its worker; php-fpm's has the pool's sockets"
SPLIT = "php-fpm cuts the connection at a parameter that goes over two records, which FastCGI allows"
START_VALUES = "the pool's values are PHP's from its start here, so get_cfg_var() knows them"
HEAD = "a HEAD request names the type that the page has, php-fpm says text/html of all"
STALE = "php-fpm shows the error of another request: opening a folder is none"

STATUS_PAGES = ["", "?json", "?html", "?xml", "?openmetrics", "?full", "?json&full", "?xml&full",
                "?html&full", "?full&openmetrics", "?nonsense"]
BY_APACHE = ["plain", "query", "query of one word", "odd query", "cookies", "form",
             "form and query", "json", "put"]

# (group, request): why ours answers something else.
DIFFERENCES = {
    ("settings", "what PHP_VALUE leaves in leak"): LEAK,
    ("superglobals", "HTTP_PROXY"): PROXY,
    ("request headers", "headers: proxy"): PROXY,
    ("request headers", "apache: proxy"): PROXY,
    ("bad input", "a folder in quiet"): STALE,
    ("layers", "flush_header_callback"): TWICE,
    ("children", "fd_count"): CHILDREN,
    ("limits", "parameters that are split"): SPLIT,
    **{("engine", f"cfg in {pool}"): START_VALUES for pool in ("ini", "quiet", "odd")},
    **{("superglobals", f"apache: {name}"): REMNANT for name in BY_APACHE},
    **{("pages", f"HEAD /status{query}"): HEAD for query in STATUS_PAGES},
}

# The pools of each side; {side} is its own folder.
SETTINGS = """
php_value[memory_limit] = 48M
php_value[date.timezone] = Europe/Berlin
php_value[error_reporting] = E_ALL & ~E_NOTICE
php_value[user.unknown] = x
php_flag[display_errors] = on
php_flag[html_errors] = no
php_admin_value[max_execution_time] = 17
php_admin_value[post_max_size] = 1K
php_admin_value[disable_functions] = passthru,shell_exec
php_admin_value[auto_prepend_file] = {www}/prepend.inc
php_admin_flag[expose_php] = off
php_admin_flag[allow_url_fopen] = 0
php_admin_value[open_basedir] = {www}:{side}
php_admin_value[user_ini.filename] = .user.ini
php_admin_value[error_log] = {side}/out/php_errors.log
"""

POOLS = {
    "main": """
pm.status_path = /status
ping.path = /ping
env[POOL_VALUE] = set for the pool
catch_workers_output = yes
""",
    "nofix": "php_admin_value[cgi.fix_pathinfo] = 0\n",
    "quiet": """
php_admin_flag[display_errors] = off
php_admin_flag[html_errors] = off
security.limit_extensions =
clear_env = no
env[POOL_VALUE] = "two words"
env[FROM_POOL] = $FROM_OUTSIDE
""",
    "ini": SETTINGS,
    "fresh": "pm.max_requests = 1\n",
    "fresh-ini": SETTINGS + "pm.max_requests = 1\n",
    "leak": "",
    "odd": """
php_admin_value[auto_prepend_file] = {www}/prepend_odd.inc
php_admin_value[auto_append_file] = {www}/append_odd.inc
php_admin_value[error_log] = {side}/out/odd.log
php_admin_value[error_prepend_string] = "<b>"
php_value[ignore_repeated_errors] = 1
php_value[log_errors_max_len] = 60
php_value[output_buffering] = 0
php_value[display_errors] = stderr
catch_workers_output = yes
""",
}
