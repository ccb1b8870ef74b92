#include "fpm/cli/options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <sstream>

#include "fpm/build_config.hpp"

namespace fpm::cli {

namespace po = boost::program_options;

std::string default_config_file() { return FPM_SYSCONFDIR "/fpm/fpm.conf"; }

namespace {

po::options_description describe() {
  po::options_description options("Options");
  options.add_options()                                                         //
      ("fpm-config,y", po::value<std::string>()->value_name("FILE"),            //
       "configuration file")                                                    //
      ("test,t", "check the configuration and end; twice: show it as well")     //
      ("nodaemonize,F", "stay in the foreground")                               //
      ("force-stderr,O", "log to stderr even if it is no terminal")             //
      ("allow-to-run-as-root,R", "allow pools to run as root")                  //
      ("help,h", "this text")                                                   //
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
    const std::size_t value = joined ? argument.find('y', 1) : std::string::npos;
    const std::size_t flags = joined ? std::min(value, argument.size()) : 0;
    for (std::size_t i = 1; i < flags; ++i) split.push_back({'-', argument[i]});
    if (!joined) {
      split.push_back(argument);
    } else if (flags < argument.size()) {
      split.push_back("-" + argument.substr(flags));
    }
  }
  return split;
}

}  // namespace

Options parse_options(const std::vector<std::string>& arguments) {
  Options options;
  options.config_file = default_config_file();
  try {
    const auto known = describe();
    const po::positional_options_description none;
    const auto parsed = po::command_line_parser(split_joined_flags(arguments))
                            .options(known)
                            .positional(none)
                            .style(po::command_line_style::unix_style &
                                   ~po::command_line_style::allow_guessing)
                            .run();
    for (const auto& option : parsed.options) {
      const std::string& name = option.string_key;
      if (name == "fpm-config") options.config_file = option.value.at(0);
      if (name == "test") ++options.test;
      if (name == "nodaemonize") options.foreground = true;
      if (name == "force-stderr") options.force_stderr = true;
      if (name == "allow-to-run-as-root") options.allow_root = true;
      if (name == "help") options.help = true;
      if (name == "version") options.version = true;
    }
  } catch (const po::error& wrong) {
    options.error = wrong.what();
  }
  return options;
}

std::string usage(const std::string& program) {
  std::ostringstream text;
  text << fmt::format("Usage: {} [-F] [-O] [-R] [-y FILE] [-t] [-h] [-v]\n\n", program)
       << "Runs pools of workers for CGI programs behind a web server that speaks FastCGI.\n\n"
       << describe() << fmt::format("\nWithout -y the file is {}.\n", default_config_file());
  return text.str();
}

}  // namespace fpm::cli
