#include "fpm/handlers/php/ini.hpp"

#include <cctype>

namespace fpm::handlers::php {
namespace {

bool is_alnum(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

bool is_name(std::string_view name) {
  if (name.empty()) return false;
  for (const char c : name) {
    if (!is_alnum(c) && std::string_view("_.-").find(c) == std::string_view::npos) return false;
  }
  return true;
}

// Those of the pool are added to those of php.ini, once PHP has started.
bool adds(std::string_view name) {
  return name == "disable_functions" || name == "disable_classes";
}

void append(std::string& text, const config::Variables& values) {
  for (const auto& [name, value] : values) {
    if (is_name(name) && !adds(name)) text += ini_line(name, value);
  }
}

}  // namespace

std::string ini_line(std::string_view name, std::string_view value) {
  std::string line(name);
  line += '=';
  // Between single quotes nothing has a meaning, but none can stand there.
  if (value.find('\'') == value.npos) {
    line += '\'';
    line += value;
    line += '\'';
  } else {
    line += '"';
    for (const char c : value) {
      if (c == '"' || c == '\\' || c == '$') line += '\\';
      line += c;
    }
    line += '"';
  }
  line += '\n';
  return line;
}

std::string ini_define(std::string_view name, std::string_view value) {
  const bool plain = value.empty() || is_alnum(value.front()) || value.front() == '"' ||
                     value.front() == '\'';
  const std::string_view quote = plain ? "" : "\"";
  std::string line(name);
  line += '=';
  line += quote;
  line += value;
  line += quote;
  line += '\n';
  return line;
}

std::string ini_entries(const config::PhpStart& start, const config::Variables& values,
                        const config::Variables& admin_values) {
  std::string text;
  for (const auto& [name, value] : start.defines) text += ini_define(name, value);
  append(text, values);
  append(text, admin_values);
  return text;
}

}  // namespace fpm::handlers::php
