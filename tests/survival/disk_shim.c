/* A disk that fails when told: preloaded, it stands between a process and the calls that write.

   Of the calls on files of one folder it counts, records and lets fail those that it was told to;
   all others pass. A record is a line "W <offset> <length> <path>", "T <length> <path>",
   "S <path>", "U <path>" or "A <text>", where the bytes of a write follow theirs. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { WRITES, READS, SYNCS, KINDS };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char folder[PATH_MAX];
static char flag[PATH_MAX + 8];
static int record_fd = -1;
static int planned = -1;
static char action;
static long nth;
static long seen[KINDS];

/* What the tests call: fail the nth call of a kind, or each while the file "faulty" is there. */
void disk_plan(const char *of_folder, const char *record, int kind, long at, char what)
{
    snprintf(folder, sizeof folder, "%s/", of_folder);
    snprintf(flag, sizeof flag, "%sfaulty", folder);
    if (*record)
        record_fd = open(record, O_WRONLY | O_CREAT | O_APPEND, 0644);
    planned = kind;
    nth = at;
    action = what;
}

static void put(const void *data, size_t size)
{
    syscall(SYS_write, record_fd, data, size);
}

void disk_note(const char *text)
{
    char line[PATH_MAX];
    int size = snprintf(line, sizeof line, "A %s\n", text);
    if (record_fd >= 0)
        put(line, size);
}

static int ours(int fd, char *path)
{
    char link[64];
    if (!*folder)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, PATH_MAX - 1);
    if (size <= 0)
        return 0;
    path[size] = 0;
    return !strncmp(path, folder, strlen(folder));
}

/* What is to be done instead of this call; 0: nothing. */
static char fault(int kind)
{
    long now = ++seen[kind];
    if (kind != planned || (nth ? now != nth : access(flag, F_OK)))
        return 0;
    if (action == 'K')
        syscall(SYS_kill, getpid(), SIGKILL);
    return action;
}

static int failed(char what)
{
    errno = what == 'F' ? ENOSPC : EIO;
    return -1;
}

static ssize_t written(int fd, const void *data, size_t size, off64_t offset)
{
    char path[PATH_MAX], line[PATH_MAX + 64];
    if (!ours(fd, path))
        return syscall(SYS_pwrite64, fd, data, size, offset);
    pthread_mutex_lock(&lock);
    char what = fault(WRITES);
    ssize_t done;
    if (what && what != 'H')
        done = failed(what);
    else {
        done = syscall(SYS_pwrite64, fd, data, what == 'H' && size > 1 ? size / 2 : size, offset);
        if (record_fd >= 0 && done > 0) {
            put(line, sprintf(line, "W %lld %zd %s\n", (long long)offset, done, path));
            put(data, done);
        }
    }
    pthread_mutex_unlock(&lock);
    return done;
}

static int synced(int fd, long call)
{
    char path[PATH_MAX], line[PATH_MAX + 64];
    if (!ours(fd, path))
        return syscall(call, fd);
    pthread_mutex_lock(&lock);
    char what = fault(SYNCS);
    int done = what ? failed(what) : (int)syscall(call, fd);
    if (record_fd >= 0 && !done)
        put(line, sprintf(line, "S %s\n", path));
    pthread_mutex_unlock(&lock);
    return done;
}

static int cut(int fd, off64_t length)
{
    char path[PATH_MAX], line[PATH_MAX + 64];
    int is_ours = ours(fd, path);
    int done = syscall(SYS_ftruncate, fd, length);
    if (is_ours && record_fd >= 0 && !done)
        put(line, sprintf(line, "T %lld %s\n", (long long)length, path));
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    return written(fd, data, size, offset);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
    return written(fd, data, size, offset);
}
int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }
int ftruncate(int fd, off_t length) { return cut(fd, length); }
int ftruncate64(int fd, off64_t length) { return cut(fd, length); }

static ssize_t got(int fd, void *data, size_t size, off64_t offset)
{
    char path[PATH_MAX];
    char what = ours(fd, path) ? fault(READS) : 0;
    return what ? failed(what) : syscall(SYS_pread64, fd, data, size, offset);
}

ssize_t pread(int fd, void *data, size_t size, off_t offset)
{
    return got(fd, data, size, offset);
}
ssize_t pread64(int fd, void *data, size_t size, off64_t offset)
{
    return got(fd, data, size, offset);
}

int unlink(const char *path)
{
    char line[PATH_MAX + 64];
    int done = syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    if (*folder && record_fd >= 0 && !done && !strncmp(path, folder, strlen(folder)))
        put(line, snprintf(line, sizeof line, "U %s\n", path));
    return done;
}
