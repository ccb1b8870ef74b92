#include "fcgi/protocol.hpp"

namespace fcgi {

namespace {

void put(char* out, std::size_t at, std::uint32_t byte) {
  out[at] = static_cast<char>(static_cast<unsigned char>(byte & 0xff));
}

std::uint8_t get(const char* in, std::size_t at) { return static_cast<std::uint8_t>(in[at]); }

std::uint16_t get16(const char* in, std::size_t at) {
  return static_cast<std::uint16_t>(get(in, at) << 8 | get(in, at + 1));
}

void put16(char* out, std::size_t at, std::uint16_t value) {
  put(out, at, static_cast<std::uint32_t>(value >> 8));
  put(out, at + 1, value);
}

}  // namespace

void encode_header(const RecordHeader& header, char* out) {
  put(out, 0, header.version);
  put(out, 1, static_cast<std::uint8_t>(header.type));
  put16(out, 2, header.id);
  put16(out, 4, header.content_length);
  put(out, 6, header.padding_length);
  put(out, 7, 0);
}

RecordHeader decode_header(const char* in) {
  RecordHeader header;
  header.version = get(in, 0);
  header.type = static_cast<RecordType>(get(in, 1));
  header.id = get16(in, 2);
  header.content_length = get16(in, 4);
  header.padding_length = get(in, 6);
  return header;
}

void encode_begin_body(const BeginBody& body, char* out) {
  put16(out, 0, body.role);
  put(out, 2, body.flags);
  for (std::size_t at = 3; at < kBodySize; ++at) put(out, at, 0);
}

BeginBody decode_begin_body(const char* in) {
  BeginBody body;
  body.role = get16(in, 0);
  body.flags = get(in, 2);
  return body;
}

void encode_end_body(const EndBody& body, char* out) {
  put16(out, 0, static_cast<std::uint16_t>(body.app_status >> 16));
  put16(out, 2, static_cast<std::uint16_t>(body.app_status & 0xffff));
  put(out, 4, static_cast<std::uint8_t>(body.protocol_status));
  for (std::size_t at = 5; at < kBodySize; ++at) put(out, at, 0);
}

EndBody decode_end_body(const char* in) {
  EndBody body;
  body.app_status = static_cast<std::uint32_t>(get16(in, 0)) << 16 | get16(in, 2);
  body.protocol_status = static_cast<ProtocolStatus>(get(in, 4));
  return body;
}

bool is_role(std::uint16_t number) {
  return number >= static_cast<std::uint16_t>(Role::responder) &&
         number <= static_cast<std::uint16_t>(Role::filter);
}

}  // namespace fcgi
