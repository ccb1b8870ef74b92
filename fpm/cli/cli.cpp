#include "fpm/cli/cli.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <vector>

#include "fpm/build_config.hpp"
#include "fpm/cli/options.hpp"
#include "fpm/config/describe.hpp"
#include "fpm/config/load.hpp"
#include "fpm/log/access_format.hpp"
#include "fpm/log/log.hpp"
#include "fpm/master/master.hpp"
#include "fpm/master/pid_file.hpp"
#include "fpm/os/process.hpp"
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

/// -t and -tt: what was found, and with -tt what is in force.
int test_config(const config::Loaded& loaded, int times) {
  tell(loaded.problems, log::Level::notice);
  if (!loaded.ok()) return refuse();
  if (times > 1) {
    for (const std::string& line : config::dump(loaded.config)) log::notice("{}", line);
  }
  log::notice("configuration file {} test is successful", loaded.config.file);
  return kExitOk;
}

/// The log's place: stderr if somebody looks at it or asked for it, else the file, with a copy to
/// stderr until the start is over.
os::Result<void> open_log(const config::Global& global, const Options& options) {
  const bool to_stderr = options.force_stderr || ::isatty(STDERR_FILENO) == 1;
  log::Settings settings;
  settings.path = to_stderr ? "" : global.error_log;
  settings.copy_to_stderr = true;
  settings.level = global.log_level;
  return log::open(settings);
}

/// Everything that may refuse, in one place and before the first worker: sockets, files, memory.
/// All refusals are told, not only the first.
bool open_pools(const config::Config& config, std::vector<master::Pool::Parts>& parts) {
  bool all = true;
  const bool root = ::geteuid() == 0;
  for (const config::Pool& pool : config.pools) {
    auto opened = master::Pool::open_parts(pool, root);
    if (opened) {
      parts.push_back(std::move(*opened));
      continue;
    }
    all = false;
    log::error("{}:{}: [pool {}] {}", pool.place.file, pool.place.line, pool.name,
               opened.error().text());
  }
  return all;
}

int serve(const config::Loaded& loaded, const Options& options) {
  const config::Config& config = loaded.config;
  if (auto opened = open_log(config.global, options); !opened) {
    log::error("failed to open error_log ({}): {}", config.global.error_log,
               opened.error().text());
    return refuse();
  }
  tell(loaded.problems, log::Level::notice);
  std::vector<master::Pool::Parts> parts;
  if (!open_pools(config, parts)) return refuse();
  auto pid_file = master::PidFile::write(config.global.pid);
  if (!pid_file) {
    log::error("{}", pid_file.error().text());
    return refuse();
  }
  os::set_title(fmt::format("fpm: master process ({})", config.file));
  master::Master master(config, std::move(parts), worker::run_worker);
  if (auto done = master.run(); !done) {
    log::error("{}", done.error().text());
    return refuse();
  }
  log::flush(std::chrono::milliseconds(200));
  return kExitOk;
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
  os::prepare_title(argc, argv);
  const std::string program = argc > 0 ? argv[0] : "fpm";
  const Options options =
      parse_options(std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc));
  if (!options.error.empty()) {
    fmt::print("{}\n{}: {}\n", usage(program), program, options.error);
    return kExitUsage;
  }
  if (options.help) {
    fmt::print("{}", usage(program));
    return kExitOk;
  }
  if (options.version) {
    fmt::print("fpm {}\n", FPM_VERSION);
    return kExitOk;
  }
  config::LoadOptions load;
  load.allow_root = options.allow_root;
  load.check_access_format = [](std::string_view format) {
    return log::check_access_format(format);
  };
  const config::Loaded loaded = config::load(options.config_file, load);
  if (options.test > 0) return test_config(loaded, options.test);
  if (!loaded.ok()) {
    tell(loaded.problems, log::Level::notice);
    return refuse();
  }
  return serve(loaded, options);
}

}  // namespace fpm::cli
