#include "tools/fcgi_get/options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <cmath>
#include <iterator>
#include <sstream>
#include <string_view>

namespace fcgi_get {

namespace {

namespace po = boost::program_options;

po::options_description visible_options() {
  po::options_description options("Options");
  options.add_options()                                                           //
      ("env,e", po::value<std::vector<std::string>>()->value_name("NAME=VALUE"),  //
       "send this parameter, instead of a default of that name; repeatable. NAME alone: do not "
       "send the default")                                                    //
      ("request,X", po::value<std::string>()->value_name("METHOD"),           //
       "REQUEST_METHOD (default: GET, with -d POST)")                         //
      ("data,d", po::value<std::string>()->value_name("FILE"),                //
       "send the file as the body; - is standard input, sent as it arrives")  //
      ("include,i", "print the response headers too")                         //
      ("role,r", po::value<std::string>()->value_name("ROLE"),                //
       "responder (default), authorizer or filter")                           //
      ("time,t", po::value<double>()->value_name("SECONDS"),                  //
       "give up after so long (default: never; connecting: 5)")               //
      ("help,h", "print this help")                                           //
      ("version,V", "print the version");
  return options;
}

std::optional<fcgi::Role> role_of(std::string_view name) {
  if (name == "responder") return fcgi::Role::responder;
  if (name == "authorizer") return fcgi::Role::authorizer;
  if (name == "filter") return fcgi::Role::filter;
  return std::nullopt;
}

/// Moves the values of `values` into `options`. @return what is wrong, or empty.
std::string take(const po::variables_map& values, Options& options) {
  options.help = values.count("help") > 0;
  options.version = values.count("version") > 0;
  options.include_headers = values.count("include") > 0;
  if (options.help || options.version) return {};

  if (values.count("address") == 0) return "no address: expected unix:/path or host:port";
  options.address = values["address"].as<std::string>();
  if (values.count("uri") > 0) options.uri = values["uri"].as<std::string>();
  if (!options.uri.starts_with("/")) options.uri.insert(0, "/");
  if (values.count("data") > 0) options.body = values["data"].as<std::string>();
  if (values.count("request") > 0) options.method = values["request"].as<std::string>();
  if (values.count("role") > 0) {
    const auto& name = values["role"].as<std::string>();
    const auto role = role_of(name);
    if (!role) {
      return fmt::format("-r \"{}\": expected responder, authorizer or filter", name);
    }
    options.role = *role;
  }
  if (values.count("time") > 0) {
    const double seconds = values["time"].as<double>();
    if (!(seconds > 0 && seconds <= 1e6)) return "-t: expected seconds, more than 0";
    options.limit = std::chrono::milliseconds(static_cast<long>(std::ceil(seconds * 1000)));
  }
  if (values.count("env") == 0) return {};
  for (const std::string& text : values["env"].as<std::vector<std::string>>()) {
    const std::size_t equals = text.find('=');
    if (equals == 0) return fmt::format("-e \"{}\": expected NAME=VALUE", text);
    options.params.emplace_back(
        text.substr(0, equals),
        equals == std::string::npos ? std::nullopt : std::optional(text.substr(equals + 1)));
  }
  return {};
}

int hex_digit(char c) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  const char lower = c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
  const std::size_t at = kDigits.find(lower);
  return at == std::string_view::npos ? -1 : static_cast<int>(at);
}

/// Undoes %XX, as web servers do for SCRIPT_NAME; a % that is none stays.
std::string percent_decoded(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const int high = text[i] == '%' && i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
    const int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
    if (low >= 0) i += 2;
    result += low >= 0 ? static_cast<char>(high * 16 + low) : text[i];
  }
  return result;
}

/// Whether -e names the parameter, with or without a value.
bool is_given(const Options& options, std::string_view name) {
  return std::any_of(options.params.begin(), options.params.end(),
                     [&](const auto& param) { return param.first == name; });
}

}  // namespace

std::optional<Options> parse_options(int argc, const char* const* argv, std::string& error) {
  po::options_description all = visible_options();
  all.add_options()("address", po::value<std::string>())("uri", po::value<std::string>());
  po::positional_options_description positions;
  positions.add("address", 1).add("uri", 1);
  Options options;
  try {
    // No guessing: an abbreviation that works today would break with the next option.
    const auto style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
    po::variables_map values;
    po::store(
        po::command_line_parser(argc, argv).options(all).positional(positions).style(style).run(),
        values);
    po::notify(values);
    error = take(values, options);
  } catch (const po::error& problem) {
    error = problem.what();
  }
  if (!error.empty()) return std::nullopt;
  return options;
}

std::string help_text() {
  std::ostringstream text;
  text << "Usage: fcgi-get [options] unix:/path|host:port [/uri?query]\n"
          "Makes one FastCGI request and prints the body of the answer; what the application\n"
          "writes to its error stream goes to standard error.\n\n"
       << visible_options()
       << "\nSCRIPT_FILENAME is DOCUMENT_ROOT, if -e gives one, and the path of the URI.\n"
          "Exit status: 0 answered, 4 answered with 4xx, 5 with 5xx, 1 no or a broken answer,\n"
          "64 wrong usage.\n";
  return text.str();
}

fcgi::Params make_params(const Options& options, std::optional<std::uint64_t> body_size) {
  const std::string_view uri = options.uri;
  const std::size_t question = uri.find('?');
  const std::string path = percent_decoded(uri.substr(0, question));
  const std::string_view query = question == std::string::npos ? "" : uri.substr(question + 1);
  const bool body = options.body.has_value();
  const std::string method = !options.method.empty() ? options.method : body ? "POST" : "GET";

  std::string root;
  for (const auto& [name, value] : options.params) {
    if (name == "DOCUMENT_ROOT" && value) root = *value;
  }
  std::vector<std::pair<std::string, std::string>> defaults = {
      {"GATEWAY_INTERFACE", "CGI/1.1"},
      {"SERVER_SOFTWARE", "fcgi-get/" FCGI_GET_VERSION},
      {"SERVER_PROTOCOL", "HTTP/1.1"},
      {"REQUEST_METHOD", method},
      {"REQUEST_URI", options.uri},
      {"DOCUMENT_URI", path},
      {"SCRIPT_NAME", path},
      {"SCRIPT_FILENAME", root + path},
      {"QUERY_STRING", std::string(query)},
      {"REMOTE_ADDR", "127.0.0.1"},
      {"REMOTE_PORT", "0"},
      {"SERVER_ADDR", "127.0.0.1"},
      {"SERVER_PORT", "80"},
      {"SERVER_NAME", "localhost"},
      {"REDIRECT_STATUS", "200"},  // without it php-cgi refuses
      {"HTTP_HOST", "localhost"},
      {"HTTP_ACCEPT", "*/*"},
      {"HTTP_USER_AGENT", "fcgi-get/" FCGI_GET_VERSION},
  };
  if (body) defaults.emplace_back("CONTENT_TYPE", "application/x-www-form-urlencoded");
  if (body_size) defaults.emplace_back("CONTENT_LENGTH", std::to_string(*body_size));

  fcgi::Params params;
  for (const auto& [name, value] : defaults) {
    if (!is_given(options, name)) params.add(name, value);
  }
  for (const auto& [name, value] : options.params) {
    if (value) params.add(name, *value);
  }
  return params;
}

}  // namespace fcgi_get
