#include "tools/fcgi_bench/options.hpp"

#include <boost/program_options.hpp>
#include <charconv>
#include <sstream>

namespace fcgi_bench {

namespace po = boost::program_options;

namespace {

po::options_description visible() {
  po::options_description all("Options");
  auto add = all.add_options();
  add("uri,u", po::value<std::string>(), "URI that is asked for (/)");
  add("param,e", po::value<std::vector<std::string>>(), "NAME=VALUE: a parameter, or with --http a header");
  add("mix", po::value<std::string>(), "methods and weights: GET:4,POST:1 (GET)");
  add("body", po::value<std::string>(), "bytes of the body of POST and PUT; suffix K, M");
  add("clients,c", po::value<unsigned>(), "connections at once (8)");
  add("keep,k", "keep connections, as nginx does with fastcgi_keep_conn");
  add("requests,n", po::value<std::uint64_t>(), "so many requests, instead of a time");
  add("time,t", po::value<double>(), "seconds (10)");
  add("rate,r", po::value<double>(),
      "so many requests a second, whatever the answers do; latency counts from the moment at which a "
      "request was due");
  add("timeout", po::value<double>(), "seconds that an answer may take (30)");
  add("status", po::value<int>(), "status that every answer must have (any below 500)");
  add("expect", po::value<std::string>(), "text that every answer must contain");
  add("pid", po::value<std::vector<pid_t>>(), "CPU time of this process and its descendants is told");
  add("http", "speak HTTP/1.1 to a web server");
  add("json", "the report as JSON");
  add("help,h", "this text");
  return all;
}

bool parse_size(std::string_view text, std::size_t& out) {
  const char* const end = text.data() + text.size();
  const auto [stop, failure] = std::from_chars(text.data(), end, out);
  if (failure != std::errc()) return false;
  const std::string_view suffix(stop, static_cast<std::size_t>(end - stop));
  if (suffix == "K") out <<= 10;
  if (suffix == "M") out <<= 20;
  return suffix.empty() || suffix == "K" || suffix == "M";
}

bool parse_mix(const std::string& text, std::vector<Kind>& mix) {
  mix.clear();
  std::istringstream words(text);
  for (std::string word; std::getline(words, word, ',');) {
    Kind kind;
    const std::size_t colon = word.find(':');
    kind.method = word.substr(0, colon);
    if (colon != word.npos) {
      std::size_t weight = 0;
      if (!parse_size(std::string_view(word).substr(colon + 1), weight) || weight == 0) return false;
      kind.weight = static_cast<unsigned>(weight);
    }
    if (kind.method.empty()) return false;
    mix.push_back(kind);
  }
  return !mix.empty();
}

std::chrono::milliseconds seconds(double value) {
  return std::chrono::milliseconds(static_cast<std::int64_t>(value * 1000));
}

std::string take(const po::variables_map& given, Options& options) {
  const auto has = [&](const char* name) { return given.contains(name); };
  options.help = has("help");
  options.json = has("json");
  options.http = has("http");
  options.keep = has("keep");
  if (has("address")) options.address = given["address"].as<std::string>();
  if (has("uri")) options.uri = given["uri"].as<std::string>();
  if (has("clients")) options.clients = given["clients"].as<unsigned>();
  if (has("requests")) options.requests = given["requests"].as<std::uint64_t>();
  if (has("time")) options.duration = seconds(given["time"].as<double>());
  if (has("rate")) options.rate = given["rate"].as<double>();
  if (has("timeout")) options.timeout = seconds(given["timeout"].as<double>());
  if (has("status")) options.status = given["status"].as<int>();
  if (has("expect")) options.expect = given["expect"].as<std::string>();
  if (has("pid")) options.trees = given["pid"].as<std::vector<pid_t>>();
  if (has("mix") && !parse_mix(given["mix"].as<std::string>(), options.mix)) return "wrong --mix";
  if (has("body") && !parse_size(given["body"].as<std::string>(), options.body)) {
    return "wrong --body";
  }
  if (has("param")) {
    for (const std::string& text : given["param"].as<std::vector<std::string>>()) {
      const std::size_t equals = text.find('=');
      if (equals == text.npos || equals == 0) return "-e is to be NAME=VALUE";
      options.params.emplace_back(text.substr(0, equals), text.substr(equals + 1));
    }
  }
  if (options.help) return {};
  if (options.address.empty()) return "which server? a path or HOST:PORT";
  if (options.clients < 1 || options.clients > 20'000) return "-c is to be 1 to 20000";
  if (options.rate < 0 || options.duration.count() < 0) return "times and rates are not negative";
  return {};
}

}  // namespace

std::optional<Options> parse_options(int argc, const char* const* argv, std::string& error) {
  po::options_description all = visible();
  all.add_options()("address", po::value<std::string>());
  po::positional_options_description words;
  words.add("address", 1);
  Options options;
  try {
    po::variables_map given;
    po::store(po::command_line_parser(argc, argv).options(all).positional(words).run(), given);
    error = take(given, options);
  } catch (const po::error& failure) {
    error = failure.what();
  }
  if (!error.empty()) return std::nullopt;
  return options;
}

std::string help_text() {
  std::ostringstream text;
  text << "Usage: fcgi-bench [options] PATH|HOST:PORT\n\nLoad for a FastCGI server, and what became of it.\n\n"
       << visible() << "\nExit status: 0 all requests were answered rightly, 1 not, 64 wrong command line.\n";
  return text.str();
}

}  // namespace fcgi_bench
