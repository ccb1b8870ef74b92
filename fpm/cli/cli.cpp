#include "fpm/cli/cli.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <utility>
#include <vector>

#include "fpm/build_config.hpp"
#include "fpm/cli/options.hpp"
#include "fpm/cli/serve.hpp"
#include "fpm/config/control_socket.hpp"
#include "fpm/config/describe.hpp"
#include "fpm/config/load.hpp"
#include "fpm/handlers/handler.hpp"
#include "fpm/handlers/php/loader.hpp"
#include "fpm/log/access_format.hpp"
#include "fpm/log/log.hpp"
#include "fpm/master/descriptors.hpp"
#include "fpm/master/master.hpp"
#include "fpm/master/opening.hpp"
#include "fpm/master/pid_file.hpp"
#include "fpm/master/secrets.hpp"
#include "fpm/os/daemonize.hpp"
#include "fpm/os/inherited.hpp"
#include "fpm/os/limits.hpp"
#include "fpm/os/process.hpp"
#include "fpm/os/wipe.hpp"
#include "fpm/worker/worker.hpp"

namespace fpm::cli {

namespace {

int refuse() {
  log::error("FPM initialization failed");
  return kExitConfig;
}

void tell(const std::vector<config::Problem>& problems, log::Level least) {
  for (const config::Problem& problem : problems) {
    if (problem.level >= least) log::write(problem.level, {}, problem.message());
  }
}

/// Whether the system lets the master open as many files as the configuration needs.
void tell_descriptors(const config::Config& config) {
  const master::DescriptorNeed need = master::descriptors_needed(config);
  const std::uint64_t limit = config.global.rlimit_files.value_or(os::greatest_file_limit());
  const bool few = need.reloading > limit;
  log::write(few ? log::Level::warning : log::Level::notice, {},
             fmt::format("the master needs {} open files, {} while it reloads; {} are allowed{}",
                         need.serving, need.reloading, limit,
                         few ? ": raise the hard limit (LimitNOFILE=, ulimit -Hn)" : ""));
}

/// Everything that is wrong with the configuration.
int refuse(const config::Loaded& loaded, const Options& options) {
  tell(loaded.problems, log::Level::notice);
  if (options.program.php_fpm) {
    log::error("failed to load configuration file '{}'", loaded.config.file);
  }
  return refuse();
}

/// -t and -tt: what was found, and with -tt what is in force.
int test_config(const config::Loaded& loaded, const Options& options) {
  const bool php_fpm = options.program.php_fpm;
  if (!loaded.ok()) return refuse(loaded, options);
  tell(loaded.problems, log::Level::notice);
  if (options.test > 1) {
    for (const std::string& line : config::dump(loaded.config, php_fpm)) log::notice("{}", line);
  }
  if (!php_fpm) tell_descriptors(loaded.config);
  log::notice("configuration file {} test is successful", loaded.config.file);
  return kExitOk;
}

/// The log's place: stderr if somebody looks at it or asked for it, else the file, with a copy to
/// stderr until the start is over.
os::Result<void> open_log(const config::Global& global, const Options& options, bool background,
                          bool at_start) {
  const bool to_stderr =
      !background && (options.force_stderr || ::isatty(STDERR_FILENO) == 1);
  log::Settings settings;
  settings.path = to_stderr ? "" : global.error_log;
  settings.copy_to_stderr = at_start;
  settings.level = global.log_level;
  settings.limit = static_cast<std::size_t>(global.log_limit);
  settings.buffering = global.log_buffering;
  if (global.log_format == config::LogFormat::json) settings.format = log::LineFormat::json;
  settings.syslog.ident = global.syslog_ident;
  settings.syslog.facility = static_cast<int>(global.syslog_facility);
  return log::open(settings);
}

/// The limits and the priority of the master, which its children inherit.
/// @return the limit of open files that they get back; nothing if something was refused, and told.
std::optional<rlimit> limit_master(const config::Global& global) {
  using os::Limit;
  bool all = true;
  const auto refused = [&all](const os::Result<void>& done) {
    if (!done) log::error("{}", done.error().text());
    all = all && done.has_value();
  };
  if (global.rlimit_files) refused(os::set_limit(Limit::files, *global.rlimit_files));
  if (global.rlimit_core) refused(os::set_limit(Limit::core, *global.rlimit_core));
  if (global.process_priority && ::geteuid() == 0) {
    refused(os::set_priority(*global.process_priority));
  }
  return all ? std::optional(os::raise_file_limit()) : std::nullopt;
}

/// --single: this very process becomes the one worker of the pool, for debuggers and profilers.
int run_single(master::Pool::Parts parts, const rlimit& files) {
  (void)os::restore_file_limit(files);
  if (parts.config->clear_env) master::wipe_environment();
  auto board = scoreboard::Board::create(1);
  auto totals = parts.account->open();
  const os::UniqueFd wakeup(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!board || !totals) return refuse();
  board->occupy(0);
  board->pulse().threshold.store(1);
  log::notice("this process, pid {}, is the one worker of pool {}", ::getpid(), parts.config->name);
  worker::run_worker({.pool = *parts.config,
                      .identity = parts.identity ? &*parts.identity : nullptr,
                      .board = *board,
                      .totals = **totals,
                      .slot = 0,
                      .master_pid = ::getppid(),
                      .listener = parts.listener->fd(),
                      .channel = -1,
                      .access_log = parts.access_log.get(),
                      .slow_log = parts.slow_log.get(),
                      .wakeup = wakeup.get(),
                      .log = log::descriptor(),
                      .on_end = [&parts] { parts.listener->unlink(); }});
}

/// For somebody at a terminal: where to look, once it is there.
void show_address(master::Surroundings& surroundings) {
  std::string text;
  for (const auto& [name, door] : surroundings.doors) {
    text += fmt::format("{} serves {} (Ctrl-C ends it)\n", master::door_address(*door.listener),
                        door.config.http_root);
  }
  surroundings.on_ready = [text] {
    fmt::print("{}", text);
    std::fflush(stdout);
  };
}

/// The control socket. A place that was named has to be free; the default one is taken if it is.
bool open_control(const config::Global& global, master::Surroundings& surroundings) {
  const std::string path = config::control_socket_path(global);
  if (path.empty()) return true;
  auto opened = master::ControlSocket::open(path);
  if (opened) {
    surroundings.control = std::move(*opened);
    return true;
  }
  if (global.written.contains("control.socket")) {
    log::error("control.socket: {}", opened.error().text());
    return false;
  }
  log::notice("fpmctl cannot reach this instance: {}", opened.error().text());
  return true;
}

/// From here on in the process that stays, which is the caller's child if it is a daemon.
int run_master(config::Config config, os::InheritedSockets inherited,
               master::Surroundings surroundings, bool single, bool shows_address = false) {
  surroundings.file_limit = limit_master(config.global);
  if (!surroundings.file_limit) return refuse();
  auto reporter = single ? master::ReporterParts()
                         : master::open_reporter(config, nullptr, &inherited);
  std::vector<const config::Pool*> with_door;
  for (const config::Pool& pool : config.pools) {
    if (!single) with_door.push_back(&pool);
  }
  auto doors = master::open_doors(with_door, {}, &inherited);
  auto parts = master::open_pools(std::move(config.pools),
                                  {.listener = {}, .account = {}, .inherited = &inherited});
  if (!parts || !reporter || !doors) return refuse();
  surroundings.doors = std::move(*doors);
  if (shows_address) show_address(surroundings);
  surroundings.reporter = std::move(*reporter);
  master::close_unclaimed(inherited);
  if (single) return run_single(std::move(parts->front()), *surroundings.file_limit);
  if (!open_control(config.global, surroundings)) return refuse();
  auto pid_file = master::PidFile::write(config.global.pid);
  if (!pid_file) {
    log::error("{}", pid_file.error().text());
    return refuse();
  }
  os::set_title(fmt::format("master process ({})", config.file));
  master::Master master(config.file, config.global, std::move(*parts),
                        {.worker = worker::run_worker, .preload = worker::run_template,
                         .preload_all = worker::run_shared_template},
                        std::move(surroundings));
  if (auto done = master.run(); !done) {
    log::error("{}", done.error().text());
    return refuse();
  }
  return kExitOk;
}

/// What the shell gets as exit status of the process that it started.
int wait_for_start(const os::Daemon& daemon) {
  // php-fpm's patience.
  if (const auto status = daemon.wait(std::chrono::seconds(10))) return *status;
  log::error("the master process did not send back its status");
  return kExitInternal;
}

/// `leftovers`: descriptors that the caller left open, for nobody's use.
int run_in_background(config::Config config, os::InheritedSockets inherited,
                      master::Surroundings surroundings, const std::vector<int>& leftovers) {
  if (::getpid() == 1) {
    log::warning("as process 1 of a container fpm goes into the background, and the container "
                 "will end with this process: use -F or daemonize = no");
  }
  auto daemon = os::Daemon::detach();
  if (!daemon) {
    log::error("{}", daemon.error().text());
    return refuse();
  }
  if (daemon->is_starter()) return wait_for_start(*daemon);
  for (const int fd : leftovers) ::close(fd);
  surroundings.in_background = true;
  surroundings.on_ready = [&daemon] {
    os::keep_stderr_in(log::descriptor());
    daemon->report(kExitOk);
  };
  const int status =
      run_master(std::move(config), std::move(inherited), std::move(surroundings), false);
  daemon->report(status);
  return status;
}

std::string from_environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

config::PhpStart php_start(const Options& options) {
  return {.ini = options.php_ini,
          .no_ini = options.no_php_ini,
          .extended_info = options.extended_info,
          .defines = options.defines,
          .rc = from_environment("PHPRC"),
          .scan_dir = from_environment("PHP_INI_SCAN_DIR")};
}

config::LoadOptions load_options(const Options& options) {
  config::LoadOptions load;
  load.prefix = options.prefix;
  load.pid_file = options.pid_file;
  load.single = options.single;
  load.allow_root = options.allow_root;
  load.as_php_fpm = options.program.php_fpm;
  load.only_test = options.test > 0;
  load.php_start = php_start(options);
  load.php_version = options.program.php_version;
  load.check_access_format = [](std::string_view format) {
    return log::check_access_format(format);
  };
  load.find_handler = handlers::find_parts;
  return load;
}

/// What a reload does as the start did.
void prepare_reloads(master::Surroundings& surroundings, const config::Config& config,
                     const Options& options, bool background) {
  // By their absolute names: a daemon works in another folder.
  config::LoadOptions load = load_options(options);
  if (!load.prefix.empty()) load.prefix = config.prefix;
  surroundings.load = [file = config.file, load] { return config::load(file, load); };
  surroundings.use_log = [options, background](const config::Global& global) {
    auto opened = open_log(global, options, background, false);
    if (opened && background) os::keep_stderr_in(log::descriptor());
    return opened;
  };
  surroundings.use_limits = limit_master;
}

int serve(config::Loaded& loaded, const Options& options) {
  config::Config& config = loaded.config;
  const bool single = !options.single.empty();
  const bool background = options.daemonize.value_or(config.global.daemonize) && !single;
  auto inherited = os::InheritedSockets::from_environment();
  std::vector<int> leftovers = os::open_descriptors();
  std::erase_if(leftovers, [&](int fd) { return inherited.has(fd); });
  master::Surroundings surroundings;
  surroundings.service_manager = os::Notifier::from_environment();
  if (auto opened = open_log(config.global, options, background, true); !opened) {
    log::error("failed to open error_log ({}): {}", config.global.error_log,
               opened.error().text());
    return refuse();
  }
  tell(loaded.problems, log::Level::notice);
  prepare_reloads(surroundings, config, options, background);
  return background ? run_in_background(std::move(config), std::move(inherited),
                                        std::move(surroundings), leftovers)
                    : run_master(std::move(config), std::move(inherited), std::move(surroundings),
                                 single);
}

/// fpm serve DIR.
int serve_folder(const std::vector<std::string>& arguments, const std::string& name,
                 const Program& program) {
  const ServeOptions wanted = parse_serve_options(arguments);
  if (!wanted.error.empty()) {
    fmt::print("{}\n{} serve: {}\n", serve_usage(name), name, wanted.error);
    return kExitUsage;
  }
  if (wanted.help) {
    fmt::print("{}", serve_usage(name));
    return kExitOk;
  }
  Options options;
  options.program = program;
  options.daemonize = false;
  options.foreground = options.force_stderr = true;
  options.allow_root = wanted.allow_root;
  const auto entries = serve_entries(wanted);
  const auto load = [entries, options] {
    return config::load_entries("fpm serve", entries, load_options(options));
  };
  config::Loaded loaded = load();
  if (!loaded.ok()) return refuse(loaded, options);
  master::Surroundings surroundings;
  if (auto opened = open_log(loaded.config.global, options, false, true); !opened) return refuse();
  tell(loaded.problems, log::Level::warning);
  prepare_reloads(surroundings, loaded.config, options, false);
  surroundings.load = load;
  return run_master(std::move(loaded.config), {}, std::move(surroundings), false, true);
}

/// -i, -m, and for php-fpm -v: PHP answers.
int tell_about_php(const Options& options) {
  using handlers::php::Print;
  const Print what = options.version    ? Print::version
                     : options.php_info ? Print::info
                                        : Print::modules;
  const auto told = handlers::php::tell_about_php(what, options.program.php_version,
                                                  php_start(options));
  if (told) return *told;
  fmt::print("{}", no_php_answer(told.error().what));
  return options.program.php_fpm ? kExitInternal : kExitOk;
}

/// Descriptors 0, 1 and 2 exist, so that nothing else can ever take their numbers.
void fill_stdio() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0) (void)!::open("/dev/null", O_RDWR);
  }
}

}  // namespace

int main(int argc, char** argv) {
  fill_stdio();
  const std::string name = argc > 0 ? argv[0] : "fpm";  // a title is written over the arguments
  const Program program = read_program(name);
  os::prepare_title(argc, argv, program.php_fpm ? "php-fpm" : "fpm");
  const std::vector<std::string> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
  if (!arguments.empty() && arguments.front() == "serve") {
    return serve_folder({arguments.begin() + 1, arguments.end()}, name, program);
  }
  const Options options = parse_options(arguments, program);
  if (!options.error.empty()) {
    fmt::print("{}\n{}: {}\n", usage(name, program), name, options.error);
    return kExitUsage;
  }
  if (options.help) {
    fmt::print("{}", usage(name, program));
    return kExitOk;
  }
  if (options.version && !program.php_fpm) {
    fmt::print("fpm {}\n", FPM_VERSION);
    return kExitOk;
  }
  if (options.version || options.php_info || options.php_modules) return tell_about_php(options);
  // Not const: a new worker overwrites what of its copy is not its pool's.
  config::Loaded loaded;
  {
    const os::FreedMemoryWiped wiped;
    loaded = config::load(options.config_file, load_options(options));
  }
  if (options.test > 0) return test_config(loaded, options);
  if (!loaded.ok()) return refuse(loaded, options);
  return serve(loaded, options);
}

}  // namespace fpm::cli
