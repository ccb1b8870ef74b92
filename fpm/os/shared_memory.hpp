// Memory that the master shares with its children.
#pragma once

#include <cstddef>
#include <utility>

#include "fpm/os/fd.hpp"

namespace fpm::os {

/// A zeroed, shared mapping. A child that shall have it inherits it by fork; another program gets it
/// through fd().
class SharedMemory {
 public:
  /// memfd_create + mmap(MAP_SHARED), sealed against every change of size: a process that could
  /// truncate the file would kill all others that touch it by SIGBUS. `name` shows in /proc/maps.
  /// Source: memfd_create(2), fcntl(2) "File Sealing".
  static Result<SharedMemory> create(const char* name, std::size_t bytes);

  /// Maps what create() made in another process, for reading only and for good: `fd` was opened
  /// O_RDONLY, see open_read_only(). Errors: EINVAL if it is no such memory, of at least `bytes` and
  /// sealed against a change of size. The descriptor is not kept.
  static Result<SharedMemory> map_read_only(int fd, std::size_t bytes);

  /// The same for reading and writing: `fd` is create()'s, in another program.
  static Result<SharedMemory> map_writable(int fd, std::size_t bytes);

  SharedMemory() = default;
  SharedMemory(SharedMemory&& other) noexcept
      : fd_(std::move(other.fd_)),
        data_(std::exchange(other.data_, nullptr)),
        bytes_(std::exchange(other.bytes_, 0)) {}
  SharedMemory& operator=(SharedMemory&& other) noexcept;
  ~SharedMemory() { unmap(); }

  /// Whether children get it by fork. Not until this is called with true: a fork copies the tables of
  /// every mapping, and those of 1,000 pools cost a new worker 2 ms. Source: madvise(2) MADV_DONTFORK.
  void inherit(bool yes) const;

  void* data() const { return data_; }
  std::size_t size() const { return bytes_; }
  /// Borrowed; closed in workers.
  int fd() const { return fd_.get(); }
  /// Takes the mapping out of this process, as a worker does with those of other pools.
  void unmap();

 private:
  static Result<SharedMemory> map(int fd, std::size_t bytes, int protection);

  UniqueFd fd_;
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// The file behind `fd` opened anew for reading alone, so that a process that gets it can never
/// write there: a mapping that was only made read-only by mprotect(2) can be made writable again.
/// Source: proc(5) /proc/self/fd.
Result<UniqueFd> open_read_only(int fd);

}  // namespace fpm::os
