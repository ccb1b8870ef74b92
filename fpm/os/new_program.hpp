// This very program as a new process, for parts of it that read bytes from strangers: they get
// nothing of the caller's memory.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

#include "fpm/os/error.hpp"

namespace fpm::os {

/// The descriptor under which such a process finds the channel to who started it. What it prints to
/// stderr goes there as well, one packet a write(2).
inline constexpr int kChannel = 3;

/// Exit status of a process that could not be executed; why, it has said over the channel.
inline constexpr int kExitNotExecuted = 126;

/// Forks and executes /proc/self/exe, which is this program even after an upgrade has replaced its
/// file, with `name` as argv[0] and `arguments`: default signals, a process group of its own, an
/// empty environment, stdin and stdout on /dev/null and no descriptor but these, stderr and the
/// channel, of which `channel` (SOCK_SEQPACKET, borrowed) is the other process's end. It is killed
/// when the calling thread ends; a change of user clears that. Does not wait for the execution.
Result<pid_t> start_this_program(const std::string& name, const std::vector<std::string>& arguments,
                                 int channel);

/// Kills a child and waits for its end, up to `patience`. @return it is gone and reaped, so that
/// what it listened on is free.
bool end_child(pid_t child, std::chrono::milliseconds patience);

/// Gives up every capability, the ambient ones too, and the hope for new ones: execve(2) gives no
/// more rights. After the change of user. Source: capabilities(7), prctl(2).
Result<void> give_up_capabilities();

}  // namespace fpm::os
