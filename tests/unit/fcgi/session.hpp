// What the tests of this folder share: records made by hand, and a parser's events as text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fcgi/parser.hpp"
#include "fcgi/response_parser.hpp"

namespace session {

using fcgi::RecordType;

/// One record of any kind, right or wrong.
std::string record(RecordType type, std::uint16_t id, std::string_view content = {},
                   std::size_t padding = 0);
std::string record(int type, std::uint16_t id, std::string_view content = {},
                   std::size_t padding = 0);
std::string begin(std::uint16_t id, int role = 1, int flags = 0, std::size_t padding = 0);
/// The wire form of pairs, without a record round it.
std::string pairs(const std::vector<std::pair<std::string, std::string>>& list);
/// A complete GET request: begin, params, both ends.
std::string get(std::uint16_t id, int flags = 0);

/// Feeds `input` in pieces of the sizes that `piece` gives and returns every event as one line, the
/// bytes of consecutive data events joined. Parameters are listed with params_end.
std::vector<std::string> trace(fcgi::RequestParser& parser, std::string_view input,
                               std::size_t piece = std::string_view::npos);
/// The same for the other direction.
std::vector<std::string> trace(fcgi::ResponseParser& parser, std::string_view input,
                               std::size_t piece = std::string_view::npos);

/// Appends one event to a trace.
void add_event(std::vector<std::string>& lines, const fcgi::RequestParser& parser,
               const fcgi::Event& event);

}  // namespace session
