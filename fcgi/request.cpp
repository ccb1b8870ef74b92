#include "fcgi/request.hpp"

#include <algorithm>
#include <cassert>

namespace fcgi {

namespace {

void append_header(std::string& out, RecordType type, std::uint16_t id, std::size_t length) {
  assert(length <= kMaxContent);
  RecordHeader header;
  header.type = type;
  header.id = id;
  header.content_length = static_cast<std::uint16_t>(length);
  char bytes[kHeaderSize];
  encode_header(header, bytes);
  out.append(bytes, sizeof bytes);
}

void append_stream(std::string& out, RecordType type, std::uint16_t id, std::string_view bytes,
                   std::size_t largest) {
  while (!bytes.empty()) {
    const std::size_t here = std::min(bytes.size(), largest);
    append_header(out, type, id, here);
    out.append(bytes.substr(0, here));
    bytes.remove_prefix(here);
  }
}

/// Whole pairs from `index` on that fit in one record, and the bytes that they take. At least one
/// pair, even if that is too large.
struct Chunk {
  std::size_t pairs;
  std::size_t bytes;
};

Chunk next_chunk(const Params& params, std::size_t index) {
  Chunk chunk{0, 0};
  for (; index < params.size(); ++index) {
    const std::size_t size = encoded_size(params[index].name, params[index].value);
    if (chunk.pairs > 0 && size > kMaxContent - chunk.bytes) break;
    ++chunk.pairs;
    chunk.bytes += size;
    if (chunk.bytes >= kMaxContent) break;
  }
  return chunk;
}

}  // namespace

void append_begin(std::string& out, std::uint16_t id, Role role, bool keep_conn) {
  append_header(out, RecordType::begin_request, id, kBodySize);
  char body[kBodySize];
  encode_begin_body({static_cast<std::uint16_t>(role), keep_conn ? kKeepConn : std::uint8_t{0}},
                    body);
  out.append(body, sizeof body);
}

void append_params(std::string& out, std::uint16_t id, const Params& params) {
  for (std::size_t index = 0; index < params.size();) {
    const Chunk chunk = next_chunk(params, index);
    if (chunk.bytes > kMaxContent) {
      std::string pair;
      encode_param(params[index].name, params[index].value, pair);
      append_stream(out, RecordType::params, id, pair, kMaxContent);
      ++index;
      continue;
    }
    append_header(out, RecordType::params, id, chunk.bytes);
    for (const std::size_t end = index + chunk.pairs; index < end; ++index) {
      encode_param(params[index].name, params[index].value, out);
    }
  }
  append_header(out, RecordType::params, id, 0);
}

void append_stdin(std::string& out, std::uint16_t id, std::string_view bytes) {
  append_stream(out, RecordType::stdin_stream, id, bytes, kMaxStdinRecord);
}

void append_stdin_end(std::string& out, std::uint16_t id) {
  append_header(out, RecordType::stdin_stream, id, 0);
}

void append_data(std::string& out, std::uint16_t id, std::string_view bytes) {
  append_stream(out, RecordType::data_stream, id, bytes, kMaxStdinRecord);
}

void append_data_end(std::string& out, std::uint16_t id) {
  append_header(out, RecordType::data_stream, id, 0);
}

void append_abort(std::string& out, std::uint16_t id) {
  append_header(out, RecordType::abort_request, id, 0);
}

void append_get_values(std::string& out, const Params& params) {
  std::string content;
  for (const Param param : params) {
    if (encoded_size(param.name, {}) > kMaxContent - content.size()) break;
    encode_param(param.name, {}, content);
  }
  append_header(out, RecordType::get_values, kManagementId, content.size());
  out.append(content);
}

}  // namespace fcgi
