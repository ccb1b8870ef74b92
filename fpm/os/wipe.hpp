// Passwords do not outlive their use in freed memory.
#pragma once

namespace fpm::os {

/// For the life of the object all memory that `delete` gives back is overwritten first, and at its
/// end the stack below it too. For reading the configuration: pieces of files with passwords would
/// else stay in the heap of the master and so in every worker of every pool (seen).
/// One at a time, one thread only. Does nothing in a build with AddressSanitizer, which has an
/// allocator of its own.
class FreedMemoryWiped {
 public:
  FreedMemoryWiped();
  ~FreedMemoryWiped();
  FreedMemoryWiped(const FreedMemoryWiped&) = delete;
  FreedMemoryWiped& operator=(const FreedMemoryWiped&) = delete;
};

}  // namespace fpm::os
