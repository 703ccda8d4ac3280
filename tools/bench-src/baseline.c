// What the machine allows: the append loop in C over the same SQLite schema, and the same bytes into a raw file.
//   baseline sqlite|raw DIRECTORY SCHEMA.sql PARTITIONS BATCH_BYTES GROUP_BYTES TOTAL_BYTES PAGE_BYTES CHECKPOINT_BYTES
// A group is one transaction (one write) in each partition in turn, then one fdatasync each; batches of a group are spread
// evenly. As the node does it: own fdatasync of the WAL, PASSIVE checkpoint when it is full. Unlike it: WAL filled with zeros beforehand.
// Prints one line of JSON.
#define _GNU_SOURCE
#include <fcntl.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { partitions_max = 64, records_per_batch = 100 };

struct partition {
  sqlite3 *database;
  sqlite3_stmt *begin, *commit, *insert;
  int descriptor;          // of the WAL, or of the raw file
  int64_t next_offset, position;
  int wal_frames;
};

static int64_t page_bytes, checkpoint_bytes;
static struct partition partitions[partitions_max];

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void fail(const char *what, const char *why) {
  fprintf(stderr, "%s: %s\n", what, why);
  exit(1);
}

static void run(sqlite3 *database, const char *sql) {
  char *message = NULL;
  if (sqlite3_exec(database, sql, NULL, NULL, &message)) fail(sql, message);
}

static sqlite3_stmt *prepare(sqlite3 *database, const char *sql) {
  sqlite3_stmt *statement;
  if (sqlite3_prepare_v3(database, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL)) fail(sql, sqlite3_errmsg(database));
  return statement;
}

static void step(struct partition *p, sqlite3_stmt *statement) {
  if (sqlite3_step(statement) != SQLITE_DONE) fail("step", sqlite3_errmsg(p->database));
  sqlite3_reset(statement);
}

static int wal_grown(void *context, sqlite3 *database, const char *name, int frames) {
  (void)database, (void)name;
  ((struct partition *)context)->wal_frames = frames;
  return SQLITE_OK;
}

static char *read_file(const char *path) {
  FILE *file = fopen(path, "r");
  if (!file) fail(path, "cannot be opened");
  static char text[1 << 16];
  text[fread(text, 1, sizeof text - 1, file)] = 0;
  fclose(file);
  return text;
}

static void fill_with_zeros(int descriptor, int64_t from, int64_t to) {
  static const char zeros[1 << 16];
  while (from < to) {
    size_t count = to - from < (int64_t)sizeof zeros ? (size_t)(to - from) : sizeof zeros;
    if (pwrite(descriptor, zeros, count, from) != (ssize_t)count) fail("pwrite", "short");
    from += (int64_t)count;
  }
  fdatasync(descriptor);
}

static void open_sqlite(struct partition *p, const char *path, const char *schema) {
  if (sqlite3_open_v2(path, &p->database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL))
    fail(path, sqlite3_errmsg(p->database));
  char pragmas[256];
  snprintf(pragmas, sizeof pragmas,
           "PRAGMA page_size=%lld; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=NORMAL;"
           "PRAGMA cache_size=-4096; PRAGMA mmap_size=0", (long long)page_bytes);
  run(p->database, pragmas);
  run(p->database, schema);
  sqlite3_wal_hook(p->database, wal_grown, p);
  p->begin = prepare(p->database, "BEGIN IMMEDIATE");
  p->commit = prepare(p->database, "COMMIT");
  p->insert = prepare(p->database,
                      "INSERT INTO record_batch(base_offset, last_offset, running_max_timestamp, min_timestamp, max_timestamp,"
                      " leader_epoch, record_count, byte_count, data) VALUES(?,?,?,?,?,?,?,?,?)");
  char wal[4200];
  snprintf(wal, sizeof wal, "%s-wal", path);
  p->descriptor = open(wal, O_RDWR | O_CLOEXEC);
  if (p->descriptor < 0) fail(wal, "cannot be opened");
  fill_with_zeros(p->descriptor, lseek(p->descriptor, 0, SEEK_END), checkpoint_bytes + (8 << 20));
}

static void append_sqlite(struct partition *p, const char *batch, int64_t batch_bytes, int64_t count) {
  step(p, p->begin);
  for (int64_t i = 0; i < count; i++) {
    const int64_t values[] = {p->next_offset, p->next_offset + records_per_batch - 1, 1750000000000 + p->next_offset,
                              1750000000000 + p->next_offset, 1750000000000 + p->next_offset, 1, records_per_batch, batch_bytes};
    for (int column = 0; column < 8; column++) sqlite3_bind_int64(p->insert, column + 1, values[column]);
    sqlite3_bind_blob64(p->insert, 9, batch, (sqlite3_uint64)batch_bytes, SQLITE_STATIC);
    step(p, p->insert);
    p->next_offset += records_per_batch;
  }
  step(p, p->commit);
}

static void append_raw(struct partition *p, const char *batch, int64_t batch_bytes, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    if (pwrite(p->descriptor, batch, (size_t)batch_bytes, p->position) != batch_bytes) fail("pwrite", "short");
    p->position += batch_bytes;
  }
}

int main(int argument_count, char **argument) {
  if (argument_count != 10) fail("baseline", "see the head of baseline.c");
  bool is_sqlite = !strcmp(argument[1], "sqlite");
  int count = atoi(argument[4]);
  int64_t batch_bytes = atoll(argument[5]), group_bytes = atoll(argument[6]), total_bytes = atoll(argument[7]);
  page_bytes = atoll(argument[8]), checkpoint_bytes = atoll(argument[9]);
  if (count < 1 || count > partitions_max || batch_bytes < 1) fail("baseline", "a number is out of range");
  char *batch = malloc((size_t)batch_bytes);
  for (int64_t i = 0; i < batch_bytes; i++) batch[i] = (char)(i * 2654435761u >> 13);
  char *schema = is_sqlite ? read_file(argument[3]) : NULL;
  for (int i = 0; i < count; i++) {
    char path[4096];
    snprintf(path, sizeof path, "%s/baseline-%d", argument[2], i);
    if (is_sqlite) open_sqlite(&partitions[i], path, schema);
    else if ((partitions[i].descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600)) < 0) fail(path, "cannot be opened");
  }
  int64_t each = group_bytes / batch_bytes / count, written = 0, groups = 0, checkpoints = 0;
  if (each < 1) each = 1;
  double start = now(), longest_checkpoint = 0;
  while (written < total_bytes) {
    for (int i = 0; i < count; i++) (is_sqlite ? append_sqlite : append_raw)(&partitions[i], batch, batch_bytes, each);
    for (int i = 0; i < count; i++)
      if (fdatasync(partitions[i].descriptor)) fail("fdatasync", "failed");
    written += each * batch_bytes * count;
    groups++;
    for (int i = 0; is_sqlite && i < count; i++) {
      if (partitions[i].wal_frames * (page_bytes + 24) < checkpoint_bytes) continue;
      double began = now();
      sqlite3_wal_checkpoint_v2(partitions[i].database, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
      checkpoints++;
      if (now() - began > longest_checkpoint) longest_checkpoint = now() - began;
    }
  }
  double seconds = now() - start;
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  printf("{\"seconds\": %.3f, \"bytes\": %lld, \"bytes_per_second\": %.0f, \"groups\": %lld, \"checkpoints\": %lld, "
         "\"longest_checkpoint_ms\": %.2f, \"cpu_seconds\": %.2f}\n",
         seconds, (long long)written, (double)written / seconds, (long long)groups, (long long)checkpoints, longest_checkpoint * 1e3,
         (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6);
  return 0;
}
