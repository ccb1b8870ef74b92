"""php-fpm's configurations mean here what they mean there: the same dump, the same verdict."""

import difflib
import re
import shutil
import subprocess

from case import needs_root

PHP_FPM = "php-fpm8.2"

# Directives that php-fpm does not have, and one that it takes and does not dump.
OURS = {
    "shutdown_delay", "control.socket", "log_format", "template", "handler", "process.cpu_affinity", "pm.max_requests_jitter",
    "pm.max_worker_lifetime", "pm.max_memory", "request_terminate_grace", "request_header_timeout",
    "request_body_timeout", "request_queue_timeout", "request_drop_abandoned", "request_on_abort",
    "keepalive_timeout", "rlimit_as", "rlimit_nproc", "no_new_privs", "output_log", "cgi.root",
    "cgi.program", "cgi.background", "apparmor_hat", "fastcgi.command", "fastcgi.family",
    "fastcgi.ready_timeout", "request_retry", "php.version", "php.root",
    "php.ini_parameters", "status.listen", "status.user",
    "status.allowed_clients", "status.ready_queue", "status.ready_wait",
    "module.path", "template", "template.idle_timeout",
}

# A default that differs on purpose: php-fpm's 0 cuts every request on reload.
LONGER = ("\tprocess_control_timeout = 30s", "\tprocess_control_timeout = 0s")
# php-fpm prints this for its default log_level up to 8.4.
UNKNOWN_LEVEL = ("\tlog_level = unknown value", "\tlog_level = NOTICE")

# What only we say under -t.
OUR_LINE = re.compile(r"the master needs \d+ open files")

TIME = re.compile(r"^\[[^]]*\] ")


def php_fpm(case):
    found = shutil.which(PHP_FPM, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if found is None:
        case.skip(f"{PHP_FPM} is not installed")
    return found


def run(case, command):
    """(exit status, lines without their time)"""
    environment = {"PATH": "/usr/bin:/bin", "PHPCONFIG_VALUE": "from the environment",
                   **case.sanitizer_environment()}
    done = subprocess.run([str(word) for word in command], env=environment, cwd=case.dir,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=30, check=False)
    lines = done.stdout.decode(errors="replace").splitlines()
    return done.returncode, [TIME.sub("", line) for line in lines if line]


def php_run(case, how, config):
    return run(case, [php_fpm(case), "-n", "-O", how, "-p", case.dir, "-y", config])


def our_run(case, how, config):
    return run(case, [case.program, "-n", "-O", how, "-y", config])


def prepare(case):
    """The files that configurations name."""
    for folder in ("srv/log", "srv/jail/work", "log", "www"):
        (case.dir / folder).mkdir(parents=True, exist_ok=True)
    for path in (case.source / "configs").iterdir():
        case.write(path.name, path.read_text().replace("{dir}", str(case.dir)))


def directive(line):
    """The name in `NOTICE: \\tname[key] = value`, or nothing."""
    found = re.match(r"^NOTICE: \t([\w.]+)(?:\[[^]]*\])? = ", line)
    return found and found.group(1)


def ours(lines):
    """Our dump without what php-fpm's cannot have."""
    return [line.replace(*LONGER) for line in lines
            if directive(line) not in OURS and not OUR_LINE.search(line)
            and not (directive(line) or "").startswith("http.")]


# As another user php-fpm shows what it ignores, and we show what is in force: so all as root.
@needs_root
def test_the_dump_of_each_configuration_is_php_fpms(case):
    prepare(case)
    configs = sorted(case.dir.glob("[0-9]*.conf"))
    assert len(configs) >= 20, configs
    differing = []
    for config in configs:
        status, theirs = php_run(case, "-tt", config)
        assert status == 0, f"{config.name}: php-fpm says {theirs}"
        our_status, mine = our_run(case, "-tt", config)
        assert our_status == 0, f"{config.name}: fpm says {mine}"
        theirs = [plain(line.replace(*UNKNOWN_LEVEL)) for line in theirs]
        mine = [plain(line) for line in ours(mine)]
        if mine != theirs:
            differing.append(difference(config.name, theirs, mine))
    assert not differing, "\n".join(differing)


def plain(line):
    """Without the level, which php-fpm leaves out with error_log = syslog, and with single slashes,
    of which it makes two after $prefix."""
    return line.removeprefix("NOTICE: ").replace("//", "/")


def difference(name, theirs, mine):
    return "\n".join(difflib.unified_diff(theirs, mine, f"{name} php-fpm", f"{name} fpm",
                                          lineterm="", n=1))


# One line in a pool that is right otherwise, both refuse it.
BOTH_REFUSE = [
    "pm = many",
    "pm =",
    "pm.max_children = many",
    "pm.max_children = 0",
    "pm.max_children = -1",
    "pm = dynamic",
    "pm = dynamic\npm.min_spare_servers = 1\npm.max_spare_servers = 9",
    "pm = dynamic\npm.max_children = 9\npm.min_spare_servers = 3\npm.max_spare_servers = 2",
    "pm = dynamic\npm.max_children = 9\npm.min_spare_servers = 3\npm.max_spare_servers = 4\n"
    "pm.start_servers = 5",
    "pm = ondemand\npm.process_idle_timeout = 0",
    "pm.max_spawn_rate = x",
    "user = nosuchuser",
    "group = nosuchgroup",
    "listen.owner = nosuchuser",
    "request_slowlog_trace_depth = 5",
    "listen =",
    "process.priority = 21",
    "process.priority = x",
    "process.dumpable = 2",
    "clear_env = maybe",
    "request_terminate_timeout = 5w",
    "rlimit_files = x",
    "rlimit_core = x",
    "request_slowlog_timeout = 3",
    "slowlog = s.log\nrequest_slowlog_timeout = 5\nrequest_terminate_timeout = 3",
    "chroot = nosuchfolder",
    "chroot = x$prefix",
    "chdir = nosuchfolder",
    "prefix = /nosuchfolder",
    "pm.status_path = x",
    "pm.status_path = /",
    "ping.path = '/a b'",
    "ping.path = /ping\nping.response =",
    "access.log = a.log\naccess.format = '%Z'",
    "access.log = /nosuchfolder/a.log",
    "access.suppress_path[] = a",
    "access.suppress_path[x] = /a",
    "access.suppress_path = /a",
    "env[] = x",
    "env = x",
    "php_value[] = x",
    "php_value = x",
    "php_flag[x] = maybe",
    "nosuchdirective = 1",
    "nosuchdirective[x] = 1",
    "novalue",
    "listen.setfib = 1",
    "[global]\nlog_limit = 511",
    "[global]\nlog_limit = x",
    "[global]\nlog_level = loud",
    "[global]\nlog_level =",
    "[global]\nsyslog.facility = local8",
    "[global]\nprocess.max = -1",
    "[global]\nprocess.priority = 30",
    "[global]\nevents.mechanism = kqueue",
    "[global]\nsystemd_interval = x",
    "[global]\ndaemonize = x",
    "[global]\npid = $pool",
    "[global]\nphp_value[x] = 1",
    "[global]\nerror_log = /nosuchfolder/x",
    "[second]\nuser = www-data\nlisten = {dir}/www.sock\npm = static\npm.max_children = 1",
]

# php-fpm takes these and fails, or does something else, later.
ONLY_WE_REFUSE = [
    "user = root",
    "user =",
    "listen.mode = 0999",
    "pm.max_children = 99999999999",
    "listen.acl_users = nosuchuser",
    "listen.allowed_clients = xxx",
    "pm.status_listen = 127.0.0.1:99999",
    "rlimit_files = -1",
    "chroot =",
    "[global]\nprocess.max = 1",
    "[second]\nuser = www-data\nlisten = {dir}/./www.sock\npm = static\npm.max_children = 1",
]

BOTH_TAKE = [
    "",
    "pm.min_spare_servers = 9",
    "pm.process_idle_timeout = 0",
    "listen.backlog = 5",
    "chdir =",
    "slowlog = s.log",
    "slowlog = s.log\nrequest_slowlog_trace_depth = 5",
    "security.limit_extensions =",
    "php_value[x] =",
    "php_admin_value[no.such.setting] = 1",
    "process.priority = -19",
    "rlimit_core = 0",
    "include = {dir}/none/*.conf.none",
    "apparmor_hat = x",
    "[global]\nprocess.max = 2",
    "[global]\nemergency_restart_threshold = 3",
    "[global]\nevents.mechanism = poll",
    "[global]\nerror_log = syslog",
    "[GLOBAL]\nPID = x.pid",
]


def verdicts(case, lines):
    """(accepted by php-fpm, accepted by us, what was said) of a configuration with these lines."""
    text = (f"[global]\nerror_log = {case.dir}/error.log\n[www]\nuser = www-data\n"
            f"listen = {case.dir}/www.sock\npm = static\npm.max_children = 2\n"
            + lines.replace("{dir}", str(case.dir)) + "\n")
    config = case.write("verdict.conf", text)
    theirs, php_lines = php_run(case, "-t", config)
    mine, our_lines = our_run(case, "-t", config)
    assert theirs in (0, 78) and mine in (0, 78), (lines, theirs, php_lines, mine, our_lines)
    return theirs == 0, mine == 0, f"{lines!r}\nphp-fpm: {php_lines}\nfpm: {our_lines}"


def wrong_verdicts(case, rows, expected):
    found = [verdicts(case, lines) for lines in rows]
    return "\n".join(said for php, fpm, said in found if (php, fpm) != expected)


@needs_root
def test_what_php_fpm_refuses_is_refused(case):
    wrong = wrong_verdicts(case, BOTH_REFUSE, (False, False))
    assert not wrong, wrong


@needs_root
def test_what_php_fpm_takes_is_taken(case):
    (case.dir / "none").mkdir()
    wrong = wrong_verdicts(case, BOTH_TAKE, (True, True))
    assert not wrong, wrong


@needs_root
def test_what_would_fail_later_is_refused(case):
    wrong = wrong_verdicts(case, ONLY_WE_REFUSE, (True, False))
    assert not wrong, wrong


# A line, and what both say about it; {file} is the configuration, line 8 the line.
SAME_WORDS = [
    ("php_value[] = 1", "ERROR: [{file}:8] You must provide a key for field 'php_value'"),
    ("env[] = 1", "ERROR: [{file}:8] You must provide a key for field 'env'"),
    ("access.suppress_path[x] = /a",
     "ERROR: [{file}:8] Keys provided to field 'access.suppress_path' are ignored"),
    ("access.suppress_path[] = a",
     "ERROR: [{file}:8] Values provided to field 'access.suppress_path' must begin with '/'"),
    ("pm = dynamic\npm.max_children = 9\npm.min_spare_servers = 1\npm.max_spare_servers = 4",
     "NOTICE: [pool www] pm.start_servers is not set. It's been set to 2."),
    ("include = {dir}/nosuch.conf",
     "WARNING: Nothing matches the include pattern '{dir}/nosuch.conf' from {file} at line 8."),
]


@needs_root
def test_lines_that_tools_compare_are_equal(case):
    for lines, line in SAME_WORDS:
        text = (f"[global]\nerror_log = {case.dir}/error.log\n[www]\nuser = www-data\n"
                f"listen = {case.dir}/www.sock\npm = static\npm.max_children = 2\n"
                + lines.replace("{dir}", str(case.dir)) + "\n")
        config = case.write("words.conf", text)
        wanted = line.replace("{file}", str(config)).replace("{dir}", str(case.dir))
        for program in (php_run, our_run):
            _, said = program(case, "-t", config)
            assert said.count(wanted) == 1, (program.__name__, wanted, said)
