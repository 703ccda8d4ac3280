// Latency of single produces at a steady rate, over a bare socket, so that it is the node's and not a client's.
//   latency HOST PORT TOPIC PARTITIONS RECORD_BYTES RATE SECONDS
// Sends Produce v7 with acks=all and one record each, on schedule whatever the answers do; a latency is taken from the
// moment a request was due. Prints one line of JSON.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { in_flight_max = 1 << 16, answer_bytes_max = 1 << 16 };

static uint8_t request[1 << 20];
static int at;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void fail(const char *why) {
  perror(why);
  exit(1);
}

static void integer(uint64_t value, int bytes) {
  while (bytes--) request[at++] = (uint8_t)(value >> bytes * 8);
}

static void varint(int64_t value) {
  uint64_t zigzag = (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
  for (; zigzag >= 0x80; zigzag >>= 7) request[at++] = (uint8_t)(zigzag | 0x80);
  request[at++] = (uint8_t)zigzag;
}

static void text(const char *value) {
  integer(strlen(value), 2);
  memcpy(request + at, value, strlen(value));
  at += (int)strlen(value);
}

static void patch(int position, uint64_t value) {
  int end = at;
  at = position;
  integer(value, 4);
  at = end;
}

static uint32_t crc32c(const uint8_t *bytes, int count) {
  uint32_t crc = ~0u;
  while (count--) {
    crc ^= *bytes++;
    for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? 0x82f63b78u ^ crc >> 1 : crc >> 1;
  }
  return ~crc;
}

// Builds the request; returns where its partition number stands.
static int build(const char *topic, int record_bytes) {
  integer(0, 4);                                                     // frame length, below
  integer(0, 2), integer(7, 2), integer(1, 4), text("latency");      // Produce v7
  integer(0xffff, 2), integer(0xffff, 2), integer(30000, 4);         // no transaction, acks=all
  integer(1, 4), text(topic), integer(1, 4);
  int partition = at;
  integer(0, 4);
  int records = at;
  integer(0, 4);
  int batch = at;
  integer(0, 8), integer(0, 4), integer(0, 4), integer(2, 1);        // base offset, length, leader epoch, magic
  int crc = at;
  integer(0, 4), integer(0, 2), integer(0, 4);                       // CRC, attributes, last offset delta
  uint64_t time_ms = (uint64_t)time(NULL) * 1000;
  integer(time_ms, 8), integer(time_ms, 8);
  integer(UINT64_MAX, 8), integer(0xffff, 2), integer(0xffffffff, 4), integer(1, 4);   // no producer id, one record
  int length_of_varint = record_bytes < 64 ? 1 : record_bytes < 8192 ? 2 : 3;
  varint(1 + 1 + 1 + 1 + length_of_varint + record_bytes + 1);
  integer(0, 1), varint(0), varint(0), varint(-1), varint(record_bytes);
  memset(request + at, 'x', (size_t)record_bytes);
  at += record_bytes;
  varint(0);
  patch(records, (uint64_t)(at - batch));
  patch(batch + 8, (uint64_t)(at - batch - 12));
  patch(crc, crc32c(request + crc + 4, at - crc - 4));
  patch(0, (uint64_t)(at - 4));
  return partition;
}

static int open_connection(const char *host, int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  inet_pton(AF_INET, host, &address.sin_addr);
  int stream = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  if (connect(stream, (struct sockaddr *)&address, sizeof address)) fail("connect");
  setsockopt(stream, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return stream;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

int main(int count, char **argument) {
  if (count != 8) fail("see the head of latency.c");
  int partitions = atoi(argument[4]), record_bytes = atoi(argument[5]);
  if (record_bytes < 1 || record_bytes > 500000) fail("record bytes");
  double rate = atof(argument[6]), seconds = atof(argument[7]);
  int partition = build(argument[3], record_bytes);
  int stream = open_connection(argument[1], atoi(argument[2]));

  size_t total = (size_t)(rate * seconds) + 1, answered = 0, sent = 0;
  double *latencies = malloc(total * sizeof *latencies);
  static double due[in_flight_max];
  static uint8_t answers[answer_bytes_max];
  size_t held = 0;
  double start = now(), end = start + seconds, next = start;
  while (next < end || answered < sent) {
    while (next <= now() && next < end && sent < total) {
      due[sent % in_flight_max] = next;
      patch(partition, sent % (size_t)partitions);
      if (write(stream, request, (size_t)at) != at) fail("write");
      sent++;
      next = start + (double)sent / rate;
    }
    double wait = next < end ? next - now() : 1;
    struct timespec timeout = {(time_t)wait, wait > 0 ? (long)((wait - (double)(time_t)wait) * 1e9) : 0};
    struct pollfd watched = {stream, POLLIN, 0};
    if (ppoll(&watched, 1, &timeout, NULL) <= 0) {
      if (now() > end + 10) fail("no answer within 10 s");
      continue;
    }
    ssize_t got = read(stream, answers + held, sizeof answers - held);
    if (got <= 0) fail("read");
    held += (size_t)got;
    size_t taken = 0;
    while (held - taken >= 4) {
      const uint8_t *head = answers + taken;
      size_t length = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
      if (held - taken < 4 + length) break;
      // correlation id, one topic with its name, one partition: index, then the error code
      size_t error = 4 + 4 + 4 + 2 + strlen(argument[3]) + 4 + 4;
      if (length + 4 < error + 2 || head[error] || head[error + 1]) fail("a produce was refused");
      latencies[answered] = now() - due[answered % in_flight_max];
      answered++;
      taken += 4 + length;
    }
    memmove(answers, answers + taken, held - taken);
    held -= taken;
  }
  qsort(latencies, answered, sizeof *latencies, by_value);
#define AT(share) latencies[(size_t)((double)(answered - 1) * (share))] * 1e6
  printf("{\"requests\": %zu, \"per_second\": %.0f, \"p50_us\": %.0f, \"p99_us\": %.0f, \"p999_us\": %.0f, \"longest_us\": %.0f}\n",
         answered, (double)answered / (now() - start), AT(0.5), AT(0.99), AT(0.999), AT(1.0));
  return 0;
}
