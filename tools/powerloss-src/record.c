// LD_PRELOAD: writes down what a process does to the files under $POWERLOSS_DIR, so that tools/lib/powerloss.py can build
// the directory as a power cut at any moment would have left it. The process itself runs on the real files, unchanged.
//
// $POWERLOSS_LOG gets one entry per operation: the header below, then `length` bytes of payload. Operations on names and
// writes are made and logged under one lock, so the log has their true order. A sync is logged when it begins and when it
// has ended: it covers what was logged before it began, once it has ended.
//
// $POWERLOSS_FAULT, if set, names a file that says what fails from then on, as long as it is there: `sync WORD` makes syncs of
// files and directories with WORD in their path fail with EIO; `room BYTES` makes a disk of that size of the directory, so
// that writes which would need more fail with ENOSPC.
//
// Shared-memory files (-shm) are not followed: no power cut leaves anything of them that SQLite would trust.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum operation { op_create = 1, op_write, op_truncate, op_sync_begin, op_sync_end, op_rename, op_unlink, op_unsupported };

struct __attribute__((packed)) entry {
  uint64_t nanoseconds;   // CLOCK_MONOTONIC
  uint32_t operation;
  uint32_t length;        // of the payload
  uint64_t inode;
  uint64_t a, b;          // create: parent, is a directory. write: offset. truncate: length. sync: ticket; end: 1 if it succeeded.
};                        // rename: old and new parent. unlink: parent. Payload: bytes written, or names (two with a NUL between).

enum { descriptors_max = 1 << 16 };
// inode 0: not one of ours. Shared memory is not followed, but takes room.
static struct { uint64_t inode; bool synchronous, takes_room; } followed[descriptors_max];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static size_t root_length;
static int log_descriptor = -1;
static const char *fault_path;
static uint64_t tickets;

__attribute__((constructor)) static void begin(void) {
  const char *directory = getenv("POWERLOSS_DIR"), *path = getenv("POWERLOSS_LOG");
  if (!directory || !path || !realpath(directory, root)) return;
  root_length = strlen(root);
  fault_path = getenv("POWERLOSS_FAULT");
  int descriptor = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  log_descriptor = fcntl(descriptor, F_DUPFD_CLOEXEC, 1000);   // out of the way of the process's own
  syscall(SYS_close, descriptor);
}

static void die(const char *why) {
  dprintf(2, "powerloss recorder: %s\n", why);
  _exit(99);
}

static void note(enum operation operation, uint64_t inode, uint64_t a, uint64_t b, const void *payload, size_t length) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  struct entry entry = {(uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec, operation, (uint32_t)length, inode, a, b};
  struct iovec parts[2] = {{&entry, sizeof entry}, {(void *)payload, length}};
  if (syscall(SYS_writev, log_descriptor, parts, length ? 2 : 1) != (long)(sizeof entry + length)) die("cannot write the log");
}

static bool active(void) { return log_descriptor >= 0; }

// Whether the file of faults begins with `word`; then what follows it, in `rest`.
static bool fault(const char *word, char rest[NAME_MAX]) {
  if (!fault_path) return false;
  char text[NAME_MAX] = "";
  int descriptor = (int)syscall(SYS_openat, AT_FDCWD, fault_path, O_RDONLY | O_CLOEXEC, 0);
  if (descriptor < 0) return false;
  ssize_t count = syscall(SYS_read, descriptor, text, sizeof text - 1);
  syscall(SYS_close, descriptor);
  size_t length = strlen(word);
  if (count <= 0 || strncmp(text, word, length)) return false;
  strcpy(rest, text + length);
  return true;
}

static bool sync_fails(int descriptor) {
  char word[NAME_MAX], link[64], path[PATH_MAX] = "";
  if (!fault("sync ", word)) return false;
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  return readlink(link, path, sizeof path - 1) > 0 && strstr(path, word);
}

static pthread_mutex_t room_lock = PTHREAD_MUTEX_INITIALIZER;
static int64_t bytes_used;

static int add_bytes(const char *path, const struct stat *status, int kind, struct FTW *place) {
  (void)path, (void)place;
  if (kind == FTW_F) bytes_used += status->st_blocks * 512;
  return 0;
}

// Bytes left of the disk that the directory is made to be; as many as anybody could want, without that fault.
static int64_t room_left(void) {
  char size[NAME_MAX];
  if (!fault("room ", size)) return INT64_MAX;
  pthread_mutex_lock(&room_lock);
  bytes_used = 0;
  nftw(root, add_bytes, 16, FTW_PHYS);
  int64_t left = atoll(size) - bytes_used;
  pthread_mutex_unlock(&room_lock);
  return left > 0 ? left : 0;
}

static bool takes_room(int descriptor) {
  return fault_path && descriptor >= 0 && descriptor < descriptors_max && followed[descriptor].takes_room;
}

// Whether a file may grow to `end`.
static bool has_room(int descriptor, int64_t end) {
  struct stat status;
  if (!takes_room(descriptor) || fstat(descriptor, &status) || end <= status.st_size) return true;
  return ((end + 4095) & ~4095) - ((status.st_size + 4095) & ~4095) <= room_left();
}

static bool is_below_root(const char *path) {
  return !strncmp(path, root, root_length) && (path[root_length] == '/' || !path[root_length]);
}

static bool is_shared_memory(const char *path) {
  size_t length = strlen(path);
  return length > 4 && !strcmp(path + length - 4, "-shm");
}

static uint64_t inode_of(const char *path) {
  struct stat status;
  return lstat(path, &status) ? 0 : status.st_ino;
}

// Splits a path, relative to a directory descriptor, into its directory's real path and a name; false if it is not below the root.
static bool locate(int directory, const char *path, char parent[PATH_MAX], char name[NAME_MAX + 1]) {
  char whole[2 * PATH_MAX];
  if (path[0] == '/') {
    snprintf(whole, sizeof whole, "%s", path);
  } else {
    char link[64], base[PATH_MAX] = "";
    snprintf(link, sizeof link, directory == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", directory);
    if (readlink(link, base, sizeof base - 1) < 0) return false;
    snprintf(whole, sizeof whole, "%s/%s", base, path);
  }
  size_t length = strlen(whole);
  while (length > 1 && whole[length - 1] == '/') whole[--length] = 0;
  char *slash = strrchr(whole, '/');
  if (strlen(slash + 1) > NAME_MAX) return false;
  strcpy(name, slash + 1);
  *slash = 0;
  if (!realpath(slash == whole ? "/" : whole, parent)) return false;
  return is_below_root(parent) && !is_shared_memory(name);
}

// A descriptor was opened: follow it if it is below the root. Called under the lock.
static void follow(int descriptor, int flags, bool is_new) {
  if (descriptor >= descriptors_max) return;
  followed[descriptor].inode = 0;
  followed[descriptor].takes_room = false;
  char link[64], path[PATH_MAX] = "";
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  struct stat status;
  if (readlink(link, path, sizeof path - 1) < 0 || !is_below_root(path)) return;
  if (fstat(descriptor, &status) || !(S_ISREG(status.st_mode) || S_ISDIR(status.st_mode))) return;
  followed[descriptor].takes_room = S_ISREG(status.st_mode);
  if (is_shared_memory(path)) return;
  followed[descriptor].inode = status.st_ino;
  followed[descriptor].synchronous = flags & (O_SYNC | O_DSYNC);
  if (is_new) {
    char *slash = strrchr(path, '/');
    *slash = 0;
    note(op_create, status.st_ino, inode_of(path), 0, slash + 1, strlen(slash + 1));
  } else if (flags & O_TRUNC) {
    note(op_truncate, status.st_ino, 0, 0, NULL, 0);
  }
}

static int open_and_follow(int directory, const char *path, int flags, mode_t mode) {
  if (!active()) return (int)syscall(SYS_openat, directory, path, flags, mode);
  pthread_mutex_lock(&lock);
  struct stat status;
  bool is_new = (flags & O_CREAT) && fstatat(directory, path, &status, 0) && errno == ENOENT;
  int descriptor = (int)syscall(SYS_openat, directory, path, flags, mode);
  int error = errno;
  if (descriptor >= 0) follow(descriptor, flags, is_new);
  pthread_mutex_unlock(&lock);
  errno = error;
  return descriptor;
}

static mode_t mode_argument(int flags, va_list arguments) { return flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0; }

#define OPEN(name) \
  int name(const char *path, int flags, ...) { \
    va_list arguments; \
    va_start(arguments, flags); \
    mode_t mode = mode_argument(flags, arguments); \
    va_end(arguments); \
    return open_and_follow(AT_FDCWD, path, flags, mode); \
  }
#define OPENAT(name) \
  int name(int directory, const char *path, int flags, ...) { \
    va_list arguments; \
    va_start(arguments, flags); \
    mode_t mode = mode_argument(flags, arguments); \
    va_end(arguments); \
    return open_and_follow(directory, path, flags, mode); \
  }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
int __open_2(const char *path, int flags) { return open_and_follow(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return open_and_follow(AT_FDCWD, path, flags, 0); }
int creat(const char *path, mode_t mode) { return open_and_follow(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

int close(int descriptor) {
  if (descriptor >= 0 && descriptor < descriptors_max) followed[descriptor].inode = 0, followed[descriptor].takes_room = false;
  return (int)syscall(SYS_close, descriptor);
}

// ---- contents

static uint64_t inode_followed(int descriptor) {
  return active() && descriptor >= 0 && descriptor < descriptors_max ? followed[descriptor].inode : 0;
}

static void note_synced(uint64_t inode) {
  note(op_sync_begin, inode, ++tickets, 0, NULL, 0);
  note(op_sync_end, inode, tickets, 1, NULL, 0);
}

// Writes at `offset`, or where the descriptor stands if that is negative.
static ssize_t write_and_note(int descriptor, const struct iovec *parts, int count, off_t offset) {
  uint64_t inode = inode_followed(descriptor);
  if (takes_room(descriptor)) {
    int64_t end = offset < 0 ? lseek(descriptor, 0, SEEK_CUR) : offset;
    for (int i = 0; i < count; i++) end += (int64_t)parts[i].iov_len;
    if (!has_room(descriptor, end)) return errno = ENOSPC, -1;
  }
  if (!inode)
    return offset < 0 ? syscall(SYS_writev, descriptor, parts, count)
                      : syscall(SYS_pwritev, descriptor, parts, count, (long)offset, 0L);
  pthread_mutex_lock(&lock);
  ssize_t written = offset < 0 ? syscall(SYS_writev, descriptor, parts, count)
                               : syscall(SYS_pwritev, descriptor, parts, count, (long)offset, 0L);
  int error = errno;
  if (written > 0) {
    uint64_t at = (uint64_t)(offset < 0 ? lseek(descriptor, 0, SEEK_CUR) - written : offset);
    size_t left = (size_t)written;
    for (int i = 0; i < count && left; i++) {
      size_t length = parts[i].iov_len < left ? parts[i].iov_len : left;
      if (length) note(op_write, inode, at, 0, parts[i].iov_base, length);
      at += length, left -= length;
    }
    if (followed[descriptor].synchronous) note_synced(inode);
  }
  pthread_mutex_unlock(&lock);
  errno = error;
  return written;
}

ssize_t write(int descriptor, const void *bytes, size_t count) {
  if (!takes_room(descriptor) && !inode_followed(descriptor)) return syscall(SYS_write, descriptor, bytes, count);
  return write_and_note(descriptor, &(struct iovec){(void *)bytes, count}, 1, -1);
}
ssize_t pwrite64(int descriptor, const void *bytes, size_t count, off_t offset) {
  if (!inode_followed(descriptor)) return syscall(SYS_pwrite64, descriptor, bytes, count, offset);
  return write_and_note(descriptor, &(struct iovec){(void *)bytes, count}, 1, offset);
}
ssize_t pwrite(int descriptor, const void *bytes, size_t count, off_t offset) { return pwrite64(descriptor, bytes, count, offset); }
ssize_t writev(int descriptor, const struct iovec *parts, int count) { return write_and_note(descriptor, parts, count, -1); }
ssize_t pwritev64(int descriptor, const struct iovec *parts, int count, off_t offset) {
  return write_and_note(descriptor, parts, count, offset);
}
ssize_t pwritev(int descriptor, const struct iovec *parts, int count, off_t offset) {
  return write_and_note(descriptor, parts, count, offset);
}

int ftruncate64(int descriptor, off_t length) {
  uint64_t inode = inode_followed(descriptor);
  if (!inode) return (int)syscall(SYS_ftruncate, descriptor, length);
  pthread_mutex_lock(&lock);
  int result = (int)syscall(SYS_ftruncate, descriptor, length);
  int error = errno;
  if (!result) note(op_truncate, inode, (uint64_t)length, 0, NULL, 0);
  pthread_mutex_unlock(&lock);
  errno = error;
  return result;
}
int ftruncate(int descriptor, off_t length) { return ftruncate64(descriptor, length); }

int truncate64(const char *path, off_t length) {
  int descriptor = open(path, O_WRONLY | O_CLOEXEC);
  if (descriptor < 0) return -1;
  int result = ftruncate64(descriptor, length), error = errno;
  close(descriptor);
  errno = error;
  return result;
}
int truncate(const char *path, off_t length) { return truncate64(path, length); }

int fallocate64(int descriptor, int mode, off_t offset, off_t count) {
  uint64_t inode = inode_followed(descriptor);
  if (!inode) return (int)syscall(SYS_fallocate, descriptor, mode, offset, count);
  if (!has_room(descriptor, offset + count)) return errno = ENOSPC, -1;
  pthread_mutex_lock(&lock);
  struct stat status;
  int result = (int)syscall(SYS_fallocate, descriptor, mode, offset, count), error = errno;
  if (!result && mode & ~FALLOC_FL_KEEP_SIZE) note(op_unsupported, inode, 0, 0, "fallocate mode", 14);
  else if (!result && !fstat(descriptor, &status)) note(op_truncate, inode, (uint64_t)status.st_size, 0, NULL, 0);
  pthread_mutex_unlock(&lock);
  errno = error;
  return result;
}
int fallocate(int descriptor, int mode, off_t offset, off_t count) { return fallocate64(descriptor, mode, offset, count); }
int posix_fallocate64(int descriptor, off_t offset, off_t count) { return fallocate64(descriptor, 0, offset, count) ? errno : 0; }
int posix_fallocate(int descriptor, off_t offset, off_t count) { return posix_fallocate64(descriptor, offset, count); }

int statvfs64(const char *path, struct statvfs64 *disk) {
  static int (*real)(const char *, struct statvfs64 *);
  if (!real) real = (int (*)(const char *, struct statvfs64 *))dlsym(RTLD_NEXT, "statvfs64");
  int result = real(path, disk);
  int64_t left = active() ? room_left() : INT64_MAX;
  if (!result && left < INT64_MAX) disk->f_bavail = disk->f_bfree = (fsblkcnt64_t)left / disk->f_frsize;
  return result;
}
int statvfs(const char *path, struct statvfs *disk) { return statvfs64(path, (struct statvfs64 *)disk); }

static int sync_and_note(int descriptor, long call) {
  uint64_t inode = inode_followed(descriptor);
  if (!inode) return (int)syscall(call, descriptor);
  pthread_mutex_lock(&lock);
  uint64_t ticket = ++tickets;
  note(op_sync_begin, inode, ticket, 0, NULL, 0);
  pthread_mutex_unlock(&lock);
  int result = sync_fails(descriptor) ? (errno = EIO, -1) : (int)syscall(call, descriptor), error = errno;
  pthread_mutex_lock(&lock);
  note(op_sync_end, inode, ticket, !result, NULL, 0);
  pthread_mutex_unlock(&lock);
  errno = error;
  return result;
}
int fsync(int descriptor) { return sync_and_note(descriptor, SYS_fsync); }
int fdatasync(int descriptor) { return sync_and_note(descriptor, SYS_fdatasync); }

// ---- names

int renameat2(int old_directory, const char *old_path, int new_directory, const char *new_path, unsigned flags) {
  char old_parent[PATH_MAX], new_parent[PATH_MAX], old_name[NAME_MAX + 1], new_name[NAME_MAX + 1];
  if (!active() || !locate(old_directory, old_path, old_parent, old_name) || !locate(new_directory, new_path, new_parent, new_name))
    return (int)syscall(SYS_renameat2, old_directory, old_path, new_directory, new_path, flags);
  pthread_mutex_lock(&lock);
  struct stat status = {0};
  fstatat(old_directory, old_path, &status, AT_SYMLINK_NOFOLLOW);
  int result = (int)syscall(SYS_renameat2, old_directory, old_path, new_directory, new_path, flags), error = errno;
  if (!result) {
    char names[2 * PATH_MAX];
    int length = snprintf(names, sizeof names, "%s%c%s", old_name, 0, new_name);
    note(op_rename, status.st_ino, inode_of(old_parent), inode_of(new_parent), names, (size_t)length);
  }
  pthread_mutex_unlock(&lock);
  errno = error;
  return result;
}
int renameat(int old_directory, const char *old_path, int new_directory, const char *new_path) {
  return renameat2(old_directory, old_path, new_directory, new_path, 0);
}
int rename(const char *old_path, const char *new_path) { return renameat2(AT_FDCWD, old_path, AT_FDCWD, new_path, 0); }

int unlinkat(int directory, const char *path, int flags) {
  char parent[PATH_MAX], name[NAME_MAX + 1];
  if (!active() || !locate(directory, path, parent, name)) return (int)syscall(SYS_unlinkat, directory, path, flags);
  pthread_mutex_lock(&lock);
  struct stat status = {0};
  fstatat(directory, path, &status, AT_SYMLINK_NOFOLLOW);
  int result = (int)syscall(SYS_unlinkat, directory, path, flags), error = errno;
  if (!result) note(op_unlink, status.st_ino, inode_of(parent), 0, name, strlen(name));
  pthread_mutex_unlock(&lock);
  errno = error;
  return result;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char *path) {
  struct stat status;
  return lstat(path, &status) ? -1 : unlinkat(AT_FDCWD, path, S_ISDIR(status.st_mode) ? AT_REMOVEDIR : 0);
}

int mkdirat(int directory, const char *path, mode_t mode) {
  char parent[PATH_MAX], name[NAME_MAX + 1];
  if (!active() || !locate(directory, path, parent, name)) return (int)syscall(SYS_mkdirat, directory, path, mode);
  pthread_mutex_lock(&lock);
  int result = (int)syscall(SYS_mkdirat, directory, path, mode), error = errno;
  struct stat status;
  if (!result && !fstatat(directory, path, &status, 0)) note(op_create, status.st_ino, inode_of(parent), 1, name, strlen(name));
  pthread_mutex_unlock(&lock);
  errno = error;
  return result;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

// ---- what would go unnoticed is reported, and makes the test fail

static void unsupported(int descriptor, const char *what) {
  uint64_t inode = inode_followed(descriptor);
  if (!inode) return;
  pthread_mutex_lock(&lock);
  note(op_unsupported, inode, 0, 0, what, strlen(what));
  pthread_mutex_unlock(&lock);
}

void *mmap64(void *address, size_t length, int protection, int flags, int descriptor, off_t offset) {
  if ((flags & MAP_SHARED) && (protection & PROT_WRITE)) unsupported(descriptor, "mmap");
  return (void *)syscall(SYS_mmap, address, length, protection, flags, descriptor, offset);
}
void *mmap(void *address, size_t length, int protection, int flags, int descriptor, off_t offset) {
  return mmap64(address, length, protection, flags, descriptor, offset);
}

int linkat(int old_directory, const char *old_path, int new_directory, const char *new_path, int flags) {
  char parent[PATH_MAX], name[NAME_MAX + 1];
  if (active() && locate(new_directory, new_path, parent, name)) die("link is not followed");
  return (int)syscall(SYS_linkat, old_directory, old_path, new_directory, new_path, flags);
}
int link(const char *old_path, const char *new_path) { return linkat(AT_FDCWD, old_path, AT_FDCWD, new_path, 0); }

ssize_t copy_file_range(int from, off64_t *from_offset, int to, off64_t *to_offset, size_t count, unsigned flags) {
  unsupported(to, "copy_file_range");
  return syscall(SYS_copy_file_range, from, from_offset, to, to_offset, count, flags);
}
