// Preloaded into a program, counts its calls of malloc and its kin, for each process by itself.
//
// The counters are 64-bit words in a file that MALLOC_COUNT_FILE names, one for each process number
// modulo 65536, so that a test reads them from outside while the process runs. operator new of
// libstdc++ calls malloc and is counted by that.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* old, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
}

namespace {

constexpr std::size_t kSlots = 1 << 16;
std::atomic<std::uint64_t>* counters = nullptr;

__attribute__((constructor)) void map_counters() {
  const char* file = std::getenv("MALLOC_COUNT_FILE");
  if (file == nullptr) return;
  const int fd = open(file, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void* memory =
      mmap(nullptr, kSlots * sizeof(*counters), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (memory != MAP_FAILED) counters = static_cast<std::atomic<std::uint64_t>*>(memory);
}

// getpid each time: a process made by clone(2) runs no atfork handler that could tell us.
void count() {
  if (counters == nullptr) return;
  counters[static_cast<std::size_t>(getpid()) % kSlots].fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

extern "C" {

void* malloc(std::size_t size) {
  count();
  return __libc_malloc(size);
}

void* calloc(std::size_t number, std::size_t size) {
  count();
  return __libc_calloc(number, size);
}

void* realloc(void* old, std::size_t size) {
  count();
  return __libc_realloc(old, size);
}

void* aligned_alloc(std::size_t alignment, std::size_t size) {
  count();
  return __libc_memalign(alignment, size);
}

int posix_memalign(void** result, std::size_t alignment, std::size_t size) {
  count();
  *result = __libc_memalign(alignment, size);
  return *result == nullptr ? ENOMEM : 0;
}

}  // extern "C"
