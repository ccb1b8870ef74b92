#include "fcgi/writer.hpp"

#include <algorithm>
#include <cassert>
#include <charconv>
#include <cstring>

namespace fcgi {

namespace {

/// Kept free by STDOUT for the end of the answer and a small STDERR.
constexpr std::size_t kReserve =
    ResponseWriter::kEndSize + kHeaderSize + ResponseWriter::kErrorReserve;

/// Content bytes that fit in `space` as records of their own.
std::size_t content_in(std::size_t space) {
  constexpr std::size_t kFullRecord = kHeaderSize + kMaxContent;
  const std::size_t rest = space % kFullRecord;
  return space / kFullRecord * kMaxContent + (rest > kHeaderSize ? rest - kHeaderSize : 0);
}

}  // namespace

void encode_record_header(RecordType type, std::uint16_t id, std::size_t length, char* out) {
  assert(length <= kMaxContent);
  RecordHeader header;
  header.type = type;
  header.id = id;
  header.content_length = static_cast<std::uint16_t>(length);
  encode_header(header, out);
}

ResponseWriter::ResponseWriter(std::span<char> buffer) : buffer_(buffer) {
  assert(buffer.size() >= kMinBuffer);
}

void ResponseWriter::reset() {
  begin_ = end_ = 0;
  started_ = err_used_ = open_ = false;
}

bool ResponseWriter::start(std::uint16_t id) {
  assert(!started_);
  if (free() < kReserve) return false;
  id_ = id;
  started_ = true;
  err_used_ = false;
  open_ = false;
  return true;
}

std::size_t ResponseWriter::room() const { return room_for(RecordType::stdout_stream); }

std::size_t ResponseWriter::err_room() const { return room_for(RecordType::stderr_stream); }

std::size_t ResponseWriter::out(std::string_view bytes) {
  return append_stream(RecordType::stdout_stream, bytes);
}

std::size_t ResponseWriter::err(std::string_view bytes) {
  const std::size_t taken = append_stream(RecordType::stderr_stream, bytes);
  err_used_ = err_used_ || taken > 0;
  return taken;
}

bool ResponseWriter::extendable(RecordType stream) const { return open_ && open_type_ == stream; }

std::size_t ResponseWriter::room_for(RecordType stream) const {
  if (!started_) return 0;
  const std::size_t reserve = stream == RecordType::stdout_stream ? kReserve : kEndSize;
  const std::size_t space = free() > reserve ? free() - reserve : 0;
  if (!extendable(stream)) return content_in(space);
  const std::size_t last = kMaxContent - open_length_;
  return space <= last ? space : last + content_in(space - last);
}

std::size_t ResponseWriter::append_stream(RecordType stream, std::string_view bytes) {
  bytes = bytes.substr(0, room_for(stream));
  const std::size_t taken = bytes.size();
  while (!bytes.empty()) {
    if (!extendable(stream) || open_length_ == kMaxContent) {
      put_header(stream, id_, 0);
      open_ = true;
      open_type_ = stream;
      open_at_ = end_ - kHeaderSize;
      open_length_ = 0;
    }
    const std::size_t here = std::min(bytes.size(), kMaxContent - open_length_);
    std::memcpy(take(here), bytes.data(), here);
    open_length_ += here;
    encode_record_header(stream, id_, open_length_, buffer_.data() + open_at_);
    bytes.remove_prefix(here);
  }
  return taken;
}

/// Gives the next `bytes` of the buffer, which are free, moving what is pending if they lie apart.
char* ResponseWriter::take(std::size_t bytes) {
  assert(bytes <= free());
  if (buffer_.size() - end_ < bytes) compact();
  char* const place = buffer_.data() + end_;
  end_ += bytes;
  return place;
}

void ResponseWriter::compact() {
  std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
  end_ -= begin_;
  if (open_) open_at_ -= begin_;
  begin_ = 0;
}

void ResponseWriter::put_header(RecordType type, std::uint16_t id, std::size_t length) {
  encode_record_header(type, id, length, take(kHeaderSize));
  open_ = false;
}

void ResponseWriter::put_end(std::uint16_t id, std::uint32_t app_status,
                             ProtocolStatus protocol_status) {
  put_header(RecordType::end_request, id, kBodySize);
  encode_end_body({app_status, protocol_status}, take(kBodySize));
}

void ResponseWriter::end(std::uint32_t app_status, ProtocolStatus protocol_status) {
  if (!started_) return;
  if (err_used_) put_header(RecordType::stderr_stream, id_, 0);
  put_header(RecordType::stdout_stream, id_, 0);
  put_end(id_, app_status, protocol_status);
  started_ = false;
}

bool ResponseWriter::fits_beside_answer(std::size_t bytes) {
  return free() >= bytes + (started_ ? kReserve : 0);
}

bool ResponseWriter::end_only(std::uint16_t id, ProtocolStatus protocol_status) {
  if (!fits_beside_answer(kHeaderSize + kBodySize)) return false;
  put_end(id, 0, protocol_status);
  return true;
}

bool ResponseWriter::unknown_type(std::uint8_t type) {
  if (!fits_beside_answer(kHeaderSize + kBodySize)) return false;
  put_header(RecordType::unknown_type, kManagementId, kBodySize);
  char* const body = take(kBodySize);
  std::memset(body, 0, kBodySize);
  body[0] = static_cast<char>(type);
  return true;
}

bool ResponseWriter::get_values_result(const Params& asked, const Capabilities& capabilities) {
  char content[128];  // three names of at most 15 bytes, values of at most 10, two lengths each
  std::size_t length = 0;
  const auto answer = [&](std::string_view name, std::uint32_t number) {
    if (!asked.first(name)) return;
    char digits[10];
    const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
    const std::string_view value(digits, static_cast<std::size_t>(end - digits));
    length += encode_param_lengths(name.size(), value.size(), content + length);
    length += name.copy(content + length, name.size());
    length += value.copy(content + length, value.size());
  };
  answer(kMaxConns, capabilities.max_conns);
  answer(kMaxReqs, capabilities.max_reqs);
  answer(kMpxsConns, capabilities.multiplexes ? 1 : 0);

  if (!fits_beside_answer(kHeaderSize + length)) return false;
  put_header(RecordType::get_values_result, kManagementId, length);
  std::memcpy(take(length), content, length);
  return true;
}

void ResponseWriter::sent(std::size_t bytes) {
  assert(bytes <= end_ - begin_);
  begin_ += bytes;
  if (open_ && open_at_ < begin_) open_ = false;
  if (begin_ == end_) begin_ = end_ = 0;
}

}  // namespace fcgi
