#include "fpm/cli/options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <sstream>
#include <string_view>

#include "fpm/build_config.hpp"

namespace fpm::cli {

namespace po = boost::program_options;

namespace {

/// The letters of options with a value.
constexpr std::string_view kWithValue = "cdgpy";

po::options_description describe() {
  const auto text = [](const char* name) { return po::value<std::string>()->value_name(name); };
  po::options_description options("Options");
  options.add_options()                                                                      //
      ("fpm-config,y", text("FILE"), "configuration file")                                   //
      ("test,t", "check the configuration and end; twice: show it as well")                  //
      ("prefix,p", text("DIR"), "folder below which relative paths lie")                     //
      ("pid,g", text("FILE"), "file for the process id, instead of the configuration's")     //
      ("daemonize,D", "go into the background, whatever the configuration says")             //
      ("nodaemonize,F", "stay in the foreground, whatever the configuration says")           //
      ("force-stderr,O", "with -F, log to stderr even if it is no terminal")                 //
      ("allow-to-run-as-root,R", "allow pools to run as root")                               //
      ("single", text("POOL"), "be the one worker of POOL, without a fork")      //
      ("php-ini,c", text("PATH"), "php.ini or its folder")                                   //
      ("no-php-ini,n", "no php.ini")                                                         //
      ("define,d", text("NAME[=VALUE]"), "a setting of PHP, 1 without a value")              //
      ("profile-info,e", "more information for PHP's debuggers and profilers")               //
      ("info,i", "information about PHP")                                                    //
      ("modules,m", "PHP's modules")                                                         //
      ("help,h", "this text")                                                                //
      ("version,v", "the version");
  return options;
}

/// Program_options refuses a flag that is given twice, and does not count: -tt becomes -t -t here,
/// and parsed.options is counted below.
std::vector<std::string> split_joined_flags(const std::vector<std::string>& arguments) {
  std::vector<std::string> split;
  for (const std::string& argument : arguments) {
    const bool joined = argument.size() > 2 && argument[0] == '-' && argument[1] != '-';
    // A flag with a value takes the rest of its argument: -yFILE.
    const std::size_t value = joined ? argument.find_first_of(kWithValue, 1) : std::string::npos;
    const std::size_t flags = joined ? std::min(value, argument.size()) : 0;
    for (std::size_t i = 1; i < flags; ++i) split.push_back({'-', argument[i]});
    if (!joined) {
      split.push_back(argument);
    } else if (flags < argument.size()) {
      // And -y=FILE is -yFILE, as php-fpm has it.
      const std::size_t equals = argument.substr(flags + 1, 1) == "=" ? 1 : 0;
      split.push_back("-" + argument.substr(flags, 1) + argument.substr(flags + 1 + equals));
    }
  }
  return split;
}

std::pair<std::string, std::string> read_define(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos) return {text, "1"};
  return {text.substr(0, equals), text.substr(equals + 1)};
}

void take(const po::option& option, Options& options) {
  const std::string& name = option.string_key;
  const std::string value = option.value.empty() ? std::string() : option.value.front();
  if (name == "fpm-config") options.config_file = value;
  if (name == "test") ++options.test;
  if (name == "prefix") options.prefix = value;
  if (name == "pid") options.pid_file = value;
  if (name == "daemonize") options.daemonize = true;
  if (name == "nodaemonize") options.daemonize = false;
  if (name == "force-stderr") options.force_stderr = true;
  if (name == "allow-to-run-as-root") options.allow_root = true;
  if (name == "single") options.single = value;
  if (name == "php-ini") options.php_ini = value;
  if (name == "no-php-ini") options.no_php_ini = true;
  if (name == "define") options.defines.push_back(read_define(value));
  if (name == "profile-info") options.extended_info = true;
  if (name == "info") options.php_info = true;
  if (name == "modules") options.php_modules = true;
  if (name == "help") options.help = true;
  if (name == "version") options.version = true;
}

/// The file to read when no -y says it.
std::string other_config_file(const Options& options) {
  std::string file;
  for (const auto& [name, value] : options.defines) {
    if (name == "fpm.config") file = value;
  }
  return file.empty() ? default_config_file(options.prefix, options.program) : file;
}

}  // namespace

Program read_program(std::string_view argv0) {
  constexpr std::string_view kPhpFpm = "php-fpm";
  argv0.remove_prefix(argv0.rfind('/') + 1);  // npos + 1 is 0
  if (!argv0.starts_with(kPhpFpm)) return {};
  const std::string_view rest = argv0.substr(kPhpFpm.size());
  const bool version = !rest.empty() && rest.find_first_not_of("0123456789.") == rest.npos;
  return {true, std::string(version ? rest : "")};
}

std::string default_config_file(const std::string& prefix, const Program& program) {
  if (!program.php_fpm) {
    return (prefix.empty() ? std::string(FPM_SYSCONFDIR) : prefix + "/etc") + "/fpm/fpm.conf";
  }
  if (!prefix.empty()) return prefix + "/etc/php-fpm.conf";
  std::string file = FPM_PHP_CONFIG_FILE;
  constexpr std::string_view kVersions = "/etc/php/";  // each has a folder of its own there
  if (program.php_version.empty() || !file.starts_with(kVersions)) return file;
  const std::size_t end = file.find('/', kVersions.size());
  return file.replace(kVersions.size(), end - kVersions.size(), program.php_version);
}

Options parse_options(const std::vector<std::string>& arguments, const Program& program) {
  Options options;
  options.program = program;
  try {
    const auto known = describe();
    const po::positional_options_description none;
    const auto parsed = po::command_line_parser(split_joined_flags(arguments))
                            .options(known)
                            .positional(none)
                            .style(po::command_line_style::unix_style &
                                   ~po::command_line_style::allow_guessing)
                            .run();
    for (const auto& option : parsed.options) take(option, options);
  } catch (const po::error& wrong) {
    options.error = wrong.what();
  }
  if (options.config_file.empty()) options.config_file = other_config_file(options);
  options.foreground = options.daemonize == false;
  return options;
}

std::string usage(const std::string& name, const Program& program) {
  std::ostringstream text;
  text << fmt::format(
              "Usage: {} [-n] [-e] [-h] [-i] [-m] [-v] [-t] [-p DIR] [-g FILE] [-c PATH]\n"
              "       [-d NAME[=VALUE]] [-y FILE] [-D] [-F [-O]] [-R] [--single POOL]\n\n",
              name)
       << "Runs pools of workers behind a web server that speaks FastCGI, or as one itself.\n"
          "`serve DIR` shows a folder in the browser without a configuration (serve --help).\n\n"
       << describe()
       << fmt::format("\nWithout -y the file is {}.\n", default_config_file({}, program));
  return text.str();
}

std::string no_php_answer(const std::string& why) {
  return fmt::format("fpm {}: there is no PHP to tell about: {}\n", FPM_VERSION, why);
}

}  // namespace fpm::cli
