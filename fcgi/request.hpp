// Encodes requests, for programs that ask a FastCGI server. No I/O.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "fcgi/params.hpp"
#include "fcgi/protocol.hpp"

namespace fcgi {

/// The most bytes of a body in one STDIN record: what nginx sends, and what every application has
/// therefore seen.
inline constexpr std::size_t kMaxStdinRecord = 32768;

// Each appends complete records to `out`, whose capacity is kept from one request to the next.
// A request is append_begin, append_params, append_stdin as often as wanted, append_stdin_end.
// Ids are 1..65535. Nothing is padded. Source: FastCGI 1.0 §3.3, §5.

/// BEGIN_REQUEST.
void append_begin(std::string& out, std::uint16_t id, Role role, bool keep_conn);

/// All parameters and the empty PARAMS record that ends them: one record if they fit in one, as
/// nginx does it, else as few as possible with their borders between pairs. A pair above 65535
/// bytes is split, for nothing else can be done with it.
void append_params(std::string& out, std::uint16_t id, const Params& params);

/// Body bytes, in records of at most kMaxStdinRecord. Empty bytes append nothing.
void append_stdin(std::string& out, std::uint16_t id, std::string_view bytes);
/// The empty STDIN record that ends the body.
void append_stdin_end(std::string& out, std::uint16_t id);

/// FCGI_DATA and its end, for filters. Source: FastCGI 1.0 §6.4.
void append_data(std::string& out, std::uint16_t id, std::string_view bytes);
void append_data_end(std::string& out, std::uint16_t id);

/// ABORT_REQUEST. Source: FastCGI 1.0 §5.4.
void append_abort(std::string& out, std::uint16_t id);

/// GET_VALUES: asks for the names of `params`, whose values are not looked at; at most 65535 bytes
/// of wire form, names beyond that are left out. Source: FastCGI 1.0 §4.1.
void append_get_values(std::string& out, const Params& params);

}  // namespace fcgi
