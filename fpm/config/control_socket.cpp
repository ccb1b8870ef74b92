#include "fpm/config/control_socket.hpp"

#include <stdlib.h>
#include <unistd.h>

namespace fpm::config {

std::string default_control_socket() {
  if (::geteuid() == 0) return "/run/fpm.ctl";
  const char* const folder = ::getenv("XDG_RUNTIME_DIR");
  return folder == nullptr || *folder != '/' ? std::string() : std::string(folder) + "/fpm.ctl";
}

std::string control_socket_path(const Global& global) {
  return global.written.contains("control.socket") ? global.control_socket
                                                   : default_control_socket();
}

}  // namespace fpm::config
