#define _GNU_SOURCE
#include "CPlatform.h"
#include <malloc.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

// The reflected Castagnoli polynomial; tables for eight bytes at a time (slicing-by-8).
static uint32_t table[8][256];

// The instruction takes a word each cycle and has its result three later: long inputs go through it
// in three lanes. What becomes of each byte of a checksum when a lane of zeros follows it:
enum { lane = 1024 };
static uint32_t past_lane[4][256];

__attribute__((constructor)) static void fill_table(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0x82F63B78u & (0u - (crc & 1)));
        table[0][i] = crc;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int k = 1; k < 8; k++)
            table[k][i] = (table[k - 1][i] >> 8) ^ table[0][table[k - 1][i] & 0xff];
    for (int bit = 0; bit < 32; bit++) {
        uint32_t crc = 1u << bit;
        for (int i = 0; i < lane; i++) crc = (crc >> 8) ^ table[0][crc & 0xff];
        // Linear: an index of more bits is the sum of one bit's and the rest's.
        uint32_t *byte = past_lane[bit / 8];
        for (int rest = 0, one = 1 << bit % 8; rest < one; rest++) byte[one + rest] = crc ^ byte[rest];
    }
}

static uint32_t crc_by_table(uint32_t crc, const uint8_t *p, size_t count) {
    while (count >= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        word ^= crc;
        crc = table[7][word & 0xff] ^ table[6][(word >> 8) & 0xff] ^ table[5][(word >> 16) & 0xff]
            ^ table[4][(word >> 24) & 0xff] ^ table[3][(word >> 32) & 0xff]
            ^ table[2][(word >> 40) & 0xff] ^ table[1][(word >> 48) & 0xff] ^ table[0][word >> 56];
        p += 8;
        count -= 8;
    }
    while (count--) crc = (crc >> 8) ^ table[0][(crc ^ *p++) & 0xff];
    return crc;
}

#if defined(__x86_64__)
#include <nmmintrin.h>
#define CRC_TARGET __attribute__((target("sse4.2")))
#define CRC_WORD _mm_crc32_u64
#define CRC_BYTE _mm_crc32_u8
static int has_instruction(void) { return __builtin_cpu_supports("sse4.2"); }
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <sys/auxv.h>
#define CRC_TARGET __attribute__((target("+crc")))
#define CRC_WORD __crc32cd
#define CRC_BYTE __crc32cb
static int has_instruction(void) { return (getauxval(AT_HWCAP) & (1 << 7)) != 0; }
#endif

#ifdef CRC_TARGET
static uint64_t word_at(const uint8_t *p) {
    uint64_t word;
    memcpy(&word, p, 8);
    return word;
}

static uint32_t behind_lane(uint32_t crc) {
    return past_lane[0][crc & 0xff] ^ past_lane[1][(crc >> 8) & 0xff]
        ^ past_lane[2][(crc >> 16) & 0xff] ^ past_lane[3][crc >> 24];
}

CRC_TARGET static uint32_t crc_by_instruction(uint32_t crc, const uint8_t *p, size_t count) {
    for (; count >= 3 * lane; p += 3 * lane, count -= 3 * lane) {
        uint64_t first = crc, second = 0, third = 0;
        for (size_t i = 0; i < lane; i += 8) {
            first = CRC_WORD(first, word_at(p + i));
            second = CRC_WORD(second, word_at(p + lane + i));
            third = CRC_WORD(third, word_at(p + 2 * lane + i));
        }
        crc = behind_lane(behind_lane(first) ^ second) ^ third;
    }
    for (; count >= 8; p += 8, count -= 8) crc = CRC_WORD(crc, word_at(p));
    while (count--) crc = CRC_BYTE(crc, *p++);
    return crc;
}
#else
static int has_instruction(void) { return 0; }
#define crc_by_instruction crc_by_table
#endif

uint32_t millrace_crc32c(uint32_t crc, const void *bytes, size_t count) {
    static int fast = -1;
    if (fast < 0) fast = has_instruction();
    crc = ~crc;
    crc = fast ? crc_by_instruction(crc, bytes, count) : crc_by_table(crc, bytes, count);
    return ~crc;
}

ssize_t millrace_pread_nowait(int descriptor, void *bytes, size_t count, off_t position) {
    struct iovec range = {.iov_base = bytes, .iov_len = count};
    return preadv2(descriptor, &range, 1, position, RWF_NOWAIT);
}

void millrace_name_thread(const char *name) {
    char shortened[16] = {0};
    strncpy(shortened, name, sizeof shortened - 1);
    pthread_setname_np(pthread_self(), shortened);
}

int millrace_core_count(void) {
    cpu_set_t allowed;
    // Refused where the machine has more than 1,024.
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return (int)sysconf(_SC_NPROCESSORS_ONLN);
    return CPU_COUNT(&allowed);
}

// Linux's struct sched_attr, SCHED_ATTR_SIZE_VER0; this system's C library does not have it.
struct sched_attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

int millrace_set_turns(uint64_t nanoseconds) {
    struct sched_attributes attributes;
    if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) != 0) return -1;
    // Another scheduler was chosen for it, where the value means something else.
    if (attributes.policy != SCHED_OTHER) return -1;
    attributes.runtime = nanoseconds;
    return (int)syscall(SYS_sched_setattr, 0, &attributes, 0);
}

void millrace_set_up_malloc(int arenas, int kept) {
    mallopt(M_ARENA_MAX, arenas);
    mallopt(M_TRIM_THRESHOLD, kept);
    mallopt(M_MMAP_THRESHOLD, kept / 2);
}

int millrace_accept(int listener, uint8_t address[16]) {
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    int descriptor =
        accept4(listener, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    memset(address, 0, 16);
    if (descriptor >= 0 && peer.ss_family == AF_INET6) {
        memcpy(address, &((struct sockaddr_in6 *)&peer)->sin6_addr, 16);
    } else if (descriptor >= 0 && peer.ss_family == AF_INET) {
        address[10] = address[11] = 0xff;
        memcpy(address + 12, &((struct sockaddr_in *)&peer)->sin_addr, 4);
    }
    return descriptor;
}
