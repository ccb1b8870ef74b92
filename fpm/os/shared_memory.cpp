#include "fpm/os/shared_memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace fpm::os {

Result<SharedMemory> SharedMemory::create(const char* name, std::size_t bytes) {
  SharedMemory memory;
  memory.fd_.reset(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memory.fd_) return last_error("memfd_create");
  if (::ftruncate(memory.fd(), static_cast<off_t>(bytes)) < 0) return last_error("ftruncate");
  if (::fcntl(memory.fd(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
    return last_error("fcntl F_ADD_SEALS");
  }
  void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory.fd(), 0);
  if (data == MAP_FAILED) return last_error("mmap");
  memory.data_ = data;
  memory.bytes_ = bytes;
  memory.inherit(false);
  return memory;
}

Result<SharedMemory> SharedMemory::map_read_only(int fd, std::size_t bytes) {
  return map(fd, bytes, PROT_READ);
}

Result<SharedMemory> SharedMemory::map_writable(int fd, std::size_t bytes) {
  return map(fd, bytes, PROT_READ | PROT_WRITE);
}

Result<SharedMemory> SharedMemory::map(int fd, std::size_t bytes, int protection) {
  struct stat status {};
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0 || ::fstat(fd, &status) < 0) return last_error("fcntl F_GET_SEALS");
  // What could shrink would kill its readers by SIGBUS.
  if ((seals & F_SEAL_SHRINK) == 0 || status.st_size < static_cast<off_t>(bytes)) {
    return Error(EINVAL, "map shared memory");
  }
  SharedMemory memory;
  void* data = ::mmap(nullptr, bytes, protection, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) return last_error("mmap");
  memory.data_ = data;
  memory.bytes_ = bytes;
  return memory;
}

Result<UniqueFd> open_read_only(int fd) {
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  UniqueFd again(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!again) return last_error("open " + path);
  return again;
}

SharedMemory& SharedMemory::operator=(SharedMemory&& other) noexcept {
  if (this == &other) return *this;
  unmap();
  fd_ = std::move(other.fd_);
  data_ = std::exchange(other.data_, nullptr);
  bytes_ = std::exchange(other.bytes_, 0);
  return *this;
}

void SharedMemory::inherit(bool yes) const {
  // Cannot fail for a mapping that is there.
  if (data_ != nullptr) (void)::madvise(data_, bytes_, yes ? MADV_DOFORK : MADV_DONTFORK);
}

void SharedMemory::unmap() {
  if (data_ != nullptr) ::munmap(data_, bytes_);
  data_ = nullptr;
  bytes_ = 0;
}

}  // namespace fpm::os
