// fpmctl: orders for a running fpm.
#include <fmt/format.h>

#include <boost/json.hpp>
#include <cstdio>

#include "fpm/config/control_socket.hpp"
#include "fpm/config/load.hpp"
#include "tools/fpmctl/client.hpp"
#include "tools/fpmctl/options.hpp"
#include "tools/fpmctl/show.hpp"
#include "tools/fpmctl/top.hpp"

namespace {

using fpmctl::Options;

constexpr int kDone = 0;
constexpr int kRefused = 1;
constexpr int kNoAnswer = 2;
constexpr int kUsage = 64;

/// By -s, by the configuration, else where fpm has it when nothing is said. Of the configuration only
/// this one directive counts: the rest of it may be wrong.
std::string socket_path(const Options& options) {
  if (!options.socket.empty()) return options.socket;
  if (options.config.empty()) return fpm::config::default_control_socket();
  return fpm::config::control_socket_path(fpm::config::load(options.config, {}).config.global);
}

int no_answer(const std::string& why) {
  fmt::print(stderr, "fpmctl: {}\n", why);
  return kNoAnswer;
}

int show(const Options& options, const std::string& answer) {
  boost::system::error_code failure;
  const boost::json::value value = boost::json::parse(answer, failure);
  if (failure || !value.is_object()) return no_answer("the instance gave no proper answer");
  const boost::json::object& object = value.as_object();
  const auto* const done = object.if_contains("done");
  const auto* const text = object.if_contains("text");
  const auto* const pools = object.if_contains("pools");
  if (done == nullptr || !done->is_bool()) return no_answer("the instance gave no proper answer");
  const std::string words = text != nullptr && text->is_string() ? text->as_string().c_str() : "";
  if (!done->as_bool()) {
    fmt::print(stderr, "fpmctl: {}\n", words);
    return kRefused;
  }
  if (options.command == "connections") {
    boost::json::object door = object;
    door.erase("done");
    fmt::print("{}", options.json ? boost::json::serialize(door) + '\n' : fpmctl::connection_table(door));
  } else if (pools == nullptr || !pools->is_array()) {
    if (!words.empty()) fmt::print("{}\n", words);
  } else if (options.json) {
    fmt::print("{{\"pools\":{}}}\n", boost::json::serialize(*pools));
  } else {
    fmt::print("{}", fpmctl::pool_table(*pools));
  }
  return kDone;
}

}  // namespace

int main(int argc, char** argv) {
  std::string error;
  const auto options = fpmctl::parse_options(argc, argv, error);
  if (!options) {
    fmt::print(stderr, "fpmctl: {}\n", error);
    return kUsage;
  }
  if (options->help) {
    fmt::print("{}", fpmctl::help_text());
    return kDone;
  }
  const std::string path = socket_path(*options);
  if (path.empty()) return no_answer("there is no control socket: control.socket is off");
  auto client = fpmctl::Client::connect(path);
  if (!client) return no_answer(client.error().text());
  if (options->command == "top") return fpmctl::top(*client, *options);
  // A reload answers when every new generation serves or has failed, which may take its time.
  const bool slow = options->command == "reload";
  auto answer = client->ask(fpmctl::order_line(*options),
                            slow ? std::chrono::minutes(10) : std::chrono::seconds(5));
  if (!answer) return no_answer(answer.error().text());
  return show(*options, *answer);
}
