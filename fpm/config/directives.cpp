#include "fpm/config/directives.hpp"

#include "fpm/build_config.hpp"
#include "fpm/config/address.hpp"
#include "fpm/config/checks.hpp"

namespace fpm::config {
namespace {

using G = Directive<Global>;
using P = Directive<Pool>;
constexpr bool kMandatory = true;

// The order is that of php-fpm's -tt, so that its dump and ours can be compared; a directive of our
// own stands beside its relatives.
const G kGlobal[] = {
    {"pid", G::Path{&Global::pid}, "", anything,
     "File that holds the process id of the master while it runs. Unset: none.",
     Reload::needs_restart},
    {"error_log", G::LogFile{&Global::error_log}, FPM_LOCALSTATEDIR "/log/fpm.log", log_file,
     "File of the master's log, or syslog. /dev/stderr and /proc/self/fd/2 are taken as well."},
    {"syslog.ident", G::Text{&Global::syslog_ident}, "php-fpm", anything,
     "Name in front of each line, with error_log = syslog."},
    {"syslog.facility", G::Choice<SyslogFacility>{&Global::syslog_facility}, "daemon", anything,
     "Facility of the lines, with error_log = syslog: auth, authpriv, cron, daemon, ftp, kern, lpr, "
     "mail, news, syslog, user, uucp or local0 to local7."},
    {"log_buffering", G::Flag{&Global::log_buffering}, "yes", anything,
     "Whether a line of a worker's output is kept until it is whole. With no its pieces are written "
     "as they come."},
    {"log_level", G::Choice<log::Level>{&Global::log_level}, "notice", anything,
     "Least severe lines that are logged: debug, notice, warning, error or alert."},
    {"log_limit", G::Number{&Global::log_limit, 512, INT_MAX, "log_limit must be greater than 512"},
     "1024", anything,
     "Longest line of the log, its line feed included (bytes, 512 or more). Longer ones of the "
     "master are cut, those of workers go on in a new line."},
    {"log_format", G::Choice<LogFormat>{&Global::log_format}, "text", anything,
     "Form of the master's log: text, as php-fpm writes it, or json, one object a line."},
    {"template", G::Choice<TemplateMode>{&Global::template_mode}, "pool", anything,
     "Who loads PHP: pool, a process of each pool, as the pool's user; or shared, one process for all "
     "pools, as the user that starts fpm. The latter takes less memory and separates pools less: they "
     "have one opcache, and those of its settings that PHP takes at its start come from php.ini alone."},
    {"emergency_restart_interval", G::Time{&Global::emergency_restart_interval}, "0", anything,
     "Time within which emergency_restart_threshold deaths count (time in seconds; suffix ms, s, m, "
     "h, d; 0 for off)."},
    {"emergency_restart_threshold", G::Number{&Global::emergency_restart_threshold, 0}, "0",
     anything,
     "So many workers that end by SIGSEGV or SIGBUS within emergency_restart_interval make the "
     "master reload (workers of all pools together; 0 for off)."},
    {"process_control_timeout", G::Time{&Global::process_control_timeout}, "30s", anything,
     "How long requests under way may take on stop and reload before they are ended (time in "
     "seconds; suffix ms, s, m, h, d). php-fpm's default is 0, which cuts them all."},
    {"shutdown_delay", G::Time{&Global::shutdown_delay}, "0", anything,
     "After QUIT requests are served for so long as before, while the readiness page of status.listen "
     "says 503, so that load balancers send their clients elsewhere (time in seconds; suffix ms, s, "
     "m, h, d)."},
    {"process.max", G::Number{&Global::process_max, 0, INT_MAX, "process_max can't be negative"},
     "0", anything,
     "Most workers alive at once over all pools (workers, 0 for no limit). Not less than those that "
     "the pools start with."},
    {"process.priority",
     G::OptionalNumber{&Global::process_priority, -19, 20,
                       "process.priority must be included into [-19,20]"},
     "", anything,
     "Nice value of the master (from -19, first served, to 20); only when fpm is started by root. "
     "Unset: unchanged.",
     Reload::needs_restart},
    {"daemonize", G::Flag{&Global::daemonize}, "yes", anything,
     "Whether the master goes into the background. The options -D and -F override it.",
     Reload::needs_restart},
    {"rlimit_files", G::ResourceLimit{&Global::rlimit_files}, "", anything,
     "Most files the master may have open (files; unlimited; 0 for the system's).",
     Reload::needs_restart},
    {"rlimit_core", G::ResourceLimit{&Global::rlimit_core, true}, "", anything,
     "Largest core file of the master (bytes; suffix K, M, G; unlimited; 0 for the system's).",
     Reload::needs_restart},
    {"events.mechanism", G::Text{&Global::events_mechanism}, "epoll", event_mechanism,
     "How the master waits for events: epoll, which auto stands for. poll and select are taken for "
     "epoll."},
    {"control.socket", G::Path{&Global::control_socket}, "", anything,
     "UNIX socket through which fpmctl(1) gives orders, for root and the user that runs fpm. off: none. "
     "Unset: /run/fpm.ctl, for another user than root fpm.ctl in $XDG_RUNTIME_DIR, if no other fpm has "
     "it.",
     Reload::needs_restart},
    {"status.listen", G::Listen{&Global::status_listen, true}, "", anything,
     "Where the reporter answers, over HTTP and FastCGI, as listen: / for a browser, /status, "
     "/status/POOL, /metrics, /ping, /ready. It does so while every worker is busy, and runs nothing. "
     "Every user of this machine may connect to a UNIX socket there. Unset: none."},
    {"status.user", G::Text{&Global::status_user}, "nobody", not_empty,
     "User of the reporter, a name or a number; only when fpm is started by root."},
    {"status.allowed_clients", G::CommaList{&Global::status_allowed_clients}, "", check_client,
     "Addresses that may connect to status.listen over TCP, as listen.allowed_clients. Unset: any."},
    {"systemd_interval", G::Time{&Global::systemd_interval}, "10s", anything,
     "Time between two reports to systemd (time in seconds; suffix ms, s, m, h, d; 0 for none)."},
};

const P kPool[] = {
    {"handler", P::Choice<HandlerKind>{&Pool::handler}, "cgi", anything,
     "What executes the requests of this pool: cgi, one process per request, a program of the CGI; "
     "fastcgi, an existing FastCGI program in each worker; module, a shared object in the worker "
     "itself; php, PHP scripts."},
    {"prefix", P::Path{&Pool::prefix}, "", anything,
     "Folder below which this pool's relative paths lie; $prefix at the start of a path is that "
     "folder. Unset: the folder of option -p, else the folder of the main file."},
    {"user", P::Text{&Pool::user}, "", anything,
     "User of the workers, a name or a number. Must be set when fpm is started by root; without "
     "effect otherwise."},
    {"group", P::Text{&Pool::group}, "", anything,
     "Group of the workers, a name or a number. Unset: the first group of the user."},

    {"listen", P::Listen{&Pool::listen}, "", anything,
     "Where the web server connects: the path of a UNIX socket, PORT (every address), HOST:PORT "
     "or [IPV6]:PORT. $pool is the name of the pool.",
     Reload::taken, kMandatory},
    {"listen.backlog", P::Number{&Pool::listen_backlog, -1}, "-1", anything,
     "How many connections may wait in the kernel for a worker (connections; -1 for as many as "
     "the kernel takes, net.core.somaxconn)."},
    {"listen.acl_users", P::CommaList{&Pool::listen_acl_users}, "", anything,
     "Users who may connect to the UNIX socket, separated by commas, as a POSIX ACL; listen.owner "
     "and listen.group are then ignored."},
    {"listen.acl_groups", P::CommaList{&Pool::listen_acl_groups}, "", anything,
     "Groups that may connect to the UNIX socket, as listen.acl_users."},
    {"listen.owner", P::Text{&Pool::listen_owner}, "", anything,
     "Owner of the UNIX socket, a name or a number. Unset: the user that runs fpm."},
    {"listen.group", P::Text{&Pool::listen_group}, "", anything,
     "Group of the UNIX socket, a name or a number: usually the web server's."},
    {"listen.mode", P::Mode{&Pool::listen_mode}, "0660", anything,
     "Permissions of the UNIX socket, octal, at most 0777. Whoever may write may connect."},
    {"listen.allowed_clients", P::CommaList{&Pool::listen_allowed_clients}, "", client,
     "Addresses that may connect over TCP, separated by commas: IPv4, IPv6 and networks such as "
     "192.0.2.0/24. Unset: any."},

    {"process.priority",
     P::OptionalNumber{&Pool::process_priority, -19, 20,
                       "process.priority must be included into [-19,20]"},
     "", anything,
     "Nice value of the workers (from -19, first served, to 20); only when fpm is started by root. "
     "Unset: the master's."},
    {"process.dumpable", P::Flag{&Pool::process_dumpable}, "no", anything,
     "Whether a worker leaves a core file and may be traced by processes of its user."},
    {"process.cpu_affinity", P::Cpus{&Pool::cpu_affinity}, "", anything,
     "CPUs that the workers may run on, numbers and ranges from 0, as in 0-3,8. Unset: any."},

    {"pm", P::Choice<ProcessManager>{&Pool::pm}, "", anything,
     "How the number of workers is chosen: static, always pm.max_children; dynamic, between the "
     "spare servers; ondemand, none until a request comes.",
     Reload::taken, kMandatory},
    {"pm.max_children",
     P::Number{&Pool::max_children, 1, INT_MAX, "pm.max_children must be a positive value"}, "",
     anything,
     "Most workers alive at once, and so the most requests that are executed at the same time "
     "(workers, 1 or more).",
     Reload::taken, kMandatory},
    {"pm.start_servers", P::Number{&Pool::start_servers, 0}, "0", anything,
     "Workers that a dynamic pool starts with (workers, from pm.min_spare_servers to "
     "pm.max_spare_servers). 0 or unset: halfway between the two."},
    {"pm.min_spare_servers", P::Number{&Pool::min_spare_servers, 0}, "0", anything,
     "Fewest idle workers of a dynamic pool: with fewer it starts some (workers, 1 or more; must "
     "be set with pm = dynamic)."},
    {"pm.max_spare_servers", P::Number{&Pool::max_spare_servers, 0}, "0", anything,
     "Most idle workers of a dynamic pool: with more it ends some (workers, 1 or more; must be set "
     "with pm = dynamic)."},
    {"pm.max_spawn_rate",
     P::Number{&Pool::max_spawn_rate, 1, INT_MAX, "pm.max_spawn_rate must be a positive value"},
     "32", anything,
     "Most workers that are started in one step (workers, 1 or more)."},
    {"pm.process_idle_timeout", P::Time{&Pool::process_idle_timeout}, "10s", anything,
     "A worker of an ondemand pool that has been idle so long ends (time in seconds; suffix ms, s, "
     "m, h, d; more than 0)."},
    {"pm.max_requests", P::Number{&Pool::max_requests, 0}, "0", anything,
     "So many requests end a worker, and another one takes its place (requests, 0 for no limit)."},
    {"pm.max_requests_jitter", P::Number{&Pool::max_requests_jitter, 0}, "0", anything,
     "Each worker adds a number from 0 to this to pm.max_requests, so that not all end at the same "
     "time (requests)."},
    {"pm.max_worker_lifetime", P::Time{&Pool::max_worker_lifetime}, "0", anything,
     "A worker ends after the request that passes this age, 10 percent more or less (time in "
     "seconds; suffix ms, s, m, h, d; 0 for no limit)."},
    {"pm.max_memory", P::Size{&Pool::max_memory}, "0", anything,
     "A worker ends after a request when its private memory, that of its application included, is "
     "more than this; looked at once a second at most (bytes; suffix K, M, G; 0 for no limit)."},

    {"pm.status_path", P::Text{&Pool::status_path}, "", status_path,
     "URI of the status page, compared with SCRIPT_NAME. Begins with /, has letters, digits and "
     "/_-.~ only. Unset: no status page."},
    {"pm.status_listen", P::Listen{&Pool::status_listen, true}, "", anything,
     "A second address, as listen, that answers pm.status_path (/ if that is unset) and ping.path "
     "only, even while every worker is busy. Its owner, mode, ACL and allowed clients are those of "
     "listen."},
    {"status.ready_queue", P::Number{&Pool::status_ready_queue, 0}, "0", anything,
     "With more connections than this in its queue the pool is not ready, as /ready of status.listen "
     "tells load balancers (connections, 0 for off)."},
    {"status.ready_wait", P::Time{&Pool::status_ready_wait}, "0", anything,
     "The same when one request in a hundred of the last 10 s has waited longer for a worker (time in "
     "seconds; suffix ms, s, m, h, d; 0 for off)."},
    {"ping.path", P::Text{&Pool::ping_path}, "", ping_path,
     "URI that answers without the application, as a sign of life. As pm.status_path."},
    {"ping.response", P::Text{&Pool::ping_response}, "pong", ping_response,
     "What ping.path answers, as text/plain."},

    {"access.log", P::Path{&Pool::access_log}, "", anything,
     "File with one line for each request that was answered. Unset: none."},
    {"access.format", P::Text{&Pool::access_format}, "%R - %u %t \"%m %r\" %s", not_empty,
     "Form of a line of access.log: %R peer, %u user, %t time, %m method, %r URI, %q query, %s "
     "status, %d duration (seconds), %M memory (bytes), %C CPU (percent), %p pid, %n pool. json: "
     "one object a line."},
    {"access.suppress_path", P::UriList{&Pool::access_suppress_path}, "", anything,
     "A URI whose successful GET and HEAD requests without query and body are not logged. May be "
     "given often."},

    {"slowlog", P::Path{&Pool::slowlog}, "", anything,
     "File in which slow requests are logged with the place where they are: a stack where the "
     "handler has one, else the processes and what they wait for. Unset: none."},
    {"request_slowlog_timeout", P::Time{&Pool::request_slowlog_timeout}, "0", anything,
     "A request that takes longer is slow (time in seconds; suffix ms, s, m, h, d; 0 for off). "
     "Needs slowlog."},
    {"request_slowlog_trace_depth",
     P::Number{&Pool::request_slowlog_trace_depth, 1, INT_MAX,
               "'request_slowlog_trace_depth' ({}) must be a positive value"},
     "20", anything, "Most lines of the place of a slow request (frames, 1 or more)."},
    {"request_terminate_timeout", P::Time{&Pool::request_terminate_timeout}, "0", anything,
     "Longest time of one request; then it is ended and the client gets 504 (time in seconds; "
     "suffix ms, s, m, h, d; 0 for no limit)."},
    {"request_terminate_timeout_track_finished",
     P::Flag{&Pool::request_terminate_timeout_track_finished}, "no", anything,
     "Whether request_terminate_timeout goes on after the answer is complete, while the application "
     "still works. For cgi: the worker stays with what a script left running in its process group, "
     "and ends that at the limit."},
    {"request_terminate_grace", P::Time{&Pool::request_terminate_grace}, "1s", anything,
     "How long what executes a request has between SIGTERM and SIGKILL; its client does not wait "
     "for that (time in seconds; suffix ms, s, m, h, d). Less when the worker itself is stopped."},
    {"request_header_timeout", P::Time{&Pool::request_header_timeout}, "5s", anything,
     "Longest time from the first byte of a request to the end of its parameters; then the "
     "connection is closed (time in seconds; suffix ms, s, m, h, d; 0 for no limit)."},
    {"request_body_timeout", P::Time{&Pool::request_body_timeout}, "60s", anything,
     "Longest pause in the body of a request while the application waits for it; then the client "
     "gets 408 (time in seconds; suffix ms, s, m, h, d; 0 for no limit)."},
    {"request_queue_timeout", P::Time{&Pool::request_queue_timeout}, "0", anything,
     "A request that waited longer for a worker, by the stamp of the web server, gets 503 and is "
     "not run (time in seconds; suffix ms, s, m, h, d; 0 for off)."},
    {"request_drop_abandoned", P::Flag{&Pool::request_drop_abandoned}, "yes", anything,
     "Whether a request that waited, and whose client has gone away meanwhile, is not run."},
    {"request_on_abort", P::Choice<OnAbort>{&Pool::request_on_abort}, "", anything,
     "What becomes of a request whose client has gone away: end or continue. Unset: as the "
     "handler is used to; cgi ends it."},
    {"keepalive_timeout", P::Time{&Pool::keepalive_timeout}, "75s", anything,
     "How long a connection that the web server keeps may be idle (time in seconds; suffix ms, s, "
     "m, h, d; 0 for no limit). Longer than the web server's own, so that it closes first."},

    {"rlimit_files", P::ResourceLimit{&Pool::rlimit_files}, "", anything,
     "Most files a worker may have open (files; unlimited; 0 for the system's)."},
    {"rlimit_core", P::ResourceLimit{&Pool::rlimit_core, true}, "", anything,
     "Largest core file (bytes; suffix K, M, G; unlimited; 0 for the system's)."},
    {"rlimit_as", P::ResourceLimit{&Pool::rlimit_as, true}, "", anything,
     "Most address space of the process that executes a request (bytes; suffix K, M, G; unlimited; "
     "0 for the system's)."},
    {"rlimit_nproc", P::ResourceLimit{&Pool::rlimit_nproc}, "", anything,
     "Most processes of the pool's user, of other pools and log-ins too, not of this pool alone "
     "(processes; unlimited; 0 for the system's)."},
    {"no_new_privs", P::Flag{&Pool::no_new_privs}, "no", anything,
     "Whether set-uid programs lose their effect below the workers. yes breaks helpers that are "
     "set-uid, such as sendmail's."},

    {"chroot", P::Path{&Pool::chroot}, "", folder,
     "Folder that becomes the root of the workers' file system; only when fpm is started by root. "
     "Paths of scripts and programs are then paths inside it."},
    {"chdir", P::Path{&Pool::chdir}, "", anything,
     "Folder in which the workers start, inside chroot if that is set. Scripts run in their own "
     "folder in any case. Unset: / with chroot, else unchanged."},
    {"catch_workers_output", P::Flag{&Pool::catch_workers_output}, "no", anything,
     "Whether what the application prints to stderr goes to the master's log. The web server "
     "gets its share in any case."},
    {"decorate_workers_output", P::Flag{&Pool::decorate_workers_output}, "yes", anything,
     "Whether a caught line is quoted and gets the time, the pool and the worker in front."},
    {"output_log", P::Path{&Pool::output_log}, "", anything,
     "File for the caught lines of this pool. Unset: the master's log."},
    {"clear_env", P::Flag{&Pool::clear_env}, "yes", anything,
     "Whether applications start with an empty environment. With no they get the variables that "
     "fpm itself was started with."},
    {"security.limit_extensions", P::BlankList{&Pool::limit_extensions}, ".php .phar", anything,
     "Suffixes that a PHP script must have, separated by blanks. Empty: any."},
    {"apparmor_hat", P::Text{&Pool::apparmor_hat}, "", anything,
     "Hat of the AppArmor profile that the workers change to."},
    {"env", P::Environment{&Pool::env, &Pool::env_written}, "", anything,
     "A variable for the environment of the application. $NAME as the value takes NAME from the "
     "environment of fpm. on, yes, true are 1 and off, no, false, none are empty unless quoted."},
    {"php_value", P::PhpValues{&Pool::php_values}, "", anything,
     "A setting of PHP that scripts and .user.ini may change."},
    {"php_flag", P::PhpValues{&Pool::php_values, true}, "", anything,
     "A setting of PHP that is on or off, as php_value."},
    {"php_admin_value", P::PhpValues{&Pool::php_admin_values, false, true}, "", anything,
     "A setting of PHP that nothing may change later. extension loads a module."},
    {"php_admin_flag", P::PhpValues{&Pool::php_admin_values, true}, "", anything,
     "A setting of PHP that is on or off, as php_admin_value."},

    {"cgi.root", P::Path{&Pool::cgi_root}, "", folder,
     "Folder below which a program must lie to be run, after links are resolved."},
    {"cgi.allow", P::PathList{&Pool::cgi_allow}, "", absolute_program,
     "A program that may run, an absolute path. May be given often, and together with cgi.root: "
     "either suffices."},
    {"cgi.program", P::Path{&Pool::cgi_program}, "", absolute_program,
     "The one program of the pool, an absolute path. SCRIPT_FILENAME is then ignored."},
    {"cgi.background", P::Choice<Background>{&Pool::cgi_background}, "leave", anything,
     "What becomes of children that outlive the script's own process: leave or kill."},

    {"fastcgi.command", P::Text{&Pool::fastcgi_command}, "", command,
     "With handler = fastcgi: the FastCGI program, an absolute path, and its arguments, split at "
     "blanks; double quotes group. No shell is involved."},
    {"fastcgi.family", P::Choice<Family>{&Pool::fastcgi_family}, "generic", anything,
     "Habits of the program: libfcgi and perl end by USR1, the others by TERM; libfcgi, perl and "
     "php-cgi serve one request after the other on one connection. One of libfcgi, perl, php-cgi, "
     "python, go, generic."},
    {"fastcgi.ready_timeout", P::Time{&Pool::fastcgi_ready_timeout}, "30s", anything,
     "How long the program may take from its start until it accepts connections; then it is ended, "
     "and started again later (time in seconds; suffix ms, s, m, h, d; more than 0)."},
    {"fastcgi.warmup", P::Environment{&Pool::fastcgi_warmup, &Pool::fastcgi_warmup_written}, "",
     anything,
     "fastcgi.warmup[NAME] = value: a parameter of a request that each new process must answer before "
     "it counts as ready. Unset: no such request."},
    {"request_retry", P::Flag{&Pool::request_retry}, "yes", anything,
     "Whether a GET or HEAD without a body whose process died before a byte came back is tried once "
     "more, on a fresh process."},

    {"php.version", P::Text{&Pool::php_version}, "", php_version,
     "With handler = php: which PHP, as in 8.2, where there is more than one. Unset: the one that fpm "
     "was built with."},
    {"php.root", P::Path{&Pool::php_root}, "", folder,
     "Folder below which a PHP script must lie to be run, after links are resolved. Unset: any."},
    {"php.ini_parameters", P::Flag{&Pool::php_ini_parameters}, "yes", anything,
     "Whether the web server may change PHP's settings for a request by the parameters PHP_VALUE and "
     "PHP_ADMIN_VALUE."},

    {"module.path", P::Path{&Pool::module_path}, "", shared_object,
     "With handler = module: the shared object that answers requests (fpm/module.h)."},
    {"module.option", P::Environment{&Pool::module_options, &Pool::module_options_written}, "",
     anything,
     "module.option[NAME] = value: an option that the module asks for. Values as of env."},
    {"template.idle_timeout", P::Time{&Pool::template_idle_timeout}, "10m", anything,
     "With pm = ondemand and a handler that loads its application once: how long the process that "
     "has loaded it stays after the last worker (time in seconds; suffix ms, s, m, h, d; 0 for "
     "ever). With another pm it always stays."},

    {"http.listen", P::Listen{&Pool::http_listen, true, true}, "", anything,
     "Where the door answers browsers over HTTP, as listen; port 0 is any free one. The door serves the "
     "files below http.root and passes scripts to the pool, which needs no listen then. Unset: there is "
     "no door."},
    {"http.root", P::Path{&Pool::http_root}, "", folder,
     "Folder whose files the door serves, and in which scripts lie. Needed unless http.scripts = all."},
    {"http.index", P::BlankList{&Pool::http_index}, "index.html index.php", file_name,
     "What is sent for a folder: the first of these files that is there, separated by blanks."},
    {"http.fallback", P::Text{&Pool::http_fallback}, "", door_fallback,
     "Path that is taken where there is no file, such as /index.php: a front controller. Unset: 404."},
    {"http.scripts", P::Choice<Scripts>{&Pool::http_scripts}, "none", anything,
     "What is passed to the pool: none; extension, files with a suffix of http.script_extensions; "
     "executable, files that may be executed; all, every request."},
    {"http.script_extensions", P::BlankList{&Pool::http_script_extensions}, ".php .cgi .pl .py",
     file_suffix, "Suffixes of scripts, separated by blanks, for http.scripts = extension."},
    {"http.follow_links", P::Flag{&Pool::http_follow_links}, "no", anything,
     "Whether symbolic links may lead out of http.root, or be absolute. Relative ones that stay inside "
     "are always followed."},
    {"http.hidden", P::Flag{&Pool::http_hidden}, "no", anything,
     "Whether files and folders whose names begin with a dot are served. /.well-known always is."},
    {"http.max_header", P::Size{&Pool::http_max_header}, "16K", header_size,
     "Largest head of a request (bytes; suffix K, M, G; 1K to 1M). More is 431, a longer address than "
     "that 414."},
    {"http.max_body", P::Size{&Pool::http_max_body}, "0", anything,
     "Largest body of a request; more is 413 (bytes; suffix K, M, G; 0 for no limit)."},
    {"http.body_memory", P::Size{&Pool::http_body_memory}, "64K", anything,
     "So much of a body is kept in memory, more in a temporary file, until a worker takes it; likewise "
     "of an answer whose client is slow (bytes; suffix K, M, G)."},
    {"http.header_timeout", P::Time{&Pool::http_header_timeout}, "10s", anything,
     "Longest time from the first byte of a request to the end of its head; then 408 (time in seconds; "
     "suffix ms, s, m, h, d; 0 for no limit)."},
    {"http.read_timeout", P::Time{&Pool::http_read_timeout}, "60s", anything,
     "Longest pause in the body of a request; then 408 (time in seconds; suffix ms, s, m, h, d; 0 for no "
     "limit)."},
    {"http.write_timeout", P::Time{&Pool::http_write_timeout}, "360s", anything,
     "Longest time in which a client takes nothing of its answer; then its connection is closed (time in "
     "seconds; suffix ms, s, m, h, d; 0 for no limit)."},
    {"http.keepalive_timeout", P::Time{&Pool::http_keepalive_timeout}, "5s", anything,
     "How long a connection may be idle between two requests (time in seconds; suffix ms, s, m, h, d; 0 "
     "closes it after each answer)."},
    {"http.rate", P::Size{&Pool::http_rate}, "0", anything,
     "Most that goes out in a second over all connections of the door (bytes; suffix K, M, G; 0 for no "
     "limit)."},
    {"http.rate_per_connection", P::Size{&Pool::http_rate_per_connection}, "0", anything,
     "Most that goes out in a second over one connection (bytes; suffix K, M, G; 0 for no limit)."},
    {"http.max_connections",
     P::OptionalNumber{&Pool::http_max_connections, 1, INT_MAX}, "", anything,
     "Connections at which a door stops to accept; it goes on below nine tenths of that (connections, 1 "
     "or more). Unset: half of the limit of open files."},
    {"http.queue_max", P::Number{&Pool::http_queue_max, 1}, "1000", anything,
     "Requests that may wait in a door for a worker; one more is 503 (requests, 1 or more)."},
    {"http.queue_timeout", P::Time{&Pool::http_queue_timeout}, "30s", anything,
     "Longest wait for a worker; then 503 (time in seconds; suffix ms, s, m, h, d; 0 for no limit)."},
    {"http.trusted_proxies", P::CommaList{&Pool::http_trusted_proxies}, "", trusted_proxy,
     "Addresses and networks of proxies whose http.real_ip_header is believed, separated by commas. "
     "Unset: none."},
    {"http.real_ip_header", P::Text{&Pool::http_real_ip_header}, "", header_name,
     "Header in which trusted proxies name the client, such as X-Forwarded-For; it becomes REMOTE_ADDR. "
     "Unset: none."},
    {"http.workers", P::Number{&Pool::http_workers, 1, 256}, "1", anything,
     "Processes of the door (processes, 1 to 256)."},
};

}  // namespace

std::span<const G> global_directives() { return kGlobal; }
std::span<const P> pool_directives() { return kPool; }

}  // namespace fpm::config
