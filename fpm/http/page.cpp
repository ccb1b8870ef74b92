#include "fpm/http/page.hpp"

#include <fmt/format.h>

namespace fpm::http {

namespace {

struct Status {
  int number;
  std::string_view reason;
  std::string_view help;  ///< empty: it is never an error page of ours
};

constexpr Status kStatuses[] = {
    {100, "Continue", ""},
    {200, "OK", ""},
    {201, "Created", ""},
    {202, "Accepted", ""},
    {203, "Non-Authoritative Information", ""},
    {204, "No Content", ""},
    {205, "Reset Content", ""},
    {206, "Partial Content", ""},
    {207, "Multi-Status", ""},
    {300, "Multiple Choices", ""},
    {301, "Moved Permanently", ""},
    {302, "Found", ""},
    {303, "See Other", ""},
    {304, "Not Modified", ""},
    {307, "Temporary Redirect", ""},
    {308, "Permanent Redirect", ""},
    {400, "Bad Request", "The request is not valid HTTP, or its address is not valid."},
    {401, "Unauthorized", ""},
    {402, "Payment Required", ""},
    {403, "Forbidden", "This may not be shown."},
    {404, "Not Found", "There is nothing at this address."},
    {405, "Method Not Allowed", "What is at this address can only be read."},
    {406, "Not Acceptable", ""},
    {408, "Request Timeout", "The request did not arrive in time."},
    {409, "Conflict", ""},
    {410, "Gone", ""},
    {411, "Length Required", "The length of the body has to be told."},
    {412, "Precondition Failed", "The file is not, or no longer, the one that was asked for."},
    {413, "Content Too Large", "The body of the request is too large."},
    {414, "URI Too Long", "The address is too long."},
    {415, "Unsupported Media Type", ""},
    {416, "Range Not Satisfiable", "The file is shorter than the part that was asked for."},
    {417, "Expectation Failed", "Only 100-continue can be expected."},
    {418, "I'm a teapot", ""},
    {422, "Unprocessable Content", ""},
    {423, "Locked", ""},
    {425, "Too Early", ""},
    {426, "Upgrade Required", ""},
    {428, "Precondition Required", ""},
    {429, "Too Many Requests", ""},
    {431, "Request Header Fields Too Large", "The head of the request is too large."},
    {451, "Unavailable For Legal Reasons", ""},
    {500, "Internal Server Error", "The server could not do this; its log says why."},
    {501, "Not Implemented", "This kind of request is not known here."},
    {502, "Bad Gateway", "The application gave no valid answer."},
    {503, "Service Unavailable", "There are too many requests at the moment. Try again soon."},
    {504, "Gateway Timeout", "The application took too long."},
    {505, "HTTP Version Not Supported", "HTTP/1.1 and HTTP/1.0 are spoken here."},
    {507, "Insufficient Storage", "There is no room to keep the request."},
};

const Status* find(int status) {
  for (const Status& one : kStatuses) {
    if (one.number == status) return &one;
  }
  return nullptr;
}

}  // namespace

std::string_view reason(int status) {
  const Status* const found = find(status);
  return found != nullptr ? found->reason : "Unknown";
}

std::string error_page(int status) {
  const Status* const found = find(status);
  const std::string_view help = found != nullptr ? found->help : std::string_view();
  return fmt::format("{} {}\n{}{}", status, reason(status), help, help.empty() ? "" : "\n");
}

}  // namespace fpm::http
