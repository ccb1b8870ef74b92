#include "fpm/http/mime.hpp"

#include <fstream>
#include <sstream>
#include <utility>

namespace fpm::http {

namespace {

/// What a page is made of, for systems without the table.
constexpr std::pair<const char*, const char*> kBuiltIn[] = {
    {"html", "text/html"},         {"htm", "text/html"},
    {"css", "text/css"},           {"js", "text/javascript"},
    {"mjs", "text/javascript"},    {"json", "application/json"},
    {"txt", "text/plain"},         {"xml", "application/xml"},
    {"svg", "image/svg+xml"},      {"png", "image/png"},
    {"jpg", "image/jpeg"},         {"jpeg", "image/jpeg"},
    {"gif", "image/gif"},          {"webp", "image/webp"},
    {"avif", "image/avif"},        {"ico", "image/vnd.microsoft.icon"},
    {"woff", "font/woff"},         {"woff2", "font/woff2"},
    {"ttf", "font/ttf"},           {"pdf", "application/pdf"},
    {"wasm", "application/wasm"},  {"mp4", "video/mp4"},
    {"webm", "video/webm"},        {"mp3", "audio/mpeg"},
    {"ogg", "audio/ogg"},          {"zip", "application/zip"},
    {"gz", "application/gzip"},    {"tar", "application/x-tar"},
    {"md", "text/markdown"},       {"csv", "text/csv"},
};

constexpr std::size_t kLongestSuffix = 16;

}  // namespace

MediaTypes MediaTypes::load(const std::string& path) {
  MediaTypes types;
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream words(line.substr(0, line.find('#')));
    std::string type;
    std::string suffix;
    words >> type;
    while (words >> suffix) types.by_suffix_.emplace(suffix, type);
  }
  for (const auto& [suffix, type] : kBuiltIn) types.by_suffix_.emplace(suffix, type);
  return types;
}

std::string_view MediaTypes::of(std::string_view path) const {
  constexpr std::string_view kUnknown = "application/octet-stream";
  const std::size_t dot = path.find_last_of("./");
  if (dot == path.npos || path[dot] != '.') return kUnknown;
  std::string suffix(path.substr(dot + 1));
  if (suffix.size() > kLongestSuffix) return kUnknown;
  for (char& c : suffix) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  }
  const auto found = by_suffix_.find(suffix);
  return found == by_suffix_.end() ? kUnknown : std::string_view(found->second);
}

}  // namespace fpm::http
