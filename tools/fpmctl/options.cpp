#include "tools/fpmctl/options.hpp"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <boost/program_options.hpp>
#include <sstream>
#include <vector>

namespace fpmctl {

namespace po = boost::program_options;

namespace {

struct Command {
  const char* name;
  bool takes_pool;
  bool needs_pool;
};
constexpr std::array<Command, 9> kCommands{{{"status", false, false},
                                            {"connections", true, true},
                                            {"reload", true, false},
                                            {"reopen-logs", false, false},
                                            {"drain", true, true},
                                            {"resume", true, true},
                                            {"stop", false, false},
                                            {"top", false, false},
                                            {"version", false, false}}};

po::options_description visible() {
  po::options_description all("Options");
  auto add = all.add_options();
  add("socket,s", po::value<std::string>()->value_name("PATH"), "control socket of the instance");
  add("config,y", po::value<std::string>()->value_name("FILE"),
      "configuration whose control.socket is meant");
  add("json", "status, connections: as JSON");
  add("changed", "reload: only pools whose directives differ");
  add("now", "stop: end requests that are under way");
  add("delay,d", po::value<double>()->value_name("SECONDS"), "top: between two looks (1)");
  add("count,n", po::value<int>()->value_name("N"), "top: look so many times");
  add("batch,b", "top: plain text, one look unless -n says more");
  add("help,h", "this text");
  return all;
}

std::string check(const Options& options) {
  const auto found = std::find_if(kCommands.begin(), kCommands.end(), [&](const Command& one) {
    return options.command == one.name;
  });
  if (options.command.empty()) return "which command? -h lists them";
  if (found == kCommands.end()) return "there is no command " + options.command;
  if (found->needs_pool && options.pool.empty()) return options.command + " needs a pool";
  if (!found->takes_pool && !options.pool.empty()) return options.command + " takes no pool";
  if (!(options.delay >= 0.1 && options.delay <= 3600)) return "-d is to be 0.1 to 3600";
  if (options.count < 0) return "-n is to be 1 or more";
  return {};
}

}  // namespace

std::optional<Options> parse_options(int argc, const char* const* argv, std::string& error) {
  po::options_description all = visible();
  all.add_options()("words", po::value<std::vector<std::string>>());
  po::positional_options_description words;
  words.add("words", -1);
  Options options;
  try {
    po::variables_map given;
    po::store(po::command_line_parser(argc, argv).options(all).positional(words).run(), given);
    options.help = given.contains("help");
    options.json = given.contains("json");
    options.changed = given.contains("changed");
    options.now = given.contains("now");
    options.batch = given.contains("batch");
    if (given.contains("socket")) options.socket = given["socket"].as<std::string>();
    if (given.contains("config")) options.config = given["config"].as<std::string>();
    if (given.contains("delay")) options.delay = given["delay"].as<double>();
    if (given.contains("count")) options.count = given["count"].as<int>();
    if (given.contains("words")) {
      const auto& said = given["words"].as<std::vector<std::string>>();
      options.command = said[0];
      if (said.size() > 1) options.pool = said[1];
      if (said.size() > 2) error = "too many words: " + said[2];
    }
  } catch (const po::error& failure) {
    error = failure.what();
  }
  if (error.empty() && !options.help) error = check(options);
  if (!error.empty()) return std::nullopt;
  return options;
}

std::string help_text() {
  std::ostringstream text;
  text << "Usage: fpmctl [options] COMMAND\n\n"
          "  status [--json]           all pools\n"
          "  connections POOL [--json] of its door: the 1,000 oldest, and how many there are\n"
          "  top                       pools and workers, live\n"
          "  reload [POOL] [--changed] new workers with the configuration as it is now\n"
          "  drain POOL                take a pool out of service; what runs is finished\n"
          "  resume POOL               put it into service again\n"
          "  reopen-logs               after a rotation\n"
          "  stop [--now]              finish what runs and end\n"
          "  version                   of the running instance\n\n"
       << visible()
       << "\nExit status: 0 done, 1 refused, 2 no answer, 64 wrong command line.\n";
  return text.str();
}

std::string order_line(const Options& options) {
  boost::json::object order;
  const bool looks = options.command == "top" || options.command == "status";
  order["order"] = looks ? "status" : options.command;
  if (options.command == "top") order["full"] = true;
  if (!options.pool.empty()) order["pool"] = options.pool;
  if (options.changed) order["changed"] = true;
  if (options.now) order["now"] = true;
  return boost::json::serialize(order) + '\n';
}

}  // namespace fpmctl
