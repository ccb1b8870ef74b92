#include "session.hpp"

#include <algorithm>

namespace session {

std::string record(RecordType type, std::uint16_t id, std::string_view content,
                   std::size_t padding) {
  fcgi::RecordHeader header;
  header.type = type;
  header.id = id;
  header.content_length = static_cast<std::uint16_t>(content.size());
  header.padding_length = static_cast<std::uint8_t>(padding);
  std::string bytes(fcgi::kHeaderSize, '\0');
  fcgi::encode_header(header, bytes.data());
  bytes.append(content);
  bytes.append(padding, '\x01');  // looks like the start of a record to a parser that loses count
  return bytes;
}

std::string record(int type, std::uint16_t id, std::string_view content, std::size_t padding) {
  return record(static_cast<RecordType>(type), id, content, padding);
}

std::string begin(std::uint16_t id, int role, int flags, std::size_t padding) {
  char body[fcgi::kBodySize];
  fcgi::encode_begin_body({static_cast<std::uint16_t>(role), static_cast<std::uint8_t>(flags)},
                          body);
  return record(RecordType::begin_request, id, {body, sizeof body}, padding);
}

std::string pairs(const std::vector<std::pair<std::string, std::string>>& list) {
  std::string bytes;
  for (const auto& [name, value] : list) fcgi::encode_param(name, value, bytes);
  return bytes;
}

std::string get(std::uint16_t id, int flags) {
  return begin(id, 1, flags) +
         record(RecordType::params, id, pairs({{"REQUEST_METHOD", "GET"}, {"QUERY_STRING", ""}})) +
         record(RecordType::params, id) + record(RecordType::stdin_stream, id);
}

namespace {

std::string list(const fcgi::Params& params) {
  std::string text;
  for (const fcgi::Param param : params) {
    text.append(" ").append(param.name).append("=").append(param.value);
  }
  return text;
}

/// Data lines grow as long as events of the same kind follow each other.
void add_bytes(std::vector<std::string>& lines, const std::string& head, std::string_view bytes) {
  if (lines.empty() || lines.back().compare(0, head.size(), head) != 0) lines.push_back(head);
  lines.back().append(bytes);
}

}  // namespace

void add_event(std::vector<std::string>& lines, const fcgi::RequestParser& parser,
               const fcgi::Event& event) {
  using Kind = fcgi::Event::Kind;
  const std::string id = std::to_string(event.id);
  switch (event.kind) {
    case Kind::need_more:
      break;
    case Kind::begin:
      lines.push_back("begin " + id + " role " + std::to_string(static_cast<int>(event.role)) +
                      (event.keep_conn ? " keep" : ""));
      break;
    case Kind::params_end:
      lines.push_back("params" + list(parser.params()));
      break;
    case Kind::stdin_bytes:
      add_bytes(lines, "stdin ", event.bytes);
      break;
    case Kind::stdin_end:
      lines.push_back("stdin-end");
      break;
    case Kind::data_bytes:
      add_bytes(lines, "data ", event.bytes);
      break;
    case Kind::data_end:
      lines.push_back("data-end");
      break;
    case Kind::abort:
      lines.push_back("abort " + id);
      break;
    case Kind::second_begin:
      lines.push_back("second " + id);
      break;
    case Kind::unknown_role:
      lines.push_back("unknown-role " + id + " " + std::to_string(event.role_number));
      break;
    case Kind::get_values:
      lines.push_back("get-values" + list(parser.asked()));
      break;
    case Kind::unknown_type:
      lines.push_back("unknown-type " + std::to_string(event.type));
      break;
    case Kind::bad:
      lines.push_back("bad: " + std::string(text(event.reason)) +
                      (event.looks_like_http ? " (http)" : ""));
      break;
  }
}

std::vector<std::string> trace(fcgi::RequestParser& parser, std::string_view input,
                               std::size_t piece) {
  std::vector<std::string> lines;
  while (!input.empty()) {
    std::string_view part = input.substr(0, piece);
    input.remove_prefix(part.size());
    for (;;) {
      const fcgi::Event event = parser.next(part);
      add_event(lines, parser, event);
      if (event.kind == fcgi::Event::Kind::bad) return lines;
      if (event.kind == fcgi::Event::Kind::need_more) break;
    }
  }
  return lines;
}

std::vector<std::string> trace(fcgi::ResponseParser& parser, std::string_view input,
                               std::size_t piece) {
  using Kind = fcgi::ResponseEvent::Kind;
  std::vector<std::string> lines;
  while (!input.empty()) {
    std::string_view part = input.substr(0, piece);
    input.remove_prefix(part.size());
    for (bool more = true; more;) {
      const fcgi::ResponseEvent event = parser.next(part);
      switch (event.kind) {
        case Kind::need_more:
          more = false;
          break;
        case Kind::out_bytes:
          add_bytes(lines, "out ", event.bytes);
          break;
        case Kind::out_end:
          lines.push_back("out-end");
          break;
        case Kind::err_bytes:
          add_bytes(lines, "err ", event.bytes);
          break;
        case Kind::err_end:
          lines.push_back("err-end");
          break;
        case Kind::end:
          lines.push_back("end " + std::to_string(event.app_status) + " " +
                          std::to_string(static_cast<int>(event.protocol_status)));
          break;
        case Kind::get_values_result:
          lines.push_back("values" + list(parser.values()));
          break;
        case Kind::unknown_type:
          lines.push_back("unknown-type " + std::to_string(event.type));
          break;
        case Kind::bad:
          lines.push_back("bad: " + std::string(event.reason));
          return lines;
      }
    }
  }
  return lines;
}

}  // namespace session
