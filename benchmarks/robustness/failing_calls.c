/* Make one of a program's calls that write to a disk fail; loaded before the C library (LD_PRELOAD).

   FAILING_CALLS_STATE names a file of four 64-bit numbers, which all processes share: the calls so far, the
   call that fails, its errno, and whether all later writes fail as well, as on a disk that stays full.
   Only calls on files below FAILING_CALLS_FOLDER count. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static volatile long *state;
static const char *folder;

static void *next(const char *name) { return dlsym(RTLD_NEXT, name); }

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("FAILING_CALLS_STATE");
    folder = getenv("FAILING_CALLS_FOLDER");
    int (*real)(const char *, int, ...) = next("open");
    int file = path ? real(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *shared = mmap(NULL, 32, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (shared != MAP_FAILED)
        state = shared;
    close(file);
}

/* Count a call; return whether it is to fail. */
static int fails(int is_write)
{
    long number = __sync_add_and_fetch(&state[0], 1);
    if (number == state[1] || (is_write && state[3] && state[1] && number > state[1])) {
        errno = (int)state[2];
        return 1;
    }
    return 0;
}

static int below(const char *path)
{
    return state && folder && strncmp(path, folder, strlen(folder)) == 0;
}

static int file_below(int file)
{
    char link[64], path[4096];
    if (!state || !folder)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return below(path);
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) \
        real = next(#name)

ssize_t write(int file, const void *data, size_t size)
{
    REAL(ssize_t, write, int, const void *, size_t);
    return file_below(file) && fails(1) ? -1 : real(file, data, size);
}

ssize_t pwrite(int file, const void *data, size_t size, off_t at)
{
    REAL(ssize_t, pwrite, int, const void *, size_t, off_t);
    return file_below(file) && fails(1) ? -1 : real(file, data, size, at);
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t at)
{
    REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t);
    return file_below(file) && fails(1) ? -1 : real(file, data, size, at);
}

ssize_t writev(int file, const struct iovec *parts, int count)
{
    REAL(ssize_t, writev, int, const struct iovec *, int);
    return file_below(file) && fails(1) ? -1 : real(file, parts, count);
}

ssize_t sendfile(int to, int from, off_t *at, size_t size)
{
    REAL(ssize_t, sendfile, int, int, off_t *, size_t);
    return file_below(to) && fails(1) ? -1 : real(to, from, at, size);
}

ssize_t copy_file_range(int from, off64_t *a, int to, off64_t *b, size_t size, unsigned int flags)
{
    REAL(ssize_t, copy_file_range, int, off64_t *, int, off64_t *, size_t, unsigned int);
    return file_below(to) && fails(1) ? -1 : real(from, a, to, b, size, flags);
}

int fsync(int file)
{
    REAL(int, fsync, int);
    return file_below(file) && fails(1) ? -1 : real(file);
}

int fdatasync(int file)
{
    REAL(int, fdatasync, int);
    return file_below(file) && fails(1) ? -1 : real(file);
}

int rename(const char *from, const char *to)
{
    REAL(int, rename, const char *, const char *);
    return below(to) && fails(0) ? -1 : real(from, to);
}

int mkdir(const char *path, mode_t mode)
{
    REAL(int, mkdir, const char *, mode_t);
    return below(path) && fails(0) ? -1 : real(path, mode);
}

static int mode_of(int flags, va_list rest) { return flags & O_CREAT ? va_arg(rest, int) : 0; }

int open(const char *path, int flags, ...)
{
    REAL(int, open, const char *, int, ...);
    va_list rest;
    va_start(rest, flags);
    int mode = mode_of(flags, rest);
    va_end(rest);
    return flags & O_CREAT && below(path) && fails(0) ? -1 : real(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    REAL(int, open64, const char *, int, ...);
    va_list rest;
    va_start(rest, flags);
    int mode = mode_of(flags, rest);
    va_end(rest);
    return flags & O_CREAT && below(path) && fails(0) ? -1 : real(path, flags, mode);
}
