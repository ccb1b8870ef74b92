#include "fpm/cli/serve.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/program_options.hpp>
#include <cerrno>
#include <filesystem>
#include <sstream>

#include "fpm/os/socket.hpp"

namespace fpm::cli {

namespace po = boost::program_options;

namespace {

constexpr unsigned short kUsualPort = 8080;

po::options_description describe() {
  po::options_description options("Options");
  options.add_options()                                                                          //
      ("handler", po::value<std::string>()->value_name("NAME"),
       "what executes scripts: cgi (programs, those that may be executed), php")                 //
      ("listen", po::value<std::string>()->value_name("ADDR"),
       "HOST:PORT or PORT; port 0 is any free one. Without it 127.0.0.1:8080, or a free port if "
       "that is taken")                                                                          //
      ("user", po::value<std::string>()->value_name("NAME"),
       "whom to become, when started by root; without it the folder's owner, or nobody")         //
      ("allow-to-run-as-root,R", "let it be root")                                               //
      ("help,h", "this text");
  return options;
}

/// Somebody who may read what everybody may.
std::string owner_of(const std::string& folder) {
  struct stat status {};
  if (::stat(folder.c_str(), &status) < 0 || status.st_uid == 0) return "nobody";
  return fmt::format("{}", status.st_uid);
}

bool usual_port_is_free() {
  return os::listen_tcp("127.0.0.1", kUsualPort, 1).has_value();
}

}  // namespace

ServeOptions parse_serve_options(const std::vector<std::string>& arguments) {
  ServeOptions options;
  try {
    auto known = describe();
    po::options_description all;
    all.add(known).add_options()("folder", po::value<std::string>());
    po::positional_options_description positions;
    positions.add("folder", 1);
    po::variables_map values;
    po::store(po::command_line_parser(arguments)
                  .options(all)
                  .positional(positions)
                  .style(po::command_line_style::unix_style &
                         ~po::command_line_style::allow_guessing)
                  .run(),
              values);
    const auto text = [&](const char* name, std::string& into) {
      if (values.contains(name)) into = values[name].as<std::string>();
    };
    text("folder", options.folder);
    text("handler", options.handler);
    text("listen", options.listen);
    text("user", options.user);
    options.allow_root = values.contains("allow-to-run-as-root");
    options.help = values.contains("help");
  } catch (const po::error& wrong) {
    options.error = wrong.what();
  }
  if (options.error.empty() && !options.help && options.folder.empty()) {
    options.error = "which folder?";
  }
  return options;
}

std::string serve_usage(const std::string& program) {
  std::ostringstream text;
  text << fmt::format("Usage: {} serve DIR [--handler NAME] [--listen ADDR] [--user NAME] [-R]\n\n",
                      program)
       << "Serves the files of DIR to browsers, and runs its scripts.\n\n"
       << describe();
  return text.str();
}

std::vector<config::Entry> serve_entries(const ServeOptions& options) {
  std::vector<config::Entry> entries;
  const config::Place place{"fpm serve", 0};
  const std::string pool = "web";
  const auto add = [&](const std::string& section, std::string name, std::string value) {
    config::Entry entry;
    entry.place = place;
    entry.section = section;
    entry.name = std::move(name);
    entry.value = std::move(value);
    entry.quoted = true;
    entries.push_back(std::move(entry));
  };
  std::error_code ignored;
  const std::string folder = std::filesystem::absolute(options.folder, ignored).string();
  add("global", "error_log", "/dev/stderr");
  add("global", "daemonize", "no");
  add("global", "log_level", "notice");
  add(pool, {}, {});
  if (::geteuid() == 0) add(pool, "user", options.user.empty() ? owner_of(folder) : options.user);
  add(pool, "handler", options.handler);
  add(pool, "http.root", folder);
  add(pool, "http.listen",
      !options.listen.empty()  ? options.listen
      : usual_port_is_free() ? fmt::format("127.0.0.1:{}", kUsualPort)
                             : std::string("127.0.0.1:0"));
  add(pool, "http.scripts", options.handler == "cgi" ? "executable" : "extension");
  add(pool, "http.index", "index.html index.php index.cgi index");
  add(pool, "pm", "ondemand");
  add(pool, "pm.max_children", "16");
  add(pool, "catch_workers_output", "yes");
  return entries;
}

}  // namespace fpm::cli
