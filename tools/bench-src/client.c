// A producer and consumer on Debian's librdkafka, as fast as it goes.
//   client BOOTSTRAP produce TOPIC PARTITIONS RECORD_BYTES COUNT [run=N] [KEY=VALUE]…      acks=all unless a setting says otherwise
//                                                          run: records for one partition before the next has its turn (64)
//                                                          rate=N: records a second, with the latencies until they are acknowledged
//                                                          events=MS: JSON of about 200 bytes and a million keys, MS apart and ending
//                                                          now, instead of RECORD_BYTES
//   client BOOTSTRAP consume TOPIC PARTITIONS COUNT [KEY=VALUE]…                   from the beginning
// Prints one line of JSON.
#include <librdkafka/rdkafka.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static char problem[512];
static int64_t run = 64, event_distance = 0, rate = 0;
static int32_t *latencies;   // microseconds, where there is a rate
static int64_t delivered_count, failed_count;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void fail(const char *what, const char *why) {
  fprintf(stderr, "%s: %s\n", what, why);
  exit(1);
}

static void set(rd_kafka_conf_t *conf, const char *key, const char *value) {
  if (rd_kafka_conf_set(conf, key, value, problem, sizeof problem)) fail(key, problem);
}

static void set_all(rd_kafka_conf_t *conf, char **setting) {
  for (; *setting; setting++) {
    char *equals = strchr(*setting, '=');
    if (!equals) fail(*setting, "not KEY=VALUE");
    *equals = 0;
    if (!strcmp(*setting, "run")) run = atoll(equals + 1);
    else if (!strcmp(*setting, "rate")) rate = atoll(equals + 1);
    else if (!strcmp(*setting, "events")) event_distance = atoll(equals + 1);
    else set(conf, *setting, equals + 1);
  }
}

static int by_value(const void *a, const void *b) {
  int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
  return (x > y) - (x < y);
}

static void report(double seconds, int64_t records, int64_t bytes) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  printf("{");
  if (latencies && records > 0) {
    qsort(latencies, (size_t)records, sizeof *latencies, by_value);
    printf("\"p50_us\": %d, \"p99_us\": %d, \"p999_us\": %d, \"max_us\": %d, ", latencies[records / 2], latencies[records * 99 / 100],
           latencies[records * 999 / 1000], latencies[records - 1]);
  }
  printf("\"seconds\": %.3f, \"records\": %lld, \"records_per_second\": %.0f, \"bytes_per_second\": %.0f, \"cpu_seconds\": %.2f}\n",
         seconds, (long long)records, (double)records / seconds, (double)bytes / seconds,
         (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6);
}

static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque) {
  (void)rk, (void)opaque;
  if (message->err) failed_count++, fprintf(stderr, "%s\n", rd_kafka_err2str(message->err));
  else {
    if (latencies) latencies[delivered_count] = (int32_t)rd_kafka_message_latency(message);
    delivered_count++;
  }
}

// Users and keys come in no order: the multiplier is coprime to their numbers.
static int play(int64_t number, char *key, char *value) {
  int user = (int)(number * 7919 % 5000);
  sprintf(key, "play-%d", (int)(number * 7919 % 1000000));
  return sprintf(value,
                 "{\"user\":\"user-%d\",\"song\":\"song-%d\",\"seconds\":%d,\"country\":\"de\",\"device\":\"phone\","
                 "\"session\":\"%llx-0123456789abcdef0123456789abcdef\",\"note\":\"played to the end\"}",
                 user, (int)(number * 31 % 20000), (int)(number % 600), (unsigned long long)number);
}

// One record; false if the queue is full.
static int offer(rd_kafka_t *rk, rd_kafka_topic_t *topic, int32_t partition, int64_t number, int64_t at, char *value, size_t bytes) {
  rd_kafka_resp_err_t error;
  if (event_distance) {
    char key[32], text[512];
    int length = play(number, key, text);
    error = rd_kafka_producev(rk, RD_KAFKA_V_RKT(topic), RD_KAFKA_V_PARTITION(partition), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                              RD_KAFKA_V_KEY(key, strlen(key)), RD_KAFKA_V_VALUE(text, (size_t)length), RD_KAFKA_V_TIMESTAMP(at),
                              RD_KAFKA_V_END);
  } else {
    error = rd_kafka_produce(topic, partition, RD_KAFKA_MSG_F_COPY, value, bytes, NULL, 0, NULL) == -1 ? rd_kafka_last_error()
                                                                                                       : RD_KAFKA_RESP_ERR_NO_ERROR;
  }
  if (error && error != RD_KAFKA_RESP_ERR__QUEUE_FULL) fail("produce", rd_kafka_err2str(error));
  return !error;
}

static void produce(const char *bootstrap, char **argument) {
  int partitions = atoi(argument[1]);
  size_t bytes = (size_t)atol(argument[2]);
  int64_t count = atoll(argument[3]);
  rd_kafka_conf_t *conf = rd_kafka_conf_new();
  set(conf, "bootstrap.servers", bootstrap);
  set(conf, "acks", "all");
  set_all(conf, argument + 4);
  rd_kafka_conf_set_dr_msg_cb(conf, delivered);
  rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, problem, sizeof problem);
  if (!rk) fail("rd_kafka_new", problem);
  rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, argument[0], NULL);
  const struct rd_kafka_metadata *metadata;   // the topic is there and its leader known before the clock starts
  if (rd_kafka_metadata(rk, 0, topic, &metadata, 10000)) fail("metadata", "no answer");
  rd_kafka_metadata_destroy(metadata);
  char *value = malloc(bytes + 1);
  for (size_t i = 0; i < bytes; i++) value[i] = (char)('a' + i * 7 % 26);
  double start = now();
  if (rate) latencies = calloc((size_t)count, sizeof *latencies);
  int64_t begin = (int64_t)time(NULL) * 1000 - count * event_distance;
  for (int64_t i = 0; i < count; i++) {
    while (!offer(rk, topic, (int32_t)(i / run % partitions), i, begin + i * event_distance, value, bytes)) rd_kafka_poll(rk, 10);
    if (rate && i % 64 == 0)
      while (now() - start < (double)i / (double)rate) rd_kafka_poll(rk, 1);
    if (i % 256 == 0) rd_kafka_poll(rk, 0);
  }
  while (delivered_count + failed_count < count && now() - start < 300) rd_kafka_poll(rk, 100);
  report(now() - start, delivered_count, delivered_count * (int64_t)bytes);
  if (delivered_count != count) fail("produce", "not every record was acknowledged");
}

static void consume(const char *bootstrap, char **argument) {
  int partitions = atoi(argument[1]);
  int64_t count = atoll(argument[2]), received = 0, bytes = 0;
  rd_kafka_conf_t *conf = rd_kafka_conf_new();
  set(conf, "bootstrap.servers", bootstrap);
  set(conf, "group.id", "bench");
  set(conf, "enable.auto.commit", "false");
  set_all(conf, argument + 3);
  rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, problem, sizeof problem);
  if (!rk) fail("rd_kafka_new", problem);
  rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, argument[0], NULL);
  rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
  double start = now();
  for (int i = 0; i < partitions; i++) rd_kafka_consume_start_queue(topic, i, RD_KAFKA_OFFSET_BEGINNING, queue);
  static rd_kafka_message_t *messages[10000];
  while (received < count) {
    ssize_t taken = rd_kafka_consume_batch_queue(queue, 1000, messages, 10000);
    if (taken < 0 || now() - start > 300) fail("consume", "gave up");
    for (ssize_t i = 0; i < taken; i++) {
      if (!messages[i]->err) received++, bytes += (int64_t)messages[i]->len;
      rd_kafka_message_destroy(messages[i]);
    }
  }
  report(now() - start, received, bytes);
}

int main(int count, char **argument) {
  if (count >= 7 && !strcmp(argument[2], "produce")) produce(argument[1], argument + 3);
  else if (count >= 6 && !strcmp(argument[2], "consume")) consume(argument[1], argument + 3);
  else fail("client", "see the head of client.c");
  fflush(stdout);
  _Exit(0);   // without the seconds that librdkafka's orderly end takes
}
