/* Fails the disk under a SQLite database, for the store's tests. Preloaded; while a file named by SHIM_EIO exists, a sync of
 * the database's files fails with EIO, as after lost writes; while one named by SHIM_ENOSPC exists, every write to them does
 * with ENOSPC. The reads go on. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int armed(const char *variable) {
    const char *path = getenv(variable);
    return path && access(path, F_OK) == 0;
}

static int of_database(int fd) {
    char link[64], target[PATH_MAX + 1];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, target, PATH_MAX);
    if (length < 0) return 0;
    target[length] = 0;
    return strstr(target, "sampan.db") != NULL;
}

static int fails(const char *variable, int fd, int error) {
    int before = errno;
    if (armed(variable) && of_database(fd)) {
        errno = error;
        return 1;
    }
    errno = before;
    return 0;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int fsync(int fd) {
    return fails("SHIM_EIO", fd, EIO) ? -1 : REAL(fsync)(fd);
}
int fdatasync(int fd) {
    return fails("SHIM_EIO", fd, EIO) ? -1 : REAL(fdatasync)(fd);
}
ssize_t write(int fd, const void *bytes, size_t length) {
    return fails("SHIM_ENOSPC", fd, ENOSPC) ? -1 : REAL(write)(fd, bytes, length);
}
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) {
    return fails("SHIM_ENOSPC", fd, ENOSPC) ? -1 : REAL(pwrite)(fd, bytes, length, at);
}
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) {
    return fails("SHIM_ENOSPC", fd, ENOSPC) ? -1 : REAL(pwrite64)(fd, bytes, length, at);
}
