// A client made of Debian's librdkafka (2.0.2) and nothing else, driven by suite.py over stdin and stdout.
//   client BOOTSTRAP produce TOPIC PARTITION CODEC IDEMPOTENT     records on stdin, an offset per line on stdout
//   client BOOTSTRAP consume TOPIC PARTITION START COUNT          (offset, record) on stdout
//   client BOOTSTRAP member GROUP TOPIC STRATEGY                  events on stdout until SIGTERM
//   client BOOTSTRAP create | admin                               `ok`/`not ok` lines; admin wants 100 records in `admin`
// A record: timestamp (int64), key, value, header count (int32), name and value of each. A field: length (int32, -1 is
// null) and bytes. Integers are little-endian.
#include <librdkafka/rdkafka.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { wait_ms = 30000, batch_max = 20 };

static char problem[512];
static volatile sig_atomic_t stopping;

static void fail(const char *what, const char *why) {
  fprintf(stderr, "%s: %s\n", what, why);
  exit(1);
}

static rd_kafka_conf_t *configuration(const char *bootstrap, const char *const *settings) {
  rd_kafka_conf_t *conf = rd_kafka_conf_new();
  rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, NULL, 0);
  for (; *settings; settings += 2)
    if (rd_kafka_conf_set(conf, settings[0], settings[1], problem, sizeof problem)) fail(settings[0], problem);
  return conf;
}

static rd_kafka_t *client(rd_kafka_type_t type, const char *bootstrap, const char *const *settings) {
  rd_kafka_t *rk = rd_kafka_new(type, configuration(bootstrap, settings), problem, sizeof problem);
  if (!rk) fail("rd_kafka_new", problem);
  if (type == RD_KAFKA_CONSUMER) rd_kafka_poll_set_consumer(rk);
  return rk;
}

// ---- records on stdin and stdout

static bool take(void *into, size_t count) { return fread(into, 1, count, stdin) == count; }

static char *take_field(int32_t *length) {
  if (!take(length, 4)) fail("stdin", "cut short");
  if (*length < 0) return NULL;
  char *bytes = calloc(1, (size_t)*length + 1);
  if (*length && !take(bytes, (size_t)*length)) fail("stdin", "cut short");
  return bytes;
}

static void give_field(const void *bytes, size_t count) {
  int32_t length = bytes ? (int32_t)count : -1;
  fwrite(&length, 4, 1, stdout);
  if (bytes) fwrite(bytes, 1, count, stdout);
}

// ---- produce

static rd_kafka_resp_err_t delivery_error;

static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque) {
  (void)rk, (void)opaque;
  if (message->err) delivery_error = message->err;
  else printf("%lld\n", (long long)message->offset);
}

static void produce(const char *bootstrap, char **argument) {
  const char *settings[] = {"compression.codec", argument[2], "enable.idempotence", argument[3], "acks", "all",
                            "linger.ms", "20", "message.timeout.ms", "20000", NULL};
  rd_kafka_conf_t *conf = configuration(bootstrap, settings);
  rd_kafka_conf_set_dr_msg_cb(conf, delivered);
  rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, problem, sizeof problem);
  if (!rk) fail("rd_kafka_new", problem);
  int64_t timestamp;
  while (take(&timestamp, 8)) {
    int32_t key_length, value_length, header_count, length;
    char *key = take_field(&key_length), *value = take_field(&value_length);
    rd_kafka_headers_t *headers = rd_kafka_headers_new(4);
    if (!take(&header_count, 4)) fail("stdin", "cut short");
    while (header_count-- > 0) {
      int32_t name_length;
      char *name = take_field(&name_length), *bytes = take_field(&length);
      rd_kafka_header_add(headers, name, name_length, bytes, bytes ? length : 0);
      free(name), free(bytes);
    }
    rd_kafka_resp_err_t error = rd_kafka_producev(
        rk, RD_KAFKA_V_TOPIC(argument[0]), RD_KAFKA_V_PARTITION(atoi(argument[1])), RD_KAFKA_V_TIMESTAMP(timestamp),
        RD_KAFKA_V_KEY(key, (size_t)(key ? key_length : 0)), RD_KAFKA_V_VALUE(value, (size_t)(value ? value_length : 0)),
        RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
    if (error) fail("produce", rd_kafka_err2str(error));
    free(key), free(value);
    rd_kafka_poll(rk, 0);
  }
  rd_kafka_flush(rk, wait_ms);
  if (delivery_error) fail("delivery", rd_kafka_err2str(delivery_error));
  if (rd_kafka_outq_len(rk)) fail("flush", "not everything was delivered within 30 s");
  rd_kafka_destroy(rk);
}

// ---- consume

static void give_message(const rd_kafka_message_t *message) {
  int64_t timestamp = rd_kafka_message_timestamp(message, NULL);
  fwrite(&message->offset, 8, 1, stdout);
  fwrite(&timestamp, 8, 1, stdout);
  give_field(message->key, message->key_len);
  give_field(message->payload, message->len);
  rd_kafka_headers_t *headers = NULL;
  rd_kafka_message_headers(message, &headers);
  int32_t count = headers ? (int32_t)rd_kafka_header_cnt(headers) : 0;
  fwrite(&count, 4, 1, stdout);
  for (int32_t i = 0; i < count; i++) {
    const char *name;
    const void *value;
    size_t length;
    rd_kafka_header_get_all(headers, (size_t)i, &name, &value, &length);
    give_field(name, strlen(name));
    give_field(value, length);
  }
}

static void consume(const char *bootstrap, char **argument) {
  const char *settings[] = {"group.id", "unused", "enable.auto.commit", "false", "auto.offset.reset", "error",
                            "check.crcs", "true", NULL};
  rd_kafka_t *rk = client(RD_KAFKA_CONSUMER, bootstrap, settings);
  rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(list, argument[0], atoi(argument[1]))->offset = atoll(argument[2]);
  rd_kafka_assign(rk, list);
  long left = atol(argument[3]);
  time_t deadline = time(NULL) + wait_ms / 1000;
  while (left > 0) {
    if (time(NULL) > deadline) fail("consume", "not everything came within 30 s");
    rd_kafka_message_t *message = rd_kafka_consumer_poll(rk, 200);
    if (!message) continue;
    if (message->err) fail("consume", rd_kafka_message_errstr(message));
    give_message(message);
    left--;
    rd_kafka_message_destroy(message);
  }
  rd_kafka_consumer_close(rk);
  rd_kafka_destroy(rk);
}

// ---- group member

static void stop(int signal_number) { (void)signal_number, stopping = 1; }

static void say_held(rd_kafka_t *rk) {
  static char said[4096];
  char now[4096] = "";
  size_t used = 0;
  rd_kafka_topic_partition_list_t *held = NULL;
  rd_kafka_assignment(rk, &held);
  for (int i = 0; held && i < held->cnt && used < sizeof now - 16; i++)
    used += (size_t)snprintf(now + used, sizeof now - used, "%s%d", i ? ", " : "", held->elems[i].partition);
  if (held) rd_kafka_topic_partition_list_destroy(held);
  static bool first = true;
  if (first || strcmp(now, said)) printf("{\"holds\": [%s]}\n", now), strcpy(said, now);
  first = false;
  fflush(stdout);
}

static void say_batch(const char *what, int32_t (*partitions), int64_t *offsets, int count) {
  printf("{\"%s\": [", what);
  for (int i = 0; i < count; i++) printf("%s[%d, %lld]", i ? ", " : "", partitions[i], (long long)offsets[i]);
  printf("]}\n");
  fflush(stdout);
}

static void member(const char *bootstrap, char **argument) {
  const char *settings[] = {
      "group.id", argument[0], "partition.assignment.strategy", argument[2], "auto.offset.reset", "earliest",
      "enable.auto.commit", "false", "session.timeout.ms", "6000", "heartbeat.interval.ms", "300",
      "topic.metadata.refresh.interval.ms", "1000", NULL};
  signal(SIGTERM, stop);
  rd_kafka_t *rk = client(RD_KAFKA_CONSUMER, bootstrap, settings);
  rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(topics, argument[1], RD_KAFKA_PARTITION_UA);
  rd_kafka_subscribe(rk, topics);
  while (!stopping) {
    int32_t partitions[batch_max];
    int64_t offsets[batch_max];
    int count = 0;
    rd_kafka_topic_partition_list_t *next = rd_kafka_topic_partition_list_new(4);
    for (int wait = 100; count < batch_max; wait = 0) {
      rd_kafka_message_t *message = rd_kafka_consumer_poll(rk, wait);
      if (!message) break;
      if (!message->err) {
        partitions[count] = message->partition, offsets[count++] = message->offset;
        rd_kafka_topic_partition_t *place =
            rd_kafka_topic_partition_list_find(next, argument[1], message->partition);
        if (!place) place = rd_kafka_topic_partition_list_add(next, argument[1], message->partition);
        place->offset = message->offset + 1;
      }
      rd_kafka_message_destroy(message);
    }
    say_held(rk);
    if (count) {
      say_batch("received", partitions, offsets, count);
      if (!rd_kafka_commit(rk, next, 0)) say_batch("committed", partitions, offsets, count);
    }
    rd_kafka_topic_partition_list_destroy(next);
  }
  rd_kafka_consumer_close(rk);
  rd_kafka_destroy(rk);
}

// ---- admin

static rd_kafka_t *admin_client;
static rd_kafka_queue_t *results;

static void tell(const char *name, bool good, const char *why) {
  printf("%s admin: %s\n", good ? "ok" : "not ok", name);
  if (!good) fprintf(stderr, "    %s\n", why ? why : "");
}

// The next result, or NULL with `problem` set; the caller destroys it.
static rd_kafka_event_t *result(void) {
  rd_kafka_event_t *event = rd_kafka_queue_poll(results, wait_ms);
  if (!event) return snprintf(problem, sizeof problem, "no answer within 30 s"), NULL;
  if (rd_kafka_event_error(event))
    return snprintf(problem, sizeof problem, "%s", rd_kafka_event_error_string(event)), rd_kafka_event_destroy(event), NULL;
  return event;
}

static bool topic_results_are(rd_kafka_event_t *event, const rd_kafka_topic_result_t **list, size_t count,
                              rd_kafka_resp_err_t expected) {
  if (!event) return false;
  bool good = count == 1 && rd_kafka_topic_result_error(list[0]) == expected;
  snprintf(problem, sizeof problem, "%s", count ? rd_kafka_err2name(rd_kafka_topic_result_error(list[0])) : "no result");
  rd_kafka_event_destroy(event);
  return good;
}

static void create_topic(const char *name, rd_kafka_resp_err_t expected, const char *title) {
  rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(name, 3, 1, problem, sizeof problem);
  rd_kafka_NewTopic_set_config(topic, "retention.ms", "-1");
  rd_kafka_CreateTopics(admin_client, &topic, 1, NULL, results);
  rd_kafka_event_t *event = result();
  size_t count = 0;
  const rd_kafka_topic_result_t **list = event ? rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count) : NULL;
  tell(title, topic_results_are(event, list, count, expected), problem);
  rd_kafka_NewTopic_destroy(topic);
}

static void create_partitions(void) {
  rd_kafka_NewPartitions_t *more = rd_kafka_NewPartitions_new("admin", 5, problem, sizeof problem);
  rd_kafka_CreatePartitions(admin_client, &more, 1, NULL, results);
  rd_kafka_event_t *event = result();
  size_t count = 0;
  const rd_kafka_topic_result_t **list = event ? rd_kafka_CreatePartitions_result_topics(rd_kafka_event_CreatePartitions_result(event), &count) : NULL;
  tell("create partitions", topic_results_are(event, list, count, 0), problem);
  rd_kafka_NewPartitions_destroy(more);
}

static void delete_topic(void) {
  rd_kafka_DeleteTopic_t *topic = rd_kafka_DeleteTopic_new("admin");
  rd_kafka_DeleteTopics(admin_client, &topic, 1, NULL, results);
  rd_kafka_event_t *event = result();
  size_t count = 0;
  const rd_kafka_topic_result_t **list = event ? rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), &count) : NULL;
  tell("delete a topic", topic_results_are(event, list, count, 0), problem);
  rd_kafka_DeleteTopic_destroy(topic);
}

static void configurations(void) {
  rd_kafka_ConfigResource_t *resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, "admin");
  rd_kafka_ConfigResource_set_config(resource, "segment.bytes", "2097152");
  rd_kafka_AlterConfigs(admin_client, &resource, 1, NULL, results);
  rd_kafka_event_t *event = result();
  tell("alter configurations", event != NULL, problem);
  if (event) rd_kafka_event_destroy(event);
  rd_kafka_ConfigResource_destroy(resource);

  resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, "admin");
  rd_kafka_DescribeConfigs(admin_client, &resource, 1, NULL, results);
  event = result();
  bool found = false;
  if (event) {
    size_t resources, entries;
    const rd_kafka_ConfigResource_t **list = rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event), &resources);
    const rd_kafka_ConfigEntry_t **entry = rd_kafka_ConfigResource_configs(list[0], &entries);
    for (size_t i = 0; i < entries; i++)
      if (!strcmp(rd_kafka_ConfigEntry_name(entry[i]), "segment.bytes"))
        found = !strcmp(rd_kafka_ConfigEntry_value(entry[i]), "2097152");
    rd_kafka_event_destroy(event);
  }
  tell("describe configurations", found, problem);
  rd_kafka_ConfigResource_destroy(resource);
}

static void delete_records(void) {
  rd_kafka_topic_partition_list_t *before = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(before, "admin", 0)->offset = 40;
  rd_kafka_DeleteRecords_t *request = rd_kafka_DeleteRecords_new(before);
  rd_kafka_DeleteRecords(admin_client, &request, 1, NULL, results);
  rd_kafka_event_t *event = result();
  if (event) rd_kafka_event_destroy(event);
  int64_t low = -1, high = -1;
  rd_kafka_query_watermark_offsets(admin_client, "admin", 0, &low, &high, wait_ms);
  snprintf(problem, sizeof problem, "watermarks %lld and %lld", (long long)low, (long long)high);
  tell("delete records", event && low == 40 && high == 100, problem);
  rd_kafka_DeleteRecords_destroy(request);
  rd_kafka_topic_partition_list_destroy(before);
}

// Expects records with the times 1000, 1100, … 10900 at offsets 0 to 99 of partition 0.
static void offsets_for_times(void) {
  bool good = true;
  const int64_t asked[] = {5050, 10900, 10901}, expected[] = {41, 99, RD_KAFKA_OFFSET_END};
  for (int i = 0; i < 3; i++) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, "admin", 0)->offset = asked[i];
    rd_kafka_resp_err_t error = rd_kafka_offsets_for_times(admin_client, list, wait_ms);
    if (error || list->elems[0].offset != expected[i])
      good = false, snprintf(problem, sizeof problem, "%s: time %lld is at %lld", rd_kafka_err2name(error), (long long)asked[i], (long long)list->elems[0].offset);
    rd_kafka_topic_partition_list_destroy(list);
  }
  tell("offsets by timestamp", good, problem);
}

// A group without members: it comes into being by a commit.
static void groups(const char *bootstrap) {
  const char *settings[] = {"group.id", "admin-group", "enable.auto.commit", "false", NULL};
  rd_kafka_t *rk = client(RD_KAFKA_CONSUMER, bootstrap, settings);
  rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(list, "admin", 0)->offset = 77;
  rd_kafka_resp_err_t error = rd_kafka_commit(rk, list, 0);
  tell("commit without joining", !error, rd_kafka_err2str(error));
  list->elems[0].offset = 0;
  error = rd_kafka_committed(rk, list, wait_ms);
  tell("committed offsets", !error && list->elems[0].offset == 77, rd_kafka_err2str(error));
  rd_kafka_topic_partition_list_destroy(list);
  rd_kafka_destroy(rk);

  const struct rd_kafka_group_list *found = NULL;
  error = rd_kafka_list_groups(admin_client, "admin-group", &found, wait_ms);   // ListGroups and DescribeGroups v0
  tell("list and describe groups, oldest versions", !error && found->group_cnt == 1 && !strcmp(found->groups[0].state, "Empty"),
       error ? rd_kafka_err2str(error) : found->group_cnt ? found->groups[0].state : "not there");
  if (found) rd_kafka_group_list_destroy(found);

  rd_kafka_ListConsumerGroups(admin_client, NULL, results);
  rd_kafka_event_t *event = result();
  bool listed = false;
  if (event) {
    size_t count;
    const rd_kafka_ConsumerGroupListing_t **listing = rd_kafka_ListConsumerGroups_result_valid(rd_kafka_event_ListConsumerGroups_result(event), &count);
    for (size_t i = 0; i < count; i++) listed |= !strcmp(rd_kafka_ConsumerGroupListing_group_id(listing[i]), "admin-group");
    rd_kafka_event_destroy(event);
  }
  tell("list groups", listed, problem);

  rd_kafka_DeleteGroup_t *group = rd_kafka_DeleteGroup_new("admin-group");
  rd_kafka_DeleteGroups(admin_client, &group, 1, NULL, results);
  event = result();
  bool deleted = false;
  if (event) {
    size_t count;
    const rd_kafka_group_result_t **list_of = rd_kafka_DeleteGroups_result_groups(rd_kafka_event_DeleteGroups_result(event), &count);
    deleted = count == 1 && !rd_kafka_group_result_error(list_of[0]);
    rd_kafka_event_destroy(event);
  }
  tell("delete a group", deleted, problem);
  rd_kafka_DeleteGroup_destroy(group);
}

int main(int count, char **argument) {
  if (count < 3) fail("client", "see the head of client.c");
  const char *bootstrap = argument[1], *verb = argument[2];
  if (!strcmp(verb, "produce") && count == 7) produce(bootstrap, argument + 3);
  else if (!strcmp(verb, "consume") && count == 7) consume(bootstrap, argument + 3);
  else if (!strcmp(verb, "member") && count == 6) member(bootstrap, argument + 3);
  else {
    const char *none[] = {NULL};
    admin_client = client(RD_KAFKA_PRODUCER, bootstrap, none);
    results = rd_kafka_queue_new(admin_client);
    if (!strcmp(verb, "create")) {
      create_topic("admin", RD_KAFKA_RESP_ERR_NO_ERROR, "create a topic");
      create_topic("admin", RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS, "create a topic that exists");
      create_topic("bad name", RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION, "create a topic with a bad name");
    } else {
      configurations();
      create_partitions();
      offsets_for_times();
      delete_records();
      groups(bootstrap);
      delete_topic();
    }
    rd_kafka_queue_destroy(results);
    rd_kafka_destroy(admin_client);
  }
  return 0;
}
