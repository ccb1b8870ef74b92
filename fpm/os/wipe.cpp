#include "fpm/os/wipe.hpp"

#include <malloc.h>
#include <string.h>

#include <cstddef>
#include <cstdlib>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#define FPM_OWN_DELETE 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FPM_OWN_DELETE 0
#endif
#endif
#ifndef FPM_OWN_DELETE
#define FPM_OWN_DELETE 1
#endif

namespace fpm::os {

namespace {

bool g_wiping = false;

/// As deep as the reading of a file with all its includes goes.
constexpr std::size_t kStack = 64 * 1024;

[[gnu::noinline]] void wipe_stack() {
  char below[kStack];
  ::explicit_bzero(below, sizeof below);
}

#if FPM_OWN_DELETE
void free_wiped(void* memory) {
  if (g_wiping && memory != nullptr) ::explicit_bzero(memory, ::malloc_usable_size(memory));
  std::free(memory);
}
#endif

}  // namespace

FreedMemoryWiped::FreedMemoryWiped() { g_wiping = true; }

FreedMemoryWiped::~FreedMemoryWiped() {
  g_wiping = false;
  wipe_stack();
}

}  // namespace fpm::os

#if FPM_OWN_DELETE
// The library's `new` takes its memory from malloc and its other forms of `delete` (arrays, sized,
// nothrow) call these. Those for aligned types stay as they are: no string lives there.
void operator delete(void* memory) noexcept { fpm::os::free_wiped(memory); }
void operator delete(void* memory, std::size_t) noexcept { fpm::os::free_wiped(memory); }
#endif
