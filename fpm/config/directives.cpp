#include "fpm/config/directives.hpp"

#include "fpm/build_config.hpp"
#include "fpm/config/address.hpp"
#include "fpm/config/checks.hpp"

namespace fpm::config {
namespace {

using G = Directive<Global>;
using P = Directive<Pool>;
constexpr bool kMandatory = true;

const G kGlobal[] = {
    {"pid", G::Path{&Global::pid}, "", anything,
     "File that holds the process id of the master while it runs. Unset: none.",
     Reload::needs_restart},
    {"error_log", G::Path{&Global::error_log}, FPM_LOCALSTATEDIR "/log/fpm.log", log_file,
     "File of the master's log. /dev/stderr and /proc/self/fd/2 are taken as well."},
    {"log_level", G::Choice<log::Level>{&Global::log_level}, "notice", anything,
     "Least severe lines that are logged: debug, notice, warning, error or alert."},
    {"process_control_timeout", G::Time{&Global::process_control_timeout}, "30s", anything,
     "How long requests under way may take on stop and reload before they are ended (time in "
     "seconds; suffix ms, s, m, h, d). php-fpm's default is 0, which cuts them all."},
    {"daemonize", G::Flag{&Global::daemonize}, "no", not_daemonized,
     "Whether the master goes into the background. Only no is there for now.",
     Reload::needs_restart},
};

const P kPool[] = {
    {"handler", P::Choice<HandlerKind>{&Pool::handler}, "cgi", handler_is_there,
     "What executes the requests of this pool. For now only cgi: one process per request, a "
     "program of the CGI."},
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
    {"listen.owner", P::Text{&Pool::listen_owner}, "", anything,
     "Owner of the UNIX socket, a name or a number. Unset: the user that runs fpm."},
    {"listen.group", P::Text{&Pool::listen_group}, "", anything,
     "Group of the UNIX socket, a name or a number: usually the web server's."},
    {"listen.mode", P::Mode{&Pool::listen_mode}, "0660", anything,
     "Permissions of the UNIX socket, octal, at most 0777. Whoever may write may connect."},
    {"listen.allowed_clients", P::CommaList{&Pool::listen_allowed_clients}, "", client,
     "Addresses that may connect over TCP, separated by commas: IPv4, IPv6 and networks such as "
     "192.0.2.0/24. Unset: any."},

    {"pm", P::Choice<ProcessManager>{&Pool::pm}, "", manager_is_there,
     "How the number of workers is chosen. For now only static: always pm.max_children.",
     Reload::taken, kMandatory},
    {"pm.max_children", P::Number{&Pool::max_children, 1}, "", anything,
     "Most workers alive at once, and so the most requests that are executed at the same time "
     "(workers, 1 or more).",
     Reload::taken, kMandatory},

    {"pm.status_path", P::Text{&Pool::status_path}, "", status_path,
     "URI of the status page, compared with SCRIPT_NAME. Begins with /, has letters, digits and "
     "/_-.~ only. Unset: no status page."},
    {"ping.path", P::Text{&Pool::ping_path}, "", ping_path,
     "URI that answers without the application, as a sign of life. As pm.status_path."},
    {"ping.response", P::Text{&Pool::ping_response}, "pong", not_empty,
     "What ping.path answers, as text/plain."},

    {"access.log", P::Path{&Pool::access_log}, "", anything,
     "File with one line for each request that was answered. Unset: none."},
    {"access.format", P::Text{&Pool::access_format}, "%R - %u %t \"%m %r\" %s", not_empty,
     "Form of a line of access.log: %R peer, %u user, %t time, %m method, %r URI, %q query, %s "
     "status, %d duration (seconds), %M memory (bytes), %C CPU (percent), %p pid, %n pool."},
    {"catch_workers_output", P::Flag{&Pool::catch_workers_output}, "no", anything,
     "Whether what the application prints to stderr goes to the master's log. The web server "
     "gets its share in any case."},

    {"request_terminate_timeout", P::Time{&Pool::request_terminate_timeout}, "0", anything,
     "Longest time of one request; then it is ended and the client gets 504 (time in seconds; "
     "suffix ms, s, m, h, d; 0 for no limit)."},
    {"request_header_timeout", P::Time{&Pool::request_header_timeout}, "5s", anything,
     "Longest time from the first byte of a request to the end of its parameters; then the "
     "connection is closed (time in seconds; suffix ms, s, m, h, d; 0 for no limit)."},
    {"request_on_abort", P::Choice<OnAbort>{&Pool::request_on_abort}, "", anything,
     "What becomes of a request whose client has gone away: end or continue. Unset: as the "
     "handler is used to; cgi ends it."},

    {"chroot", P::Path{&Pool::chroot}, "", absolute_folder,
     "Folder that becomes the root of the workers' file system; only when fpm is started by root. "
     "Paths of scripts and programs are then paths inside it."},
    {"chdir", P::Path{&Pool::chdir}, "", anything,
     "Folder in which the workers start, inside chroot if that is set. Scripts run in their own "
     "folder in any case. Unset: / with chroot, else unchanged."},
    {"clear_env", P::Flag{&Pool::clear_env}, "yes", anything,
     "Whether applications start with an empty environment. With no they get the variables that "
     "fpm itself was started with."},
    {"env", P::Environment{&Pool::env}, "", anything,
     "A variable for the environment of the application. $NAME as the value takes NAME from the "
     "environment of fpm."},

    {"cgi.root", P::Path{&Pool::cgi_root}, "", folder,
     "Folder below which a program must lie to be run, after links are resolved."},
    {"cgi.allow", P::PathList{&Pool::cgi_allow}, "", absolute_program,
     "A program that may run, an absolute path. May be given often, and together with cgi.root: "
     "either suffices."},
    {"cgi.program", P::Path{&Pool::cgi_program}, "", absolute_program,
     "The one program of the pool, an absolute path. SCRIPT_FILENAME is then ignored."},
    {"cgi.background", P::Choice<Background>{&Pool::cgi_background}, "leave", anything,
     "What becomes of children that outlive the script's own process: leave or kill."},
};

}  // namespace

std::span<const G> global_directives() { return kGlobal; }
std::span<const P> pool_directives() { return kPool; }

}  // namespace fpm::config
