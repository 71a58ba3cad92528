/*
 * The disk as a broker sees it: loaded into redis-server and into Kafka's JVM by LD_PRELOAD (src/fault/disk).
 *
 * It serves three faults of the harness:
 *   power-loss  notes how long a file was when it was synced, so that the harness can cut away what was not;
 *   disk-slow   waits before every sync;
 *   disk-full   refuses writes once the room is used up.
 *
 * Invariant: with no fault switched on, every call does what it did before, with two loads more per write and one record
 * more per sync. A record stands in the ledger only for a sync that succeeded, with the length from before it began:
 * nothing counts as synced that was written while it ran.
 *
 * It must not allocate, lock or print, nor change errno where the call succeeds: it runs in signal handlers, in forked
 * children and before main. It is linked to no C library and takes the one of the process that it is loaded into.
 * Not seen: stdio's own flushes (hence fwrite), mmap and msync, sync_file_range (no promise), io_uring, sync and syncfs.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* The control page, as src/fault/disk/control.rs lays it out. The harness writes the first half, we the second. */
enum { MAGIC, GENERATION, SYNC_DELAY_US, FULL, ROOM, LOADS = 16, SEEN, SYNCS, DELAYED, REFUSED, WORDS = 32 };
static const uint64_t OURS = 0x4449534b53484d31; /* DISKSHM1 */

/* A record of the ledger, as src/fault/disk/ledger.rs reads it. */
enum { LOADED = 1, SYNCED = 2, CUT = 3 };
struct record {
    uint64_t kind, at_ns, inode, born_ns, length, process;
};

static uint64_t idle[WORDS]; /* until there is a page, and where there is none */
static uint64_t *page = idle;
static int ledger = -1;
static char data[PATH_MAX]; /* the broker's data folder: slow and full is what lies below */
static size_t data_length;

#define GET(word) __atomic_load_n(&page[word], __ATOMIC_ACQUIRE)
#define COUNT(word) __atomic_add_fetch(&page[word], 1, __ATOMIC_RELAXED)
/* The C library's own function of that name. */
#define NEXT(name)                                                                                                     \
    static __typeof__(&name) next;                                                                                     \
    if (!next) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Inode and birth name a file for good: an inode alone is soon given to the next one. */
static int is_file(int fd, struct record *file) {
    struct statx found;
    int before = errno;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_INO | STATX_SIZE | STATX_BTIME, &found) != 0) {
        errno = before;
        return 0;
    }
    if (!S_ISREG(found.stx_mode)) return 0;
    file->inode = found.stx_ino;
    file->length = found.stx_size;
    file->born_ns = 0;
    if (found.stx_mask & STATX_BTIME)
        file->born_ns = (uint64_t)found.stx_btime.tv_sec * 1000000000 + found.stx_btime.tv_nsec;
    return 1;
}

/* One write to a file opened with O_APPEND: threads and processes do not mix their records. */
static void note(uint64_t kind, struct record *file) {
    NEXT(write);
    int before = errno;
    file->kind = kind;
    file->at_ns = now_ns();
    file->process = (uint64_t)getpid();
    if (ledger >= 0 && next(ledger, file, sizeof *file) < 0) { /* an entry less: more counts as lost, never less */
    }
    errno = before;
}

/* Tells the harness that its last change has arrived. */
static void echo(void) { __atomic_store_n(&page[SEEN], GET(GENERATION), __ATOMIC_RELEASE); }

static void delay(void) {
    uint64_t us = GET(SYNC_DELAY_US);
    int before = errno;
    struct timespec left = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};
    COUNT(DELAYED);
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
    errno = before;
}

static int in_data(int fd) {
    char link[40], path[PATH_MAX];
    struct record file;
    if (!data_length || !is_file(fd, &file)) return 0;
    int before = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path);
    errno = before;
    return length > (ssize_t)data_length && memcmp(path, data, data_length) == 0 && path[data_length] == '/';
}

/* How many of the bytes may be written now; 0 with errno where the disk is full. */
static size_t admit(int fd, size_t wanted, int all_or_none) {
    if (!GET(FULL) || !wanted || !in_data(fd)) return wanted;
    echo();
    uint64_t room = GET(ROOM), taken;
    do {
        taken = wanted <= room ? wanted : all_or_none ? 0 : room;
        if (!taken) {
            COUNT(REFUSED);
            errno = ENOSPC;
            return 0;
        }
    } while (!__atomic_compare_exchange_n(&page[ROOM], &room, room - taken, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    return taken;
}

static size_t total(const struct iovec *parts, int count) {
    size_t bytes = 0;
    for (int i = 0; i < count; i++) bytes += parts[i].iov_len;
    return bytes;
}

static int sync_with(int (*next)(int), int fd) {
    struct record file;
    int known = is_file(fd, &file);
    echo();
    if (GET(SYNC_DELAY_US) && in_data(fd)) delay();
    int result = next(fd);
    if (result == 0 && known) {
        COUNT(SYNCS);
        note(SYNCED, &file);
    }
    return result;
}

static int cut_with(int (*next)(int, off_t), int fd, off_t length) {
    struct record file;
    int result = next(fd, length);
    if (result == 0 && is_file(fd, &file)) note(CUT, &file);
    return result;
}

int fsync(int fd) {
    NEXT(fsync);
    return sync_with(next, fd);
}

int fdatasync(int fd) {
    NEXT(fdatasync);
    return sync_with(next, fd);
}

int ftruncate(int fd, off_t length) {
    NEXT(ftruncate);
    return cut_with(next, fd, length);
}

int ftruncate64(int fd, off64_t length) {
    NEXT(ftruncate64);
    return cut_with(next, fd, length);
}

ssize_t write(int fd, const void *from, size_t bytes) {
    NEXT(write);
    size_t may = admit(fd, bytes, 0);
    return bytes && !may ? -1 : next(fd, from, may);
}

ssize_t pwrite(int fd, const void *from, size_t bytes, off_t at) {
    NEXT(pwrite);
    size_t may = admit(fd, bytes, 0);
    return bytes && !may ? -1 : next(fd, from, may, at);
}

ssize_t pwrite64(int fd, const void *from, size_t bytes, off64_t at) {
    NEXT(pwrite64);
    size_t may = admit(fd, bytes, 0);
    return bytes && !may ? -1 : next(fd, from, may, at);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    NEXT(writev);
    size_t bytes = total(parts, count);
    return bytes && !admit(fd, bytes, 1) ? -1 : next(fd, parts, count);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
    NEXT(pwritev);
    size_t bytes = total(parts, count);
    return bytes && !admit(fd, bytes, 1) ? -1 : next(fd, parts, count, at);
}

/* What Redis writes its snapshots with. */
size_t fwrite(const void *from, size_t size, size_t count, FILE *to) {
    NEXT(fwrite);
    size_t bytes = size * count;
    return bytes && !admit(fileno(to), bytes, 1) ? 0 : next(from, size, count, to);
}

__attribute__((constructor)) static void load(void) {
    const char *ledger_path = getenv("BROKERBENCH_DISK_LEDGER"), *page_path = getenv("BROKERBENCH_DISK_CONTROL");
    const char *data_path = getenv("BROKERBENCH_DISK_DATA");
    if (!ledger_path || !page_path || !data_path || strlen(data_path) >= sizeof data) return;
    int fd = open(page_path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    uint64_t *mapped = mmap(NULL, sizeof idle, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped == MAP_FAILED || mapped[MAGIC] != OURS) return;
    ledger = open(ledger_path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (ledger < 0) return;
    data_length = strlen(data_path);
    memcpy(data, data_path, data_length + 1);
    page = mapped;
    COUNT(LOADS);
    struct record loaded = {0};
    note(LOADED, &loaded);
}
