// The few system facts that Swift's Glibc module does not hand out.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/types.h>

/// CRC-32C (Castagnoli, RFC 3720 B.4) of `count` bytes, continuing from `crc` (0 to start).
/// Uses the SSE 4.2 or ARMv8 instruction where the processor has it.
uint32_t millrace_crc32c(uint32_t crc, const void *bytes, size_t count);

/// preadv2 of one range with RWF_NOWAIT: bytes read, or -1 with errno (EAGAIN: not in the page cache).
ssize_t millrace_pread_nowait(int descriptor, void *bytes, size_t count, off_t position);

/// Names the calling thread in `top -H`; Linux keeps 15 bytes.
void millrace_name_thread(const char *name);

/// Processors that the calling process may run on (sched_getaffinity); those that are online where
/// the kernel does not say.
int millrace_core_count(void);

/// Asks for the processor in turns of `nanoseconds`, 100,000 at least, for the calling thread: no
/// more of it, but sooner (sched_setattr; Documentation/scheduler/sched-eevdf.rst, Linux 6.12). 0:
/// what the system gives. -1 where that is refused; an older kernel does nothing.
int millrace_set_turns(uint64_t nanoseconds);

/// Lets malloc have at most `arenas` arenas, and keep `kept` bytes of each that nothing uses; what
/// is as large as half of that comes from the kernel and goes back to it (mallopt(3)).
void millrace_set_up_malloc(int arenas, int kept);

/// accept4 with SOCK_NONBLOCK and SOCK_CLOEXEC: a descriptor, or -1 with errno. `address` takes the
/// peer's 16 bytes of IPv6, an IPv4 address mapped into them.
int millrace_accept(int listener, uint8_t address[16]);
