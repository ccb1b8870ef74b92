// The command line of fcgi-get, and the parameters that follow from it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fcgi/params.hpp"
#include "fcgi/protocol.hpp"

namespace fcgi_get {

struct Options {
  bool help = false;
  bool version = false;
  bool include_headers = false;
  std::string address;
  std::string uri = "/";
  std::string method;  ///< empty: GET, or POST with a body
  fcgi::Role role = fcgi::Role::responder;
  std::optional<std::string> body;  ///< a file's name, "-" for standard input
  std::chrono::milliseconds limit{0};
  /// In the order given. Without a value: the default of that name is not sent.
  std::vector<std::pair<std::string, std::optional<std::string>>> params;
};

/// Reads the command line. @return the options, or nothing and `error` in one line.
std::optional<Options> parse_options(int argc, const char* const* argv, std::string& error);

/// What -h prints.
std::string help_text();

/// The parameters of the request: those of CGI/1.1 that follow from the options, as a web server on
/// this machine would send them, then what -e says. @param body_size if it is known.
fcgi::Params make_params(const Options& options, std::optional<std::uint64_t> body_size);

}  // namespace fcgi_get
